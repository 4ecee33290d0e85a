"""Independent check of an L1B file that was written: another library reads it back, and all of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from platform_assets.common.errors import CheckFailed
from platform_assets.sar.conventions import COORDINATES, VARIABLES, Variable

_RELATIVE = {"f4": 1e-6, "f8": 1e-9}


def verify_netcdf(path: Path, values: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Check a file against the values it was made from.

    Args:
        path: The file.
        values: What it must hold.

    Returns:
        `checks`, the names of those passed.

    Raises:
        CheckFailed: It is not what it should be; the message names the check.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_structure(path, file, values)
            for name, expected in values.items():
                _check_values(path, name, file[name], expected)
    except (OSError, KeyError, ValueError) as error:
        raise _failed("readable", path)(f"h5py cannot read it: {error}") from error
    _check_coordinates(path, values)
    return {"checks": ["readable", "complete", "values_equal", "coordinates_monotone", "positions_finite", "something_finite"]}


def _failed(check: str, path: Path) -> Callable[[str], CheckFailed]:
    def error(said: str) -> CheckFailed:
        return CheckFailed(f"{path.name}: check {check} failed: {said}")

    return error


def _check_structure(path: Path, file: Any, values: Mapping[str, NDArray[Any]]) -> None:
    wrong = _failed("complete", path)
    if missing := [name for name in (*COORDINATES, *values) if name not in file]:
        raise wrong(f"it lacks {', '.join(missing)}")
    for name, expected in values.items():
        found = file[name]
        dims = (name,) if found.is_scale else tuple(scale[0].name.removeprefix("/") for scale in found.dims)
        if dims != VARIABLES[name].dims or found.shape != expected.shape:
            raise wrong(f"{name} is {dict(zip(dims, found.shape, strict=True))}")


def _check_values(path: Path, name: str, found: Any, expected: NDArray[Any]) -> None:
    table = VARIABLES[name]
    if table.dtype == "str":
        same = list(found.asstr()[...]) == list(expected)
    else:
        same = np.allclose(_with_nan(found[...], table), expected, rtol=_RELATIVE.get(table.dtype, 0.0), atol=table.step, equal_nan=True)
    if not same:
        raise _failed("values_equal", path)(f"{name} does not hold what was computed")


def _with_nan(values: Any, table: Variable) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(values)
    return array if table.fill is None else np.where(array == np.array(table.fill, table.dtype), np.nan, array)


def _check_coordinates(path: Path, values: Mapping[str, NDArray[Any]]) -> None:
    for name in ("line", "sample", "time"):
        if not (np.diff(values[name]) > 0).all():
            raise _failed("coordinates_monotone", path)(f"{name} does not ascend")
    for name in ("longitude", "latitude"):
        if not np.isfinite(values[name]).all():
            raise _failed("positions_finite", path)(f"{name} has values that are not finite")
    for name in sorted({"sigma0", "sigma0_raw"} & {*values}):
        if not np.isfinite(values[name]).any():
            raise _failed("something_finite", path)(f"{name} has no value at all")
