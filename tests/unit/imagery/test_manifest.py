import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.imagery.manifest import RejectedManifest, Row, parse


def rows_of(text: str, prefix: str = "") -> list[Row]:
    return list(parse(text.encode(), input_prefix=prefix))


def problem(text: str, prefix: str = "") -> tuple[str, str]:
    """Return error class and message of the last row's problem."""
    failure = rows_of(text, prefix)[-1].problem
    assert failure is not None
    return failure.code, failure.message


def test_a_row_is_a_key_and_a_band_count() -> None:
    assert rows_of("Counties/WI/1band.tif,1\r\nb.tif, 4 \r\n") == [
        Row(1, ("Counties/WI/1band.tif", "1"), "Counties/WI/1band.tif", 1),
        Row(2, ("b.tif", " 4 "), "b.tif", 4),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffa.tif,3\n",
        "a.tif,3",
        "a.tif,3\r\n\r\n",
        '"a.tif","3"\n',
        "key,bands\na.tif,3\n",
        " , \na.tif,3\n",
        "\ufeffKey, Bands\r\na.tif,3\r\n",
    ],
)
def test_what_the_wild_adds_is_tolerated(text: str) -> None:
    [row] = rows_of(text)
    assert (row.key, row.bands, row.problem) == ("a.tif", 3, None)


@pytest.mark.parametrize("key", ["scene[1].tif", "a b/ü.TIF", "p%2Fq.tiff", "*.tif", "a,b.tif", 'say "x".tif', "-rf.tif", "my.tiff.tif"])
def test_a_key_is_data(key: str) -> None:
    quoted = key.replace('"', '""')
    [row] = rows_of(f'"{quoted}",1\n')
    assert (row.key, row.problem) == (key, None)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("a.tif\n", "bad_row", "one column instead of"),
        ("a.tif,1,2,3,4\n", "bad_row", "5 columns"),
        ("a.tif,a.jpg,3\n", "bad_row", "old form"),
        ("a.tif,three\n", "bad_row", "'three' is not a number"),
        ("a.tif,0\n", "bad_row", "not a number from 1"),
        ("a.tif,-1\n", "bad_row", "not a number from 1"),
        ("a.tif,3.0\n", "bad_row", "not a number from 1"),
        ("a.tif,65536\n", "bad_row", "not a number from 1"),
        ("a.tif,99999999999999999999\n", "bad_row", "not a number from 1"),
        ("a.tif,٣\n", "bad_row", "not a number from 1"),
        ("a.tif,\n", "bad_row", "not a number from 1"),
        (",3\n", "unsafe_key", "the key is empty"),
        ("/a.tif,3\n", "unsafe_key", "starts with a slash"),
        ("a/../b.tif,3\n", "unsafe_key", "segment"),
        ("a//b.tif,3\n", "unsafe_key", "empty segment"),
        ("a\x01.tif,3\n", "unsafe_key", "control character"),
        ('"a\nb.tif",3\n', "unsafe_key", "control character"),
        ("a.png,3\n", "unsupported_name", "does not end in .tif"),
        ("a,3\n", "unsupported_name", "does not end in .tif"),
        ("_stac/a.tif,3\n", "reserved_name", "keeps for itself"),
        ("a.tif,3\na.tif,3\n", "duplicate_row", "line 2: 'a.tif' stands in line 1 already"),
        ("a.tif,3\nA.TIF,3\n", "key_collision", "differs only in case from 'a.tif' in line 1"),
        ("a.tif,3\na.tiff,3\n", "key_collision", "the same JPEG as 'a.tif' in line 1: 'a.jpg'"),
    ],
)
def test_a_row_that_cannot_be_right_has_its_reason(text: str, code: str, words: str) -> None:
    found, message = problem(text)
    assert found == code
    assert words in message
    assert "\x01" not in message


def test_a_key_outside_the_input_prefix_is_refused() -> None:
    assert problem("other/a.tif,3\n", "scans/")[0] == "outside_input_prefix"
    assert rows_of("scans/a.tif,3\n", "scans/")[0].problem is None


def test_a_bad_row_harms_no_other_and_lines_are_counted_as_an_editor_does() -> None:
    rows = rows_of('a.tif,3\n\nbad\n"multi\nline.tif",3\nb.tif,1\n')
    assert [(row.line, row.problem is None) for row in rows] == [(1, True), (3, False), (4, False), (6, True)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no rows"),
        (b"\r\n\r\n", "no rows"),
        (b"key,bands\r\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "zero bytes"),
        ("a.tif,3\n".encode("utf-16"), "zero bytes"),
        (b"a.tif,3\nM\xfcnchen.tif,3\n", "line 2 has the byte 0xfc"),
        (b'a.tif,3\n"b.tif,3\nc.tif,3\n', "line 2"),
        (b'"' + b"x" * 200_000 + b'",3\n', "not a CSV"),
    ],
)
def test_what_is_no_csv_at_all_is_rejected_with_the_place(data: bytes, words: str) -> None:
    with pytest.raises(RejectedManifest, match=words):
        parse(data, input_prefix="")


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_a_rejection(data: bytes) -> None:
    try:
        rows = parse(data, input_prefix="")
    except RejectedManifest:
        return
    assert rows
    good = [row.key for row in rows if row.problem is None]
    assert len({key.casefold() for key in good}) == len(good)
