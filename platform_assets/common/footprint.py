"""The footprint of an image on WGS 84, as GeoJSON that follows RFC 7946.

The outline of the pixel grid is densified, transformed and made continuous in longitude; then it is cut at the
antimeridian. What lies off the Earth, such as the corners of a geostationary disc, is left out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError, CPLE_NotSupportedError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_points

from platform_assets.common.raster import local_environment

Points = NDArray[np.float64]
"""Coordinates, shape (n, 2); longitude before latitude."""

ToMap = Callable[[Points], Points]
"""Maps pixel positions (column, line) to coordinates of the image's reference system."""

_WGS84 = CRS.from_epsg(4326)
_POINTS_A_SIDE = 32
_BISECTIONS = 14
_TOLERANCE = 5e-4  # of the footprint's size: a side that bends less is straight
_OVERSHOOT_DEG = 1.0  # global grids whose pixel centres lie on the poles reach half a pixel beyond


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where an image lies.

    Attributes:
        geometry: GeoJSON Polygon or MultiPolygon; None when it lies nowhere on Earth that is known.
        bbox: West, south, east, north in degrees; west is greater than east across the antimeridian.
        note: Why there is no geometry, or what it leaves out; empty when there is nothing to say.
    """

    geometry: dict[str, Any] | None
    bbox: tuple[float, float, float, float] | None
    note: str = ""


def footprint(crs_wkt: str, width: int, height: int, to_map: ToMap) -> Footprint:
    """Return the footprint of a pixel grid.

    Args:
        crs_wkt: The coordinate reference system of the grid; empty for none.
        width: Pixels a line.
        height: Lines.
        to_map: Where the pixels lie; the corner of the first is (0, 0).
    """
    if not crs_wkt:
        return Footprint(None, None, "the image has no coordinate reference system")
    try:
        crs = CRS.from_wkt(crs_wkt)
    except CRSError as error:
        return Footprint(None, None, f"the coordinate reference system cannot be read: {error}")
    if not (crs.is_geographic or crs.is_projected):
        return Footprint(None, None, "the coordinate reference system is local: it is not tied to the Earth")
    with local_environment():
        return _footprint(crs, width, height, to_map)


def _footprint(crs: CRS, width: int, height: int, to_map: ToMap) -> Footprint:
    outline = _outline(width, height)
    locate = _Locator(crs, to_map, tolerance=1e-4 * float(np.ptp(to_map(outline), axis=0).max()))
    ring = locate(outline)
    if not np.isnan(ring).any():
        return on_globe(ring, "")
    outline = _part_on_earth(locate, outline, width, height)
    if not len(outline):
        return Footprint(None, None, "the image's coordinates cannot be transformed to WGS 84")
    return on_globe(locate(outline), "a part of the image lies off the Earth; the footprint is that of the rest")


class _Locator:
    """Maps pixel positions to WGS 84; positions off the Earth become NaN.

    Args:
        crs: The image's reference system.
        to_map: Maps pixel positions to it.
        tolerance: How far from where it came a position may return, in the units of `crs`.
    """

    def __init__(self, crs: CRS, to_map: ToMap, tolerance: float) -> None:
        self._crs = crs
        self._to_map = to_map
        self._tolerance = tolerance

    def __call__(self, pixels: Points) -> Points:
        xy = self._to_map(pixels)
        lonlat = _transformed(self._crs, _WGS84, xy)
        if self._crs.is_geographic:
            lonlat[(np.abs(lonlat[:, 1]) > 90 + _OVERSHOOT_DEG) | (np.abs(lonlat[:, 0]) > 540)] = np.nan
            lonlat[:, 1] = np.clip(lonlat[:, 1], -90, 90)
        else:
            lonlat[~self._returns(lonlat, xy)] = np.nan
        return lonlat

    def _returns(self, lonlat: Points, xy: Points) -> NDArray[np.bool_]:
        """Whether the way back leads to the same place: some projections map points off the map to anywhere."""
        back = _transformed(_WGS84, self._crs, lonlat)
        returns: NDArray[np.bool_] = np.abs(np.abs(lonlat[:, 0]) - 180) < 1e-5  # the map's edge may return on its other side
        returns |= np.all(np.abs(back - xy) <= self._tolerance, axis=1)
        return returns


def _transformed(source: CRS, target: CRS, points: Points) -> Points:
    try:
        there = np.transpose(transform_points(source, target, points[:, 0], points[:, 1])).astype(float)
    except CPLE_NotSupportedError:  # between these two systems there is no way at all
        return np.full_like(points, math.nan)
    except CPLE_BaseError:
        # One bad point fails them all; 30 microseconds a point.
        there = np.array([_transformed_point(source, target, x, y) for x, y in points.tolist()])
    there[~np.isfinite(there).all(axis=1)] = np.nan
    return there


def _transformed_point(source: CRS, target: CRS, x: float, y: float) -> tuple[float, float]:
    try:
        xs, ys = transform_points(source, target, [x], [y])
    except CPLE_BaseError:
        return math.nan, math.nan
    return xs[0], ys[0]


def _outline(width: int, height: int) -> Points:
    """Return the outline of the pixel grid, not closed, counter-clockwise seen with lines going down."""
    steps = np.arange(_POINTS_A_SIDE) / _POINTS_A_SIDE
    zeros, ones = np.zeros_like(steps), np.ones_like(steps)
    columns = np.concatenate([zeros, steps, ones, 1 - steps])
    lines = np.concatenate([steps, ones, 1 - steps, zeros])
    return np.column_stack([columns * width, lines * height])


def _part_on_earth(locate: _Locator, outline: Points, width: int, height: int) -> Points:
    """Return the outline of the part that lies on the Earth, seen from a point in its middle; empty when there is none."""
    side = (np.arange(16) + 0.5) / 16
    grid = np.column_stack([axis.ravel() for axis in np.meshgrid(side * width, side * height)])
    on_earth = grid[~np.isnan(locate(grid)).any(axis=1)]
    if not len(on_earth):
        return np.empty((0, 2))
    middle = on_earth[np.argmin(((on_earth - on_earth.mean(axis=0)) ** 2).sum(axis=1))]
    near, far = np.zeros((len(outline), 1)), np.ones((len(outline), 1))
    near[~np.isnan(locate(outline)).any(axis=1)] = 1.0
    for _ in range(_BISECTIONS):
        half = (near + far) / 2
        good = ~np.isnan(locate(middle + half * (outline - middle))).any(axis=1, keepdims=True)
        near, far = np.where(good, half, near), np.where(good, far, half)
    reached: Points = middle + near * (outline - middle)
    return reached


def on_globe(ring: Points, note: str) -> Footprint:
    """Cut a ring of longitudes and latitudes, not closed, at the antimeridian."""
    lon = np.unwrap(ring[:, 0], period=360.0)
    turns = round((lon[-1] - lon[0] + _shortest(ring[0, 0] - ring[-1, 0])) / 360)
    lonlat = np.column_stack([lon, ring[:, 1]])
    if turns:
        lonlat = _around_pole(lonlat, turns)
    west, east = float(lonlat[:, 0].min()), float(lonlat[:, 0].max())
    whole = east - west >= 360 - 1e-9
    if whole and not turns:  # a grid that overlaps itself cannot be cut
        lonlat[:, 0] = np.clip(lonlat[:, 0], west, west + 360)
    size = max(east - west, float(np.ptp(lonlat[:, 1])))
    windows = range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360))
    cuts = [_clipped(lonlat, 360.0 * window) for window in windows]
    parts = [part for part in cuts if len(part) and abs(_area(part)) > 1e-9 * size**2]
    if not parts:
        return Footprint(None, None, "the image's footprint has no area")
    polygons = [[_ring(part, size)] for part in parts]
    geometry: dict[str, Any] = (
        {"type": "MultiPolygon", "coordinates": polygons} if polygons[1:] else {"type": "Polygon", "coordinates": polygons[0]}
    )
    bounds = (-180.0, 180.0) if whole else (float(parts[0][:, 0].min()), float(parts[-1][:, 0].max()))
    south, north = (float(bound) for bound in (lonlat[:, 1].min(), lonlat[:, 1].max()))
    return Footprint(geometry, (round(bounds[0], 7), round(south, 7), round(bounds[1], 7), round(north, 7)), note)


def _shortest(difference: float) -> float:
    return (difference + 180) % 360 - 180


def _around_pole(lonlat: Points, turns: int) -> Points:
    """Lead a ring that goes round a pole over that pole, so that it encloses an area on the map."""
    pole = math.copysign(90.0, float(lonlat[:, 1].mean()))
    first, last = lonlat[0], lonlat[0] + (360.0 * turns, 0.0)
    return np.vstack([lonlat, last, (last[0], pole), (first[0], pole)])


def _clipped(ring: Points, middle: float) -> Points:
    """Return the part of a ring within 180 degrees of a longitude, shifted to -180 to 180."""
    shifted = ring - (middle, 0.0)
    return _clipped_at(_clipped_at(shifted, -180.0, 1.0), 180.0, -1.0)


def _clipped_at(ring: Points, meridian: float, sign: float) -> Points:
    """Sutherland and Hodgman's clipping of a ring, not closed, at one meridian."""
    kept: list[tuple[float, float]] = []
    inside = sign * (ring[:, 0] - meridian) >= 0
    for i, (x, y) in enumerate(ring.tolist()):
        x0, y0 = ring[i - 1].tolist()
        if inside[i] != inside[i - 1]:
            kept.append((meridian, y0 + (meridian - x0) / (x - x0) * (y - y0)))
        if inside[i]:
            kept.append((x, y))
    return np.array(kept).reshape(-1, 2)


def _ring(points: Points, size: float) -> list[list[float]]:
    """Return a GeoJSON ring: closed, counter-clockwise, without the points that a straight side does not need."""
    closed = np.vstack([points, points[:1]])
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    tolerance = _TOLERANCE * size
    simple = np.vstack([_simplified(closed[: far + 1], tolerance)[:-1], _simplified(closed[far:], tolerance)])
    oriented = simple if _area(points) > 0 else simple[::-1]
    rounded: list[list[float]] = np.round(oriented, 7 if size > 1e-4 else 12).tolist()
    return rounded


def _area(points: Points) -> float:
    x, y = (points - points[0]).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _simplified(line: Points, tolerance: float) -> Points:
    """Douglas and Peucker's simplification of a line; its ends stay."""
    chord = line[-1] - line[0]
    length = float(np.hypot(*chord))
    offset = line - line[0]
    away = np.abs(offset[:, 0] * chord[1] - offset[:, 1] * chord[0]) / length if length else np.hypot(offset[:, 0], offset[:, 1])
    farthest = int(np.argmax(away))
    if away[farthest] <= tolerance:
        return line[[0, -1]]
    return np.vstack([_simplified(line[: farthest + 1], tolerance)[:-1], _simplified(line[farthest:], tolerance)])
