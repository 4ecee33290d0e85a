"""One SAFE becomes one L1B NetCDF: its annotations read once, its pixels read once, everything else computed on the coarse grid."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.common.errors import InputChanged, MissingInput, PermanentError
from platform_assets.common.stages import Stages
from platform_assets.sar import grid as cells
from platform_assets.sar.acdd import geospatial_bounds, global_attributes
from platform_assets.sar.annotation import Channel, Product
from platform_assets.sar.conventions import POLARISED, VARIABLES, seconds_of_day
from platform_assets.sar.grid import Grid
from platform_assets.sar.land import land_mask
from platform_assets.sar.netcdf import write_netcdf
from platform_assets.sar.options import L1bOptions
from platform_assets.sar.pixels import MeanPower, mean_power
from platform_assets.sar.radiometry import backscatter
from platform_assets.sar.statistics import statistics_db
from platform_assets.sar.verify import verify_netcdf
from platform_assets.sar.xsar_reader import open_safe

__all__ = ["L1bOptions", "make_l1b"]

Values = dict[str, NDArray[Any]]

_GEOMETRY = {"incidence": "incidence", "elevation": "elevation", "altitude": "height", "slant_range_time": "slant_range_time"}


def make_l1b(safe: Path, out: Path, options: L1bOptions, stages: Stages, attributes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make the L1B NetCDF of a SAFE.

    Args:
        safe: The folder, whole, under the names that ESA gave it and its files.
        out: The file to write; it appears when it is complete and checked.
        options: What to make.
        stages: Told of `open`, `pixels`, `grid`, `write` and `check`.
        attributes: Global attributes that replace or add to ours, such as `institution` and `date_created`.

    Returns:
        What is worth knowing of the product, in JSON types: dims, variables, statistics, footprint, flags.

    Raises:
        PermanentError: The SAFE cannot be processed, or what was written does not pass its checks.
    """
    with stages("open"):
        before = _state(safe)
        product = open_safe(safe)
        polarisations = _chosen(product, options)
        grid = cells.grid_of(product, options.resolution_m)
    with stages("pixels"):
        power = {name: _power(product, product.channels[name], grid) for name in polarisations}
    with stages("grid"):
        channels = {name: backscatter(product.channels[name], grid, of.values) for name, of in power.items()}
        values = _values(product, grid, channels, options)
        facts = _facts(product, grid, channels, options) | {"read": {name: of.source for name, of in power.items()}}
    if _state(safe) != before:
        raise InputChanged(f"{safe.name}: its files changed while they were read")
    with stages("write"):
        digest = hashlib.sha256((safe / "manifest.safe").read_bytes()).hexdigest()
        bounds = geospatial_bounds(facts["footprint"], values["longitude"], values["latitude"])
        texts = global_attributes(product, facts, digest, bounds) | dict(attributes or {})
        write_netcdf(out, values, product.start, texts, lambda written: facts.update(_checked(written, values, stages)))
    return {**facts, "bytes": out.stat().st_size, "seconds": dict(stages.seconds)}


def _checked(written: Path, values: Values, stages: Stages) -> dict[str, Any]:
    with stages("check"):
        return verify_netcdf(written, values)


def _state(safe: Path) -> list[tuple[str, int, int]]:
    """Return what changes when a file of the product is written to."""
    states = ((path, path.stat()) for path in safe.rglob("*") if path.is_file())
    return sorted((str(path), state.st_size, state.st_mtime_ns) for path, state in states)


def _chosen(product: Product, options: L1bOptions) -> tuple[str, ...]:
    if missing := sorted({*options.polarisations} - {*product.channels}):
        raise PermanentError(
            f"{product.name}: it has no {', '.join(missing)}, only {', '.join(product.channels)}",
            code="no_such_polarisation",
            remedy="Ask for polarisations that the product has, or for all.",
        )
    return tuple(name for name in product.channels if name in options.polarisations or not options.polarisations)


def _power(product: Product, channel: Channel, grid: Grid) -> MeanPower:
    if not channel.measurement.is_file():
        raise MissingInput(f"{product.name}: it has no {channel.measurement.name}", remedy="Upload the product again, whole.")
    # What ESA's processor denoised is 0 wherever the noise exceeded the signal.
    return mean_power(channel.measurement, (product.lines, product.samples), grid.cell, zero_is_missing=not channel.denoised)


def _values(product: Product, grid: Grid, channels: Mapping[str, Values], options: L1bOptions) -> Values:
    """Compute all that is written."""
    tables = product.geolocation
    times = tables["azimuth_time"]
    middle = times.values[:, (times.sample.size - 1) // 2]
    values: Values = {
        "crs": np.array(0, "int32"),
        "pol": np.array(list(channels), object),
        "line": grid.line,
        "sample": grid.sample,
        "longitude": cells.wrapped(cells.at(tables["longitude"], grid)),
        "latitude": cells.at(tables["latitude"], grid),
        "time": cells.along(times.line, middle, grid.line) + seconds_of_day(product.start),
    }
    compute: dict[str, Callable[[], NDArray[Any]]] = {
        "ground_heading": lambda: cells.heading(tables, grid),
        "land_mask": lambda: land_mask(tables, grid, options.land_polygons),
        "swath_number": lambda: cells.swath_number(product, grid),
        "velocity": lambda: np.interp(cells.along(times.line, middle, grid.line), *product.speed),
    }
    values |= {name: cells.at(tables[theirs], grid) for name, theirs in _GEOMETRY.items() if name in options.variables}
    values |= {name: function() for name, function in compute.items() if name in options.variables}
    polarised = [name for name in options.variables if VARIABLES[name].dims == POLARISED]
    return values | {name: np.stack([of[name] for of in channels.values()]) for name in polarised}


def _facts(product: Product, grid: Grid, channels: Mapping[str, Values], options: L1bOptions) -> dict[str, Any]:
    return {
        "product": product.name,
        "platform": product.platform,
        "mode": product.mode,
        "product_type": product.product_type,
        "ipf_version": product.ipf_version,
        "polarisations": list(channels),
        "variables": [name for name in VARIABLES if name in options.variables],
        "dims": {"line": grid.shape[0], "sample": grid.shape[1], "pol": len(channels)},
        "cell_px": list(grid.cell),
        "spacing_m": [grid.cell[0] * product.line_spacing_m, grid.cell[1] * product.sample_spacing_m],
        "pixels_left_out": [product.lines % grid.cell[0], product.samples % grid.cell[1]],
        "statistics": {name: statistics_db(of["sigma0"]) for name, of in channels.items()},
        "footprint": _outline(product),
        "flags": _flags(product, channels),
    }


def _flags(product: Product, computed: Mapping[str, Values]) -> list[str]:
    """Name what users of the values must know."""
    channels = [product.channels[name] for name in computed]
    longitude = product.geolocation["longitude"].values
    found = {
        "noise_is_zero": any(channel.noise_is_zero for channel in channels),
        "noise_incomplete": any(np.isnan(of["nesz"]).any() for of in computed.values()),
        "denoised_by_processor": any(channel.denoised for channel in channels),
        "antimeridian": bool(longitude.max() > 180 or longitude.min() < -180),
    }
    return [name for name, holds in found.items() if holds]


def _outline(product: Product) -> list[list[float]]:
    """Return the outline of the geolocation grid, closed: longitude and latitude, continuous across the antimeridian."""
    lonlat = np.stack([product.geolocation[name].values for name in ("longitude", "latitude")], axis=-1)
    ring = np.concatenate([lonlat[:-1, 0], lonlat[-1, :-1], lonlat[:0:-1, -1], lonlat[0, ::-1]])
    outline: list[list[float]] = ring.round(7).tolist()
    return outline
