import copy

import pytest

from platform_assets.dpr import cql2
from platform_assets.dpr.cql2 import Search, build_search, executable, select
from platform_assets.dpr.errors import InvalidQuery
from tests.builders import cql2_cases
from tests.builders.cql2_cases import VALIDITY, interval, of, op
from tests.builders.dpr import item, val_cover

PARAMETERS = {
    "product_type": "AUX_TEST",
    "start_datetime": "2026-05-01T03:04:05.123Z",
    "end_datetime": "2026-05-01T04:00:00.000Z",
    "dTa": 60,
    "dTb": 0.5,
}


def found(query, **search):
    return cql2.select(cql2_cases.items(), Search(query, **search), "the query")


@pytest.mark.parametrize(("about", "query", "expected"), cql2_cases.CASES, ids=[case[0] for case in cql2_cases.CASES])
def test_a_filter_finds_what_a_stac_api_finds(about, query, expected):
    assert "".join(sorted(item["id"] for item in found(query))) == expected


@pytest.mark.parametrize(("about", "sortby", "limit", "expected"), cql2_cases.SORTS, ids=[case[0] for case in cql2_cases.SORTS])
def test_items_come_in_the_order_that_is_asked_for(about, sortby, limit, expected):
    query = op("not", op("isNull", of("platform")))
    assert [item["id"] for item in found(query, sortby=tuple(sortby), limit=limit)] == expected


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_an_item_without_the_field_comes_last(direction):
    assert found(None, sortby=({"field": "size", "direction": direction},))[-1]["id"] == "d"


def test_without_an_order_the_newest_comes_first():
    items = [item(name, "aux", datetime=f"2026-05-0{day}T00:00:00Z") for name, day in (("x", 1), ("y", 3), ("z", 2))]
    assert [found["id"] for found in select(items, Search(limit=2), "the query")] == ["y", "z"]


def test_c7_a_template_is_filled_with_values_that_keep_their_type():
    search = build_search(val_cover()["stac"], PARAMETERS, "ValCover")
    shifted = interval(op("-", "2026-05-01T03:04:05.123Z", 60), op("+", "2026-05-01T04:00:00.000Z", 0.5))
    assert search.filter == op("and", op("=", of("product:type"), "AUX_TEST"), op("t_contains", VALIDITY, shifted))
    assert (search.sortby, search.limit, search.unfilled) == (({"field": "created", "direction": "desc"},), 1, ())


def test_building_a_search_does_not_change_the_template():
    template = val_cover()["stac"]
    before = copy.deepcopy(template)
    build_search(template, PARAMETERS, "ValCover")
    assert template == before


def test_only_texts_that_are_a_placeholder_and_nothing_else_are_filled():
    template = {"filter": op("=", of("{a}"), "x{a}"), "limit": "{n}"}
    search = build_search(template, {"a": "A", "n": 3}, "q")
    assert (search.filter, search.limit) == (op("=", of("A"), "x{a}"), 3)


def test_a_placeholder_that_nothing_fills_stays_and_is_told():
    search = build_search({"filter": op("=", of("platform"), "{satellite}")}, {}, "q")
    assert (search.filter, search.unfilled) == (op("=", of("platform"), "{satellite}"), ("satellite",))


def test_seconds_are_added_before_an_engine_sees_the_filter():
    search = build_search(val_cover()["stac"], PARAMETERS, "ValCover")
    assert executable(search, "q")["args"][1]["args"][1] == interval("2026-05-01T03:03:05.123Z", "2026-05-01T04:00:00.500Z")


def test_a_filter_is_shown_as_text():
    text = cql2.text(executable(Search(op("and", op("=", of("platform"), "s1a"), op("between", of("size"), 1, 2))), "q"))
    assert "platform = 's1a'" in text
    assert "size >= 1" in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (op("near", of("id"), "a"), "'near' is no operator of CQL2; operators: %"),
        ({"op": "="}, "the operator '=' has no list of args"),
        (op("-", "{slc.start_datetime}", 3), r"'{slc.start_datetime}' - '3' is not seconds"),
        (op("+", "2026-05-01T00:00:00Z", "3"), "'2026-05-01T00:00:00Z' + '3' is not seconds"),
        (op("+", "2026-05-01T00:00:00Z", 1e15), "is beyond the years 1 to 9999"),
        (op("=", of("id")), "the filter is no CQL2"),
        ({"property": 3}, "the filter is no CQL2"),
        ([1, 2], "the filter is no CQL2"),
        ("id = 'a'", "the filter is no CQL2"),
    ],
)
def test_a_filter_that_cannot_be_computed_is_refused(query, said):
    with pytest.raises(InvalidQuery) as refused:
        executable(Search(query), "wave.json: query X")
    assert str(refused.value).startswith("wave.json: query X: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"limit": 0}, "limit '0' is no whole number"),
        ({"limit": True}, "limit 'True' is no whole number"),
        ({"limit": "1"}, "limit '1' is no whole number"),
        ({"sortby": "created"}, "sortby is no list"),
        ({"sortby": [{"direction": "desc"}]}, "sortby is no list"),
        ({"sortby": [{"field": "created", "direction": "down"}]}, "'down' is no direction; valid are: asc, desc"),
    ],
)
def test_a_template_that_is_no_search_is_refused(template, said):
    with pytest.raises(InvalidQuery, match=said):
        build_search(template, {}, "wave.json: query X")


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", "9999-12-30T23:00:00.000Z"])
def test_what_is_valid_for_ever_is_found(end):
    orbit = item("a", "aux", start_datetime="2026-05-01T00:00:00Z", end_datetime=end)
    day = ("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z")
    for query in (
        op("t_contains", VALIDITY, interval(*day)),
        op("t_intersects", VALIDITY, interval(day[0], end)),
        op(">", of("end_datetime"), day[1]),
        op("=", of("end_datetime"), end),
    ):
        assert cql2.select([orbit], Search(query), "q") == [orbit]
