import pytest

from platform_assets.common import keys
from platform_assets.common.keys import UnsafeKey
from platform_assets.dpr import naming


def test_an_item_is_found_again_by_its_key():
    key = naming.item_key("s01-aux", "S1A_OPER_AUX_A.EOF", "out/")
    assert key == "out/_stac/s01-aux/items/S1A_OPER_AUX_A.EOF.json"
    assert naming.item_of(key, "out/") == ("s01-aux", "S1A_OPER_AUX_A.EOF")
    assert key.startswith(naming.items_prefix("s01-aux", "out/"))


@pytest.mark.parametrize(
    "key",
    [
        "out/_stac/s01-aux/items/catalog.json",
        "out/_stac/s01-aux/collection.json",
        "out/_stac/s01-aux/2026-05-01/A.json",
        "out/_stac/s01-aux/items/A.txt",
        "out/_stac/s01-aux/items/.json",
        "_stac/s01-aux/items/A.json",
        "",
    ],
)
def test_what_is_no_item_is_not_taken_for_one(key):
    assert naming.item_of(key, "out/") is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", ".hidden", "a\n", "é", "x" * 201, "a%2fb", "a:b"])
def test_a_name_that_is_unsafe_as_key_or_file_is_refused(name):
    with pytest.raises(UnsafeKey, match="the item"):
        naming.item_key("aux", name)
    with pytest.raises(UnsafeKey, match="the collection"):
        naming.item_key(name, "A")
    with pytest.raises(UnsafeKey, match="the item"):
        naming.adf_key("aux", name, "a.EOF")


def test_an_item_cannot_overwrite_the_catalogue_of_its_folder():
    with pytest.raises(UnsafeKey, match="overwrite"):
        naming.item_key("aux", "catalog")


def test_files_of_an_auxiliary_item_lie_under_its_name():
    assert naming.adf_key("aux", "A.EOF", "A.EOF", "out/") == "out/auxiliary/aux/A.EOF/A.EOF"
    assert naming.adf_key("aux", "A", "A/.zattrs") == "auxiliary/aux/A/A/.zattrs"


@pytest.mark.parametrize("path", ["", "../b", "a//b", "/a", "a/..", "a\x00"])
def test_a_file_does_not_lie_elsewhere(path):
    with pytest.raises(UnsafeKey):
        naming.adf_key("aux", "A", path)


@pytest.mark.parametrize(
    ("session", "collection"), [("S1A_20241114143038056552", "s01-cadip-session"), ("S3B_20241114143038056552", "s03-cadip-session")]
)
def test_the_collection_of_a_session_is_its_missions(session, collection):
    assert naming.session_collection(session) == collection


@pytest.mark.parametrize("session", ["S1A", "X1A_20241114143038056552", "S1A_2024111414303805655", "../S1A_20241114143038056552"])
def test_what_is_no_session_has_no_collection(session):
    with pytest.raises(UnsafeKey, match="is no session"):
        naming.session_collection(session)


@pytest.mark.parametrize(
    ("key", "etag", "request_id"),
    [
        ("requests/ana/level-0.json", "d41d8cd98f00b204e9800998ecf8427e", "level-0.d41d8cd9"),
        ("requests/a b...c|d.yaml", "d41d8cd98f00b204-2", "a-b-c-d.d41d8cd9"),
        ("requests/....json", "d41d8cd98f00b204", "request.d41d8cd9"),
        (f"requests/{'x' * 300}.yml", "d41d8cd98f00b204", f"{'x' * 120}.d41d8cd9"),
    ],
)
def test_a_request_is_named_by_its_document_and_content(key, etag, request_id):
    assert naming.request_id(key, etag) == request_id
    assert keys.partition_key(request_id) == request_id


def test_requests_of_one_name_and_other_content_are_others():
    assert naming.request_id("requests/a.json", "1" * 32) != naming.request_id("requests/a.json", "2" * 32)
    assert naming.request_id("requests/a.json", "no-md5") != naming.request_id("requests/a.json", "none-either")


def test_records_of_a_request_lie_together():
    assert naming.record_key("a.d41d8cd9", "payload.yaml", "out/") == "out/_groundtrack/dpr/requests/a.d41d8cd9/payload.yaml"
    with pytest.raises(UnsafeKey, match="the record"):
        naming.record_key("a.d41d8cd9", "../payload.yaml")


def test_a_lease_has_a_key_of_its_own_whatever_it_is_of():
    assert naming.lease_key("auxiliary/a", "out/").startswith("out/_groundtrack/dpr/leases/")
    assert naming.lease_key("auxiliary/a") != naming.lease_key("auxiliary/b")
