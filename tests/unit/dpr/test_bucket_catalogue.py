import json
import threading

import pytest

from platform_assets.common.errors import StoreUnavailable
from platform_assets.dpr import bucket_catalogue, naming
from platform_assets.dpr.bucket_catalogue import BucketCatalogue
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import InvalidItem
from tests.builders import cql2_cases
from tests.builders.bucket import MemoryBucket
from tests.builders.dpr import auxiliary

ALL = Search()


def put(bucket, item, prefix=""):
    bucket.write(naming.item_key(item["collection"], item["id"], prefix), json.dumps(item).encode(), content_type="application/geo+json")


def ids(found):
    return sorted(item["id"] for item in found)


@pytest.fixture
def bucket():
    bucket = MemoryBucket("out")
    for item in cql2_cases.items():
        put(bucket, item)
    return bucket


@pytest.fixture(autouse=True)
def _no_listing_is_fresh(monkeypatch):
    monkeypatch.setattr(bucket_catalogue, "_FRESH_S", 0.0)


@pytest.mark.parametrize(("about", "query", "expected"), cql2_cases.CASES, ids=[case[0] for case in cql2_cases.CASES])
def test_a_filter_finds_the_same_as_in_a_folder(bucket, about, query, expected):
    assert "".join(ids(BucketCatalogue(bucket).search("aux", Search(query), "q"))) == expected


def test_of_items_that_are_known_none_is_read_again(bucket):
    catalogue = BucketCatalogue(bucket)
    assert ids(catalogue.search("aux", ALL, "q")) == ["a", "b", "c", "d"]
    bucket.calls.clear()
    assert ids(BucketCatalogue(bucket).search("aux", ALL, "q")) == ["a", "b", "c", "d"]
    assert bucket.calls == ["list"]
    catalogue.item("aux", "a")
    assert bucket.calls == ["list", "stat"]


def test_what_is_new_changed_or_gone_is_seen_at_once(bucket):
    catalogue = BucketCatalogue(bucket)
    catalogue.search("aux", ALL, "q")
    put(bucket, auxiliary("e", "aux", "ORB_RES"))
    put(bucket, auxiliary("a", "aux", "CHANGED"))
    bucket.delete(naming.item_key("aux", "b"))
    found = catalogue.search("aux", ALL, "q")
    assert ids(found) == ["a", "c", "d", "e"]
    assert next(item for item in found if item["id"] == "a")["properties"]["product:type"] == "CHANGED"
    put(bucket, auxiliary("a", "aux", "AGAIN"))
    assert catalogue.item("aux", "a")["properties"]["product:type"] == "AGAIN"
    assert catalogue.item("aux", "b") is None


def test_searches_of_one_moment_share_a_listing_unless_they_find_nothing(bucket, monkeypatch):
    monkeypatch.setattr(bucket_catalogue, "_FRESH_S", 3600.0)
    catalogue = BucketCatalogue(bucket)
    catalogue.search("aux", ALL, "q")
    bucket.calls.clear()
    catalogue.search("aux", ALL, "q")
    assert bucket.calls == []
    put(bucket, auxiliary("e", "aux", "NEW"))
    assert ids(catalogue.search("aux", Search(cql2_cases.op("=", cql2_cases.of("product:type"), "NEW")), "q")) == ["e"]


def test_two_searches_at_once_read_each_item_once(bucket):
    threads = [threading.Thread(target=BucketCatalogue(bucket).search, args=("aux", ALL, "q")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.calls.count("read") == 4


def test_a_collection_that_does_not_exist_has_nothing():
    catalogue = BucketCatalogue(MemoryBucket())
    assert catalogue.search("none", ALL, "q") == []
    assert catalogue.item("none", "a") is None


def test_the_catalogue_of_a_folder_is_no_item(bucket):
    bucket.write("_stac/aux/items/catalog.json", b"{}", content_type="application/json")
    assert len(BucketCatalogue(bucket).search("aux", ALL, "q")) == 4


def test_addresses_that_are_relative_are_given_as_processors_open_them():
    bucket = MemoryBucket("out")
    here = {"file": {"href": "../../../auxiliary/aux/a/a.EOF"}, "store": {"href": "../../../maps/a.zarr/"}, "far": {"href": "s3://b/c"}}
    put(bucket, auxiliary("a", "aux", "ORB") | {"assets": here}, "p/")
    item = BucketCatalogue(bucket, "p/").item("aux", "a")
    assert [asset["href"] for asset in item["assets"].values()] == [
        "s3://out/p/auxiliary/aux/a/a.EOF",
        "s3://out/p/maps/a.zarr/",
        "s3://b/c",
    ]


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"id": "a", "properties": []}'])
def test_an_item_that_is_none_stops_the_search_and_is_named(content):
    bucket = MemoryBucket("out")
    bucket.write(naming.item_key("aux", "a"), content, content_type="application/json")
    with pytest.raises(InvalidItem, match=r"s3://out/_stac/aux/items/a\.json is no"):
        BucketCatalogue(bucket).search("aux", ALL, "q")


def test_a_listing_that_failed_is_no_empty_one(bucket):
    class Failing(MemoryBucket):
        def list(self, *_, **__):
            raise StoreUnavailable("no answer")

    with pytest.raises(StoreUnavailable):
        BucketCatalogue(Failing()).search("aux", ALL, "q")
