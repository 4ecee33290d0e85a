"""The verifier, on files that are bad on purpose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from platform_assets.common.errors import CheckFailed
from platform_assets.sar.verify import verify_netcdf
from tests.builders.l1b import l1b_values, write_l1b

Values = dict[str, NDArray[Any]]


def test_a_good_file_passes_every_check(tmp_path: Path) -> None:
    values = l1b_values()
    values["sigma0"][0, 0] = np.nan
    checks = verify_netcdf(write_l1b(tmp_path / "a.nc", values), values)["checks"]
    assert checks == ["readable", "complete", "values_equal", "coordinates_monotone", "positions_finite", "something_finite"]


def _edit(name: str, index: Any, value: float) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        with netCDF4.Dataset(path, "a") as file:
            file[name][index] = value

    return edit


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (_cut, "readable"),
        (lambda path: path.write_bytes(b""), "readable"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)), "readable"),
        (_edit("sigma0", (1, 2, 3), 0.5), "values_equal"),
        (_edit("sigma0", (1, 2, 3), np.nan), "values_equal"),
        (_edit("land_mask", (0, 0), 0), "values_equal"),
        (_edit("longitude", (0, 0), -5.6666), "values_equal"),
    ],
)
def test_a_damaged_file_fails(tmp_path: Path, damage: Callable[[Path], None], check: str) -> None:
    values = l1b_values()
    path = write_l1b(tmp_path / "a.nc", values)
    damage(path)
    with pytest.raises(CheckFailed, match=rf"a\.nc: check {check} failed"):
        verify_netcdf(path, values)


def test_a_file_that_lacks_a_variable_fails(tmp_path: Path) -> None:
    values = l1b_values()
    path = write_l1b(tmp_path / "a.nc", {name: of for name, of in values.items() if name != "incidence"})
    with pytest.raises(CheckFailed, match="complete failed: it lacks incidence"):
        verify_netcdf(path, values)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"line": np.array([49.5, 149.5, 149.5, 249.5])}, "coordinates_monotone"),
        ({"time": np.array([3.0, 2.0, 1.0, 0.0])}, "coordinates_monotone"),
        ({"latitude": np.full((4, 5), np.nan)}, "positions_finite"),
        ({"sigma0": np.full((2, 4, 5), np.nan, "float32")}, "something_finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_values_that_cannot_be_fail(tmp_path: Path, change: Values, check: str) -> None:
    values = l1b_values(**change)
    with pytest.raises(CheckFailed, match=f"check {check} failed"):
        verify_netcdf(write_l1b(tmp_path / "a.nc", values), values)
