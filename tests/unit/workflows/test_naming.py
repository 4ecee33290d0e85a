"""Names for Dagster: allowed, readable, and different for different texts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.workflows.naming import dagster_name

TEXTS = st.text(st.sampled_from("aZ09_-.+é/"), min_size=1, max_size=8)


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


@given(TEXTS, TEXTS)
def test_two_texts_have_two_names_that_dagster_allows(one, other):
    assert re.fullmatch("[A-Za-z0-9_]+", dagster_name(one))
    assert (dagster_name(one) == dagster_name(other)) == (one == other)


@pytest.mark.parametrize(("one", "other"), [("1.0.0", "1_0_0"), ("1.0.0", "1-0-0"), ("1_0_0", "1-0-0"), ("a.b", "a__b"), ("a-b", "a___b")])
def test_versions_that_differ_in_a_separator_have_two_names(one, other):
    assert dagster_name(one) != dagster_name(other)
