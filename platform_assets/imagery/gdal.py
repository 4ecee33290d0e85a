"""GDAL on a worker: its options, and its complaints as exceptions. The only module that knows how rasterio reports them.

rasterio raises when a call into GDAL fails. What GDAL merely mentions goes to Python's logging: a warning at level WARNING,
an error that did not make the call fail at level INFO. A damaged JPEG strip, for one, is decoded to grey with a warning.
"""

import errno
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import Interleaving, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from platform_assets.common.raster import local_environment

_CACHE_BYTES = 64 << 20
_MOST_CACHE_BYTES, _MOST_ROW_BYTES = 600 << 20, 1 << 30
_WINDOW_BYTES = 32 << 20
_WINDOW_LINES = 512
_LOGGERS = ("rasterio._env", "rasterio._err")
_MOST_WORDS = 3

_HARMLESS_WARNINGS = (
    # An odd or unknown tag. What GDAL makes of it is in the facts, which the product must repeat.
    re.compile(r"TIFF(ReadDirectory|ReadCustomDirectory|FetchNormalTag|FetchDirectory)"),
    # What old writers did, and libtiff knows how to read.
    re.compile(r"old-style (LZW|JPEG)|Auto-corrected former TIFF subsampling|negative value for ScaleY", re.IGNORECASE),
    # What the JPEG profile says of a low quality that was asked for.
    re.compile(r"quantization tables are too coarse"),
)
_HARMLESS = (
    # A reference system with an unknown code, or with parameters other than its code's. It is kept as it is, and compared.
    re.compile(r"PROJ: .*crs not found|definition of .* CRS .* is not the same"),
)
_DISK_FULL = re.compile(r"no space left|disk quota|write error|error writing|cannot write|can't write", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|cannot allocate|memory allocation|unable to allocate", re.IGNORECASE)
_ABSURD = "is greater than filesize"
"""What libtiff says before it claims to be out of memory for a tag that cannot be true."""


@contextmanager
def gdal_environment(scratch: Path) -> Iterator[None]:
    """Run a block with the options that every use of GDAL on a worker has.

    Args:
        scratch: Where GDAL may write temporary files.
    """
    options = {
        "GDAL_CACHEMAX": _CACHE_BYTES,  # a twentieth of its default on a large machine, at no cost up to 10,000 pixels a line
        "GDAL_NUM_THREADS": 1,  # a worker has one core, and threaded compression swallows errors
        "CPL_TMPDIR": str(scratch),
        "COG_TMP_COMPRESSION": "NONE",  # overviews and masks are written to a temporary file and read back at once
        "GDAL_TIFF_INTERNAL_MASK": True,
        "GTIFF_IGNORE_READ_ERRORS": False,
    }
    with warnings.catch_warnings():
        # A scan without georeferencing is a good image.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with local_environment(**options):
            yield


@contextmanager
def cache_for(dataset: DatasetReader) -> Iterator[None]:
    """Run a block with a block cache that spares this dataset from being read and decoded again and again.

    A COG is written in two passes: an image that fits, with its overviews, is kept whole (10,000 x 10,000 RGB with LZW: 2.2 instead
    of 4.9 CPU-s; 6,000 x 6,000 RGB without compression: 0.41 instead of 0.53). Else 512 lines must fit, as passes go by columns:
    60,000 x 4,000 took 229 s with 64 MB, 11 s with 128.
    """
    line = dataset.width * pixel_bytes(dataset.dtypes)
    row = max(512, dataset.block_shapes[0][0]) * line * 5 // 4
    whole = dataset.height * line * 7 // 5
    wanted = max(_CACHE_BYTES, row, whole if whole <= _MOST_CACHE_BYTES else 0)
    with local_environment(GDAL_CACHEMAX=min(_MOST_ROW_BYTES, wanted)):
        yield


def pixel_bytes(dtypes: tuple[str, ...]) -> int:
    """Return the bytes of one pixel of all bands in memory, by rasterio's names of their types."""
    return sum(numpy_type(name).itemsize for name in dtypes)


def numpy_type(name: str) -> np.dtype[Any]:
    """Return the type that rasterio reads a band of this type as."""
    return np.dtype("complex64" if name == "complex_int16" else name)


@contextmanager
def strict(path: Path, wrong: Callable[[str], Exception]) -> Iterator[None]:
    """Run a block of GDAL calls on a file; anything but the harmless that GDAL complains of in this thread ends it.

    Raises:
        Exception: What `wrong` makes of GDAL's words.
        OSError: The disk is full.
        MemoryError: GDAL could not allocate memory.
    """
    heard: list[str] = []
    cause: Exception | None = None
    with _listening(heard):
        try:
            yield
        except (RasterioError, CPLE_BaseError) as error:
            cause = error
            heard.append(str(error))
    if heard:
        folder = f"{path.parent}{os.sep}"
        words = [word.replace(folder, "").removeprefix(f"{path.name}: ") for word in heard]
        raise _verdict(path, list(dict.fromkeys(words)), wrong) from cause


def windows(dataset: DatasetReader, bytes_per_pixel: int) -> Iterator[Window]:
    """Yield windows that cover a dataset line by line of blocks, each of whole blocks and of about 32 MB in memory."""
    lines, columns = dataset.block_shapes[0]
    lines *= max(1, _WINDOW_LINES // lines)
    columns *= max(1, _WINDOW_BYTES // (lines * columns * bytes_per_pixel))
    for top in range(0, dataset.height, lines):
        for left in range(0, dataset.width, columns):
            yield Window(left, top, min(columns, dataset.width - left), min(lines, dataset.height - top))


def decode_all(path: Path, wrong: Callable[[str], Exception], **open_options: Any) -> None:
    """Decode every pixel of a TIFF's image, or of the overview that `open_options` name.

    Raises:
        Exception: What `wrong` makes of GDAL's words.
    """
    with strict(path, wrong), rasterio.open(path, driver="GTiff", **open_options) as dataset, cache_for(dataset):
        # Of pixel-interleaved blocks one band costs the decoding of all.
        bands = [1] if dataset.interleaving == Interleaving.pixel else list(dataset.indexes)
        masked = MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        for window in windows(dataset, pixel_bytes(dataset.dtypes)):
            for band in bands:
                dataset.read(band, window=window)
            if masked:
                dataset.read_masks(1, window=window)


def _verdict(path: Path, words: list[str], wrong: Callable[[str], Exception]) -> Exception:
    said = "; ".join(words)
    if _DISK_FULL.search(said):
        return OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {said}")
    if _NO_MEMORY.search(said) and _ABSURD not in said:
        return MemoryError(said)
    more = f" (and {len(words) - _MOST_WORDS} more)" if len(words) > _MOST_WORDS else ""
    return wrong(f"{path.name}: {'; '.join(words[:_MOST_WORDS])}{more}")


@contextmanager
def _listening(heard: list[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            ear = _Ear(heard)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.INFO)
            logger.disabled = False  # `logging.config` disables loggers that it does not know
            logger.addFilter(ear)
            stack.callback(logger.removeFilter, ear)
        yield


class _Ear(logging.Filter):
    """Takes what GDAL says in the thread that made this filter, and keeps it out of the log."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._thread = get_ident()
        self._heard = heard

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a record; True passes it on."""
        if get_ident() != self._thread:
            return True
        said = str(record.args[-1] if isinstance(record.args, tuple) and record.args else record.msg)
        is_warning = record.levelno >= logging.WARNING
        if any(pattern.search(said) for pattern in (_HARMLESS + _HARMLESS_WARNINGS if is_warning else _HARMLESS)):
            return is_warning
        if is_warning or str(record.msg).startswith(("GDAL signalled", "Unknown error")):
            self._heard.append(said)
        return False
