import hashlib
import io
import json
import threading
import time
import zipfile
from itertools import pairwise

import pytest

from platform_assets.common import lease
from platform_assets.common.errors import PermanentError, TransientError
from platform_assets.common.keys import UnsafeKey
from platform_assets.dpr import naming
from platform_assets.dpr.archives import Limits
from platform_assets.dpr.bucket_catalogue import BucketCatalogue
from platform_assets.dpr.errors import InvalidItem
from platform_assets.dpr.items import input_path, location
from platform_assets.dpr.staging import Staging
from platform_assets.dpr.transfer import CorruptTransfer, StationUnavailable
from tests.builders.aux_station import AuxStation, aux_item, one
from tests.builders.bucket import MemoryBucket
from tests.builders.stac_validation import validation_error


@pytest.fixture
def bucket():
    return MemoryBucket("out")


def staging(bucket, **fields):
    return Staging(bucket, "p/", "run", **{"poll_s": 0.02, **fields})


def stage(bucket, station, assets=None, **fields):
    return staging(bucket, **fields).stage(station, "s01-aux", station.items, assets)


def files(bucket):
    return {
        ref.key.removeprefix("p/auxiliary/s01-aux/"): bucket.read(ref.key, limit_bytes=1 << 20)[0] for ref in bucket.list("p/auxiliary/")
    }


def stored(bucket, item_id):
    return json.loads(bucket.read(naming.item_key("s01-aux", item_id, "p/"), limit_bytes=1 << 20)[0])


def zipped(content):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return memory.getvalue()


def test_an_item_is_returned_with_its_file_in_the_bucket(bucket):
    (item,) = stage(bucket, AuxStation(one()))
    assert location(item) == "s3://out/p/auxiliary/s01-aux/ORB_1.EOF/ORB_1.EOF"
    assert files(bucket) == {"ORB_1.EOF/ORB_1.EOF": b"orbit"}
    assert BucketCatalogue(bucket, "p/").item("s01-aux", "ORB_1.EOF") == item


def test_the_item_is_valid_stac_of_its_new_collection_and_tells_where_it_comes_from(bucket):
    stage(bucket, AuxStation(one()))
    item = stored(bucket, "ORB_1.EOF")
    assert validation_error(item) == ""
    assert (item["collection"], item["properties"]["groundtrack:station"]) == ("s01-aux", "adgs")
    assert {link["rel"]: link["href"] for link in item["links"]} == {
        "root": "../../catalog.json",
        "collection": "../collection.json",
        "parent": "./catalog.json",
        "via": "https://station/items/ORB_1.EOF",
    }
    asset = item["assets"]["ORB_1.EOF"]
    assert asset["href"] == "../../../auxiliary/s01-aux/ORB_1.EOF/ORB_1.EOF"
    assert (asset["file:size"], asset["file:checksum"][:4], asset["roles"]) == (5, "1220", ["data"])
    assert "s3cret" not in json.dumps(item)


def test_what_is_there_is_not_fetched_again(bucket):
    station = AuxStation(one())
    first = stage(bucket, station)
    assert stage(bucket, station) == first
    bucket.calls.clear()
    assert stage(bucket, station) == first
    assert (len(station.fetched), set(bucket.calls)) == (1, {"stat"})


def test_eight_that_want_the_same_at_once_fetch_it_once(bucket):
    station = AuxStation(one("A.EOF"), one("B.EOF"))
    station.slow_s = 0.1
    found = []
    threads = [threading.Thread(target=lambda: found.append(stage(bucket, station))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(station.fetched), len(found)) == (2, 8)
    assert all(a == b for a, b in pairwise(found))


def test_what_another_one_stages_just_before_the_lease_is_taken_is_not_fetched_again():
    station = AuxStation(one())

    class Racing(MemoryBucket):
        first = True

        def create(self, key, data, *, content_type):
            if self.first:
                self.first = False
                stage(self, station)
            return super().create(key, data, content_type=content_type)

    assert stage(Racing("out"), station)
    assert len(station.fetched) == 1


def test_a_new_content_that_the_station_announces_replaces_the_old_one(bucket):
    station = AuxStation(one())
    stage(bucket, station)
    station.add(*one(content=b"better"))
    stage(bucket, station)
    assert files(bucket) == {"ORB_1.EOF/ORB_1.EOF": b"better"}


def test_a_station_that_tells_less_or_another_checksum_does_not_make_it_another_content(bucket):
    station = AuxStation(one())
    stage(bucket, station)
    for told in ({}, {"file:size": 5}, {"file:checksum": "d50110" + hashlib.md5(b"orbit").hexdigest()}):
        item, content = one()
        asset = item["assets"]["ORB_1.EOF"]
        item["assets"]["ORB_1.EOF"] = {"href": asset["href"], **told}
        station.add(item, content)
        stage(bucket, station)
    assert len(station.fetched) == 1


def test_a_file_that_was_deleted_is_fetched_again(bucket):
    station = AuxStation(one())
    stage(bucket, station)
    bucket.delete("p/auxiliary/s01-aux/ORB_1.EOF/ORB_1.EOF")
    stage(bucket, station)
    assert files(bucket) == {"ORB_1.EOF/ORB_1.EOF": b"orbit"}


def test_an_item_that_somebody_else_put_there_is_taken_as_it_is(bucket):
    own = aux_item("ORB_1.EOF", {}) | {"assets": {"mine": {"href": "s3://mine/orbit"}}}
    bucket.write(naming.item_key("s01-aux", "ORB_1.EOF", "p/"), json.dumps(own).encode(), content_type="application/json")
    station = AuxStation(one())
    (item,) = stage(bucket, station)
    assert (location(item), station.fetched) == ("s3://mine/orbit", [])


def test_only_the_assets_that_are_selected_are_fetched_and_others_later(bucket):
    contents = {"a.xml": b"a", "b.nc": b"b", "c.png": b"c"}
    station = AuxStation((aux_item("X", contents), contents))
    (item,) = stage(bucket, station, ["b.nc"])
    assert (list(item["assets"]), sorted(files(bucket))) == (["b.nc"], ["X/b.nc"])
    (item,) = stage(bucket, station, ["c.png", "a.xml"])
    assert (list(item["assets"]), len(station.fetched)) == (["a.xml", "c.png"], 3)
    assert list(stored(bucket, "X")["assets"]) == ["a.xml", "b.nc", "c.png"]
    stage(bucket, station)
    assert len(station.fetched) == 3


def test_an_asset_that_the_item_does_not_have_is_told_with_those_it_has(bucket):
    with pytest.raises(PermanentError, match=r"'ORB_1\.EOF' has no asset 'quicklook'; assets: ORB_1\.EOF") as missing:
        stage(bucket, AuxStation(one()), ["quicklook"])
    assert missing.value.code == "missing_asset"


def test_a_file_is_called_as_its_asset_its_address_or_its_item(bucket):
    item = aux_item("ITEM.EOF", {"file": b"1", "a.xml": b"2", "other": b"3"})
    item["assets"]["other"]["href"] = "https://station/download/file"
    item["assets"]["file"]["href"] = "https://station/path/real%20name.EOF"
    contents = {"file": b"1", "a.xml": b"2", "other": b"3"}
    stage(bucket, AuxStation((item, contents)))
    assert files(bucket) == {"ITEM.EOF/ITEM.EOF": b"1", "ITEM.EOF/a.xml": b"2", "ITEM.EOF/2-ITEM.EOF": b"3"}


# --- failures -----------------------------------------------------------------------------------------------------------


def test_c22_a_file_that_fails_is_named_and_good_ones_are_kept(bucket):
    station = AuxStation(one("A.EOF"), one("B.EOF"), one("C.EOF"))
    station.failing["B.EOF"] = CorruptTransfer("the sha256 is 1, announced is 2")
    with pytest.raises(CorruptTransfer, match=r"B\.EOF of B\.EOF, from adgs, was not correctly staged: the sha256 is 1") as failed:
        stage(bucket, station)
    assert failed.value.code == "corrupt_transfer"
    assert sorted(files(bucket)) == ["A.EOF/A.EOF", "C.EOF/C.EOF"]
    station.failing.clear()
    assert len(stage(bucket, station)) == 3
    assert len(station.fetched) == 4


def test_of_one_item_too_good_files_are_kept(bucket):
    contents = {"a.xml": b"a", "b.nc": b"b"}
    station = AuxStation((aux_item("X", contents), contents))
    station.failing["b.nc"] = StationUnavailable("503")
    with pytest.raises(StationUnavailable):
        stage(bucket, station)
    assert BucketCatalogue(bucket, "p/").item("s01-aux", "X") is None
    station.failing.clear()
    stage(bucket, station)
    assert [href.rpartition("/")[2] for href in station.fetched] == [
        "a.xml?signature=s3cret",
        "b.nc?signature=s3cret",
        "b.nc?signature=s3cret",
    ]


def test_of_several_failures_one_that_does_not_pass_speaks_for_all(bucket):
    station = AuxStation(one("A.EOF"), (one("B.EOF")[0], {}), one("C.EOF"))
    station.failing["A.EOF"] = StationUnavailable("503")
    with pytest.raises(PermanentError, match=r"B\.EOF of B\.EOF.*; and 1 more") as failed:
        stage(bucket, station)
    assert failed.value.code == "file_gone"


def test_those_who_wait_for_a_file_fail_with_the_one_who_fetches_it(bucket):
    station = AuxStation(one())
    station.slow_s = 0.3
    station.failing["ORB_1"] = StationUnavailable("503")
    said = []

    def fail():
        with pytest.raises(TransientError) as failed:
            stage(bucket, station)
        said.append((failed.value.code, str(failed.value)))

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [("station_unavailable", "ORB_1.EOF of ORB_1.EOF, from adgs, was not correctly staged: 503")] * 4
    assert len(station.fetched) == 1
    station.failing.clear()
    assert stage(bucket, station)


def hold(bucket, holder, ttl_s):
    key = naming.lease_key(naming.item_key("s01-aux", "ORB_1.EOF", "p/"), "p/")
    return lease.acquire(bucket, key, holder, ttl_s=ttl_s, now_s=time.time())


def test_a_worker_that_died_is_waited_for_until_its_lease_ends(bucket):
    hold(bucket, "dead", 0.4)
    began_s = time.monotonic()
    assert stage(bucket, AuxStation(one()))
    assert time.monotonic() - began_s >= 0.35


def test_a_worker_that_is_known_to_be_dead_is_not_waited_for(bucket):
    hold(bucket, "dead-run:1", 3600)
    assert stage(bucket, AuxStation(one()), is_dead=lambda holder: holder.startswith("dead-run:"))


def test_a_lease_is_kept_as_long_as_fetching_takes(bucket):
    station = AuxStation(one())
    station.slow_s = 0.6
    thread = threading.Thread(target=stage, args=(bucket, station), kwargs={"lease_s": 0.2})
    thread.start()
    time.sleep(0.4)
    assert hold(bucket, "other", 1) is None
    thread.join()
    assert len(station.fetched) == 1


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (aux_item("../X", {"a.xml": b""}), UnsafeKey),
        (aux_item("X", {}), InvalidItem),
        ({"id": "X", "assets": {"a": {"href": "https://station/a"}}}, InvalidItem),
    ],
)
def test_an_item_that_cannot_be_stored_is_refused(bucket, item, error):
    with pytest.raises(error):
        staging(bucket).stage(AuxStation(), "s01-aux", [item])
    assert files(bucket) == {}


# --- archives -----------------------------------------------------------------------------------------------------------


def archived(name, content, item_id="X"):
    contents = {name: zipped(content), "plain.xml": b"<x/>"}
    return aux_item(item_id, contents), contents


def test_c23_of_an_item_only_archives_are_replaced_by_what_is_in_them(bucket):
    station = AuxStation(archived("AUX_1.zip", {"AUX_1/small.xml": b"1", "AUX_1/data/large.nc": b"1234", "AUX_1/../evil": b"2"}))
    (item,) = stage(bucket, station)
    assert sorted(files(bucket)) == ["X/AUX_1/data/large.nc", "X/AUX_1/small.xml", "X/plain.xml"]
    assert list(item["assets"]) == ["AUX_1", "plain.xml"]
    assert location(item) == "s3://out/p/auxiliary/s01-aux/X/AUX_1/data/large.nc"
    details = {"archive": "AUX_1.zip", "files": 2, "skipped": ["'AUX_1/../evil'"]}
    assert item["assets"]["AUX_1"]["groundtrack:details"] == details
    assert validation_error(stored(bucket, "X")) == ""
    stage(bucket, station)
    assert len(station.fetched) == 2


def test_a_zarr_store_in_an_archive_is_its_folder(bucket):
    (item,) = stage(bucket, AuxStation(archived("D.zarr.zip", {"D.zarr/.zattrs": b"{}", "D.zarr/a/0.0": b"1234"})))
    assert (location(item), input_path(item)) == ("s3://out/p/auxiliary/s01-aux/X/D.zarr",) * 2
    assert sorted(files(bucket)) == ["X/D.zarr/.zattrs", "X/D.zarr/a/0.0", "X/plain.xml"]


def test_files_that_a_new_archive_no_longer_has_are_deleted(bucket):
    station = AuxStation(archived("A.zip", {"a": b"1", "b": b"2"}))
    stage(bucket, station)
    station.add(*archived("A.zip", {"b": b"2", "c": b"3"}))
    stage(bucket, station)
    assert sorted(files(bucket)) == ["X/A/b", "X/A/c", "X/plain.xml"]


def test_an_archive_that_is_broken_empty_or_a_bomb_is_named(bucket):
    broken = {"A.zip": b"no zip"}
    with pytest.raises(PermanentError, match=r"A\.zip of X, from adgs, was not correctly staged: 'A\.zip' cannot be unpacked"):
        stage(bucket, AuxStation((aux_item("X", broken), broken)))
    with pytest.raises(PermanentError, match=r"A\.zip has no file in it"):
        stage(bucket, AuxStation(archived("A.zip", {}, "Y")))
    with pytest.raises(PermanentError, match="more than is allowed") as bomb:
        stage(bucket, AuxStation(archived("A.zip", {"a": bytes(5_000)}, "Z")), limits=Limits(total_bytes=1_000))
    assert bomb.value.code == "unsafe_archive"
