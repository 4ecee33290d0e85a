from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import UnsafeKey, checked_object_key
from platform_assets.imagery import naming
from platform_assets.imagery.model import Product


def _is_object_key(text: str) -> bool:
    try:
        checked_object_key(text)
    except UnsafeKey:
        return False
    return True


image_keys = (
    st.tuples(st.text(min_size=1, max_size=40), st.sampled_from([".tif", ".tiff", ".TIF", ".TiFf"]))
    .map("".join)
    .filter(_is_object_key)
    .filter(lambda key: key.partition("/")[0] not in ("_stac", "_groundtrack"))
)
prefixes = st.sampled_from(["", "out/", "out/ü 1/"])


def test_the_keys_of_an_image_are_as_documented():
    key = "county/a 1.tif"
    assert naming.product_key(key, Product.COG, "p/") == "p/county/a 1.tif"
    assert naming.product_key(key, Product.JPEG, "p/") == "p/county/a 1.jpg"
    assert naming.item_key(key, "p/") == "p/_stac/imagery/county/county~~a~201.tif.json"
    assert naming.product_key(key, Product.THUMBNAIL, "p/") == "p/_stac/imagery/county/county~~a~201.tif.thumb.jpg"
    assert naming.item_id(key) == "county~~a~201.tif"


def test_an_image_without_a_folder_has_an_item_too():
    assert naming.item_key("a.tif") == "_stac/imagery/_/a.tif.json"
    assert naming.raw_key("_stac/imagery/_/a.tif.json") == "a.tif"


@given(key=image_keys, prefix=prefixes)
def test_the_key_of_an_item_leads_back_to_its_image(key, prefix):
    assert naming.checked_image_key(key) == key
    assert naming.raw_key(naming.item_key(key, prefix), prefix) == key


@given(one=image_keys, other=image_keys)
def test_two_images_never_share_an_item(one, other):
    assert (naming.item_key(one) == naming.item_key(other)) == (one == other)


@pytest.mark.parametrize(
    ("item", "prefix"),
    [
        ("_stac/imagery/county/other~~a.tif.json", ""),
        ("_stac/imagery/county/catalog.json", ""),
        ("_stac/sar/_/a.tif.json", ""),
        ("_stac/imagery/_/a.tif.json", "p/"),
        ("_stac/imagery/_/a~2ftif.json", ""),
    ],
)
def test_a_key_that_is_no_items_has_no_image(item, prefix):
    with pytest.raises(UnsafeKey):
        naming.raw_key(item, prefix)


@pytest.mark.parametrize(
    ("key", "jpeg"),
    [("my.tiff.tif", "my.tiff.jpg"), ("z.tif/z.tif", "z.tif/z.jpg"), ("A.TIF", "A.jpg"), ("a.tiff", "a.jpg"), ("a/.tif", "a/.jpg")],
)
def test_only_the_last_suffix_is_replaced(key, jpeg):
    assert naming.jpeg_key(naming.checked_image_key(key)) == jpeg


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("a.png", "unsupported_name"),
        ("a", "unsupported_name"),
        ("tif", "unsupported_name"),
        ("a.tif.csv", "unsupported_name"),
        ("_stac/imagery/a.tif", "reserved_name"),
        ("_groundtrack/a.tif", "reserved_name"),
        ("/a.tif", "unsafe_key"),
        ("a/../b.tif", "unsafe_key"),
        ("a\n.tif", "unsafe_key"),
        (f"{'f' * 500}/{'a' * 200}.tif", "unsafe_key"),
    ],
)
def test_a_key_that_no_image_may_have_is_refused_by_its_rule(key, code):
    with pytest.raises(PermanentError) as caught:
        naming.checked_image_key(key)
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_folder_that_only_begins_like_a_reserved_one_is_allowed():
    assert naming.checked_image_key("_stacks/a.tif") == "_stacks/a.tif"


@pytest.mark.parametrize(
    ("key", "pattern", "stem"),
    [
        ("a/test_raw.csv", "*raw.csv", "a/test_"),
        ("raw.csv", "*raw.csv", ""),
        ("reprocessing_raw.csv", "*raw.csv", "reprocessing_"),
        ("in/a_todo.csv", "in/*_todo.csv", "in/a"),
    ],
)
def test_a_result_lies_beside_its_manifest(key, pattern, stem):
    assert naming.manifest_stem(key, pattern) == stem


@given(
    stem=st.text(max_size=20),
    word=st.sampled_from(["processing", "processed", "failed", "report"]),
    moment=st.datetimes(timezones=st.just(timezone(timedelta(hours=5)))).filter(lambda moment: moment.year > 1000),
    suffix=st.sampled_from(["csv", "json", "html"]),
)
def test_the_name_of_a_result_leads_back_to_its_parts(stem, word, moment, suffix):
    name = naming.OutcomeName(stem, word, naming.timestamp(moment), suffix)
    assert naming.parse_outcome_key(naming.outcome_key(*name)) == name


def test_a_result_is_named_as_the_reference_names_it():
    moment = datetime(2026, 4, 1, 12, 15, tzinfo=timezone(timedelta(hours=2)))
    assert naming.outcome_key("a/test_", "processed", naming.timestamp(moment)) == "a/test_processed-20260401-101500.csv"
    assert naming.timestamp_of(moment.timestamp()) == "20260401-101500"
    assert naming.parse_outcome_key("a/test_raw.csv") is None
