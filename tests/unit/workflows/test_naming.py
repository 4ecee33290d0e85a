"""Names for Dagster: allowed, readable, and different for different texts."""

import re
from itertools import product

import pytest

from platform_assets.workflows.naming import dagster_name


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["l0_to_l1_visp_1.0.2"], "l0_to_l1_visp_1__0__2"),
        (["l0_to_l1_visp_1.0.2", "Parse"], "l0_to_l1_visp_1__0__2___Parse"),
        (["1-0"], "1___0"),
        (["_Private"], "_Private"),
        (["1.0+local"], "1__0____2b____local"),
    ],
)
def test_a_name_can_be_read(parts, name):
    assert dagster_name(*parts) == name


def test_no_two_short_texts_have_one_name_and_dagster_allows_all():
    texts = ["".join(characters) for length in range(1, 5) for characters in product("a1_.-+", repeat=length)]
    names = {dagster_name(text) for text in texts}
    assert len(names) == len(texts)
    assert all(re.fullmatch("[A-Za-z0-9_]+", name) for name in names)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0.0", "1_0_0"), ("1.0.0", "1-0-0"), ("1_0_0", "1-0-0"), ("a.b", "a__b"), ("é", "è"), ("a-b", "a___b")]
)
def test_versions_that_differ_in_a_separator_have_two_names(one, other):
    assert dagster_name(one) != dagster_name(other)
