import pytest

from platform_assets.dpr import auxip, cql2
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import InvalidItem, InvalidQuery
from platform_assets.dpr.odata_filter import compiled, ordered
from tests.builders.cql2_cases import VALIDITY, interval, of, op


def row(name, product_type, start, end, published, size=10, platform=("SENTINEL-1", "A"), **fields):
    attributes = {"productType": product_type, "platformShortName": platform[0], "platformSerialIdentifier": platform[1]}
    return {
        "Id": f"id-{name}",
        "Name": name,
        "ContentType": "application/xml",
        "ContentLength": size,
        "PublicationDate": published,
        "EvictionDate": "2027-01-01T00:00:00.000Z",
        "ContentDate": {"Start": start, "End": end},
        "Checksum": [{"Algorithm": "MD5", "Value": "d41d8cd98f00b204e9800998ecf8427e"}],
        "Attributes": [{"Name": key, "Value": value, "ValueType": "String"} for key, value in attributes.items()],
        **fields,
    }


ROWS = [
    row("A", "ORB_RES", "2026-05-01T00:00:00.000Z", "2026-05-02T00:00:00.000Z", "2026-05-02T01:00:00.000Z"),
    row("B", "ORB_RES", "2026-05-01T06:00:00.000Z", "2026-05-01T18:00:00.000Z", "2026-05-03T01:00:00.000Z", platform=("SENTINEL-1", "C")),
    row("C's", "ORB_PRE", "2026-05-02T00:00:00.000Z", "2026-05-03T00:00:00.000Z", "2026-05-01T01:00:00.500Z", size=500),
    row("D_AUX", "MPL_ORBSCT", "2026-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z", "2026-05-02T01:00:00.000Z", size=20),
]
ITEMS = [auxip.item_of(one, f"https://station/{one['Name']}", "adgs") for one in ROWS]
NOON, LATER = "2026-05-01T12:00:00Z", "2026-05-01T17:00:00.000Z"

CASES = [
    (op("=", of("product:type"), "ORB_RES"), "A B"),
    (op("=", "ORB_RES", of("properties.product:type")), "A B"),
    (op("<>", of("product:type"), "ORB_RES"), "C's D_AUX"),
    (op("=", of("id"), "C's"), "C's"),
    (op("in", of("id"), ["A", "C's", "x"]), "A C's"),
    (op("in", of("product:type"), ["ORB_PRE", "MPL_ORBSCT"]), "C's D_AUX"),
    (op("not", op("in", of("id"), ["A", "B"])), "C's D_AUX"),
    (op("like", of("product:type"), "ORB%"), "A B C's"),
    (op("like", of("product:type"), "%RES"), "A B"),
    (op("like", of("product:type"), "%ORB%"), "A B C's D_AUX"),
    (op("like", of("product:type"), "ORBRES"), ""),
    (op("like", of("id"), "D%"), "D_AUX"),
    (op("=", of("platform"), "sentinel-1c"), "B"),
    (op("<>", of("platform"), "sentinel-1c"), "A C's D_AUX"),
    (op("between", of("created"), "2026-05-01T01:00:00Z", "2026-05-02T01:00:00Z"), "A C's D_AUX"),
    (op(">", of("created"), "2026-05-02T01:00:00Z"), "B"),
    (op("=", of("published"), {"timestamp": "2026-05-02T03:00:00+02:00"}), "A D_AUX"),
    (op("<=", of("start_datetime"), NOON), "A B D_AUX"),
    (op("<=", {"timestamp": NOON}, of("start_datetime")), "C's"),
    (op("and", op("=", of("product:type"), "ORB_RES"), op(">", of("end_datetime"), LATER), op("=", of("platform"), "sentinel-1a")), "A"),
    (op("or", op("=", of("id"), "A"), op("and", op("=", of("id"), "B"), op("=", of("id"), "A"))), "A"),
    (op("t_contains", VALIDITY, interval(NOON, LATER)), "A B D_AUX"),
    (op("t_contains", VALIDITY, interval(op("-", NOON, 21_600), op("+", LATER, 0))), "A D_AUX"),
    (op("t_intersects", VALIDITY, interval("2026-05-02T00:00:00Z", "..")), "A C's D_AUX"),
    (op("t_intersects", VALIDITY, interval("..", "2026-05-01T05:00:00Z")), "A D_AUX"),
    (op("t_during", VALIDITY, interval("2026-05-01T05:00:00Z", "2026-05-03T01:00:00Z")), "B C's"),
    (op("t_before", VALIDITY, interval("2026-05-02T00:00:01Z", "2026-05-09T00:00:00Z")), "A B"),
    (op("t_after", VALIDITY, interval("2026-04-01T00:00:00Z", "2026-05-01T23:00:00Z")), "C's"),
    (op("t_intersects", of("created"), interval("2026-05-02T00:00:00Z", "2026-05-02T02:00:00Z")), "A D_AUX"),
]


@pytest.mark.parametrize(("query", "expected"), CASES, ids=[f"{case[0]['op']}-{number}" for number, case in enumerate(CASES)])
def test_a_station_finds_by_odata_what_the_filter_finds_in_its_items(query, expected):
    test = compiled(auxip.filter_text(Search(query), "q"))
    assert " ".join(one["Name"] for one in ROWS if test(one)) == expected
    assert " ".join(sorted(item["id"] for item in cql2.select(ITEMS, Search(query), "q"))) == expected


def test_the_filter_of_a_task_table_is_written_as_stations_document_it():
    query = op("and", op("=", of("product:type"), "ORB"), op("t_contains", VALIDITY, interval(NOON, LATER)))
    assert auxip.filter_text(Search(query), "q") == (
        "(Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and att/OData.CSC.StringAttribute/Value eq 'ORB'))"
        " and (ContentDate/Start lt 2026-05-01T12:00:00.000Z and ContentDate/End gt 2026-05-01T17:00:00.000Z)"
    )
    assert auxip.filter_text(Search(), "q") == ""


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (op("=", of("eo:cloud_cover"), 5), "the property 'eo:cloud_cover'; properties: created, datetime"),
        (op("isNull", of("created")), "the operator 'isNull'; operators: <, <=, <>, =, >"),
        (op("=", op("casei", of("id")), "a"), "in the place of a property; properties: "),
        (op("like", of("id"), "A%B"), "`like` 'A%B'; it can look for a text at the begin"),
        (op("like", of("id"), "A_B"), "`like` 'A_B'"),
        (op("like", of("platform"), "sentinel%"), "`like` 'sentinel%'"),
        (op(">", of("platform"), "sentinel-1a"), "to compare the platform by `gt`"),
        (op("t_contains", interval(of("product:type"), of("end_datetime")), interval(NOON, LATER)), "'product:type' as a time"),
        (op("t_overlaps", VALIDITY, interval(NOON, LATER)), "the operator 't_overlaps'"),
    ],
)
def test_what_cannot_be_said_in_odata_is_refused_with_what_can(query, said):
    with pytest.raises(InvalidQuery) as invalid:
        auxip.filter_text(Search(query), "wave.json: ADF ORB")
    assert str(invalid.value).startswith("wave.json: ADF ORB: a station that speaks OData cannot search for ")
    assert said in str(invalid.value)


@pytest.mark.parametrize(
    ("sortby", "expected"),
    [
        ((), "C's B A D_AUX"),
        (({"field": "created", "direction": "desc"},), "B D_AUX A C's"),
        (({"field": "properties.end_datetime"}, {"field": "id"}), "B A C's D_AUX"),
    ],
)
def test_a_station_orders_as_the_search_says(sortby, expected):
    search = Search(None, sortby)
    assert " ".join(one["Name"] for one in ordered(ROWS, auxip.orderby(search))) == expected
    assert " ".join(item["id"] for item in cql2.select(ITEMS, search, "q")) == expected


def test_what_a_station_cannot_order_by_is_left_to_us():
    assert auxip.orderby(Search(None, ({"field": "product:type"},))) is None


def test_a_product_is_an_item_as_the_reference_maps_it():
    item = auxip.item_of(ROWS[0] | {"OriginDate": "2026-05-02T00:30:00Z"}, "https://station/Products(id-A)/$value", "adgs")
    assert (item["id"], item["geometry"]) == ("A", None)
    assert item["properties"] == {
        "datetime": "2026-05-01T00:00:00.000Z",
        "start_datetime": "2026-05-01T00:00:00.000Z",
        "end_datetime": "2026-05-02T00:00:00.000Z",
        "created": "2026-05-02T01:00:00.000Z",
        "published": "2026-05-02T01:00:00.000Z",
        "eopf:origin_datetime": "2026-05-02T00:30:00.000Z",
        "eviction_datetime": "2027-01-01T00:00:00.000Z",
        "product:type": "ORB_RES",
        "platform": "sentinel-1a",
        "auxip:id": "id-A",
    }
    assert item["assets"]["A"] == {
        "href": "https://station/Products(id-A)/$value",
        "type": "application/xml",
        "roles": ["data"],
        "file:size": 10,
        "file:checksum": "d50110d41d8cd98f00b204e9800998ecf8427e",
    }


@pytest.mark.parametrize("written", [("SENTINEL-3", "B"), ("SENTINEL3", "B"), ("Sentinel_3", "b")])
def test_a_platform_is_spelled_as_in_stac(written):
    assert (
        auxip.item_of(ROWS[0] | row("A", "T", "", "", "2026-05-01T00:00:00Z", platform=written), "u", "adgs")["properties"]["platform"]
        == "sentinel-3b"
    )


def test_a_product_without_name_or_dates_is_refused_by_name():
    with pytest.raises(InvalidItem, match="adgs lists a product 'A' that lacks"):
        auxip.item_of({"Name": "A"}, "u", "adgs")
    with pytest.raises(InvalidItem, match="'None'"):
        auxip.item_of(ROWS[0] | {"Name": None}, "u", "adgs")


def test_a_product_of_which_little_is_told_is_an_item_all_the_same():
    bare = {
        "Name": "A",
        "PublicationDate": "2026-05-01T00:00:00Z",
        "Checksum": [{"Algorithm": "BLAKE9", "Value": "00"}],
        "Attributes": None,
    }
    item = auxip.item_of(bare, "u", "adgs")
    assert item["properties"]["datetime"] == "2026-05-01T00:00:00.000Z"
    assert item["assets"]["A"] == {"href": "u", "type": "application/octet-stream", "roles": ["data"]}
