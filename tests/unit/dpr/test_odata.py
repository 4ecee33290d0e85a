from datetime import UTC, datetime
from typing import Any

import pytest

from platform_assets.dpr import odata
from platform_assets.dpr.odata_filter import InvalidFilter, compiled, ordered
from platform_assets.dpr.transfer import Checksum, StationRefused

ROW: dict[str, Any] = {
    "Name": "S1A_O'NEIL.EOF",
    "Satellite": "S1A",
    "Size": 5,
    "Retransfer": False,
    "PublicationDate": "2026-05-01T04:10:00.500Z",
    "EvictionDate": None,
    "ContentDate": {"Start": "2026-05-01T00:00:00Z"},
    "Attributes": [{"Name": "productType", "Value": "AUX_RESORB"}, {"Name": "platform", "Value": "A"}],
}
ANY = "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq '{}' and att/OData.CSC.StringAttribute/Value eq '{}')"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Name eq 'S1A_O''NEIL.EOF'", True),
        ("Size gt 4 and Size le 5", True),
        ("Size lt 5 or Retransfer eq false", True),
        ("not (Size eq 5)", False),
        ("Satellite in ('S1C', 'S1A')", True),
        ("Satellite in ('S1C')", False),
        ("PublicationDate ge 2026-05-01T04:10:00.500Z", True),
        ("PublicationDate lt 2026-05-01", False),
        ("ContentDate/Start eq 2026-05-01T00:00:00.000Z", True),
        ("contains(Name,'NEIL') and startswith(Name,'S1A') and endswith(Name,'.EOF')", True),
        ("contains(Size,'5')", False),
        ("EvictionDate eq null", True),
        ("EvictionDate gt 2026-05-01T00:00:00Z", False),
        ("Size gt 'a'", False),
        ("Missing ne 'x'", True),
        (ANY.format("productType", "AUX_RESORB"), True),
        (ANY.format("productType", "A"), False),
    ],
)
def test_a_filter_finds_what_it_says(text: str, found: bool) -> None:
    assert compiled(text)(ROW) is found


@pytest.mark.parametrize("text", ["Name eq", "Name is 'x'", "(Size eq 5", "Size eq 5 Size", "Size ~ 5", "in ('x')", "Name in 'x'"])
def test_a_text_that_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidFilter):
        compiled(text)


def test_rows_are_ordered_by_several_fields() -> None:
    rows = [{"a": 1, "b": "2026-01-01T00:00:00Z"}, {"a": 2, "b": None}, {"a": 1, "b": "2026-01-02T00:00:00Z"}]
    assert ordered(rows, "a desc,b desc") == [rows[1], rows[2], rows[0]]


def test_what_is_written_as_a_filter_is_read_as_what_was_meant() -> None:
    moment = datetime(2026, 5, 1, 4, 10, 0, 500_000, tzinfo=UTC)
    text = odata.both(f"PublicationDate eq {odata.literal(moment)}", "", odata.is_any("Name", ["x", "S1A_O'NEIL.EOF"]))
    assert compiled(text)(ROW) is True
    assert [odata.literal(value) for value in (None, True, 5, "a")] == ["null", "true", "5", "'a'"]


def test_options_that_are_not_given_are_left_out() -> None:
    assert odata.options(filter_text="", expand="Files", top=0) == {"$expand": "Files", "$top": "0"}


def test_an_answer_is_a_list_or_one_entity_and_nothing_else() -> None:
    assert odata.rows({"value": [ROW]}, "x") == [ROW]
    assert odata.rows(ROW, "x") == [ROW]
    for wrong in ([], "text", {"value": {}}, {"value": ["x"]}):
        with pytest.raises(StationRefused):
            odata.rows(wrong, "x")


def test_the_address_of_the_next_page_may_be_relative() -> None:
    assert (
        odata.next_page({"@odata.nextLink": "Sessions?$skip=2"}, "https://a.b/odata/v1/Sessions") == "https://a.b/odata/v1/Sessions?$skip=2"
    )
    assert odata.next_page({}, "https://a.b") is None


def test_of_several_checksums_the_strongest_counts() -> None:
    listed = [
        {"Algorithm": "MD5", "Value": "A" * 32},
        {"Algorithm": "BLAKE3", "Value": "B" * 64},
        {"Algorithm": "SHA3-256", "Value": "C" * 64},
    ]
    assert odata.checksum({"Checksum": listed}) == Checksum("sha3_256", "c" * 64)
    assert odata.checksum({"Checksum": [{"Algorithm": "BLAKE3", "Value": "B" * 64}]}) is None
    assert odata.checksum({"Checksum": {"Algorithm": "SHA-256", "Value": "D" * 64}}) == Checksum("sha256", "d" * 64)
    assert odata.checksum({"Checksum": None}) is None


def test_a_multihash_is_the_checksum_that_it_says() -> None:
    assert Checksum.of_multihash("1220" + "0a" * 32) == Checksum("sha256", "0a" * 32)
    assert Checksum.of_multihash("d50110" + "0a" * 16) == Checksum("md5", "0a" * 16)
    assert Checksum.of_multihash("1220" + "0a" * 31) is None
    assert Checksum.of_multihash("nonsense") is None
