"""Synthetic scenes of which everything is known: the oracle of the sar domain."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Layout = Literal["strips", "strips-zstd", "tiled", "cog", "cog-average"]

EARTH_RADIUS_M = 6_371_000.0
ORBIT_HEIGHT_M = 693_000.0
BETA_NOUGHT = 474.0  # the calibration constant of real products is near it
_GROUND_SPEED_M_S = 6680.0
_MEAN_SIGMA0 = {"VV": 0.05, "HH": 0.05, "VH": 0.008, "HV": 0.008}
_AZIMUTH_NOISE_SINCE = "002.90"


@dataclass(frozen=True, slots=True)
class ModeFacts:
    """What an instrument mode looks like.

    Attributes:
        swaths: Its sub-swaths, from near to far; none of Stripmap, whose products merge nothing.
        incidence: Of the first and the last sample, in degrees.
        full_size: Lines and samples of a real product.
        resolution: The usual resolution class.
    """

    swaths: tuple[str, ...]
    incidence: tuple[float, float]
    full_size: tuple[int, int]
    resolution: str


MODES = {
    "IW": ModeFacts(("IW1", "IW2", "IW3"), (30.5, 46.0), (16676, 26144), "H"),
    "EW": ModeFacts(("EW1", "EW2", "EW3", "EW4", "EW5"), (18.9, 47.0), (10400, 10400), "M"),
    **{f"S{number}": ModeFacts((), (14.0 + 5 * number, 23.0 + 5 * number), (18000, 9000), "H") for number in range(1, 7)},
}

SPACING_M = {
    ("IW", "H"): 10.0,
    ("IW", "M"): 40.0,
    ("EW", "H"): 25.0,
    ("EW", "M"): 40.0,
    ("SM", "F"): 4.0,
    ("SM", "H"): 10.0,
    ("SM", "M"): 40.0,
}
"""Pixel spacing in metres, by instrument mode and resolution class."""


@dataclass(frozen=True, slots=True)
class SafeSpec:
    """A synthetic product; the same specification gives the same bytes.

    Attributes:
        mission: `S1A` to `S1D`.
        mode: `IW`, `EW`, or `S1` to `S6`.
        polarisations: One or two, the co-polarised first.
        resolution: `F`, `H` or `M`; empty for the mode's usual one.
        lines: Of the image.
        samples: Of the image.
        latitude: Of the first sample of the first line, in degrees.
        longitude: Of the first sample of the first line, in degrees.
        heading: Of the satellite, in degrees from north, clockwise.
        start: Of the acquisition.
        orbit: Absolute orbit number.
        datatake: The mission's data take.
        processed: When it was made; None for three hours after the start. Another time makes a reprocessing of the same data.
        ipf_version: Before 002.90 the noise has no part along azimuth, and another name.
        zero_noise: Whether the noise vectors are all zero, as before 2.50, and the image has no noise.
        looks: Equivalent number of looks of the speckle; 0 for none.
        layout: Of the images: uncompressed strips of a line as ESA writes them, the same compressed, tiles, or cloud-optimised
            as the Copernicus Data Space repackages them, with overviews by root mean square or by average.
        seed: Of the speckle.
    """

    mission: str = "S1A"
    mode: str = "IW"
    polarisations: tuple[str, ...] = ("VV", "VH")
    resolution: str = ""
    lines: int = 2000
    samples: int = 1500
    latitude: float = 48.0
    longitude: float = -6.0
    heading: float = -14.0
    start: datetime = datetime(2024, 1, 1, 6, tzinfo=UTC)
    orbit: int = 52000
    datatake: int = 0x64A3C
    processed: datetime | None = None
    ipf_version: str = "003.91"
    zero_noise: bool = False
    looks: float = 4.4
    layout: Layout = "strips"
    seed: int = 0

    @property
    def instrument_mode(self) -> str:
        """`SM` for every swath of Stripmap."""
        return self.mode if self.mode in ("IW", "EW") else "SM"

    @property
    def resolution_class(self) -> str:
        """The resolution class of the product."""
        return self.resolution or MODES[self.mode].resolution

    @property
    def spacing_m(self) -> float:
        """Distance of neighbouring pixels on the ground, along both axes."""
        return SPACING_M[self.instrument_mode, self.resolution_class]

    @property
    def stop(self) -> datetime:
        """Time of the last line."""
        return self.start + timedelta(seconds=(self.lines - 1) * self.spacing_m / _GROUND_SPEED_M_S)

    @property
    def has_azimuth_noise(self) -> bool:
        """Whether the noise varies along azimuth, too."""
        return self.ipf_version >= _AZIMUTH_NOISE_SINCE and bool(MODES[self.mode].swaths)


class Truth:
    """What is true of a synthetic product; lines and samples are counted from 0 at the middle of the first pixel.

    Arguments broadcast against each other.

    Args:
        spec: The product.
    """

    def __init__(self, spec: SafeSpec) -> None:
        self.spec = spec

    def lonlat(self, line: ArrayLike, sample: ArrayLike) -> tuple[Floats, Floats]:
        """Return longitude and latitude in degrees; the satellite looks to its right.

        Both are linear in line and sample, so that interpolating the geolocation grid is exact.
        """
        heading = np.radians(self.spec.heading)
        along, across = np.asarray(line, float) * self.spec.spacing_m, np.asarray(sample, float) * self.spec.spacing_m
        north = along * np.cos(heading) - across * np.sin(heading)
        east = along * np.sin(heading) + across * np.cos(heading)
        latitude = self.spec.latitude + np.degrees(north / EARTH_RADIUS_M)
        longitude = self.spec.longitude + np.degrees(east / (EARTH_RADIUS_M * np.cos(np.radians(self.spec.latitude))))
        return (longitude + 180) % 360 - 180, latitude

    def incidence(self, sample: ArrayLike) -> Floats:
        """Return the angle of incidence in degrees."""
        near, far = MODES[self.spec.mode].incidence
        return near + (far - near) * np.asarray(sample, float) / max(self.spec.samples - 1, 1)

    def elevation(self, sample: ArrayLike) -> Floats:
        """Return the elevation angle in degrees."""
        sine = np.sin(np.radians(self.incidence(sample))) * EARTH_RADIUS_M / (EARTH_RADIUS_M + ORBIT_HEIGHT_M)
        return np.asarray(np.degrees(np.arcsin(sine)))

    def sigma0(self, line: ArrayLike, sample: ArrayLike, polarisation: str) -> Floats:
        """Return the backscatter per unit of ground area, linear, without speckle and noise: a gradient with waves."""
        mean = _MEAN_SIGMA0[polarisation]
        y, x = np.asarray(line) / self.spec.lines, np.asarray(sample) / self.spec.samples
        field = mean * (0.4 + 1.2 * x + 0.3 * np.sin(6 * np.pi * y) * np.cos(4 * np.pi * x))
        return np.maximum(field, mean * 0.05)

    def sigma0_lut(self, sample: ArrayLike) -> Floats:
        """Return by what a digital number is divided to give the root of sigma nought."""
        return BETA_NOUGHT / np.sqrt(np.sin(np.radians(self.incidence(sample))))

    def gamma0_lut(self, sample: ArrayLike) -> Floats:
        """Return by what a digital number is divided to give the root of gamma nought."""
        return BETA_NOUGHT / np.sqrt(np.tan(np.radians(self.incidence(sample))))

    def range_noise(self, sample: ArrayLike) -> Floats:
        """Return the noise along range, in squared digital numbers."""
        noise = 1000.0 + 600.0 * np.cos(9 * np.pi * np.asarray(sample, float) / self.spec.samples) ** 2
        return noise * (not self.spec.zero_noise)

    def azimuth_noise(self, line: ArrayLike) -> Floats:
        """Return the factor of the noise along azimuth."""
        return 1.0 + 0.05 * np.cos(2 * np.pi * np.asarray(line, float) / 1500.0) * self.spec.has_azimuth_noise

    def power(self, line: ArrayLike, sample: ArrayLike, polarisation: str) -> Floats:
        """Return the expected square of the digital numbers: signal and noise."""
        signal = self.sigma0(line, sample, polarisation) * self.sigma0_lut(sample) ** 2
        return np.asarray(signal + self.range_noise(sample) * self.azimuth_noise(line))
