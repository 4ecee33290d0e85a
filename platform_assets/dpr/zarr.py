"""Looks at a Zarr store as its reader would, without reading its data: Zarr 2 and 3, by the specification, not by a library.

Seen are metadata that are no metadata or name what is not there, chunks that are empty, outside their array or of another size
than they must have, and, of one chunk an array, data that do not unpack. Chunks that are not there are no fault: they are fill
values.
"""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

V2, V3 = ".zattrs", "zarr.json"
"""The objects that have a group's attributes."""

_GROUP, _CONSOLIDATED = ".zgroup", ".zmetadata"
_SAMPLED_ARRAYS = 16
_SAMPLED_BYTES = 32 << 20
_BLOSC_HEADER = 16
_ZSTD_MAGIC, _ZSTD_LEAST, _ZSTD_REPEATED = b"\x28\xb5\x2f\xfd", 8, 1

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class _Array:
    """An array of a store.

    Attributes:
        path: Its folder in the store.
        shape: Cells of each dimension.
        chunks: The same of a chunk.
        item_bytes: Size of a cell; None when cells have no fixed size, or filters change it.
        codec: What packs chunks; empty for nothing.
        chunk_prefix: What the keys of chunks begin with in the folder.
        separator: What stands between the numbers of a chunk.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    item_bytes: int | None
    codec: str
    chunk_prefix: str
    separator: str

    @property
    def chunk_bytes(self) -> int | None:
        """Size of an unpacked chunk."""
        return None if self.item_bytes is None else self.item_bytes * math.prod(self.chunks)

    def index(self, name: str) -> tuple[int, ...] | None:
        """Return the numbers of a chunk by its key in the folder; None when it is no chunk."""
        if not self.shape:
            return () if name == (self.chunk_prefix.rstrip("/") or "0") else None
        if not name.startswith(self.chunk_prefix):
            return None
        numbers = name.removeprefix(self.chunk_prefix).split(self.separator)
        return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else None

    def is_inside(self, index: tuple[int, ...]) -> bool:
        """Whether there is such a chunk."""
        counts = [-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True)]
        return len(index) == len(counts) and all(number < count for number, count in zip(index, counts, strict=True))


def attributes(document: Any, name: str) -> Mapping[str, Any]:
    """Return the attributes of a group.

    Args:
        document: The content of the object that has them.
        name: That object's name, `V2` or `V3`.
    """
    found = document.get("attributes") if name == V3 and isinstance(document, dict) else document
    return found if isinstance(found, dict) else {}


def faults(read: Read, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield what a reader would stumble over, in words.

    Args:
        read: Returns an object of the store by its path.
        sizes: Of each object, by path.
    """
    arrays: dict[str, _Array] = {}
    for path, document in (_nodes_v3 if V3 in sizes else _nodes_v2)(read, sizes):
        if isinstance(document, str):
            yield document
        elif isinstance(array := _array(path, document, is_v3=V3 in sizes), str):
            yield f"{path}: {array}"
        elif array:
            arrays[path] = array
    last: dict[str, str] = {}
    for name in sizes:
        if found := _owner(name, arrays):
            yield from _chunk_faults(found, name, sizes[name])
            if found.index(name.removeprefix(f"{found.path}/")) is not None:
                last[found.path] = name
    for path, name in list(last.items())[:: max(1, len(last) // _SAMPLED_ARRAYS)]:
        if sizes[name] <= _SAMPLED_BYTES and not _unpacks(arrays[path], read(name)):
            yield f"the chunk {name} does not unpack"


# --- metadata -----------------------------------------------------------------------------------------------------------


def _nodes_v2(read: Read, sizes: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    """Yield folder and metadata of each array; what is wrong as a text."""
    if _GROUP not in sizes:
        yield "", f"{_GROUP} is missing, without which this is no group"
    if _CONSOLIDATED not in sizes:
        for name in sizes:
            if name.endswith("/.zarray"):
                yield name.removesuffix("/.zarray"), _json(read, name)
        return
    document = _json(read, _CONSOLIDATED)
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        yield "", document if isinstance(document, str) else f"{_CONSOLIDATED} has no metadata"
        return
    for name, node in metadata.items():
        if name not in sizes:
            yield "", f"{name} is missing, which {_CONSOLIDATED} names"
        elif name.endswith("/.zarray"):
            yield name.removesuffix("/.zarray"), node


def _nodes_v3(read: Read, sizes: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    root = _json(read, V3)
    consolidated = root.get("consolidated_metadata") if isinstance(root, dict) else None
    metadata = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    if not isinstance(metadata, dict):
        for name in sizes:
            if name.endswith(f"/{V3}"):
                yield name.removesuffix(f"/{V3}"), _json(read, name)
        return
    for path, node in metadata.items():
        if f"{path}/{V3}" not in sizes:
            yield "", f"{path}/{V3} is missing, which {V3} names"
        else:
            yield path, node


def _json(read: Read, name: str) -> Any:
    """Return a document, or what is wrong with it."""
    try:
        return json.loads(read(name))
    except (ValueError, RecursionError):
        return f"{name} is no JSON"


def _array(path: str, document: Any, *, is_v3: bool) -> _Array | str | None:
    """Return an array, what is wrong with it, or None for a group."""
    if not isinstance(document, dict):
        return "the metadata are no mapping"
    if is_v3 and document.get("node_type") == "group":
        return None
    try:
        return _array_v3(path, document) if is_v3 else _array_v2(path, document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"the metadata are none of an array: {type(error).__name__}: {error}"


def _array_v2(path: str, document: Mapping[str, Any]) -> _Array:
    compressor = document["compressor"]
    return _checked(
        _Array(
            path,
            tuple(document["shape"]),
            tuple(document["chunks"]),
            None if document.get("filters") else _item_bytes(document["dtype"]),
            compressor["id"] if compressor else "",
            "",
            document.get("dimension_separator") or ".",
        )
    )


def _array_v3(path: str, document: Mapping[str, Any]) -> _Array:
    encoding = document["chunk_key_encoding"]
    is_default = encoding["name"] == "default"
    separator = (encoding.get("configuration") or {}).get("separator") or ("/" if is_default else ".")
    codecs = [codec["name"] for codec in document["codecs"]]
    packing = [name for name in codecs if name not in ("bytes", "transpose")]
    return _checked(
        _Array(
            path,
            tuple(document["shape"]),
            tuple(document["chunk_grid"]["configuration"]["chunk_shape"]),
            _item_bytes(document["data_type"]) if "bytes" in codecs and len(packing) < 2 else None,
            "+".join(packing),
            f"c{separator}" if is_default else "",
            separator,
        )
    )


def _checked(array: _Array) -> _Array:
    if len(array.shape) != len(array.chunks) or min((*array.shape, 0)) < 0 or min((*array.chunks, 1)) < 1:
        raise ValueError(f"shape {list(array.shape)} in chunks of {list(array.chunks)}")
    return array


def _item_bytes(data_type: Any) -> int | None:
    if isinstance(data_type, list):
        data_type = [tuple(field) for field in data_type]
    try:
        found = np.dtype(data_type)
    except (TypeError, ValueError):
        return None  # Zarr has types that numpy has not
    return None if found.hasobject or not found.itemsize else found.itemsize


# --- chunks -------------------------------------------------------------------------------------------------------------


def _owner(name: str, arrays: Mapping[str, _Array]) -> _Array | None:
    folder = name
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        if folder in arrays:
            return arrays[folder]
    return None


def _chunk_faults(array: _Array, name: str, size_bytes: int) -> Iterator[str]:
    index = array.index(name.removeprefix(f"{array.path}/"))
    if index is None:
        return
    if not array.is_inside(index):
        yield f"the chunk {name} is outside its array"
    if not size_bytes:
        yield f"the chunk {name} is empty"
    elif not array.codec and array.chunk_bytes not in (None, size_bytes):
        yield f"the chunk {name} has {size_bytes} bytes instead of {array.chunk_bytes}"


def _unpacks(array: _Array, data: bytes) -> bool:
    """Whether a chunk is whole, as far as that can be told with what Python has."""
    try:
        match array.codec:
            case "zlib":
                return array.chunk_bytes in (None, len(zlib.decompress(data)))
            case "gzip":
                return array.chunk_bytes in (None, len(gzip.decompress(data)))
            case "blosc":
                unpacked, packed = (int.from_bytes(data[place : place + 4], "little") for place in (4, 12))
                return len(data) == packed >= _BLOSC_HEADER and array.chunk_bytes in (None, unpacked)
            case "zstd":
                return _is_zstd(data)
            case _:
                return True
    except (zlib.error, OSError, EOFError):
        return False


def _is_zstd(data: bytes) -> bool:
    """Whether data are one whole Zstandard frame: its blocks, which are not unpacked, end where the data do (RFC 8878)."""
    if len(data) < _ZSTD_LEAST or not data.startswith(_ZSTD_MAGIC):
        return False
    descriptor = data[4]
    is_single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size_field = (is_single, 2, 4, 8)[descriptor >> 6]
    place = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3] + size_field
    is_last = False
    while not is_last and place < len(data):
        header = int.from_bytes(data[place : place + 3], "little")
        is_last, kind = bool(header & 1), header >> 1 & 3
        place += 3 + (1 if kind == _ZSTD_REPEATED else header >> 3)
    return is_last and place + 4 * has_checksum == len(data)
