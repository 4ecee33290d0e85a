import json

import pytest

from platform_assets.common.errors import MissingInput
from platform_assets.dpr.catalogue import ItemCatalogue, read_folder
from platform_assets.dpr.errors import InvalidItem
from platform_assets.dpr.items import ZARR, input_path, location
from tests.builders.dpr import item


def test_a_folder_is_read_with_all_items_in_it(tmp_path):
    (tmp_path / "aux" / "2026").mkdir(parents=True)
    (tmp_path / "aux" / "2026" / "a.json").write_text(json.dumps(item("a", "aux", "../orbit/a.EOF")))
    (tmp_path / "all.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item("b", "aux"), item("c", "slcs")]}))
    (tmp_path / "catalog.json").write_text('{"type": "Catalog", "id": "x"}')
    (tmp_path / "list.json").write_text("[1]")
    catalogue = read_folder(tmp_path)
    assert catalogue.collections == {"aux": 2, "slcs": 1}
    assert location(catalogue.item("aux", "a")) == str(tmp_path / "aux" / "orbit" / "a.EOF")
    assert location(catalogue.item("aux", "b")) == "s3://archive/aux/b"
    assert catalogue.item("aux", "c") is None
    assert catalogue.item("none", "c") is None


@pytest.mark.parametrize(
    ("content", "said"), [("{", "no JSON"), ('{"type": "Feature"}', "has no id"), (json.dumps(item("a", None)), "names no collection")]
)
def test_an_item_that_cannot_be_found_by_is_refused(tmp_path, content, said):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InvalidItem, match=said):
        read_folder(tmp_path)


def test_a_folder_without_items_is_refused(tmp_path):
    with pytest.raises(MissingInput, match="has no STAC item in it"):
        read_folder(tmp_path)
    with pytest.raises(MissingInput, match="is no folder"):
        read_folder(tmp_path / "no")


@pytest.mark.parametrize(
    ("href", "media_type", "path"),
    [
        ("s3://b/items/a.raw", None, "s3://b/items"),
        ("/data/items/a.raw", None, "/data/items"),
        ("s3://b/items/a.zarr", ZARR, "s3://b/items/a.zarr"),
        ("s3://b/items/a.zarr/", ZARR, "s3://b/items/a.zarr"),
    ],
)
def test_c11_an_input_lies_in_the_folder_of_its_first_asset_or_is_the_zarr_store_itself(href, media_type, path):
    assert input_path({"id": "x", "assets": {"first": {"href": href, "type": media_type}, "second": {"href": "s3://c/d"}}}) == path


@pytest.mark.parametrize("assets", [{}, None, {"a": {}}, {"a": {"href": 3}}])
def test_an_item_without_assets_is_refused(assets):
    with pytest.raises(InvalidItem, match="'x' has no asset with an href"):
        input_path({"id": "x", "assets": assets})


def test_a_collection_that_is_not_there_has_no_items():
    from platform_assets.dpr.cql2 import Search

    assert ItemCatalogue([item("a", "aux")]).search("none", Search(), "q") == []
