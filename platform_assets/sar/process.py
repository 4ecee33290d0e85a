"""What makes one L1B file of one SAFE: the built-in, or a function of the user's own, with all of the engine around it.

The function is called as `process(safe, out, **options)` with a folder and the path of a netCDF file to write, both
`pathlib.Path`; what it raises is the product's failure. It may return facts in JSON types, which are kept in the item.
"""

import importlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from platform_assets.common.errors import CheckFailed, ConfigurationError
from platform_assets.common.stages import Stages
from platform_assets.sar.manifest import Manifest, Ring
from platform_assets.sar.options import L1bOptions, Processing

GROUP = "groundtrack.l1b"
"""The group of the entry points that name functions of users."""

_EARTH_RADIUS_M = 6_371_000
_OUTPUT_REMEDY = "Let the function write a netCDF file with at least one finite value to the path it is given."


def process(
    safe: Path, out: Path, manifest: Manifest, processing: Processing, stages: Stages, attributes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Make the L1B file of a SAFE and return what is worth knowing of it, in JSON types.

    Args:
        safe: The folder, whole, under ESA's names.
        out: The file to write; it is there only when all went well.
        manifest: The product's.
        processing: How.
        stages: Told of `process` and `check`, or of the built-in's stages.
        attributes: Global attributes that the file gets besides.

    Raises:
        ConfigurationError: There is no such function.
        CheckFailed: What it wrote is no netCDF file, or has no values.
    """
    if isinstance(processing, L1bOptions):
        # xsar costs 4 s and 250 MB: on workers, not where products are only claimed and told of.
        from platform_assets.sar.l1b import make_l1b  # noqa: PLC0415

        return make_l1b(safe, out, processing, stages, attributes)
    function = find(processing.function)
    with stages("process"):
        told = function(safe, out, **processing.options)
    with stages("check"):
        facts = _checked(out, manifest, attributes or {})
    own = json.loads(json.dumps(told, default=str)) if isinstance(told, Mapping) else {}
    return {**facts, "function": processing.function, "own": own}


def signature(institution: str) -> dict[str, str]:
    """Return what a file says of who made it, and when."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"date_created": now} | ({"institution": institution, "creator_name": institution} if institution else {})


def find(name: str) -> Callable[..., Any]:
    """Return the function that a name stands for.

    Raises:
        ConfigurationError: There is none.
    """
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    module, _, attribute = (found[0].value if found else name).partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(sorted(point.name for point in entry_points(group=GROUP))) or "none"
        raise ConfigurationError(
            f"there is no function {name!r}: {error}",
            remedy=f"Give `module:function`, importable on every worker, or an entry point of {GROUP}; there are: {known}.",
        ) from error
    if not callable(function):
        raise ConfigurationError(f"{name!r} is not a function")
    return function  # type: ignore[no-any-return]


def _checked(out: Path, manifest: Manifest, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Look at what a user's function wrote, as far as can be told without knowing what it should be, and sign it."""
    try:
        with netCDF4.Dataset(out, "a") as file:
            file.setncatts(attributes)
            shapes = {name: variable.shape for name, variable in file.variables.items() if _has_values(variable)}
    except OSError as error:
        raise CheckFailed(f"{out.name}: check netcdf failed: it cannot be opened: {error}", remedy=_OUTPUT_REMEDY) from error
    if not shapes:
        raise CheckFailed(f"{out.name}: check finite failed: no variable has a finite value", remedy=_OUTPUT_REMEDY)
    line, sample = (1, 1, *max(shapes.values(), key=lambda shape: (len(shape) >= 2, np.prod(shape))))[-2:]
    ring = manifest.footprints[0]
    sides = _sides_m(ring)
    return {
        "product": manifest.product.name,
        "polarisations": list(manifest.polarisations),
        "variables": sorted(shapes),
        "dims": {"line": line, "sample": sample},
        "spacing_m": [max(sides) / line, min(sides) / sample],
        "footprint": [list(point) for point in ring],
        "flags": [],
        "statistics": {},
        "bytes": out.stat().st_size,
    }


def _has_values(variable: Any) -> bool:
    if variable.size == 0 or not np.issubdtype(variable.dtype, np.number):
        return False
    return bool(np.isfinite(np.ma.filled(variable[...].astype(float), np.nan)).any())


def _sides_m(ring: Ring) -> list[float]:
    """Return the lengths of the sides of an outline, on a sphere, in metres."""
    return [_distance_m(*start, *end) for start, end in zip(ring, (*ring[1:], ring[0]), strict=True)]


def _distance_m(longitude: float, latitude: float, to_longitude: float, to_latitude: float) -> float:
    across = math.radians(to_longitude - longitude)
    from_north, to_north = math.radians(latitude), math.radians(to_latitude)
    half = math.sin((to_north - from_north) / 2) ** 2 + math.cos(from_north) * math.cos(to_north) * math.sin(across / 2) ** 2
    return 2 * _EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half)))
