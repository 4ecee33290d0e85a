"""An L1B file as a picture: backscatter in decibels, for people and for thumbnails."""

from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platform_assets.common.errors import CheckFailed
from platform_assets.sar.statistics import decibels

_DARK, _LIGHT = 2.0, 98.0
"""Percentiles of the decibels that are black and white."""

_LEAST_RANGE_DB = 5.0
"""A calm sea must not look like a storm."""

_PREFERRED = ("sigma0", "sigma0_raw", "gamma0", "gamma0_raw", "digital_number")
_SHADES = 255
"""Shades of grey, 1 to 255; 0 is where there is no image, transparent."""


def make_quicklook(source: Path, target: Path, side_px: int = 512) -> dict[str, Any]:
    """Write a PNG of an L1B file's first polarisation, turned as a map shows it: north up, as far as flips go.

    Args:
        source: The L1B file; with `sigma0`, or else another polarised variable.
        target: The PNG to write, 8-bit grey with transparency.
        side_px: Longer side of the picture; small grids are enlarged by whole factors.

    Returns:
        `width`, `height`, `polarisation`, `variable`, and `dark_db` and `light_db`, what is black and white; None when nothing is shown.

    Raises:
        CheckFailed: The file holds nothing that could be shown.
    """
    with h5netcdf.File(source, "r", decode_vlen_strings=True) as file:
        name = _shown(file, source)
        polarisation, values = str(file["pol"][0]), _with_nan(file[name][0], file[name].attrs["_FillValue"])
        longitude, latitude = (np.asarray(file[axis][...]) for axis in ("longitude", "latitude"))
    in_db = _as_on_a_map(decibels(values), longitude, latitude)
    dark, light = _ends(in_db)
    with np.errstate(invalid="ignore"):
        grey = 1 + (_SHADES - 1) * np.clip((in_db - dark) / (light - dark), 0, 1)
    shown = np.where(np.isfinite(in_db), grey, 0).round().astype("uint8")
    picture = _fitted(Image.fromarray(shown), side_px)
    picture.save(target, "PNG", optimize=True, transparency=0)
    ends = {"dark_db": round(dark, 2), "light_db": round(light, 2)} if np.isfinite(in_db).any() else {"dark_db": None, "light_db": None}
    return {"width": picture.width, "height": picture.height, "polarisation": polarisation, "variable": name, **ends}


def _shown(file: Any, source: Path) -> str:
    polarised = [name for name in (*_PREFERRED, *file.variables) if name in file.variables and file[name].ndim == 3]
    if not polarised:
        raise CheckFailed(f"{source.name}: it has no polarised variable that a quicklook could show", remedy="Make it with sigma0.")
    return str(polarised[0])


def _with_nan(values: Any, fill: Any) -> NDArray[np.float64]:
    array = np.asarray(values, "float64")
    return np.where(array == fill, np.nan, array)


def _as_on_a_map(values: NDArray[np.float64], longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    northwards = latitude[-1].mean() > latitude[0].mean()
    eastwards = ((longitude[:, -1] - longitude[:, 0] + 180) % 360 - 180).mean() > 0
    return values[:: -1 if northwards else 1, :: 1 if eastwards else -1]


def _ends(in_db: NDArray[np.float64]) -> tuple[float, float]:
    finite = in_db[np.isfinite(in_db)]
    if not finite.size:
        return 0.0, _LEAST_RANGE_DB
    dark, light = (float(end) for end in np.percentile(finite, (_DARK, _LIGHT)))
    middle, half = (dark + light) / 2, max(light - dark, _LEAST_RANGE_DB) / 2
    return middle - half, middle + half


def _fitted(image: Image.Image, side_px: int) -> Image.Image:
    """Enlarge by a whole factor, which keeps cells visible, or shrink."""
    longer = max(image.size)
    if longer <= side_px:
        factor = side_px // longer
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    width, height = (max(1, round(side * side_px / longer)) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST)
