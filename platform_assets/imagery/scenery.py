"""Landscapes out of nothing but a seed: relief, fields, rivers and villages for the sample archive."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Style = Literal["fields", "pivots", "ice"]

_COARSE_PX = 4
_FIELD_PX = 130
_ROOF_PX = 11
_WATER, _FOREST, _TOWN = 8, 9, 10

# Reflectance in red, green, blue and near infrared: eight kinds of field, then water, forest and town.
_FIELDS = (
    (0.24, 0.32, 0.14, 0.62), (0.33, 0.40, 0.18, 0.58), (0.62, 0.54, 0.27, 0.48), (0.48, 0.35, 0.22, 0.34), (0.17, 0.28, 0.11, 0.66),
    (0.55, 0.49, 0.33, 0.40), (0.38, 0.28, 0.20, 0.30), (0.44, 0.47, 0.20, 0.55), (0.06, 0.12, 0.16, 0.03), (0.09, 0.17, 0.08, 0.52),
    (0.45, 0.42, 0.38, 0.36),
)  # fmt: skip
_PIVOTS = (
    (0.68, 0.55, 0.38, 0.52), (0.20, 0.33, 0.13, 0.64), (0.30, 0.38, 0.16, 0.60), (0.57, 0.44, 0.29, 0.44), (0.14, 0.26, 0.10, 0.68),
    (0.63, 0.50, 0.33, 0.48), (0.40, 0.42, 0.19, 0.55), (0.52, 0.39, 0.25, 0.40), (0.10, 0.20, 0.24, 0.05), (0.36, 0.33, 0.18, 0.42),
    (0.70, 0.62, 0.50, 0.54),
)  # fmt: skip
_ICE = (
    (0.90, 0.93, 0.96, 0.80), (0.84, 0.88, 0.93, 0.74), (0.78, 0.84, 0.91, 0.68), (0.70, 0.78, 0.88, 0.60), (0.88, 0.91, 0.94, 0.78),
    (0.42, 0.40, 0.38, 0.36), (0.35, 0.33, 0.31, 0.32), (0.82, 0.86, 0.90, 0.72), (0.05, 0.16, 0.26, 0.02), (0.50, 0.48, 0.45, 0.42),
    (0.60, 0.62, 0.64, 0.52),
)  # fmt: skip
_REFLECTANCE: dict[Style, tuple[tuple[float, ...], ...]] = {"fields": _FIELDS, "pivots": _PIVOTS, "ice": _ICE}

CLASS_COLOURS = {
    0: (204, 219, 140, 255), 1: (163, 204, 108, 255), 2: (240, 222, 120, 255), 3: (190, 140, 90, 255), 4: (110, 170, 90, 255),
    5: (225, 200, 150, 255), 6: (150, 110, 80, 255), 7: (200, 210, 90, 255), 8: (70, 130, 200, 255), 9: (40, 100, 60, 255),
    10: (200, 70, 70, 255),
}  # fmt: skip
"""A colour for each land cover class."""


@dataclass(frozen=True, slots=True)
class Landscape:
    """One landscape; every array is lines x columns.

    Attributes:
        relief: Height, 0 to 1.
        cover: Land cover class: 0 to 7 fields, then water, forest and town.
        bands: Reflectance in red, green, blue and near infrared, shaded by the relief: bands x lines x columns, 0 to 1.
    """

    relief: Array
    cover: Array
    bands: Array


def landscape(width: int, height: int, seed: int, style: Style = "fields", noise: float = 0.01) -> Landscape:
    """Return the landscape of a seed.

    Args:
        width: Columns.
        height: Lines.
        seed: Which one.
        style: What people do there.
        noise: Standard deviation of the film's grain.
    """
    rng = np.random.default_rng(seed)
    y, x = (axis.astype("float32") for axis in np.ogrid[0:height, 0:width])
    relief = _relief(width, height, rng)
    parcel, across, edge = _circles(x, y, rng) if style == "pivots" else _strips(x, y, relief, rng)
    cover = (parcel >> 8) % 8
    cover = np.where(relief > 0.66 if style == "fields" else relief > 0.8, _FOREST, cover)
    town = (parcel % 23 == 0) & (relief < 0.6) & (style != "ice")
    cover = np.where(town, _TOWN, cover)
    cover = np.where(_river(x, y, width, height, rng), _WATER, cover).astype("uint8")

    light = 0.55 + 0.45 * _shade(relief) + 0.05 * (parcel % 7 / 3 - 1)
    light += np.where(cover < _WATER, 0.04 * np.sin(across * 60), 0) - np.where((edge < 0.025) & (cover < _WATER), 0.16, 0)
    grain = rng.standard_normal(relief.shape, dtype="float32")
    light += np.where(cover == _FOREST, 0.09 * grain, 0)
    light += np.where(cover == _TOWN, _roofs(x, y), 0)
    light = np.where(cover == _WATER, 0.9, light)
    table = np.array(_REFLECTANCE[style], "float32")
    light = light.astype("float32")
    bands = np.stack([np.take(reflectance, cover) * light + noise * grain for reflectance in table.T])
    return Landscape(relief, cover, np.clip(bands, 0, 1, out=bands))


def _relief(width: int, height: int, rng: np.random.Generator) -> Array:
    """Return fractal hills: noise whose waves are the higher the longer they are."""
    lines, columns = -(-height // _COARSE_PX) + 2, -(-width // _COARSE_PX) + 2
    frequency = np.hypot(np.fft.fftfreq(lines)[:, None], np.fft.rfftfreq(columns)[None])
    frequency[0, 0] = 1
    waves = np.fft.rfft2(rng.normal(size=(lines, columns))) / np.maximum(frequency, 2 / max(lines, columns)) ** 2.1
    hills = np.fft.irfft2(waves, (lines, columns))
    hills = (hills - hills.min()) / (hills.max() - hills.min())
    return _enlarged(hills.astype("float32"), width, height)


def _enlarged(coarse: Array, width: int, height: int) -> Array:
    line, column = np.arange(height) / _COARSE_PX, np.arange(width) / _COARSE_PX
    top, left = line.astype(int), column.astype(int)
    down, right = (line - top).astype("float32")[:, None], (column - left).astype("float32")[None]
    lines = coarse[top] * (1 - down) + coarse[top + 1] * down
    return np.asarray(lines[:, left] * (1 - right) + lines[:, left + 1] * right)


def _shade(relief: Array) -> Array:
    """Return how bright slopes are in light from the north-west, about 1 on flat ground."""
    down, right = np.gradient(relief * 160)
    return np.asarray(np.clip(1 + 0.9 * (down + right), 0.25, 1.75))


def _strips(x: Array, y: Array, relief: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return a number for each field, the way across it, and the distance from its edge, for rows of fields of uneven length."""
    angle = rng.uniform(0, np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) / _FIELD_PX / 2 + relief
    across = (y * np.cos(angle) - x * np.sin(angle)) / _FIELD_PX + relief
    row = np.floor(across).astype("int64")
    along = along + _hash(row, 7) % 100 / 37
    number = _hash(row, np.floor(along).astype("int64"))
    return number, across, _edge(along, across)


def _circles(x: Array, y: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return the same for irrigated circles in dry squares."""
    shift_x, shift_y = rng.uniform(0, 1, 2)
    along, across = x / _FIELD_PX / 1.6 + shift_x, y / _FIELD_PX / 1.6 + shift_y
    number = _hash(np.floor(across).astype("int64") + 0 * np.floor(along).astype("int64"), np.floor(along).astype("int64"))
    radius = np.hypot(along % 1 - 0.5, across % 1 - 0.5)
    dry = np.int64(_FIELD_PX)  # one number for all that lies between the circles: kind 0
    return np.where(radius < 0.46, number, dry), radius * 1.5, np.abs(radius - 0.46)


def _hash(a: Array, b: Array | int) -> Array:
    """Return a number of up to 24 bits that looks random for each pair of integers."""
    mixed = (a * 73_856_093) ^ (np.asarray(b, "int64") * 19_349_663) ^ 0x5BD1E995
    mixed = (mixed ^ (mixed >> 13)) * 1_274_126_177
    return np.asarray((mixed ^ (mixed >> 16)) & 0xFFFFFF)


def _edge(along: Array, across: Array) -> Array:
    return np.asarray(0.5 - np.maximum(np.abs(along % 1 - 0.5), np.abs(across % 1 - 0.5)))


def _river(x: Array, y: Array, width: int, height: int, rng: np.random.Generator) -> Array:
    """Return where water flows from the left to the right edge."""
    phase, swing = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.05, 0.16, 3)
    way = x / width * 2 * np.pi
    middle = height * (0.5 + swing[0] * np.sin(way * 1.1 + phase[0]) + swing[1] * np.sin(way * 2.3 + phase[1]))
    half = 0.012 * max(width, height) * (1.2 + 0.5 * np.sin(way * 5 + phase[2]))
    return np.asarray(np.abs(y - middle) < half)


def _roofs(x: Array, y: Array) -> Array:
    """Return houses: brighter and darker roofs on a grid of streets."""
    house = _hash(np.floor(y / _ROOF_PX).astype("int64") + 0 * x.astype("int64"), np.floor(x / _ROOF_PX).astype("int64"))
    street = (x % _ROOF_PX < 3) | (y % _ROOF_PX < 3)
    return np.asarray(np.where(street, 0.1, house % 11 / 11 - 0.45))
