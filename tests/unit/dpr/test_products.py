import shutil

import numpy as np
import pytest

from platform_assets.dpr.errors import PayloadError
from platform_assets.dpr.payload import Output, Payload
from platform_assets.dpr.products import (
    MissingOutput,
    NotPublishable,
    UnreadableProduct,
    check_outputs,
    check_product,
    clean_folders,
    discover,
    final_outputs,
    place,
    remove,
)
from platform_assets.dpr.zarr_store import Array, store_objects
from tests.builders.bucket import MemoryBucket

PATH = "s3://products/ana/maps/1f"
DISCOVERY = {"type": "Feature", "geometry": None, "properties": {"datetime": "2026-05-01T04:10:00Z", "product:type": "MAP"}}


def output(name="geo", path=PATH, **fields):
    given = {"collection": "maps", "product_type": "*", "is_final": True, "is_mandatory": True, "autoclean": False} | fields
    return Output(name, path, **given)


def bucket_of(*keys):
    bucket = MemoryBucket("products")
    for key in keys:
        bucket.write(f"ana/maps/1f/{key}", b"{}", content_type="")
    return bucket


def write_product(bucket, folder, zarr_format=2, discovery=DISCOVERY):
    counts = Array(np.arange(6, dtype="u1"), ("x",), {})
    for key, data in store_objects({"counts": counts}, {"stac_discovery": discovery}, zarr_format):
        bucket.write(f"{folder}/{key}", data, content_type="")


# --- discovery (C16) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "folders"),
    [
        (["a.zarr/.zattrs", "b.zarr/.zattrs"], ["a.zarr", "b.zarr"]),
        (["products/a.zarr/.zattrs", "products/b.zarr/.zattrs"], ["products/a.zarr", "products/b.zarr"]),
        (["a.zarr/.zattrs", "a.zarr/measurements/.zattrs", "x/deep/er/.zattrs"], ["a.zarr"]),
        ([".zattrs", "measurements/.zattrs", "products/a/.zattrs"], [""]),
        (["a.zarr/zarr.json", "a.zarr/counts/zarr.json"], ["a.zarr"]),
        (["zarr.json", "counts/zarr.json"], [""]),
        (["products/.zattrs", "products/quality/.zattrs"], ["products"]),
        (["a.zarr/.zgroup", "readme.txt"], []),
        ([], []),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_product_is_the_folder_itself_or_one_in_it_or_one_in_products(keys, folders, slash):
    found = discover(bucket_of(*keys), output(path=PATH + slash))
    assert [product.folder for product in found] == [f"ana/maps/1f/{folder}".rstrip("/") for folder in folders]


def test_a_product_is_told_with_all_its_objects():
    bucket = bucket_of("a.zarr/.zattrs", "a.zarr/m/0.0", "b.zarr/.zattrs", "stray")
    bucket.write("ana/maps/1f2/c.zarr/.zattrs", b"{}", content_type="")
    first, second = discover(bucket, output())
    assert (first.name, first.href, first.sizes, first.size_bytes) == ("a.zarr", f"{PATH}/a.zarr", {".zattrs": 2, "m/0.0": 2}, 4)
    assert (second.name, second.marker.key) == ("b.zarr", "ana/maps/1f/b.zarr/.zattrs")


def test_the_folder_itself_is_called_as_it_is():
    (product,) = discover(bucket_of(".zattrs"), output())
    assert (product.name, product.href, product.sizes) == ("1f", PATH, {".zattrs": 2})


def test_of_a_product_in_both_formats_the_newer_one_is_read():
    (product,) = discover(bucket_of("a.zarr/.zattrs", "a.zarr/zarr.json"), output())
    assert product.marker.key.endswith("zarr.json")


# --- what is published (C18) --------------------------------------------------------------------------------------------


def test_only_final_outputs_are_published():
    outputs = (output("geo"), output("cal", "/share/run/cal", is_final=False))
    assert [found.name for found in final_outputs(Payload({"io": {"output_products": []}}, outputs))] == ["geo"]
    assert [found.name for found in final_outputs(Payload({"I/O": {"output_products": []}}, outputs))] == ["geo"]


def test_a_payload_without_inputs_and_outputs_is_refused():
    with pytest.raises(PayloadError, match="neither 'io' nor 'I/O'"):
        final_outputs(Payload({"workflow": []}, ()))


def test_a_final_product_on_a_disk_is_refused_before_it_is_made():
    with pytest.raises(NotPublishable, match="'geo' goes to the disk /share/run/geo"):
        final_outputs(Payload({"io": {"x": 1}}, (output(path="/share/run/geo"),)))


# --- checks -------------------------------------------------------------------------------------------------------------


def test_a_mandatory_output_that_was_not_made_is_told_with_what_was():
    found = discover(bucket_of("a.zarr/.zattrs"), output())
    check_outputs([output(), output("log", is_mandatory=False)], found)
    with pytest.raises(MissingOutput, match=r"no product of 'log' at s3://products/ana/maps/1f; products: geo"):
        check_outputs([output(), output("log")], found)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_whole_product_says_what_it_is(zarr_format):
    bucket = MemoryBucket("products")
    write_product(bucket, "ana/maps/1f/a.zarr", zarr_format)
    (product,) = discover(bucket, output())
    assert check_product(bucket, product) == DISCOVERY


@pytest.mark.parametrize("attributes", [b"{", b"[]", b"{}", b'{"stac_discovery": 1}', b'{"stac_discovery": {}}', b"\xff"])
def test_a_product_that_does_not_say_what_it_is_is_refused(attributes):
    bucket = MemoryBucket("products")
    write_product(bucket, "ana/maps/1f/a.zarr")
    bucket.write("ana/maps/1f/a.zarr/.zattrs", attributes, content_type="")
    (product,) = discover(bucket, output())
    with pytest.raises(UnreadableProduct, match=r"a\.zarr/\.zattrs is no JSON with stac_discovery\.properties"):
        check_product(bucket, product)


def test_a_product_of_which_a_part_is_missing_is_refused():
    bucket = MemoryBucket("products")
    write_product(bucket, "ana/maps/1f/a.zarr")
    bucket.delete("ana/maps/1f/a.zarr/counts/.zarray")
    (product,) = discover(bucket, output())
    with pytest.raises(UnreadableProduct, match=r"counts/\.zarray is missing"):
        check_product(bucket, product)


def test_of_many_faults_the_first_are_told():
    bucket = MemoryBucket("products")
    names = [f"band{number}" for number in range(8)]
    arrays = {name: Array(np.arange(6, dtype="u1"), ("x",), {}) for name in names}
    for key, data in store_objects(arrays, {"stac_discovery": DISCOVERY}):
        bucket.write(f"ana/maps/1f/a.zarr/{key}", b"" if key.endswith("/0") else data, content_type="")
    (product,) = discover(bucket, output())
    with pytest.raises(UnreadableProduct, match=r"band4/0 is empty; and 3 more"):
        check_product(bucket, product)


# --- deleting (C19) -----------------------------------------------------------------------------------------------------


def test_what_an_attempt_wrote_is_deleted_and_nothing_beside_it():
    bucket = bucket_of("a.zarr/.zattrs", "b.zarr/.zattrs")
    bucket.write("ana/maps/1f0/.zattrs", b"{}", content_type="")
    remove(bucket, PATH)
    assert [ref.key for ref in bucket.list()] == ["ana/maps/1f0/.zattrs"]
    remove(bucket, PATH)
    remove(bucket, "s3://products/")
    remove(bucket, "s3://products")
    assert [ref.key for ref in bucket.list()] == ["ana/maps/1f0/.zattrs"]


def test_folders_are_cleaned_and_what_cannot_be_is_told_without_failing(tmp_path, monkeypatch):
    for name in ("first", "stuck", "last"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    real = shutil.rmtree

    def rmtree(folder):
        if folder.name == "stuck":
            raise PermissionError(13, "Permission denied")
        real(folder)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    told = list(clean_folders(tmp_path / name for name in ("first", "gone", "file", "link", "stuck", "last")))
    assert [line.removeprefix(f"{tmp_path}/") for line in told] == [
        "gone is not there to be deleted: the disk may be another machine's",
        "file is no folder, and is not deleted",
        "link is no folder, and is not deleted",
        "stuck is not deleted: Permission denied",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "stuck"]


def test_an_address_is_bucket_and_key():
    assert place("s3://b/a/c.zarr/") == ("b", "a/c.zarr")
    assert place("s3://b") == ("b", "")
