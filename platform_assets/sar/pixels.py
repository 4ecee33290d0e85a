"""The mean power of an image's pixels in cells of whole pixels.

ESA's measurement files are uncompressed strips, one after the other: they are read as they lie in the file, which costs half as much
as GDAL's reader and rounds nothing. Other files are read by GDAL. Overviews are used where they keep power: a cell's mean power over
overviews made by averaging is a quarter of a decibel low. Overviews round, and where their factor does not divide the image's sides
they are stretched by less than a pixel of theirs: a cell's power may be half a percent off.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from platform_assets.common.errors import PermanentError
from platform_assets.common.raster import local_environment

_BATCH_BYTES = 1 << 20
"""Of lines that are squared at once: they stay in the processor's cache."""

_CACHE_BYTES = 192 << 20
"""GDAL's: a row of tiles is read by several rows of cells."""

_PROBES = (1, 3, 5)
"""Where overviews are compared with the image: at these sixths of its sides."""
_PROBE_PX = 512
_SAME_POWER = 0.01
"""Overviews by averaging lose 5 % of the power of an image with the speckle of a GRD."""

_OFFSETS_EVERY = 16
"""A strip that is left out or lies elsewhere shifts all that follow it: not every offset need be asked for, which costs a millisecond
a thousand."""

_ZEROS_EVERY = 4
"""Where there is no image, there is none in an area: looking for it in every line costs an eighth of all work."""

Pixels = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class MeanPower:
    """The mean of the squared digital numbers in cells.

    Attributes:
        values: Shape (lines, samples) of the grid; NaN in cells of which less than half has an image.
        source: What was read: `strips`, `windows`, or `overviews 1:4`.
    """

    values: NDArray[np.float64]
    source: str


def mean_power(path: Path, shape: tuple[int, int], cell: tuple[int, int], *, zero_is_missing: bool) -> MeanPower:
    """Return the mean power in each whole cell of an image; the rest at its far edges is left out.

    Args:
        path: The image: one band of unsigned 16-bit integers.
        shape: Its lines and samples, as its annotation has them.
        cell: Lines and samples of a cell.
        zero_is_missing: Whether 0 stands for no image, as at the borders of products from which no noise was subtracted.

    Raises:
        PermanentError: The file is truncated, damaged, or is not what its annotation says.
    """
    try:
        with local_environment(GDAL_CACHEMAX=_CACHE_BYTES), warnings.catch_warnings():
            # Places come from the annotation; control points in the image are not needed.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return _mean_power(path, shape, cell, zero_is_missing=zero_is_missing)
    except RasterioError as error:
        said = str(error.__cause__ or error).replace(f"{path}", path.name)
        raise _bad(path, f"it cannot be read: {said}", "corrupt_image") from error


def _mean_power(path: Path, shape: tuple[int, int], cell: tuple[int, int], *, zero_is_missing: bool) -> MeanPower:
    with rasterio.open(path, driver="GTiff") as image:
        _check(path, image, shape)
        offset = _strips_at(image)
        if offset is not None:
            return MeanPower(_over(_strips(path, image, offset, cell[0]), shape, cell, zero_is_missing=zero_is_missing), "strips")
        level, factor = _overview(path, image, cell)
        if not factor:
            return MeanPower(_over(_windows(image, cell[0]), shape, cell, zero_is_missing=zero_is_missing), "windows")
    with rasterio.open(path, driver="GTiff", overview_level=level) as image:
        small = (cell[0] // factor, cell[1] // factor)
        mean = _over(_windows(image, small[0]), (image.height, image.width), small, zero_is_missing=zero_is_missing)
    return MeanPower(mean[: shape[0] // cell[0], : shape[1] // cell[1]], f"overviews 1:{factor}")


def _check(path: Path, image: DatasetReader, shape: tuple[int, int]) -> None:
    if (image.height, image.width) != shape:
        raise _bad(path, f"it has {image.height} lines of {image.width} samples, but its annotation says {shape[0]} of {shape[1]}")
    if image.dtypes != ("uint16",):
        raise _bad(path, f"it has bands of {', '.join(image.dtypes)} instead of one of uint16")


def _bad(path: Path, problem: str, code: str = "bad_image") -> PermanentError:
    return PermanentError(f"{path.name}: {problem}", code=code, remedy="Upload the product again; compare its MD5 with the manifest's.")


def _strips_at(image: DatasetReader) -> int | None:
    """Return where the pixels begin if they lie in the file line by line, else None."""
    rows, width = image.block_shapes[0]
    if image.compression is not None or width != image.width:
        return None
    last = -(-image.height // rows) - 1
    strips = [*range(0, last, _OFFSETS_EVERY), last]
    offsets = [image.get_tag_item(f"BLOCK_OFFSET_0_{strip}", "TIFF", bidx=1) for strip in strips]
    if None in offsets:
        return None
    first = int(offsets[0])
    in_order = [first + strip * rows * width * 2 for strip in strips]
    return first if [int(offset) for offset in offsets] == in_order and _is_little_endian(image) else None


def _is_little_endian(image: DatasetReader) -> bool:
    with Path(image.name).open("rb") as file:
        return file.read(2) == b"II"


def _strips(path: Path, image: DatasetReader, offset: int, step: int) -> Iterator[Pixels]:
    """Yield all lines that fill rows of cells, some at a time and never those of two rows; each overwrites the last."""
    batch = np.empty((min(step, max(1, _BATCH_BYTES // (2 * image.width))), image.width), "<u2")
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        for _ in range(image.height // step):
            for top in range(0, step, len(batch)):
                lines = batch[: step - top]
                if file.readinto(lines.view("u1").data) != lines.nbytes:
                    raise _bad(path, "it is truncated: it ends before its last line", "corrupt_image")
                yield lines


def _windows(image: DatasetReader, step: int) -> Iterator[Pixels]:
    """Yield all lines that fill rows of cells, read by GDAL."""
    lines = np.empty((step, image.width), "uint16")
    for top in range(0, image.height // step * step, step):
        yield image.read(1, window=Window(0, top, image.width, step), out=lines)


def _over(batches: Iterator[Pixels], shape: tuple[int, int], cell: tuple[int, int], *, zero_is_missing: bool) -> NDArray[np.float64]:
    """Average the squares of batches of lines over cells."""
    rows, columns = shape[0] // cell[0], shape[1] // cell[1]
    power, missing = np.zeros((rows, columns)), np.zeros((rows, columns))
    squares: NDArray[Any] = np.empty(0, "float32")
    done = 0
    for lines in batches:
        row = done // cell[0]
        done += len(lines)
        used = lines[:, : columns * cell[1]]
        if squares.shape != used.shape:
            squares = np.empty(used.shape, "float32")
        np.copyto(squares, used)
        by_cell = squares.reshape(len(lines), columns, cell[1])
        # The sum over a line of a cell fits into 32 bits without loss that matters; their sum does not.
        power[row] += np.einsum("ijk,ijk->ij", by_cell, by_cell).sum(axis=0, dtype="float64")
        if zero_is_missing:
            _count_zeros(used, columns, missing[row])
    pixels = cell[0] * cell[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(2 * missing > pixels, np.nan, power / (pixels - missing))


def _count_zeros(lines: Pixels, columns: int, counts: NDArray[np.float64]) -> None:
    """Add the zeros to the counts of their cells; only cells that have some in every fourth line are counted."""
    zeros = np.flatnonzero(lines[::_ZEROS_EVERY].min(axis=0) == 0)
    if zeros.size:
        some = np.unique(zeros // (lines.shape[1] // columns))
        counts[some] += (lines.reshape(len(lines), columns, -1)[:, some] == 0).sum(axis=(0, 2))


def _overview(path: Path, image: DatasetReader, cell: tuple[int, int]) -> tuple[int, int]:
    """Return level and factor of the smallest overview that cells can be averaged from; zeros for none."""
    fitting = [(level, factor) for level, factor in enumerate(image.overviews(1)) if not (cell[0] % factor or cell[1] % factor)]
    if not fitting:
        return 0, 0
    level, factor = fitting[-1]
    with rasterio.open(path, driver="GTiff", overview_level=level) as small:
        return (level, factor) if _keeps_power(image, small, factor) else (0, 0)


def _keeps_power(image: DatasetReader, small: DatasetReader, factor: int) -> bool:
    """Whether an overview was made by RMS: GDAL does not write down how, so it is measured."""
    compared = 0
    for line in _PROBES:
        for sample in _PROBES:
            window = Window(
                image.width * sample // 6 // factor, image.height * line // 6 // factor, _PROBE_PX // factor, _PROBE_PX // factor
            ).intersection(Window(0, 0, small.width, small.height))
            full = Window(*(factor * side for side in (window.col_off, window.row_off, window.width, window.height)))
            power = np.square(image.read(1, window=full), dtype="float64").mean()
            if not power:
                continue
            compared += 1
            if abs(np.square(small.read(1, window=window), dtype="float64").mean() / power - 1) > _SAME_POWER:
                return False
    return compared > 0
