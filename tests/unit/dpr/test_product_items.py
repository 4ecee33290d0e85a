import copy
from datetime import UTC, datetime

import pytest

from platform_assets.common.values import ObjectRef
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.payload import Output
from platform_assets.dpr.products import FoundProduct, UnreadableProduct
from platform_assets.dpr.stac import NoOrigin, Origin, collection, extent, latest_origin, problems, product_item, product_type
from tests.builders.dpr import auxiliary, item
from tests.builders.stac_validation import validation_error

RING = [[1.0, 2.0], [4.0, 2.0], [4.0, 5.0], [1.0, 2.0]]
DISCOVERY = {
    "type": "Feature",
    "id": "other",
    "geometry": {"type": "Polygon", "coordinates": [RING]},
    "bbox": [1.0, 2.0, 4.0, 5.0],
    "properties": {"datetime": "2026-05-01T04:10:00Z", "product:type": "MAP", "platform": "sentinel-1c", "eopf:origin_datetime": "old"},
    "links": [{"rel": "license", "href": "https://example.org/licence"}, {"rel": "self", "href": "here"}, 7],
}


def product(name="a.zarr"):
    geo = Output("geo", "s3://products/ana/maps/1f", "maps", "*", is_final=True, is_mandatory=True, autoclean=False)
    marker = ObjectRef(f"ana/maps/1f/{name}/.zattrs", "e", 10)
    return FoundProduct(geo, "products", f"ana/maps/1f/{name}", marker, {".zattrs": 10, "m/0.0": 90})


def origin(**changes):
    sources = [item("S1C_A", "slcs"), auxiliary("ORB_NEW", "aux", "ORB_PRE"), auxiliary("ORB_NEW", "aux", "ORB_PRE")]
    given = {
        "request": "first.0a1b2c3d",
        "run_id": "run-1",
        "execution": "https://centre.example.org/runs/run-1",
        "origin_datetime": "2026-05-01T04:30:00+00:00",
        "sources": sources,
        "software": {"wave": "1.2"},
        "prefix": "",
        "now": datetime(2026, 5, 2, tzinfo=UTC),
    }
    return Origin(**given | changes)


def changed(**fields):
    discovery = copy.deepcopy(DISCOVERY)
    discovery["properties"] |= fields.pop("properties", {})
    return {name: value for name, value in (discovery | fields).items() if value is not None}


# --- origin (C17) -------------------------------------------------------------------------------------------------------


def session(name, moment=None):
    return item(name, "sessions", **({"eopf__origin_datetime": moment} if moment else {}))


def test_the_origin_of_one_input_is_its_own():
    assert latest_origin({"A": session("A", "2026-05-01T04:30:00.500Z")}) == "2026-05-01T04:30:00.500000+00:00"


def test_the_origin_of_several_inputs_is_the_latest_in_whatever_zone_it_is_written():
    inputs = {"A": session("A", "2026-05-01T04:30:00Z"), "B": session("B", "2026-05-01T06:10:00+02:00"), "C": session("C")}
    assert latest_origin(inputs) == "2026-05-01T04:30:00+00:00"


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "no valid items found to compute eopf:origin_datetime: there are no inputs"),
        (
            {"A": session("A", "2026-05-01T04:30:00Z"), "B": None},
            "no valid items found to compute eopf:origin_datetime: there is no item 'B'",
        ),
        (
            {"A": session("A"), "B": session("B", "soon")},
            "the maximum eopf:origin_datetime could not be computed: none of 'A', 'B' has one",
        ),
    ],
)
def test_without_any_origin_there_is_no_product(inputs, told):
    with pytest.raises(NoOrigin) as raised:
        latest_origin(inputs)
    assert str(raised.value) == told


# --- items --------------------------------------------------------------------------------------------------------------


def test_an_item_is_valid_and_says_where_the_product_lies():
    made = product_item(product(), DISCOVERY, "maps", origin())
    assert validation_error(made) == ""
    assert (made["id"], made["collection"], made["bbox"]) == ("a.zarr", "maps", [1.0, 2.0, 4.0, 5.0])
    assert made["assets"] == {
        "a.zarr": {
            "href": "s3://products/ana/maps/1f/a.zarr",
            "type": "application/vnd+zarr",
            "roles": ["data", "metadata"],
            "title": "geo",
        }
    }
    properties = made["properties"]
    assert (properties["platform"], properties["eopf:origin_datetime"]) == ("sentinel-1c", "2026-05-01T04:30:00+00:00")
    assert (properties["groundtrack:size_bytes"], properties["groundtrack:objects"]) == (100, 2)


def test_an_item_leads_back_to_what_it_was_made_of_and_by_what():
    links = product_item(product(), DISCOVERY, "maps", origin())["links"]
    assert [link["href"] for link in links if link["rel"] == "derived_from"] == [
        "../../slcs/items/S1C_A.json",
        "../../aux/items/ORB_NEW.json",
    ]
    assert [link["href"] for link in links if link["rel"] == "processing-execution"] == ["https://centre.example.org/runs/run-1"]
    assert [link["rel"] for link in links].count("self") == 0
    assert [link["href"] for link in links if link["rel"] == "license"] == ["https://example.org/licence"]


def test_an_item_without_a_place_has_no_box():
    made = product_item(product(), changed(geometry=None), "maps", origin())
    assert "bbox" not in made
    assert validation_error(made) == ""


def test_an_item_of_an_interval_alone_is_valid():
    discovery = changed(properties={"start_datetime": "2026-05-01T04:10:00Z", "end_datetime": "2026-05-01T04:22:00Z"})
    del discovery["properties"]["datetime"]
    made = product_item(product(), discovery, "maps", origin())
    assert made["properties"]["datetime"] is None
    assert validation_error(made) == ""


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"properties": {"datetime": None}}, "properties.datetime"),
        ({"properties": {"datetime": "yesterday"}}, "properties.datetime: 'yesterday' is no moment"),
        ({"properties": {"end_datetime": 7, "start_datetime": "2026-05-01T04:10:00Z"}}, "properties.end_datetime"),
        ({"geometry": {"type": "Blob"}}, "geometry"),
        ({"bbox": None}, "bbox"),
    ],
)
def test_a_product_whose_item_would_not_be_valid_is_refused(fields, told):
    with pytest.raises(UnreadableProduct) as raised:
        product_item(product(), changed(**fields), "maps", origin())
    assert "s3://products/ana/maps/1f/a.zarr: its item would not be valid: " in str(raised.value)
    assert told in str(raised.value)


def test_a_document_that_is_no_item_is_told_so():
    assert problems({"type": "Feature"})
    assert problems(product_item(product(), DISCOVERY, "maps", origin())) == []


@pytest.mark.parametrize("kind", [None, "", 7])
def test_a_product_without_a_type_is_refused(kind):
    with pytest.raises(UnreadableProduct, match="has no product:type"):
        product_type(product(), changed(properties={"product:type": kind}))


@pytest.mark.parametrize(
    ("properties", "bbox", "expected"),
    [
        ({"datetime": "2026-05-01T04:10:00Z"}, [1, 2, 3, 4], ([1, 2, 3, 4], "2026-05-01T04:10:00.000Z", "2026-05-01T04:10:00.000Z")),
        ({"datetime": None, "start_datetime": "2026-05-01"}, [1, 2, 0, 3, 4, 9], ([1, 2, 3, 4], None, None)),
        (
            {"datetime": None, "start_datetime": "2026-05-01T06:10:00+02:00", "end_datetime": "9999-12-31T23:59:59"},
            None,
            (None, "2026-05-01T04:10:00.000Z", "9999-12-31T23:59:59.000Z"),
        ),
    ],
)
def test_the_extent_of_an_item_is_what_catalogues_can_compare(properties, bbox, expected):
    found = extent({"properties": properties, "bbox": bbox})
    assert (found["bbox"], found["start_datetime"], found["end_datetime"]) == expected


def test_a_collection_is_called_as_it_is():
    assert (collection("maps").id, quoted(collection("maps").title)) == ("maps", "'maps'")
