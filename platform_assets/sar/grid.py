"""The grid of an L1B product and what the annotations say at its cells.

A cell is a whole number of lines and samples, so that its place is known exactly. The formulas are xsar's, applied at the centres of
cells; what differs is told where it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyder, polygrid2d, polyvander2d
from numpy.typing import NDArray

from platform_assets.common.errors import LimitExceeded, PermanentError
from platform_assets.sar.annotation import AzimuthNoise, Channel, Floats, Product, Table

_MOST_CELLS = 12_000_000
"""More do not fit into a worker's memory: about 100 bytes a cell."""

_DEGREE = 2


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of an image.

    Attributes:
        cell: Lines and samples of a cell.
        line: Centres of cells along azimuth, in lines of the image, the first being 0.
        sample: Centres of cells along range, in samples.
    """

    cell: tuple[int, int]
    line: Floats
    sample: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along azimuth and range."""
        return self.line.size, self.sample.size


def grid_of(product: Product, resolution_m: float) -> Grid:
    """Return the grid whose cells are nearest to a resolution; the rest at the image's far edges is left out.

    Args:
        product: The product.
        resolution_m: Wanted side of a cell.

    Raises:
        PermanentError: The image is smaller than a cell.
        LimitExceeded: There would be too many cells.
    """
    spacing = (product.line_spacing_m, product.sample_spacing_m)
    cell = (max(1, round(resolution_m / spacing[0])), max(1, round(resolution_m / spacing[1])))
    lines, samples = product.lines // cell[0], product.samples // cell[1]
    if not lines or not samples:
        raise PermanentError(
            f"{product.name}: its image of {product.lines} x {product.samples} pixels is smaller than a cell of {cell[0]} x {cell[1]}",
            code="image_too_small",
            remedy="Ask for a finer resolution.",
        )
    if lines * samples > _MOST_CELLS:
        raise LimitExceeded(
            f"{product.name}: {resolution_m:g} m make {lines} x {samples} cells, more than {_MOST_CELLS}",
            remedy="Ask for a coarser resolution.",
        )
    return Grid(cell, *(np.arange(n) * size + (size - 1) / 2 for n, size in zip((lines, samples), cell, strict=True)))


def at(table: Table, grid: Grid) -> Floats:
    """Interpolate a table bilinearly at the cells; beyond its edges its edges hold."""
    return along(table.sample, along(table.line, table.values, grid.line).T, grid.sample).T


def along(x: Floats, values: Floats, wanted: Floats) -> Floats:
    """Interpolate linearly along the first axis of values that are given at x."""
    if len(x) < 2:
        return np.repeat(values, len(wanted), axis=0)
    before = np.clip(np.searchsorted(x, wanted, side="right") - 1, 0, len(x) - 2)
    share = np.clip((wanted - x[before]) / (x[before + 1] - x[before]), 0.0, 1.0)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    found: Floats = values[before] * (1 - share) + values[before + 1] * share
    return found


def wrapped(longitude: Floats) -> Floats:
    """Return longitudes from -180 up to 180 degrees."""
    return (longitude + 180.0) % 360.0 - 180.0


def heading(geolocation: Mapping[str, Table], grid: Grid) -> Floats:
    """Return the direction of ascending lines on the ground, in degrees clockwise from north, -180 to 180.

    It is that of second-order polynomials fitted to the geolocation grid: a grid follows the terrain, the platform does not. xsar fits a
    plane, which cannot follow the convergence of the meridians, to longitudes that jump at the antimeridian.
    """
    latitude = geolocation["latitude"]
    towards_east, towards_north = (_slope_along_lines(geolocation[name], grid) for name in ("longitude", "latitude"))
    direction: Floats = np.degrees(np.arctan2(towards_east * np.cos(np.radians(at(latitude, grid))), towards_north))
    return direction


def _slope_along_lines(table: Table, grid: Grid) -> Floats:
    u, v = _unit(table.line, table.line), _unit(table.sample, table.sample)
    terms = polyvander2d(*np.meshgrid(u, v, indexing="ij"), (_DEGREE, _DEGREE)).reshape(table.values.size, -1)
    coefficients = np.linalg.lstsq(terms, table.values.ravel())[0].reshape(_DEGREE + 1, _DEGREE + 1)
    slope: Floats = polygrid2d(_unit(table.line, grid.line), _unit(table.sample, grid.sample), polyder(coefficients, axis=0))
    return slope


def _unit(axis: Floats, centres: Floats) -> Floats:
    """Scale an axis to -1 ... 1, where polynomials are well conditioned."""
    unit: Floats = 2 * (centres - axis[0]) / (axis[-1] - axis[0]) - 1
    return unit


def noise(channel: Channel, grid: Grid) -> Floats:
    """Return the noise power at the cells, in squared digital numbers; NaN where the product has no noise vectors.

    Along range a vector holds for the lines that are nearest to it; along azimuth the factors of the merged swaths are interpolated.
    xsar gives all polarisations the factors of the last one; here each has its own.
    """
    table = channel.range_noise
    begins = np.concatenate([[-np.inf], np.floor((table.line[:-1] + table.line[1:]) / 2)])
    nearest = np.searchsorted(begins, grid.line, side="right") - 1
    return along(table.sample, table.values.T, grid.sample).T[nearest] * _azimuth_factor(channel.azimuth_noise, grid)


def _azimuth_factor(blocks: tuple[AzimuthNoise, ...], grid: Grid) -> Floats:
    factor = np.full(grid.shape, np.nan if blocks else 1.0)
    for block in blocks:
        rows = _within(grid.line, block.lines)
        columns = _within(grid.sample, block.samples)
        factor[rows, columns] = _extrapolated(block, grid.line[rows])[:, np.newaxis]
    return factor


def _within(centres: Floats, ends: tuple[int, int]) -> slice:
    """Return the cells whose centre lies in a block of pixels; one between two blocks is in both, and the later one holds."""
    return slice(int(np.searchsorted(centres, ends[0] - 0.5)), int(np.searchsorted(centres, ends[1] + 0.5, side="right")))


def _extrapolated(block: AzimuthNoise, line: Floats) -> Floats:
    """Interpolate the factor; beyond the lines it is given at, its slope continues."""
    if block.line.size < 2:
        return np.full(line.shape, block.values[0])
    before = np.clip(np.searchsorted(block.line, line, side="right") - 1, 0, block.line.size - 2)
    slope = np.diff(block.values) / np.diff(block.line)
    return block.values[before] + slope[before] * (line - block.line[before])


def swath_number(product: Product, grid: Grid) -> NDArray[np.int8]:
    """Return the number of the merged swath that each cell's centre lies in; 0 for none."""
    number = np.zeros(grid.shape, "int8")
    for swath, first_line, last_line, first_sample, last_sample in product.swaths:
        number[_within(grid.line, (first_line, last_line)), _within(grid.sample, (first_sample, last_sample))] = swath
    return number
