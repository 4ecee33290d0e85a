"""The grid and what is interpolated at it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from platform_assets.sar.annotation import AzimuthNoise, Channel, Table
from platform_assets.sar.grid import Grid, along, at, heading, noise, wrapped

LINE, SAMPLE = np.arange(0.0, 101, 10), np.arange(0.0, 201, 20)


def grid(line: list[float], sample: list[float]) -> Grid:
    return Grid((1, 1), np.array(line), np.array(sample))


def test_a_bilinear_table_is_interpolated_exactly_and_held_beyond_its_edges() -> None:
    table = Table(LINE, SAMPLE, 3 * LINE[:, np.newaxis] + SAMPLE + 0.01 * LINE[:, np.newaxis] * SAMPLE)
    found = at(table, grid([-5.0, 0.0, 33.3, 100.0, 250.0], [7.0, 200.0, 999.0]))
    line, sample = np.array([[0.0], [0.0], [33.3], [100.0], [100.0]]), np.array([7.0, 200.0, 200.0])
    np.testing.assert_allclose(found, 3 * line + sample + 0.01 * line * sample)


def test_one_value_holds_everywhere() -> None:
    np.testing.assert_array_equal(along(np.array([5.0]), np.array([[1.0, 2.0]]), np.array([0.0, 9.0])), [[1, 2], [1, 2]])


@pytest.mark.parametrize(("longitude", "expected"), [(181.0, -179.0), (-181.0, 179.0), (180.0, -180.0), (-180.0, -180.0), (540.5, -179.5)])
def test_longitudes_are_wrapped(longitude: float, expected: float) -> None:
    assert wrapped(np.array([longitude]))[0] == pytest.approx(expected)


def channel(vectors: Table, blocks: tuple[AzimuthNoise, ...]) -> Channel:
    return Channel(Path(), vectors, vectors, vectors, blocks, denoised=False)


def test_range_noise_is_that_of_the_nearest_vector() -> None:
    vectors = Table(np.array([0.0, 50.0, 101.0]), np.array([0.0, 200.0]), np.array([[1.0, 1.0], [2.0, 4.0], [8.0, 8.0]]))
    found = noise(channel(vectors, ()), grid([0.0, 24.0, 26.0, 74.0, 76.0, 500.0], [0.0, 100.0]))
    np.testing.assert_array_equal(found, [[1, 1], [1, 1], [2, 3], [2, 3], [8, 8], [8, 8]])


def test_azimuth_noise_is_that_of_the_swath_and_missing_elsewhere() -> None:
    ones = Table(np.array([0.0, 100.0]), np.array([0.0, 200.0]), np.ones((2, 2)))
    near = AzimuthNoise((0, 99), (0, 99), np.array([0.0, 50.0]), np.array([1.0, 2.0]))
    far = AzimuthNoise((50, 99), (100, 199), np.array([50.0]), np.array([5.0]))
    found = noise(channel(ones, (near, far)), grid([0.0, 49.0, 49.5, 75.0, 99.0, 100.0], [0.0, 99.0, 99.5, 199.0, 200.0]))
    no = np.nan
    np.testing.assert_allclose(
        found,
        [
            [1, 1, 1, no, no],
            [1.98, 1.98, 1.98, no, no],
            [1.99, 1.99, 5, 5, no],
            [2.5, 2.5, 5, 5, no],
            [2.98, 2.98, 5, 5, no],
            [no, no, no, no, no],
        ],
    )


def place(lon0: float, lat0: float, along_track: NDArray[Any], across: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return longitude (continuous) and latitude on a sphere of a track of -12 degrees at its origin; distances in radians."""
    lon, lat, azimuth = np.radians(lon0), np.radians(lat0), np.radians(-12.0)
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(up, east)
    forward, right = np.cos(azimuth) * north + np.sin(azimuth) * east, np.cos(azimuth) * east - np.sin(azimuth) * north
    x, y, z = np.moveaxis(up + along_track[..., np.newaxis] * forward + across[..., np.newaxis] * right, -1, 0)
    longitude = np.unwrap(np.unwrap(np.arctan2(y, x), axis=0), axis=1)
    return np.degrees(longitude), np.degrees(np.arctan2(z, np.hypot(x, y)))


@pytest.mark.parametrize(("lon0", "lat0"), [(0.0, 0.0), (179.9, 45.0), (-179.9, -70.0), (10.0, 80.0)])
def test_the_heading_follows_the_meridians_and_not_the_terrain(lon0: float, lat0: float) -> None:
    u, v = np.meshgrid(LINE / 4000, SAMPLE / 5000, indexing="ij")
    longitude, latitude = place(lon0, lat0, u, v)
    lon1, lat1 = place(lon0, lat0, u + 1e-5, v)
    truth = np.degrees(np.arctan2((lon1 - longitude) * np.cos(np.radians(latitude)), lat1 - latitude))
    terrain = 1e-3 * np.random.default_rng(0).standard_normal(longitude.shape)
    tables = {"longitude": Table(LINE, SAMPLE, longitude + terrain), "latitude": Table(LINE, SAMPLE, latitude)}
    np.testing.assert_allclose(heading(tables, Grid((1, 1), LINE, SAMPLE)), truth, atol=0.5)
    assert lat0 == 0 or np.ptp(truth) > 1
