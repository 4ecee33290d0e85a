"""What every variable of an L1B file is called, measured in and stored as: CF-1.11 and ACDD-1.3, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CONVENTIONS = "CF-1.11, ACDD-1.3"

FLOAT_FILL = 9.969209968386869e36
"""netCDF's own fill value of floating point numbers; readers turn it into NaN."""

ANGLE_STEP = 2.0**-24
"""Angles and coordinates are rounded to it: 6e-8 degrees, 7 mm on the ground, and compress to half."""

GRID = ("line", "sample")
POLARISED = ("pol", *GRID)


@dataclass(frozen=True, slots=True)
class Variable:
    """How one variable is written.

    Attributes:
        dims: Its dimensions.
        dtype: Its type in the file, as numpy writes it; `str` for text.
        attributes: Its CF attributes.
        step: What its values are rounded to before they are compressed; 0 for nothing.
    """

    dims: tuple[str, ...]
    dtype: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    step: float = 0.0

    @property
    def fill(self) -> float | None:
        """What stands for no value; None for variables that always have one."""
        return FLOAT_FILL if self.dtype.startswith("f") and self.dims not in ((), ("line",), ("sample",)) else None


def _on_grid(dtype: str, long_name: str, units: str, *, standard_name: str = "", step: float = 0.0, **more: Any) -> Variable:
    return _variable(GRID, dtype, long_name, units, standard_name=standard_name, step=step, **more)


def _polarised(long_name: str, units: str = "1", *, standard_name: str = "", **more: Any) -> Variable:
    return _variable(POLARISED, "f4", long_name, units, standard_name=standard_name, **more)


def _variable(
    dims: tuple[str, ...], dtype: str, long_name: str, units: str, *, standard_name: str = "", step: float = 0.0, **more: Any
) -> Variable:
    located = {"coordinates": "longitude latitude time", "grid_mapping": "crs", "coverage_content_type": "physicalMeasurement"}
    named = {"standard_name": standard_name} if standard_name else {}
    return Variable(dims, dtype, {**named, "long_name": long_name, "units": units, **located, **more}, step)


def _axis(long_name: str, comment: str) -> Variable:
    return Variable(
        (long_name.split(maxsplit=1)[0],),
        "f8",
        {"long_name": long_name, "units": "1", "comment": comment, "coverage_content_type": "coordinate"},
    )


def _position(name: str, letter: str, limit: float) -> Variable:
    units = f"degrees_{letter}"
    more = {"valid_min": -limit, "valid_max": limit, "coverage_content_type": "coordinate", "comment": "of the centre of the cell"}
    return Variable(GRID, "f8", {"standard_name": name, "long_name": name, "units": units, **more}, ANGLE_STEP)


_BACKSCATTER = "surface_backwards_scattering_coefficient_of_radar_wave"
_NOT_CLIPPED = "linear, not clipped: where the noise exceeds the signal it is negative"

VARIABLES: Mapping[str, Variable] = {
    "crs": Variable(
        (),
        "i4",
        {
            "grid_mapping_name": "latitude_longitude",
            "long_name": "WGS 84, of the longitudes and latitudes",
            "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563,
            "longitude_of_prime_meridian": 0.0,
        },
    ),
    "pol": Variable(("pol",), "str", {"long_name": "polarisation: transmitted, received", "coverage_content_type": "coordinate"}),
    "line": _axis("line of the image, along azimuth", "of the centre of the cell; the first line is 0"),
    "sample": _axis("sample of the image, along ground range", "of the centre of the cell; the first sample is 0"),
    "longitude": _position("longitude", "east", 180.0),
    "latitude": _position("latitude", "north", 90.0),
    "time": Variable(
        ("line",),
        "f8",
        {
            "standard_name": "time",
            "long_name": "azimuth time in the middle of the swath",
            "calendar": "standard",
            "units_metadata": "leap_seconds: utc",
            "coverage_content_type": "coordinate",
        },
    ),
    "sigma0": _polarised("sigma nought, noise subtracted", standard_name=_BACKSCATTER, comment=_NOT_CLIPPED),
    "sigma0_raw": _polarised("sigma nought, noise included", standard_name=_BACKSCATTER),
    "nesz": _polarised("noise-equivalent sigma nought", standard_name=f"{_BACKSCATTER} detection_minimum"),
    "gamma0": _polarised("gamma nought, noise subtracted", comment=_NOT_CLIPPED),
    "gamma0_raw": _polarised("gamma nought, noise included"),
    "negz": _polarised("noise-equivalent gamma nought"),
    "digital_number": _polarised("root mean square of the digital numbers"),
    "noise_lut": _polarised("noise power, in squared digital numbers"),
    "sigma0_lut": _polarised("calibration factor of sigma nought"),
    "gamma0_lut": _polarised("calibration factor of gamma nought"),
    "incidence": _on_grid(
        "f8", "incidence angle, from the ellipsoid's normal", "degree", standard_name="angle_of_incidence", step=ANGLE_STEP
    ),
    "elevation": _on_grid(
        "f8", "elevation angle, from the satellite's nadir", "degree", standard_name="sensor_view_angle", step=ANGLE_STEP
    ),
    "ground_heading": _on_grid(
        "f4", "direction of ascending lines on the ground, clockwise from north", "degree", standard_name="platform_course"
    ),
    "altitude": _on_grid("f4", "height that the positions were computed for", "m", standard_name="altitude"),
    "slant_range_time": _on_grid("f8", "two-way travel time of the radar's pulse", "s"),
    "land_mask": _on_grid(
        "i1",
        "whether land touches the cell",
        "1",
        standard_name="land_binary_mask",
        flag_values=(0, 1),
        flag_meanings="sea land",
        coverage_content_type="thematicClassification",
    ),
    "swath_number": _on_grid("i1", "number of the merged swath", "1", coverage_content_type="auxiliaryInformation", comment="0: none"),
    "velocity": Variable(
        ("line",), "f8", {"long_name": "speed of the platform", "units": "m s-1", "coverage_content_type": "auxiliaryInformation"}
    ),
}

DEFAULT_VARIABLES = ("sigma0", "sigma0_raw", "nesz", "incidence", "elevation", "ground_heading", "land_mask")
COORDINATES = ("crs", "pol", "line", "sample", "longitude", "latitude", "time")
CHOICES = tuple(name for name in VARIABLES if name not in COORDINATES)
"""What a user may ask for besides the coordinates, which are always written."""


def seconds_of_day(time: np.datetime64) -> float:
    """Return the seconds since midnight, UTC: times in a file count from the midnight before its product begins."""
    return float((time - time.astype("datetime64[D]")) / np.timedelta64(1, "s"))


def attributes_of(name: str, start: np.datetime64) -> dict[str, Any]:
    """Return the CF attributes of a variable of a product that starts at a time."""
    attributes = dict(VARIABLES[name].attributes)
    return attributes | {"units": f"seconds since {time_text(start.astype('datetime64[D]'))}"} if name == "time" else attributes


def time_text(time: np.datetime64) -> str:
    """Return a time as ISO 8601 writes it, with microseconds unless it is midnight."""
    exact = str(time.astype("datetime64[us]"))
    return exact.removesuffix(".000000") + "Z"
