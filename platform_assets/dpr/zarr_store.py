"""Small Zarr stores, of format 2 or 3, as the objects that they consist of: uncompressed, one chunk an array."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Object = tuple[str, bytes]
"""A key within the store, and its content."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array of a store.

    Attributes:
        values: Its values; at least one.
        dimensions: A name for each axis.
        attributes: Such as units and long_name.
    """

    values: NDArray[Any]
    dimensions: tuple[str, ...]
    attributes: Mapping[str, Any]


def store_objects(arrays: Mapping[str, Array], attributes: Mapping[str, Any], zarr_format: int = 2) -> Iterator[Object]:
    """Yield the objects of a store; its own attributes come last, so that a store that has them is whole.

    Args:
        arrays: By path, such as `measurements/counts`.
        attributes: Of the root group.
        zarr_format: 2 or 3.
    """
    yield from _format_2(arrays, attributes) if zarr_format == 2 else _format_3(arrays, attributes)


def _format_2(arrays: Mapping[str, Array], attributes: Mapping[str, Any]) -> Iterator[Object]:
    documents: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}
    for group in _groups(arrays):
        documents[f"{group}/.zgroup"] = {"zarr_format": 2}
    for path, array in arrays.items():
        values = _plain(array.values)
        yield f"{path}/{'.'.join('0' * values.ndim)}", values.tobytes()
        documents[f"{path}/.zarray"] = {
            "zarr_format": 2,
            "shape": values.shape,
            "chunks": values.shape,
            "dtype": values.dtype.str,
            "compressor": None,
            "fill_value": None,  # xarray and CPM take what equals it for missing
            "order": "C",
            "filters": None,
        }
        documents[f"{path}/.zattrs"] = {**array.attributes, "_ARRAY_DIMENSIONS": array.dimensions}
    yield ".zmetadata", _json({"zarr_consolidated_format": 1, "metadata": documents})
    for key, document in sorted(documents.items(), key=lambda row: row[0] == ".zattrs"):
        yield key, _json(document)


def _format_3(arrays: Mapping[str, Array], attributes: Mapping[str, Any]) -> Iterator[Object]:
    documents: dict[str, Any] = {group: {"zarr_format": 3, "node_type": "group", "attributes": {}} for group in _groups(arrays)}
    for path, array in arrays.items():
        values = _plain(array.values)
        yield f"{path}/c/{'/'.join('0' * values.ndim)}", values.tobytes()
        documents[path] = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": values.shape,
            "data_type": values.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": values.shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": array.attributes,
            "dimension_names": array.dimensions,
        }
    for path, document in documents.items():
        yield f"{path}/zarr.json", _json(document)
    inside = {"kind": "inline", "must_understand": False, "metadata": documents}
    root = {"zarr_format": 3, "node_type": "group", "attributes": attributes, "consolidated_metadata": inside}
    yield "zarr.json", _json(root)


def _groups(arrays: Mapping[str, Array]) -> list[str]:
    parts = [path.split("/")[:-1] for path in arrays]
    return sorted({"/".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)})


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
