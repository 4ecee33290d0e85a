from datetime import datetime, timedelta, timezone
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.common import stac
from platform_assets.common.keys import UnsafeKey, checked_object_key


def _is_object_key(text: str) -> bool:
    try:
        checked_object_key(text)
    except UnsafeKey:
        return False
    return True


object_keys = st.text(min_size=1, max_size=60).filter(_is_object_key)


def test_the_catalogue_lies_under_the_prefix():
    assert stac.root_key("p/") == "p/_stac/catalog.json"
    assert stac.collection_key("p/", "imagery") == "p/_stac/imagery/collection.json"
    assert stac.folder_key("p/", "imagery", "a~~b") == "p/_stac/imagery/a~~b/catalog.json"
    assert stac.item_key("p/", "imagery", "a~~b", "i") == "p/_stac/imagery/a~~b/i.json"


@given(base=object_keys, key=object_keys)
def test_a_relative_reference_leads_back_to_its_key(base, key):
    assert stac.referenced_key(base, stac.relative_href(base, key)) == key


@pytest.mark.parametrize("key", ["county/a 1.tif", "a/b#c?d=e%2F.tif", "Füße/日本.tif", "a/b:c@d;e,f!$&'()*+=.tif", 'a/[1] {2}|3^`"<>.tif'])
def test_a_browser_understands_a_relative_reference_as_rfc_3986_has_it(key):
    href = stac.relative_href("p/_stac/imagery/a/i.json", f"p/{key}")
    resolved = urljoin("http://host/bucket/p/_stac/imagery/a/i.json", href)
    assert resolved.startswith("http://host/bucket/p/")
    assert not set(' "<>[]\\^`{|}') & set(href)
    assert "?" not in href
    assert "#" not in href


def test_what_need_not_be_encoded_is_not_so_that_readers_who_do_not_decode_find_it():
    assert stac.relative_href("_stac/imagery/a/i.json", "a/ä+b@c~d.tif") == "../../../a/ä+b@c~d.tif"
    assert stac.s3_href("raw", "a/b 1.tif") == "s3://raw/a/b%201.tif"


def test_a_reference_to_a_neighbour_begins_with_a_dot():
    assert stac.relative_href("_stac/imagery/a/i.json", "_stac/imagery/a/i.thumb.jpg") == "./i.thumb.jpg"


def test_the_same_document_has_the_same_bytes():
    assert stac.to_json({"a": 1.0, "b": ["ü"]}) == '{"a":1.0,"b":["ü"]}'.encode()


def test_a_number_that_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        stac.to_json({"a": float("nan")})


def test_a_moment_is_written_in_utc():
    assert stac.utc(datetime(2026, 4, 1, 12, 15, tzinfo=timezone(timedelta(hours=2)))) == "2026-04-01T10:15:00Z"
