"""The object store's contract, on the embedded server and on Ceph."""

import hashlib
import threading
from pathlib import Path

import pytest

from platform_assets.common.errors import ConfigurationError, InputChanged, LimitExceeded, MissingInput, PermanentError, StoreUnavailable
from resources.object_store import S3Bucket, S3Connection
from tests.builders.servers import S3Server, free_port

ODD_KEYS = ["a b/ü[1].tif", "a/b", "a", "p%2Fq", "plus+sign", "q?x=1&y", "quote'\"<&>"]


def test_an_object_that_was_written_is_listed_stated_and_read_with_the_same_version(bucket: S3Bucket) -> None:
    etag = bucket.write("x/a.txt", b"hello", content_type="text/plain")
    [listed] = bucket.list("x/")
    data, read = bucket.read("x/a.txt", limit_bytes=5)
    assert (data, listed.etag, listed.size_bytes) == (b"hello", etag, 5)
    assert listed == bucket.stat("x/a.txt") == read


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_is_data(bucket: S3Bucket, key: str) -> None:
    bucket.write(key, key.encode(), content_type="text/plain")
    assert bucket.read(key, limit_bytes=100)[0] == key.encode()
    assert key in {ref.key for ref in bucket.list()}
    assert set(bucket.stat_many([key, key + "x"])) == {key}


def test_what_does_not_exist_is_missing_and_not_an_error_of_the_store(bucket: S3Bucket, tmp_path: Path) -> None:
    bucket.write("there", b"x", content_type="text/plain")
    ref = bucket.stat("there")
    assert ref is not None
    bucket.delete("there")
    assert bucket.stat("there") is None
    assert bucket.metadata("there") is None
    assert not bucket.copy(ref, "elsewhere")
    with pytest.raises(MissingInput):
        bucket.read("there", limit_bytes=1)
    with pytest.raises(MissingInput):
        bucket.download(ref, tmp_path / "f")
    bucket.delete("there")


def test_a_listing_has_every_key_once_and_in_order_over_pages(crowded: S3Bucket) -> None:
    keys = [ref.key for ref in crowded.list("many/")]
    assert keys == [f"many/{number:05d}" for number in range(1205)]
    assert [ref.key for ref in crowded.list("many/", start_after="many/01203")] == ["many/01204"]


def test_a_listing_for_some_endings_has_those_and_no_others(bucket: S3Bucket) -> None:
    keys = ["a/raw.csv", "a/raw.csv.tif", "b raw.csv", "c.tif", "ü_raw.csv", "x&y raw.csv"]
    for key in keys:
        bucket.write(key, b"", content_type="text/plain")
    assert {ref.key for ref in bucket.list(ending=("raw.csv",))} == {key for key in keys if key.endswith("raw.csv")}
    assert [ref.key for ref in bucket.list(ending=("&y raw.csv", ".none"))] == ["x&y raw.csv"]
    assert list(bucket.list(ending=(".none",))) == []


def test_many_lookups_by_listing_and_by_single_calls_agree(crowded: S3Bucket) -> None:
    wanted = [f"many/{number:05d}" for number in range(0, 1400, 3)] + ["aaa", "zzz", "many/00001x"]
    exist = {key for key in wanted if key < "many/01205" and key.startswith("many/") and not key.endswith("x")}
    assert set(crowded.stat_many(wanted)) == exist
    assert set(crowded.stat_many(wanted[:50])) == set(wanted[:50])
    assert crowded.stat_many([]) == {}


def test_of_many_creators_exactly_one_wins(bucket: S3Bucket) -> None:
    for race in range(5):
        wins: list[int] = []
        barrier = threading.Barrier(8)

        def create(number: int, race: int = race, wins: list[int] = wins, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            if bucket.create(f"race-{race}", f"writer {number}".encode(), content_type="text/plain"):
                wins.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) == 1
        assert bucket.read(f"race-{race}", limit_bytes=100)[0] == f"writer {wins[0]}".encode()


def test_a_creator_who_asks_again_with_the_same_content_is_still_the_winner(bucket: S3Bucket) -> None:
    assert bucket.create("once", b"mine", content_type="text/plain")
    assert bucket.create("once", b"mine", content_type="text/plain")
    assert not bucket.create("once", b"yours", content_type="text/plain")


def test_replacing_loses_no_update(bucket: S3Bucket) -> None:
    bucket.write("counter", b"0 by nobody", content_type="text/plain")

    def add(writer: int) -> None:
        for _ in range(5):
            while True:
                value, ref = bucket.read("counter", limit_bytes=100)
                counted = f"{int(value.split()[0]) + 1} by {writer}".encode()
                if bucket.replace("counter", counted, etag=ref.etag, content_type="text/plain"):
                    break

    threads = [threading.Thread(target=add, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.read("counter", limit_bytes=100)[0].startswith(b"20 by")


def test_replacing_what_does_not_exist_fails(bucket: S3Bucket) -> None:
    assert bucket.replace("nothing", b"x", etag="0" * 32, content_type="text/plain") is None


def test_a_download_is_exactly_the_claimed_version(bucket: S3Bucket, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    bucket.write("raw", content, content_type="image/tiff")
    ref = bucket.stat("raw")
    assert ref is not None
    assert bucket.download(ref, tmp_path / "raw") == hashlib.md5(content).hexdigest()
    assert (tmp_path / "raw").read_bytes() == content
    bucket.write("raw", content + b"!", content_type="image/tiff")
    with pytest.raises(InputChanged, match="overwritten after it was claimed"):
        bucket.download(ref, tmp_path / "raw")


def test_a_large_upload_arrives_whole_with_its_metadata(bucket: S3Bucket, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(70 << 20))
    ref = bucket.upload(path, "big.tif", content_type="image/tiff", metadata={"source": "a~~b.tif"})
    assert ref.size_bytes == 70 << 20
    assert dict(bucket.metadata("big.tif") or {}) == {"source": "a~~b.tif"}
    assert bucket.download(ref, tmp_path / "back")
    assert (tmp_path / "back").stat().st_size == 70 << 20


def test_a_copy_is_of_the_claimed_version_only(bucket: S3Bucket) -> None:
    bucket.write("from", b"1", content_type="text/plain")
    ref = bucket.stat("from")
    assert ref is not None
    assert bucket.copy(ref, "to")
    assert bucket.read("to", limit_bytes=10)[0] == b"1"
    bucket.write("from", b"2", content_type="text/plain")
    assert not bucket.copy(ref, "to")


def test_an_object_over_the_limit_is_not_read(bucket: S3Bucket) -> None:
    bucket.write("large", bytes(1000), content_type="text/plain")
    with pytest.raises(LimitExceeded, match="1,000 bytes"):
        bucket.read("large", limit_bytes=999)


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    with pytest.raises(ConfigurationError, match="NoSuchBucket"):
        list(s3_server.connection.bucket("no-such-bucket").list())


def test_a_store_that_is_down_is_transient_and_named() -> None:
    nowhere = S3Connection(f"http://127.0.0.1:{free_port()}", "us-east-1", "", "a", "b").bucket("raw")
    with pytest.raises(StoreUnavailable, match="s3://raw/x"):
        nowhere.stat("x")


def test_wrong_credentials_are_refused_with_advice(ceph_server: S3Server) -> None:
    wrong = S3Connection(ceph_server.connection.endpoint_url, "default", "", ceph_server.connection.access_key_id, "wrong")
    with pytest.raises(PermanentError, match="SignatureDoesNotMatch") as caught:
        wrong.bucket("raw").write("x", b"", content_type="text/plain")
    assert caught.value.code == "access_denied"
    assert "doctor" in caught.value.remedy
    assert "wrong" not in repr(wrong)
