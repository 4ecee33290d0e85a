import json
import zlib

import imagecodecs
import numpy as np
import pytest

from platform_assets.dpr import zarr
from platform_assets.dpr.zarr_store import Array, store_objects

DISCOVERY = {"stac_discovery": {"properties": {"datetime": "2026-05-01T04:10:00Z"}}}


def store(zarr_format, shape=(3, 4)):
    values = Array(np.arange(np.prod(shape), dtype="i4").reshape(shape), ("y", "x"), {})
    return dict(store_objects({"measurements/counts": values}, DISCOVERY, zarr_format))


def faults(objects):
    return list(zarr.faults(objects.__getitem__, {path: len(data) for path, data in objects.items()}))


def chunk(zarr_format):
    return "measurements/counts/0.0" if zarr_format == 2 else "measurements/counts/c/0/0"


def changed(objects, path, **fields):
    """Change the metadata of an array, where they are and where they are told again."""
    objects[path] = json.dumps({**json.loads(objects[path]), **fields}).encode()
    root = ".zmetadata" if path.endswith(".zarray") else "zarr.json"
    document = json.loads(objects[root])
    metadata = document["metadata"] if root == ".zmetadata" else document["consolidated_metadata"]["metadata"]
    metadata[path.removesuffix("/zarr.json")] = json.loads(objects[path])
    objects[root] = json.dumps(document).encode()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_whole_store_has_no_faults(zarr_format):
    assert faults(store(zarr_format)) == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_without_consolidated_metadata_is_looked_at_too(zarr_format):
    objects = store(zarr_format)
    if zarr_format == 2:
        del objects[".zmetadata"]
    else:
        objects["zarr.json"] = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}).encode()
    assert faults(objects) == []
    objects[chunk(zarr_format)] = b""
    assert faults(objects) == [f"the chunk {chunk(zarr_format)} is empty"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_was_cut_off_is_told(zarr_format):
    objects = store(zarr_format)
    objects[chunk(zarr_format)] = objects[chunk(zarr_format)][:-1]
    assert faults(objects) == [f"the chunk {chunk(zarr_format)} has 47 bytes instead of 48"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_outside_its_array_is_told(zarr_format):
    objects = store(zarr_format)
    stray = chunk(zarr_format)[:-1] + "7"
    objects[stray] = objects[chunk(zarr_format)]
    assert faults(objects) == [f"the chunk {stray} is outside its array"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_is_not_there_is_no_fault(zarr_format):
    objects = store(zarr_format)
    del objects[chunk(zarr_format)]
    assert faults(objects) == []


@pytest.mark.parametrize(("zarr_format", "lost"), [(2, "measurements/counts/.zarray"), (3, "measurements/counts/zarr.json")])
def test_metadata_that_the_root_names_and_that_are_not_there_are_told(zarr_format, lost):
    objects = store(zarr_format)
    del objects[lost]
    (fault,) = faults(objects)
    assert fault.startswith(f"{lost} is missing")


def test_a_group_of_zarr_2_needs_what_says_that_it_is_one():
    objects = store(2)
    del objects[".zgroup"]
    assert faults(objects)[0] == ".zgroup is missing, without which this is no group"


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        (".zmetadata", b"{", ".zmetadata is no JSON"),
        (".zmetadata", b"[]", ".zmetadata has no metadata"),
    ],
)
def test_consolidated_metadata_that_are_none_are_told(name, data, told):
    assert faults(store(2) | {name: data}) == [told]


@pytest.mark.parametrize("fields", [{"chunks": [3]}, {"chunks": [0, 4]}, {"shape": None}, {"compressor": 7}])
def test_metadata_that_describe_no_array_are_told(fields):
    objects = store(2)
    changed(objects, "measurements/counts/.zarray", **fields)
    (fault,) = faults(objects)
    assert fault.startswith("measurements/counts: the metadata are none of an array: ")


@pytest.mark.parametrize("codec", ["zlib", "gzip", "blosc", "zstd"])
def test_a_packed_chunk_that_does_not_unpack_is_told(codec):
    objects = store(2)
    changed(objects, "measurements/counts/.zarray", compressor={"id": codec})
    objects[chunk(2)] = b"\x02\x01\x21\x04 this is none of it"
    assert faults(objects) == [f"the chunk {chunk(2)} does not unpack"]


def test_a_packed_chunk_of_another_size_than_its_array_says_is_told():
    objects = store(2)
    changed(objects, "measurements/counts/.zarray", compressor={"id": "zlib"})
    objects[chunk(2)] = zlib.compress(bytes(48))
    assert faults(objects) == []
    objects[chunk(2)] = zlib.compress(bytes(47))
    assert faults(objects) == [f"the chunk {chunk(2)} does not unpack"]


def test_a_blosc_chunk_that_was_cut_off_is_told_by_its_header():
    objects = store(2)
    changed(objects, "measurements/counts/.zarray", compressor={"id": "blosc"})
    whole = bytes(4) + (48).to_bytes(4, "little") + bytes(4) + (30).to_bytes(4, "little") + bytes(14)
    objects[chunk(2)] = whole
    assert faults(objects) == []
    objects[chunk(2)] = whole[:-1]
    assert faults(objects) == [f"the chunk {chunk(2)} does not unpack"]


@pytest.mark.parametrize("numbers", [np.arange(12), np.zeros(12), np.random.default_rng(0).integers(0, 2**30, 100_000)])
def test_a_zstandard_chunk_that_was_cut_off_is_told_by_its_blocks(numbers):
    packed = imagecodecs.zstd_encode(numbers.astype("i4").tobytes())
    objects = store(2, (1, len(numbers)))
    changed(objects, "measurements/counts/.zarray", compressor={"id": "zstd"})
    objects[chunk(2)] = packed
    assert faults(objects) == []
    for cut in (0, 5, len(packed) // 2, len(packed) - 1):
        objects[chunk(2)] = packed[:cut]
        assert faults(objects), cut


def test_codecs_and_types_that_are_not_known_are_not_judged():
    objects = store(3)
    path = "measurements/counts/zarr.json"
    changed(objects, path, codecs=[{"name": "bytes"}, {"name": "lerc"}], data_type={"name": "their.own"})
    assert faults(objects) == []


def test_chunks_in_folders_of_their_own_are_those_of_their_array():
    objects = store(2)
    changed(objects, "measurements/counts/.zarray", dimension_separator="/")
    objects["measurements/counts/0/0"] = objects.pop(chunk(2))[:-1]
    assert faults(objects) == ["the chunk measurements/counts/0/0 has 47 bytes instead of 48"]


def test_a_scalar_has_one_chunk():
    values = Array(np.array(7, dtype="i2"), (), {})
    objects = dict(store_objects({"crs": values}, DISCOVERY, 2))
    objects["crs/0"] = b"\x07"
    objects.pop("crs/", None)
    assert faults(objects) == ["the chunk crs/0 has 1 bytes instead of 2"]
