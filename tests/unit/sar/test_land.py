"""Where land is, against coasts that are known."""

from pathlib import Path

import numpy as np
import pytest

from platform_assets.common.errors import ConfigurationError
from platform_assets.sar import land
from platform_assets.sar.annotation import Table
from platform_assets.sar.grid import Grid, at, wrapped
from platform_assets.sar.land import land_mask, pack
from tests.builders.coasts import coast, rectangle

GRID = Grid((100, 100), np.arange(60) * 100 + 49.5, np.arange(80) * 100 + 49.5)


def image(west: float, south: float, degrees: float = 1.0, turn: float = 0.3) -> dict[str, Table]:
    """Return the geolocation grid of an image that lies askew; lines go north and samples east, more or less."""
    line, sample = np.linspace(0, 5999, 7), np.linspace(0, 7999, 11)
    v, u = np.meshgrid(line / 6000, sample / 8000, indexing="ij")
    bend = 0.02 * degrees * np.sin(3 * u) * v
    longitude = west + degrees * (u * np.cos(turn) - v * np.sin(turn)) / max(np.cos(np.radians(south)), 0.02) + bend
    return {
        "longitude": Table(line, sample, longitude),
        "latitude": Table(line, sample, south + degrees * (u * np.sin(turn) + v * np.cos(turn))),
    }


def positions(tables: dict[str, Table]) -> tuple[np.ndarray, np.ndarray]:
    return wrapped(at(tables["longitude"], GRID)), at(tables["latitude"], GRID)


@pytest.mark.parametrize(("west", "south"), [(10.0, 40.0), (-75.2, -0.4), (9.6, 69.5), (20.0, -78.0)])
def test_land_is_where_the_polygon_is_to_a_cell(tmp_path: Path, west: float, south: float) -> None:
    tables = image(west, south)
    lon, lat = positions(tables)
    box = (*np.quantile(lon, [0.3, 0.7]), *np.quantile(lat, [0.3, 0.7]))
    found = land_mask(tables, GRID, str(coast(tmp_path / "land.geojson", rectangle(box[0], box[2], box[1], box[3]))))
    centre_in = (lon > box[0]) & (lon < box[1]) & (lat > box[2]) & (lat < box[3])
    neighbours = np.pad(centre_in, 1)
    near = np.any([neighbours[i : i + 60, j : j + 80] for i in range(3) for j in range(3)], axis=0)
    assert (found[centre_in] == 1).all(), "a cell whose centre is on land is land"
    assert (found[~near] == 0).all(), "land touches no cell further than its neighbours"


def test_land_on_both_sides_of_the_antimeridian_is_found(tmp_path: Path) -> None:
    tables = image(179.5, -17.0)
    lon, _ = positions(tables)
    west_only = land_mask(tables, GRID, str(coast(tmp_path / "west.geojson", rectangle(179.0, -20, 180.0, -10))))
    east_only = land_mask(tables, GRID, str(coast(tmp_path / "east.geojson", rectangle(-180.0, -20, -179.0, -10))))
    np.testing.assert_array_equal(west_only[lon > 0], 1)
    np.testing.assert_array_equal(east_only[lon < 0], 1)
    assert west_only[lon < -179.95].mean() < 0.5
    assert east_only[lon > 179.95].mean() < 0.5


def test_an_image_in_the_middle_of_a_continent_is_land_and_of_an_ocean_is_not() -> None:
    assert land_mask(image(24.0, 1.0), GRID).all()
    assert not land_mask(image(-35.0, 45.0), GRID).any()


PLACES = [
    ("Sicily's north coast", 13.8, 37.6, (0.3, 0.9)),
    ("Fiji", 179.3, -17.1, (0.02, 0.6)),
    ("Antarctica", 100.0, -80.0, (1.0, 1.0)),
    ("Svalbard", 14.0, 78.0, (0.3, 1.0)),
]


@pytest.mark.parametrize(("name", "west", "south", "share"), PLACES)
def test_the_packaged_polygons_know_places(name: str, west: float, south: float, share: tuple[float, float]) -> None:
    assert share[0] <= land_mask(image(west, south), GRID).mean() <= share[1]


def test_polygons_are_packed_and_unpacked_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = image(9.3, 39.6, degrees=1.5)
    source = coast(tmp_path / "land.geojson", rectangle(9.5, 39.5, 10.5, 40.5), rectangle(-20, -10, -19, -9))
    pack(source, tmp_path / "land.npz")
    expected = land_mask(tables, GRID, str(source))
    monkeypatch.setattr(land, "files", lambda _package: tmp_path)
    land._packaged.cache_clear()
    land._land_in.cache_clear()
    try:
        np.testing.assert_array_equal(land_mask(tables, GRID), expected)
        assert 0.1 < expected.mean() < 0.9
    finally:
        land._packaged.cache_clear()
        land._land_in.cache_clear()


def test_polygons_that_cannot_be_read_are_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "land.shp").write_text("no shapefile")
    for path in (tmp_path / "land.shp", tmp_path / "missing.shp"):
        with pytest.raises(ConfigurationError, match=path.name):
            land_mask(image(10.0, 40.0), GRID, str(path))
