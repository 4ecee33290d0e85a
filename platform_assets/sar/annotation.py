"""The annotations of one product as plain arrays: what `xsar_reader` reads and everything else computes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """Values at some lines and samples of the image.

    Attributes:
        line: Line numbers, ascending.
        sample: Sample numbers, ascending.
        values: Shape (lines, samples).
    """

    line: Floats
    sample: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class AzimuthNoise:
    """The noise along azimuth in one rectangle of the image, as a factor of the noise along range.

    Attributes:
        lines: First and last line of the rectangle.
        samples: First and last sample of the rectangle.
        line: Where the factor is given.
        values: The factor, dimensionless.
    """

    lines: tuple[int, int]
    samples: tuple[int, int]
    line: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Channel:
    """What belongs to one polarisation.

    Attributes:
        measurement: The image, a local file.
        sigma0_lut: Digital numbers are divided by it to give the square root of sigma nought.
        gamma0_lut: The same for gamma nought.
        range_noise: The noise power along range, in squared digital numbers.
        azimuth_noise: Factors of it; empty before IPF 2.9, where the factor is 1.
        denoised: Whether the processor has already subtracted the noise.
    """

    measurement: Path
    sigma0_lut: Table
    gamma0_lut: Table
    range_noise: Table
    azimuth_noise: tuple[AzimuthNoise, ...]
    denoised: bool

    @property
    def noise_is_zero(self) -> bool:
        """Whether the product's noise vectors say nothing, as those of IPF 2.36 do."""
        return not self.range_noise.values.any()


@dataclass(frozen=True, slots=True)
class Product:
    """The annotations of one GRD product.

    Attributes:
        name: The folder's name without `.SAFE`.
        platform: Such as `SENTINEL-1A`.
        mode: Instrument mode: `IW`, `EW` or `SM`.
        product_type: Such as `GRDH`.
        ipf_version: Version of ESA's processor, as the manifest writes it.
        lines: Lines of the image.
        samples: Samples of a line.
        line_spacing_m: Pixel spacing along azimuth.
        sample_spacing_m: Pixel spacing along ground range.
        start: Azimuth time of the first line, UTC.
        stop: Azimuth time of the last line, UTC.
        orbit_pass: `Ascending` or `Descending`.
        platform_heading: Degrees from north.
        geolocation: The geolocation grid: `longitude` (degrees, continuous across the antimeridian), `latitude`, `height` (m),
            `incidence`, `elevation` (degrees), `slant_range_time` (s) and `azimuth_time` (s since `start`).
        speed: Time (s since `start`) and speed (m/s) of the platform, shape (2, n).
        swaths: Rectangles of the merged swaths: number, first and last line, first and last sample; none for Stripmap.
        channels: By polarisation, co-polarised first.
    """

    name: str
    platform: str
    mode: str
    product_type: str
    ipf_version: str
    lines: int
    samples: int
    line_spacing_m: float
    sample_spacing_m: float
    start: np.datetime64
    stop: np.datetime64
    orbit_pass: str
    platform_heading: float
    geolocation: Mapping[str, Table]
    speed: Floats
    swaths: tuple[tuple[int, int, int, int, int], ...]
    channels: Mapping[str, Channel]
