"""What an L1B file says of itself, by the independent checker of CF and ACDD."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from platform_assets.common.stages import Stages
from platform_assets.sar.acdd import geospatial_bounds
from platform_assets.sar.conventions import CHOICES, COORDINATES, DEFAULT_VARIABLES, VARIABLES, attributes_of, seconds_of_day, time_text
from platform_assets.sar.l1b import L1bOptions, make_l1b
from tests.builders.safes import small_safe

DEPLOYMENT = {
    "date_created": "2024-01-02T00:00:00Z",
    "creator_url": "https://centre.example",
    "creator_email": "data@centre.example",
    "publisher_name": "A centre",
    "publisher_url": "https://centre.example",
    "publisher_email": "data@centre.example",
}
HEIGHT = {"geospatial_vertical_min", "geospatial_vertical_max", "geospatial_vertical_positive", "geospatial_bounds_vertical_crs"}
"""The file is a surface."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("conventions")
    out = folder / "l1b.nc"
    make_l1b(small_safe(folder), out, L1bOptions(resolution_m=200.0), Stages(), DEPLOYMENT)
    return out


def objections(file: Path, suite: str) -> dict[str, list[str]]:
    """Return what the checker objects to, by priority; in a process of its own, as it changes warnings and reads the network."""
    report = file.with_suffix(f".{suite.replace(':', '-')}.json")
    checker = Path(sys.executable).with_name("compliance-checker")
    options = ["--test", suite, "--criteria", "strict", "--format", "json", "--output", str(report)]
    subprocess.run([checker, *options, str(file)], capture_output=True, check=False, timeout=120)
    found: dict[str, Any] = json.loads(report.read_text())[suite]
    priorities = ("high_priorities", "medium_priorities", "low_priorities")
    return {name: [message for check in found[name] for message in check["msgs"]] for name in priorities}


def test_the_file_is_cf_1_11(file: Path) -> None:
    assert not any(objections(file, "cf:1.11").values())


def test_the_file_is_acdd_1_3_but_for_heights(file: Path) -> None:
    found = objections(file, "acdd:1.3")
    assert found["high_priorities"] == []
    assert {message.split()[0] for message in found["medium_priorities"]} == HEIGHT


def test_the_default_variables_are_all_there_with_units_and_coordinates(file: Path) -> None:
    with netCDF4.Dataset(file) as data:
        assert set(data.variables) == {*COORDINATES, *DEFAULT_VARIABLES}
        for name in DEFAULT_VARIABLES:
            assert data[name].units
            assert data[name].coordinates == "longitude latitude time"
        assert list(data["land_mask"].flag_values) == [0, 1]
        assert data.source_manifest_sha256
        assert data.lines_per_cell == 20


def test_every_variable_of_the_table_has_what_readers_need() -> None:
    for name, variable in VARIABLES.items():
        assert variable.attributes["long_name"], name
        assert name in ("crs", "pol") or attributes_of(name, np.datetime64("2024-01-01T06:00:00", "ns"))["units"], name
    assert set(DEFAULT_VARIABLES) < set(CHOICES)
    assert not set(COORDINATES) & set(CHOICES)


def test_times_count_from_midnight() -> None:
    start = np.datetime64("2024-02-29T23:59:59.500000", "ns")
    assert attributes_of("time", start)["units"] == "seconds since 2024-02-29T00:00:00Z"
    assert seconds_of_day(start) == 86399.5
    assert time_text(start) == "2024-02-29T23:59:59.500000Z"


@pytest.mark.parametrize(
    ("west", "expected"),
    [
        (10.0, ("POLYGON", 10.0, 12.0)),
        (179.0, ("MULTIPOLYGON", 179.0, -179.0)),
        (-181.0, ("MULTIPOLYGON", 179.0, -179.0)),
        (359.0, ("POLYGON", -1.0, 1.0)),
    ],
)
def test_bounds_are_cut_at_the_antimeridian(west: float, expected: tuple[str, float, float]) -> None:
    ring = [[west, 0.0], [west + 2, 0.0], [west + 2, 1.0], [west, 1.0], [west, 0.0]]
    longitude, latitude = np.meshgrid((np.linspace(west, west + 2, 5) + 180) % 360 - 180, np.linspace(0, 1, 3))
    bounds = geospatial_bounds(ring, longitude, latitude)
    assert (bounds["geospatial_bounds"].split()[0], bounds["geospatial_lon_min"], bounds["geospatial_lon_max"]) == pytest.approx(expected)
    assert (bounds["geospatial_lat_min"], bounds["geospatial_lat_max"]) == (0, 1)
