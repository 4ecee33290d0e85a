"""Where land is: polygons that are shipped with the platform, or a user's own, drawn onto the grid of an image.

The packaged polygons are Natural Earth's land 4.1.0 at 1:10,000,000 (public domain, https://www.naturalearthdata.com; see land.txt), in
which ice shelves are sea. `pack` made the file: cut into tiles of 10 degrees, rounded to 1e-4 degrees. Nothing is ever downloaded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine

from platform_assets.common.errors import ConfigurationError
from platform_assets.sar.annotation import Floats, Table
from platform_assets.sar.grid import Grid, wrapped

_TILE_DEG = 10
_UNIT_DEG = 1e-4
_STEP_DEG = 0.5
"""Longest side of a polygon: sides are straight on the map and in the image alike, to 60 m at 45 degrees of latitude."""

_MARGIN_DEG = 0.3
_ITERATIONS = 5

Tile = tuple[int, int]
"""Longitude and latitude of its south-west corner, in tiles."""


def land_mask(geolocation: Mapping[str, Table], grid: Grid, polygons: str = "") -> NDArray[np.int8]:
    """Return 1 for the cells that land touches, 0 for the others.

    Args:
        geolocation: The image's geolocation grid: `longitude` and `latitude`.
        grid: The cells.
        polygons: A file of polygons that GDAL reads, such as a shapefile; the packaged ones if empty.

    Raises:
        ConfigurationError: The file of polygons cannot be read.
    """
    longitude, latitude = geolocation["longitude"], geolocation["latitude"]
    land = [polygon for tile in _tiles(longitude.values, latitude.values) for polygon in _land_in(tile, polygons)]
    if not land:
        return np.zeros(grid.shape, "int8")
    plane = _Plane(float(longitude.values.mean()), float(latitude.values.mean()))
    image = _ToImage(plane, longitude, latitude)
    drawn = [shape for shape in shapely.transform(land, image) if not shape.is_empty]
    corner = Affine.translation(grid.sample[0] - (grid.cell[1] - 1) / 2 - 0.5, grid.line[0] - (grid.cell[0] - 1) / 2 - 0.5)
    mask: NDArray[np.int8] = rasterize(
        drawn, out_shape=grid.shape, all_touched=True, transform=corner * Affine.scale(grid.cell[1], grid.cell[0]), dtype="uint8"
    ).astype("int8")
    return mask


def _tiles(longitude: Floats, latitude: Floats) -> set[Tile]:
    """Return the tiles that an image touches."""
    steps = (-_MARGIN_DEG, 0.0, _MARGIN_DEG)
    lon = wrapped(np.stack([longitude + step for step in steps for _ in steps])) // _TILE_DEG
    lat = np.clip(np.stack([latitude + step for _ in steps for step in steps]), -90.0, 89.9) // _TILE_DEG
    return {(int(i), int(j)) for i, j in np.unique(np.stack([lon.ravel(), lat.ravel()], axis=1), axis=0)}


@dataclass(frozen=True, slots=True)
class _Plane:
    """A map without antimeridian and poles: the orthographic projection round a place.

    Attributes:
        longitude: Of the place, degrees.
        latitude: Of the place, degrees.
    """

    longitude: float
    latitude: float

    def __call__(self, longitude: Floats, latitude: Floats) -> Floats:
        """Return positions in Earth radii, east and north of the place; shape (..., 2)."""
        lon, lat, lat0 = np.radians(longitude - self.longitude), np.radians(latitude), np.radians(self.latitude)
        return np.stack([np.cos(lat) * np.sin(lon), np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon)], axis=-1)


class _ToImage:
    """Finds samples and lines of longitudes and latitudes: a plane fitted to the geolocation grid, then what it leaves.

    Args:
        plane: The map in which the fit is made.
        longitude: The geolocation grid.
        latitude: The geolocation grid.
    """

    def __init__(self, plane: _Plane, longitude: Table, latitude: Table) -> None:
        self._plane = plane
        self._axes = longitude.line, longitude.sample
        pixels = np.stack(np.meshgrid(longitude.line, longitude.sample, indexing="ij"), axis=-1).astype("float64")
        terms = self._terms(plane(longitude.values, latitude.values))
        self._fit = np.linalg.lstsq(terms.reshape(-1, 3), pixels.reshape(-1, 2))[0]
        self._rest = pixels - terms @ self._fit

    @staticmethod
    def _terms(places: Floats) -> Floats:
        return np.concatenate([np.ones((*places.shape[:-1], 1)), places], axis=-1)

    def __call__(self, lonlat: Floats) -> Floats:
        """Return sample and line of positions, shape (n, 2); beyond the grid its edge's correction holds."""
        rough = self._terms(self._plane(lonlat[:, 0], lonlat[:, 1])) @ self._fit
        found = rough
        for _ in range(_ITERATIONS):
            found = rough + self._correction(found)
        return np.flip(found, axis=1)

    def _correction(self, pixels: Floats) -> Floats:
        weights, places = [], []
        for axis, wanted in zip(self._axes, pixels.T, strict=True):
            before = np.clip(np.searchsorted(axis, wanted, side="right") - 1, 0, len(axis) - 2)
            weights.append(np.clip((wanted - axis[before]) / (axis[before + 1] - axis[before]), 0.0, 1.0)[:, np.newaxis])
            places.append(before)
        (i, j), (u, v) = places, weights
        rest = self._rest
        first, second = (rest[k, j] * (1 - v) + rest[k, j + 1] * v for k in (i, i + 1))
        correction: Floats = first * (1 - u) + second * u
        return correction


@lru_cache(maxsize=64)
def _land_in(tile: Tile, polygons: str) -> tuple[Any, ...]:
    if polygons:
        return tuple(_cut(_read(polygons, tile), tile))
    packed = _packaged()
    return tuple(_unpacked(packed, packed["tiles"].tolist().index(list(tile)))) if list(tile) in packed["tiles"].tolist() else ()


def _read(path: str, tile: Tile | None) -> Iterable[Any]:
    """Read polygons, in longitude and latitude."""
    try:
        frame = gpd.read_file(path, bbox=_box(tile) if tile else None)
        return list((frame.to_crs(4326) if frame.crs else frame).geometry)
    except Exception as error:
        raise ConfigurationError(
            f"the land polygons in {path} cannot be read: {error}",
            remedy="Name a file of polygons that GDAL reads, such as a shapefile, or none: then Natural Earth's are used.",
        ) from error


def _box(tile: Tile) -> tuple[float, float, float, float]:
    west, south = tile[0] * _TILE_DEG, tile[1] * _TILE_DEG
    return west, south, west + _TILE_DEG, south + _TILE_DEG


def _cut(polygons: Iterable[Any], tile: Tile) -> list[Any]:
    parts = shapely.get_parts(shapely.clip_by_rect(shapely.make_valid(np.asarray(polygons, object)), *_box(tile)))
    return [shapely.segmentize(part, _STEP_DEG) for part in parts if part.geom_type == "Polygon" and not part.is_empty]


@lru_cache(maxsize=1)
def _packaged() -> dict[str, NDArray[Any]]:
    with files("platform_assets.sar").joinpath("land.npz").open("rb") as file, np.load(file) as packed:
        arrays: dict[str, NDArray[Any]] = dict(packed)
    arrays["points"] = np.cumsum(arrays["points"], axis=0, dtype="int64") * _UNIT_DEG
    return arrays


def _unpacked(packed: dict[str, NDArray[Any]], index: int) -> Iterable[Any]:
    """Return the polygons of one tile."""
    polygons = slice(*packed["of_tile"][index : index + 2])
    rings = packed["of_polygon"][polygons.start : polygons.stop + 1]
    points = packed["of_ring"][rings[0] : rings[-1] + 1]
    offsets = (points - points[0], rings - rings[0])
    found: Iterable[Any] = shapely.from_ragged_array(shapely.GeometryType.POLYGON, packed["points"][points[0] : points[-1]], offsets)
    return found


def pack(source: Path, target: Path) -> None:
    """Write polygons as the packaged file: cut into tiles, rounded, each point as its difference from the one before.

    Args:
        source: A file of land polygons that GDAL reads.
        target: The file to write.
    """
    land = _read(str(source), None)
    whole = [(lon, lat) for lon in range(-180 // _TILE_DEG, 180 // _TILE_DEG) for lat in range(-90 // _TILE_DEG, 90 // _TILE_DEG)]
    parts = {tile: _rounded(_cut(land, tile)) for tile in whole}
    tiles = [tile for tile, polygons in parts.items() if polygons]
    _, points, (of_ring, of_polygon) = shapely.to_ragged_array([polygon for tile in tiles for polygon in parts[tile]])
    steps = np.diff(np.round(points / _UNIT_DEG).astype("int32"), axis=0, prepend=0)
    of_tile = np.cumsum([0, *(len(parts[tile]) for tile in tiles)])
    np.savez_compressed(target, tiles=tiles, of_tile=of_tile, of_polygon=of_polygon, of_ring=of_ring, points=steps)


def _rounded(polygons: Iterable[Any]) -> list[Any]:
    rounded = shapely.set_precision(list(polygons), _UNIT_DEG)
    return [part for part in shapely.get_parts(rounded) if part.geom_type == "Polygon" and not part.is_empty]
