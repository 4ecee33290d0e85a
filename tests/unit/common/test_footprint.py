import math

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from platform_assets.common.footprint import Footprint, Points, footprint

WORLD_M = 20037508.342789244  # half the width of the Web Mercator map


def footprint_of(crs: str, transform: tuple[float, ...], width: int, height: int) -> Footprint:
    t = Affine(*transform)

    def to_map(pixels: Points) -> Points:
        columns, lines = pixels.T
        return np.column_stack([t.a * columns + t.b * lines + t.c, t.d * columns + t.e * lines + t.f])

    return footprint(CRS.from_user_input(crs).to_wkt() if crs else "", width, height, to_map)


def rings(found: Footprint) -> list[np.ndarray]:
    assert found.geometry is not None
    coordinates = found.geometry["coordinates"]
    polygons = coordinates if found.geometry["type"] == "MultiPolygon" else [coordinates]
    assert all(len(polygon) == 1 for polygon in polygons)
    return [np.array(polygon[0]) for polygon in polygons]


def area(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


KINDS = {
    "UTM": ("EPSG:32616", (10, 0, 300000, 0, -10, 4780000), 300, 200),
    "rotated": ("EPSG:32616", (10, 3, 300000, 2, -10, 4780000), 300, 200),
    "south up": ("EPSG:32616", (10, 0, 300000, 0, 10, 4780000), 300, 200),
    "antimeridian": ("EPSG:32660", (30, 0, 600000, 0, -30, 7900000), 8000, 8000),
    "geographic antimeridian": ("EPSG:4326", (0.1, 0, 175, 0, -0.1, -10), 100, 100),
    "world": ("EPSG:4326", (0.125, 0, -180, 0, -0.125, 75), 2880, 1200),
    "world from Greenwich": ("EPSG:4326", (0.25, 0, 0, 0, -0.25, 90), 1440, 720),
    "world of pixel centres": ("EPSG:4326", (0.25, 0, -0.125, 0, -0.25, 90.125), 1440, 721),
    "world in Mercator": ("EPSG:3857", (2 * WORLD_M / 1000, 0, -WORLD_M, 0, -2 * WORLD_M / 1000, WORLD_M), 1000, 1000),
    "north pole": ("EPSG:3413", (1000, 0, -3e6, 0, -1000, 3e6), 6000, 6000),
    "south pole": ("EPSG:3031", (1000, 0, -3e6, 0, -1000, 3e6), 6000, 6000),
    "corner on the pole": ("EPSG:3031", (1000, 0, 0, 0, -1000, 3e6), 3000, 3000),
    "geostationary": ("+proj=geos +lon_0=-75 +h=35786023 +sweep=x +ellps=GRS80", (20054.96, 0, -5434895, 0, -20054.96, 5434895), 542, 542),
    "geostationary antimeridian": (
        "+proj=geos +lon_0=-137 +h=35786023 +sweep=x +ellps=GRS80",
        (20054.96, 0, -5434895, 0, -20054.96, 5434895),
        542,
        542,
    ),
    "sinusoidal edge": ("ESRI:54008", (926.6254331, 0, -20015109.354, 0, -926.6254331, 3335851.559), 2400, 2400),
    "one millimetre": ("EPSG:32618", (1e-3, 0, 500000, 0, -1e-3, 4e6), 3, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_footprint_follows_rfc_7946(kind):
    found = footprint_of(*KINDS[kind])
    for ring in rings(found):
        assert len(ring) >= 4
        assert (ring[0] == ring[-1]).all(), "a ring is closed"
        assert area(ring) > 0, "an exterior ring is counter-clockwise"
        assert (np.abs(ring[:, 0]) <= 180).all()
        assert (np.abs(ring[:, 1]) <= 90).all()
        assert (np.abs(np.diff(ring[:, 0])) <= 180).all() or kind.startswith(("world", "north", "south")), "no side crosses the map"
    assert len(rings(found)) <= 2
    west, south, east, north = found.bbox
    assert south < north or kind == "one millimetre"
    lons = np.concatenate([ring[:, 0] for ring in rings(found)])
    inside = (lons >= west - 1e-6) & (lons <= east + 1e-6) if west <= east else (lons >= west - 1e-6) | (lons <= east + 1e-6)
    assert inside.all(), "the bounding box holds the geometry"


def test_a_utm_footprint_is_where_the_corners_are():
    found = footprint_of(*KINDS["UTM"])
    assert found.note == ""
    assert found.bbox == pytest.approx((-89.4595305, 43.1283256, -89.4219594, 43.1471056), abs=1e-6)
    assert len(rings(found)[0]) == 5, "straight sides need no points between the corners"


def test_a_footprint_across_the_antimeridian_is_cut_there():
    found = footprint_of(*KINDS["geographic antimeridian"])
    eastern, western = rings(found)
    assert (eastern[:, 0].min(), eastern[:, 0].max()) == (175, 180)
    assert (western[:, 0].min(), western[:, 0].max()) == (-180, -175)
    assert found.bbox == (175, -20, -175, -10)


@pytest.mark.parametrize("kind", ["world", "world from Greenwich", "world of pixel centres", "world in Mercator"])
def test_a_map_of_the_world_covers_all_longitudes(kind):
    found = footprint_of(*KINDS[kind])
    assert (found.bbox[0], found.bbox[2]) == (-180, 180)
    assert sum(area(ring) for ring in rings(found)) == pytest.approx(360 * (found.bbox[3] - found.bbox[1]), rel=1e-3)


@pytest.mark.parametrize(("kind", "pole"), [("north pole", 90), ("south pole", -90)])
def test_an_image_round_a_pole_holds_the_pole(kind, pole):
    found = footprint_of(*KINDS[kind])
    assert pole in found.bbox
    assert (found.bbox[0], found.bbox[2]) == (-180, 180)
    expected = 360 * 28.5  # the image's side is 27.1 degrees from the pole, its corner 37.8
    assert sum(area(ring) for ring in rings(found)) == pytest.approx(expected, rel=0.1)


def test_the_corners_of_a_geostationary_disc_are_left_out_and_said_to_be():
    found = footprint_of(*KINDS["geostationary"])
    assert "off the Earth" in found.note
    assert found.bbox == pytest.approx((-156.0, -81.2, 6.1, 81.2), abs=0.5)


def test_a_geostationary_disc_over_the_pacific_crosses_the_antimeridian():
    found = footprint_of(*KINDS["geostationary antimeridian"])
    assert found.bbox[0] > found.bbox[2]
    assert len(rings(found)) == 2


def test_the_part_of_a_sinusoidal_tile_beyond_the_map_is_left_out():
    found = footprint_of(*KINDS["sinusoidal edge"])
    assert "off the Earth" in found.note
    assert found.bbox[0] == -180
    assert found.bbox[2] == pytest.approx(-162.3, abs=0.1)


@pytest.mark.parametrize(
    ("crs", "transform", "word"),
    [
        ("", (1, 0, 0, 0, -1, 0), "no coordinate reference system"),
        ('LOCAL_CS["site",UNIT["metre",1]]', (1, 0, 0, 0, -1, 0), "local"),
        ("EPSG:4978", (1, 0, 0, 0, -1, 0), "local"),
        ("IAU_2015:30100", (1, 0, 0, 0, -1, 10), "WGS 84"),  # the Moon
        ("EPSG:4326", (10, 0, 500000, 0, -10, 4e6), "WGS 84"),  # metres called degrees
        ("ESRI:54008", (926, 0, -20015109, 0, -926, 10007554), "WGS 84"),  # a corner of the map that holds no Earth
        ("EPSG:32616", (0, 0, 300000, 0, 0, 4780000), ""),  # no extent
    ],
)
def test_an_image_that_lies_nowhere_has_no_geometry_and_a_reason(crs, transform, word):
    found = footprint_of(crs, transform, 10, 10)
    assert (found.geometry, found.bbox) == (None, None)
    assert found.note
    assert word in found.note


def test_a_reference_system_that_cannot_be_read_gives_no_geometry():
    found = footprint("PROJCS[broken", 10, 10, lambda pixels: pixels)
    assert found.geometry is None
    assert "cannot be read" in found.note


def test_positions_that_cannot_be_computed_give_no_geometry():
    found = footprint(CRS.from_epsg(32616).to_wkt(), 10, 10, lambda pixels: np.full_like(pixels, math.nan))
    assert found.geometry is None
