"""The structure of a TIFF file, read strictly and before GDAL sees it: what it is, and what it announces.

GDAL opens whatever it recognises (a VRT names other files), allocates for every band, and follows chains of directories.
This reader needs a few kilobytes whatever the file says.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from isal import isal_zlib

from platform_assets.common.errors import LimitExceeded, PermanentError

NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 254, 256, 257, 258
COMPRESSION, STRIP_OFFSETS, SAMPLES_PER_PIXEL, STRIP_BYTE_COUNTS = 259, 273, 277, 279
TILE_WIDTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 324, 325

_REDUCED, _MASK = 1, 4
_DEFLATE = (8, 32946)
_CHUNK_BYTES = 1 << 20
_BLOCKS_AT_ONCE = 4096
_MOST_DIRECTORIES = 4096
_MOST_ENTRIES = 4096
"""libtiff's own limit of tags in a directory."""

_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 or NetCDF file"),
    (b"CDF", "a NetCDF file"),
)
_TEXTS = (
    ("<vrtdataset", "a GDAL VRT, which names other files"),
    ("<!doctype html", "an HTML page"),
    ("<html", "an HTML page"),
    ("<error", "an error message of an S3 server"),
    ("<?xml", "an XML document"),
    ("version https://git-lfs", "a Git LFS pointer instead of the file"),
    ("{", "a JSON document"),
)


class NotATiff(PermanentError):
    """The file is not a TIFF, whatever its name says."""

    code = "not_a_tiff"
    remedy = "Upload the TIFF itself, then submit the row again."


class CorruptImage(PermanentError):
    """The file is a TIFF, but damaged or cut short."""

    code = "corrupt_image"
    remedy = "Upload an intact copy, then submit the row again."


@dataclass(frozen=True, slots=True)
class Directory:
    """One image of a TIFF file: page, overview or mask.

    Attributes:
        values: The first value of each tag that holds integers.
        arrays: Form, number and position in the file of all values of such a tag.
    """

    values: dict[int, int]
    arrays: dict[int, tuple[str, int, int]]

    @property
    def is_page(self) -> bool:
        """Whether it is an image of its own: neither overview nor mask of another."""
        return not self.values.get(NEW_SUBFILE_TYPE, 0) & (_REDUCED | _MASK)

    @property
    def is_mask(self) -> bool:
        """Whether it is a mask."""
        return bool(self.values.get(NEW_SUBFILE_TYPE, 0) & _MASK)

    @property
    def tiled(self) -> bool:
        """Whether its pixels are stored in tiles."""
        return TILE_WIDTH in self.values


@dataclass(frozen=True, slots=True)
class Header:
    """What a TIFF file announces.

    Attributes:
        directories: Its images; the first is what GDAL opens.
    """

    directories: tuple[Directory, ...]

    @property
    def width(self) -> int:
        """Pixels a line."""
        return self.directories[0].values.get(IMAGE_WIDTH, 0)

    @property
    def height(self) -> int:
        """Lines."""
        return self.directories[0].values.get(IMAGE_LENGTH, 0)

    @property
    def bands(self) -> int:
        """Samples a pixel."""
        return self.directories[0].values.get(SAMPLES_PER_PIXEL, 1)

    @property
    def decoded_bytes(self) -> int:
        """Size of all its bands in memory, where a sample takes whole bytes."""
        bits = self.directories[0].values.get(BITS_PER_SAMPLE, 1)
        return self.width * self.height * self.bands * -(-bits // 8)

    @property
    def pages(self) -> int:
        """Images in it that are neither overviews nor masks; all but the first are ignored."""
        return sum(directory.is_page for directory in self.directories)


def read_header(path: Path) -> Header:
    """Read the directories of a TIFF file.

    Raises:
        NotATiff: The file is something else; the message says what it looks like.
        CorruptImage: A directory lies outside the file, is cut short, repeats itself or announces nothing.
        LimitExceeded: It holds thousands of images.
    """
    with path.open("rb") as file:
        header = Header(tuple(_reader(file, path.name).directories()))
    if not header.width or not header.height or not header.bands:
        raise CorruptImage(f"{path.name}: it announces {header.width} x {header.height} pixels in {header.bands} bands")
    return header


def check_deflate(path: Path) -> None:
    """Check the checksum that ends every strip and tile with DEFLATE compression; other compressions have none.

    libtiff does not: it takes a damaged one that decodes to more bytes than are needed for good.

    Raises:
        CorruptImage: One is damaged.
    """
    first, *others = read_header(path).directories
    with path.open("rb") as file:
        for directory in (first, *(other for other in others if other.is_mask)):
            if directory.values.get(COMPRESSION) in _DEFLATE:
                for offset, size in _blocks(file, directory):
                    if size and not _inflates(file, offset, size):
                        raise CorruptImage(f"{path.name}: the DEFLATE data at byte {offset:,} are damaged: their checksum is wrong")


def _blocks(file: BinaryIO, directory: Directory) -> Iterator[tuple[int, int]]:
    """Yield offset and size of every strip or tile."""
    tags = (TILE_OFFSETS, TILE_BYTE_COUNTS) if directory.tiled else (STRIP_OFFSETS, STRIP_BYTE_COUNTS)
    arrays = [directory.arrays.get(tag, ("<I", 0, 0)) for tag in tags]
    for start in range(0, min(number for _, number, _ in arrays), _BLOCKS_AT_ONCE):
        columns = []
        for form, number, position in arrays:
            size = struct.calcsize(form)
            file.seek(position + start * size)
            part = file.read(min(_BLOCKS_AT_ONCE, number - start) * size)
            columns.append([value for (value,) in struct.iter_unpack(form, part[: len(part) // size * size])])
        yield from zip(*columns, strict=False)


def _inflates(file: BinaryIO, offset: int, size: int) -> bool:
    """Whether compressed data are whole and their checksum is right; in a few megabytes of memory, whatever they claim."""
    decoder = isal_zlib.decompressobj()
    file.seek(offset)
    try:
        while not decoder.eof:
            data = decoder.unconsumed_tail
            if not data:
                data = file.read(min(size, _CHUNK_BYTES))
                size -= len(data)
            if not data:
                return False
            decoder.decompress(data, _CHUNK_BYTES)
    except isal_zlib.error:  # type: ignore[misc]  # the stubs forget what it derives from
        return False
    return True


def _reader(file: BinaryIO, name: str) -> "_Reader":
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order and len(head) >= 8:
        version = struct.unpack_from(f"{order}H", head, 2)[0]
        if version == 42:
            return _Reader(file, name, order, struct.unpack_from(f"{order}I", head, 4)[0], big=False)
        if version == 43 and len(head) == 16 and struct.unpack_from(f"{order}HH", head, 4) == (8, 0):
            return _Reader(file, name, order, struct.unpack_from(f"{order}Q", head, 8)[0], big=True)
    raise NotATiff(f"{name}: it is {_looks_like(head + file.read(496))}, not a TIFF")


def _looks_like(head: bytes) -> str:
    if not head:
        return "empty (0 bytes)"
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return what
    text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1").lstrip().lower()
    for beginning, what in _TEXTS:
        if text.startswith(beginning):
            return what
    if not any(head):
        return "nothing but zero bytes"
    if text.isprintable() or (text.isascii() and all(c.isprintable() or c.isspace() for c in text)):
        return "a text file"
    return f"a file that begins with the bytes {head[:4].hex(' ')}"


class _Reader:
    """Walks the directories of an open file."""

    def __init__(self, file: BinaryIO, name: str, order: str, first: int, *, big: bool) -> None:
        self._order = order
        self._file = file
        self._name = name
        self._next = first
        self._big = big
        self._size = file.seek(0, os.SEEK_END)

    def directories(self) -> Iterator[Directory]:
        """Yield every directory in the order of the chain."""
        if not self._next:
            raise CorruptImage(f"{self._name}: it has a header, but no image")
        seen: set[int] = set()
        while self._next:
            if self._next in seen:
                raise CorruptImage(f"{self._name}: its chain of directories loops back to byte {self._next:,}")
            if len(seen) == _MOST_DIRECTORIES:
                raise LimitExceeded(f"{self._name}: it holds more than {_MOST_DIRECTORIES:,} images", remedy="Split the file.")
            seen.add(self._next)
            yield self._directory()

    def _directory(self) -> Directory:
        counted, entry_form = ("Q", "HHQ8s") if self._big else ("H", "HHI4s")
        position = self._next
        count = self._unpack(counted, position)[0]
        if not 0 < count <= _MOST_ENTRIES:
            raise CorruptImage(f"{self._name}: the directory at byte {position:,} announces {count:,} tags")
        position += struct.calcsize(f"{self._order}{counted}")
        size = struct.calcsize(f"{self._order}{entry_form}")
        values, arrays = {}, {}
        for start in range(position, position + count * size, size):
            tag, kind, number, inline = self._unpack(entry_form, start)
            value_at = start + size - len(inline)
            if number * _SIZES.get(kind, 1) > len(inline):
                value_at = struct.unpack(f"{self._order}{'Q' if self._big else 'I'}", inline)[0]
            # Offsets of values are checked where they are needed: many files carry a broken private tag that nobody reads.
            if number and kind in _FORMATS and value_at + _SIZES[kind] <= self._size:
                values[tag] = self._unpack(_FORMATS[kind], value_at)[0]
                arrays[tag] = (self._order + _FORMATS[kind], number, value_at)
        self._next = self._unpack("Q" if self._big else "I", position + count * size)[0]
        return Directory(values, arrays)

    def _unpack(self, form: str, position: int) -> tuple[Any, ...]:
        size = struct.calcsize(self._order + form)
        if position + size > self._size:
            raise CorruptImage(f"{self._name}: a directory should lie at byte {position:,}, but the file ends at {self._size:,}")
        self._file.seek(position)
        return struct.unpack(self._order + form, self._file.read(size))
