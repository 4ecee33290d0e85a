"""Writes L1B files: whole, checked and on the disk, or not at all."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from platform_assets.common.errors import TransientError
from platform_assets.sar.conventions import VARIABLES, Variable, attributes_of

_COMPRESSION: dict[str, Any] = {"zlib": True, "complevel": 1, "shuffle": True}
"""Level 4 takes twice the time and saves 2 %."""


def write_netcdf(
    out: Path, values: Mapping[str, NDArray[Any]], start: np.datetime64, attributes: Mapping[str, Any], check: Callable[[Path], None]
) -> None:
    """Write a netCDF-4 file under a temporary name beside it, check it, then give it its name.

    Args:
        out: The file.
        values: What it holds, by names of the conventions' table: NaN where there is no value.
        start: When the product starts, UTC.
        attributes: Its global attributes.
        check: Raises if what was written is not right.

    Raises:
        TransientError: The disk is full, or fails.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        _write(temporary, values, start, attributes)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        check(temporary)
        temporary.replace(out)
    except (OSError, RuntimeError) as error:
        # HDF5 says of a full disk no more than that it failed.
        raise TransientError(
            f"{out.name} cannot be written: {error}", code="cannot_write", remedy="Look at the free space of the disk it is written to."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, values: Mapping[str, NDArray[Any]], start: np.datetime64, attributes: Mapping[str, Any]) -> None:
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.set_auto_mask(False)
        file.set_fill_off()
        for name in ("pol", "line", "sample"):
            file.createDimension(name, values[name].size)
        for name, array in values.items():
            table = VARIABLES[name]
            variable = file.createVariable(name, _type(table), table.dims, fill_value=table.fill, **_storage(table))
            variable.setncatts({key: _typed(key, value, table) for key, value in attributes_of(name, start).items()})
            variable[...] = _stored(array, table)
        file.setncatts(attributes)


def _type(table: Variable) -> Any:
    return str if table.dtype == "str" else table.dtype


def _storage(table: Variable) -> dict[str, Any]:
    return _COMPRESSION if len(table.dims) > 1 else {}


def _typed(key: str, value: Any, table: Variable) -> Any:
    """Return an attribute in the variable's own type where CF wants it so."""
    return np.array(value, table.dtype) if key in ("flag_values", "valid_min", "valid_max") else value


def _stored(array: NDArray[Any], table: Variable) -> NDArray[Any]:
    if table.dtype == "str":
        return array
    rounded = np.round(array / table.step) * table.step if table.step else array
    stored = rounded.astype(table.dtype)
    return stored if table.fill is None else np.where(np.isnan(stored), np.array(table.fill, table.dtype), stored)
