import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from platform_assets.imagery.render import Rendering, Tally, is_valid, render, rendering_of, shown_bands
from tests.builders.images import image_facts


def facts_of(dtype="uint8", bands=1, **changes):
    return image_facts(dtypes=(dtype,) * bands, **changes)


def shown(pixels, validity=None, palette=None, **facts):
    """Render pixels of lines x columns x bands by what they say themselves."""
    of = facts_of(pixels.dtype.name, pixels.shape[2], **facts)
    return render(pixels, validity, rendering_of(of, palette or {}, pixels, validity))


@pytest.mark.parametrize(
    ("colours", "bands"),
    [
        (("gray",), (1,)),
        (("gray", "alpha"), (1,)),
        (("gray", "undefined"), (1,)),
        (("red", "green", "blue"), (1, 2, 3)),
        (("blue", "green", "red", "alpha"), (3, 2, 1)),
        (("gray", "undefined", "undefined"), (1, 2, 3)),
        (("undefined",) * 7, (1, 2, 3)),
        (("alpha", "undefined", "undefined", "undefined"), (2, 3, 4)),
        (("nir", "red", "green", "blue"), (2, 3, 4)),
        (("alpha",), (1,)),
    ],
)
def test_the_sensible_bands_are_shown(colours, bands):
    assert shown_bands(facts_of(bands=len(colours), colorinterp=colours)) == bands


def test_only_the_index_of_a_palette_is_shown():
    assert shown_bands(facts_of(bands=3, colorinterp=("palette", "undefined", "undefined"), colormap=True)) == (1,)


def test_bytes_are_shown_as_they_are():
    pixels = np.arange(256, dtype="uint8").reshape(16, 16, 1)
    np.testing.assert_array_equal(shown(pixels), pixels[..., 0])


def test_bytes_that_name_a_few_classes_are_spread():
    np.testing.assert_array_equal(shown(np.uint8([[[0], [1], [2]]])), [[0, 128, 255]])


def test_one_byte_alone_is_shown_as_it_is():
    np.testing.assert_array_equal(shown(np.full((2, 2, 1), 90, "uint8")), np.full((2, 2), 90))


def test_small_samples_use_their_whole_range():
    np.testing.assert_array_equal(shown(np.uint8([[[0], [15]]]), bits=4), [[0, 255]])


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64", "int8"])
def test_other_types_are_stretched_between_percentiles(dtype):
    values = np.linspace(-100 if np.dtype(dtype).kind != "u" else 0, 120, 10_000).astype(dtype)
    levels = shown(values.reshape(100, 100, 1)).ravel()

    low, high = np.percentile(values, [2, 98])
    expected = np.clip((values.astype("float64") - low) / (high - low) * 255, 0, 255)
    assert np.abs(levels - expected).max() <= 1
    assert (levels[0], levels[-1]) == (0, 255)


def test_outliers_do_not_turn_the_rest_grey():
    pixels = np.linspace(1000, 2000, 10_000).astype("uint16").reshape(100, 100, 1)
    pixels[0, 0] = 65_535
    assert shown(pixels).std() > 60


@pytest.mark.parametrize("missing", [-9999.0, math.nan, math.inf, -math.inf])
def test_what_is_missing_is_black_and_does_not_stretch(missing):
    pixels = np.tile(np.linspace(10, 20, 100, dtype="float32")[:, None], (100, 1, 1))
    expected = shown(pixels)
    pixels[:10] = missing
    nodata = "-9999.0" if missing == -9999 else ""
    levels = shown(pixels, nodata=(nodata,))

    assert (levels[:10] == (255 if missing == math.inf else 0)).all()
    np.testing.assert_array_equal(levels[10:], expected[10:])


@pytest.mark.parametrize("value", [0, 5, 1e30, -1e300])
def test_constant_values_are_grey(value):
    assert np.isin(shown(np.full((20, 20, 1), value, "float64")), (127, 128)).all()


def test_an_image_without_a_valid_value_is_black():
    assert not shown(np.full((4, 4, 1), -9999, "float32"), nodata=("-9999.0",)).any()
    assert not shown(np.full((4, 4, 1), np.nan, "float32")).any()


def test_magnitudes_of_complex_values_are_shown():
    pixels = (np.linspace(0, 1, 400) * np.exp(1j * np.arange(400))).astype("complex64").reshape(20, 20, 1)
    levels = shown(pixels)
    np.testing.assert_array_equal(np.argsort(levels.ravel(), kind="stable"), np.arange(400))


def test_a_palette_gives_colours_and_a_grey_one_grey():
    pixels = np.uint8([[[0], [2], [9]]])
    colours = {0: (1, 2, 3, 255), 1: (4, 5, 6, 255), 2: (7, 8, 9, 255)}
    np.testing.assert_array_equal(shown(pixels, palette=colours), [[[1, 2, 3], [7, 8, 9], [7, 8, 9]]])
    np.testing.assert_array_equal(shown(pixels[:, :2], palette={0: (255,) * 4, 2: (10, 10, 10, 255)}), [[255, 10]])


def test_pixels_are_black_only_where_all_bands_are_nodata():
    pixels = np.uint8([[[0, 0, 0], [0, 70, 90], [200, 100, 50]]])
    np.testing.assert_array_equal(shown(pixels, nodata=("0.0",) * 3), pixels)
    np.testing.assert_array_equal(shown(pixels, nodata=("200.0", "100.0", "50.0"))[0, 2], [0, 0, 0])


def test_a_mask_is_burnt_in():
    pixels = np.full((2, 2, 3), 200, "uint8")
    mask = np.uint8([[0, 255], [255, 0]])
    np.testing.assert_array_equal(shown(pixels, mask, mask="per_dataset")[..., 0], [[0, 200], [200, 0]])


def test_translucent_alpha_darkens():
    pixels = np.full((1, 4, 1), 200, "uint8")
    mask = np.uint8([[0, 64, 128, 255]])
    np.testing.assert_array_equal(shown(pixels, mask, mask="alpha"), [[0, 50, 100, 200]])


@given(npst.arrays(np.uint16, (5, 4, 3)))
def test_rendering_the_parts_is_rendering_the_whole(pixels):
    rendering = Rendering((1, 2, 3), ends=((10.0, 300.0), (0.0, 65_535.0), (5.0, 6.0)), nodata=(7.0, 7.0, 7.0))
    whole = render(pixels, None, rendering)
    parts = np.concatenate([render(pixels[:2], None, rendering), render(pixels[2:], None, rendering)])
    np.testing.assert_array_equal(whole, parts)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), min_size=1, max_size=5))
def test_statistics_do_not_depend_on_how_the_band_is_cut(parts):
    tally = Tally()
    for part in parts:
        band = np.array(part)
        tally.add(band, is_valid(band, math.nan, None))
    every = np.concatenate([np.array(part) for part in parts])
    found = tally.statistics()

    assert (found.minimum, found.maximum, found.valid_percent) == (every.min(), every.max(), 100)
    assert found.mean == pytest.approx(every.mean(), abs=1e-6)
    assert found.stddev == pytest.approx(every.std(), abs=1e-4)


def test_statistics_are_of_valid_pixels_only():
    band = np.float32([[1, 3, -9999], [np.nan, np.inf, 5]])
    tally = Tally()
    tally.add(band, is_valid(band, -9999.0, np.uint8([[255, 255, 255], [255, 255, 0]])))
    found = tally.statistics()
    assert (found.minimum, found.maximum, found.mean, found.stddev) == (1, 3, 2, 1)
    assert found.valid_percent == pytest.approx(100 / 3, abs=1e-3)


def test_statistics_of_nothing_are_none():
    tally = Tally()
    tally.add(np.full((2, 2), np.nan), np.zeros((2, 2), bool))
    assert replace(tally.statistics(), valid_percent=1) == replace(Tally(seen=4).statistics(), valid_percent=1)
    assert tally.statistics().minimum is None


def test_statistics_of_huge_values_have_no_infinite_deviation():
    band = np.array([-1e300, 1e300])
    tally = Tally()
    tally.add(band, is_valid(band, math.nan, None))
    assert tally.statistics().stddev is None
