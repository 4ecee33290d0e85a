"""Statistics in decibels."""

import numpy as np
import pytest

from platform_assets.sar.statistics import decibels, statistics_db


def test_the_mean_is_that_of_the_linear_values() -> None:
    found = statistics_db(np.array([[0.001, 0.1], [np.nan, -0.001]]))
    assert found["mean_db"] == pytest.approx(10 * np.log10(0.1 / 3), abs=1e-3)
    assert (found["min_db"], found["max_db"], found["nan_share"], found["negative_share"]) == (-30, -10, 0.25, 0.25)
    assert found["p50_db"] == -20


@pytest.mark.parametrize("values", [np.full((2, 2), np.nan), np.full((2, 2), -1.0), np.zeros((2, 2))], ids=["nan", "negative", "zero"])
def test_nothing_positive_has_no_decibels(values: np.ndarray) -> None:
    found = statistics_db(values)
    assert {found[name] for name in found if name.endswith("_db")} == {None}
    assert np.isnan(decibels(values)).all()
