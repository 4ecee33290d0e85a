"""The map of a report: footprints on the land of the Earth, as SVG that asks for nothing from outside."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

_STEPS_DEG = (*(base * 10.0**power for power in range(-4, 1) for base in (1, 2, 5)), 10.0, 30.0)
_SMALLEST_DEG = 0.004
_MARGIN = 0.12
_ASPECT = 2.0
_WHOLE_DEG = 180.0  # footprints that are spread wider are looked at on the map of the world


class Shape(NamedTuple):
    """A footprint.

    Attributes:
        label: What it is called.
        geometry: GeoJSON Polygon or MultiPolygon.
    """

    label: str
    geometry: Mapping[str, Any]


class _View(NamedTuple):
    """A part of the map, in degrees; latitude downwards."""

    x: float
    y: float
    width: float
    height: float


_WORLD = _View(-180, -90, 360, 180)


def map_svg(shapes: Sequence[Shape]) -> str:
    """Return the map of footprints: the world with a box, and what is in the box; only the world when they are all over it.

    Args:
        shapes: At least one footprint.
    """
    view, shrink = _view(shapes)
    if view.width > _WHOLE_DEG:
        return _panel("map-detail", _WORLD, 1.0, _footprints(shapes), "Footprints of the images on the world")
    box = f'<rect class="box" x="{view.x:.4f}" y="{view.y:.4f}" width="{view.width:.4f}" height="{view.height:.4f}"/>'
    # A box too small to be seen still has a dot that does not scale.
    dot = f'<path class="dot" d="M{view.x + view.width / 2:.3f} {view.y + view.height / 2:.3f}h0"/>'
    world = _panel("map-world", _WORLD, 1.0, box + dot, "Where on Earth the images are")
    detail = _panel("map-detail", view, shrink, _footprints(shapes), "Footprints of the images, enlarged")
    return detail + world


def _panel(name: str, view: _View, shrink: float, content: str, title: str) -> str:
    """Return one SVG; longitudes are shrunk so that shapes keep their proportions in the middle of the view."""
    box = f"{view.x * shrink:.7g} {view.y:.7g} {view.width * shrink:.7g} {view.height:.7g}"
    labels = _labels(view, shrink) if name == "map-detail" else ""
    return (
        f'<svg id="{name}" class="map" viewBox="{box}" role="img" aria-label="{escape(title)}">'
        f'<g transform="scale({shrink:.6g} 1)">'
        f'<path class="land" transform="scale(.1)" d="{_land()}"/>'
        f'<path class="grid" d="{_graticule(view)}"/>{content}</g>{labels}</svg>'
    )


def _footprints(shapes: Sequence[Shape]) -> str:
    return "".join(f'<path class="fp" d="{_path(shape.geometry)}"><title>{escape(shape.label)}</title></path>' for shape in shapes)


def _rings(geometry: Mapping[str, Any]) -> Iterator[Sequence[Sequence[float]]]:
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for polygon in polygons:
        yield from polygon


def _path(geometry: Mapping[str, Any]) -> str:
    return "".join("M" + "L".join(f"{x:.5f} {-y:.5f}" for x, y, *_ in ring[:-1]) + "z" for ring in _rings(geometry))


def _view(shapes: Sequence[Shape]) -> tuple[_View, float]:
    """Return what shows all shapes at twice the width of the height, and what a degree of longitude is of one of latitude there."""
    points = [point for shape in shapes for ring in _rings(shape.geometry) for point in ring]
    west, east = min(point[0] for point in points), max(point[0] for point in points)
    south, north = min(point[1] for point in points), max(point[1] for point in points)
    x, y = (west + east) / 2, -(south + north) / 2
    shrink = max(0.05, math.cos(math.radians(y)))
    height = (1 + 2 * _MARGIN) * max(north - south, (east - west) * shrink / _ASPECT, _SMALLEST_DEG)
    width = height * _ASPECT / shrink
    return _View(x - width / 2, y - height / 2, width, height), shrink


def _step(length: float, most_lines: int) -> float:
    return next((step for step in _STEPS_DEG if length / step <= most_lines), _STEPS_DEG[-1])


def _lines(start: float, end: float, step: float, most: float) -> list[float]:
    """Return the multiples of a step in a range, within -most to most."""
    first, last = math.ceil(max(start, -most) / step), math.floor(min(end, most) / step)
    return [number * step for number in range(first, last + 1)]


def _graticule(view: _View) -> str:
    """Return meridians and parallels, as far round the view as one can come by reducing the map once."""
    left, right = max(-180.0, view.x - view.width / 2), min(180.0, view.x + 1.5 * view.width)
    top, bottom = max(-90.0, view.y - view.height / 2), min(90.0, view.y + 1.5 * view.height)
    xs, ys = _lines(left, right, _step(view.width, 12), 180.0), _lines(top, bottom, _step(view.height, 6), 90.0)
    return "".join(f"M{x:.4f} {top:.4f}V{bottom:.4f}" for x in xs) + "".join(f"M{left:.4f} {y:.4f}H{right:.4f}" for y in ys)


def _labels(view: _View, shrink: float) -> str:
    size = view.height / 36
    bottom = view.y + view.height - size / 2
    step_x, step_y = _step(view.width, 12), _step(view.height, 6)
    xs, ys = _lines(view.x, view.x + view.width, step_x, 180.0), _lines(view.y + size, bottom - size, step_y, 90.0)
    texts = [(x * shrink + size / 3, bottom, _degrees(x, step_x, "WE")) for x in xs]
    texts += [(view.x * shrink + size / 2, y - size / 3, _degrees(-y, step_y, "SN")) for y in ys]
    inside = "".join(f'<text x="{x:.7g}" y="{y:.7g}">{text}</text>' for x, y, text in texts)
    return f'<g class="labels" font-size="{size:.4g}">{inside}</g>'


def _degrees(value: float, step: float, sides: str) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{abs(value):.{decimals}f}°{sides[value > 0]}" if abs(value) > step / 2 else "0°"


@cache
def _land() -> str:
    """Return the land as path data in tenths of a degree."""
    text = files(__package__).joinpath("land.svg").read_text("utf-8")
    return text.partition(' d="')[2].partition('"')[0]
