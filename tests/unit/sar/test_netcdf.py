"""An L1B file is there whole, or not at all."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from platform_assets.common.errors import CheckFailed, TransientError
from platform_assets.sar.netcdf import write_netcdf
from tests.builders.l1b import START, l1b_values, write_l1b


def test_what_was_written_is_read_back_by_name_and_without_fill_values(tmp_path: Path) -> None:
    values = l1b_values()
    values["sigma0"][0, 1, 2] = np.nan
    write_l1b(tmp_path / "a.nc", values)
    with xr.open_dataset(tmp_path / "a.nc") as data:
        np.testing.assert_array_equal(data.sigma0, values["sigma0"])
        assert data.sigma0.dtype == "float32"
        assert data.sel(pol="VH").sigma0.shape == (4, 5)
        assert {"longitude", "latitude", "time"} <= set(data.sigma0.coords)
        assert str(data.time.values[0].astype("datetime64[s]")) == "2024-01-01T06:00:00"
        np.testing.assert_allclose(data.longitude, values["longitude"], atol=1e-7)


def test_attributes_have_the_type_of_their_variable(tmp_path: Path) -> None:
    write_l1b(tmp_path / "a.nc", l1b_values())
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["land_mask"].flag_values.dtype == file["land_mask"].dtype == "int8"
        assert file["longitude"].valid_max.dtype == "float64"
        assert file["sigma0"]._FillValue.dtype == "float32"
        assert file["sigma0"].filters()["zlib"]


def test_a_file_that_fails_its_check_does_not_appear(tmp_path: Path) -> None:
    def refuse(_path: Path) -> None:
        raise CheckFailed("no")

    with pytest.raises(CheckFailed):
        write_netcdf(tmp_path / "a.nc", l1b_values(), START, {}, refuse)
    assert not list(tmp_path.iterdir())


def test_the_check_sees_a_temporary_name_and_the_old_file_stays_until_it_passes(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_text("old")
    seen: list[Any] = []
    write_netcdf(tmp_path / "a.nc", l1b_values(), START, {}, lambda path: seen.append((path.name, (tmp_path / "a.nc").read_text())))
    assert seen[0][0].startswith(".")
    assert seen[0][1] == "old"
    assert (tmp_path / "a.nc").stat().st_size > 1000


FILL_UP = """
import resource, signal, sys
from pathlib import Path
from tests.builders.l1b import l1b_values, write_l1b
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
write_l1b(Path(sys.argv[1]), l1b_values(200, 300))
"""


def test_a_full_disk_is_a_transient_failure_that_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILL_UP, str(tmp_path / "a.nc")], capture_output=True, text=True, check=False, timeout=60)
    assert "TransientError: a.nc cannot be written" in done.stderr
    assert not list(tmp_path.iterdir())


STALL = """
import sys, time
from pathlib import Path
from platform_assets.sar.netcdf import write_netcdf
from tests.builders.l1b import START, l1b_values
def wait(path):
    print("written", flush=True)
    time.sleep(60)
write_netcdf(Path(sys.argv[1]), l1b_values(), START, {}, wait)
"""


def test_a_worker_that_is_killed_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STALL, str(tmp_path / "a.nc")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "written\n"
        process.kill()
    time.sleep(0.05)
    assert not (tmp_path / "a.nc").exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"a\.nc cannot be written"):
        write_l1b(tmp_path / "nowhere" / "a.nc", l1b_values())
