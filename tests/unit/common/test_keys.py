import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.common.keys import MAX_LENGTH, UnsafeKey, object_key, partition_key, shown

SEGMENT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/"), min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)


@given(st.lists(SEGMENT, min_size=1, max_size=5).map("/".join))
def test_every_object_key_has_one_partition_key_and_back(key: str) -> None:
    partition = partition_key(key)
    assert object_key(partition) == key
    assert set(partition) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-~")
    assert "..." not in partition


@given(SEGMENT, SEGMENT)
def test_two_object_keys_never_share_a_partition_key(one: str, other: str) -> None:
    assert (partition_key(one) == partition_key(other)) == (one == other)


def test_the_escape_is_readable() -> None:
    assert partition_key("county/1955/a 1.tif") == "county~~1955~~a~201.tif"
    assert partition_key("scene[1]~ü.tif") == "scene~5B1~5D~7E~C3~BC.tif"


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("", "empty"),
        ("/a.tif", "starts with a slash"),
        ("a/../b.tif", "`..` segment"),
        ("./a.tif", "`..` segment"),
        ("a//b.tif", "empty segment"),
        ("a/", "empty segment"),
        ("a\nb.tif", "control character"),
        ("a\u2028b.tif", "control character"),
        ("a\x7f.tif", "control character"),
        ("\udcff.tif", "not valid Unicode"),
        ("x" * 1025, "1025 bytes"),
        ("ü" * 400, f"of at most {MAX_LENGTH}"),
    ],
)
def test_a_key_that_cannot_be_an_identity_is_refused_by_its_rule(key: str, rule: str) -> None:
    with pytest.raises(UnsafeKey, match=rule):
        partition_key(key)


@pytest.mark.parametrize("text", ["a~zz", "a~2", "~", "a b", "a~2E", "a~41", "a|b", "a,b", "~FF", "a~~", "~~a"])
def test_what_no_key_encodes_to_is_no_partition_key(text: str) -> None:
    with pytest.raises(UnsafeKey):
        object_key(text)


def test_a_message_shows_hostile_text_harmlessly() -> None:
    assert shown("a\x1b[31m\n") == "'a\\x1b[31m\\n'"
    assert len(shown("x" * 1000)) <= 123
