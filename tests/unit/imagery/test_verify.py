from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from platform_assets.common.errors import CheckFailed
from platform_assets.imagery.convert import creation_options, write_cog
from platform_assets.imagery.gdal import decode_all, gdal_environment
from platform_assets.imagery.inspect import inspect
from platform_assets.imagery.model import Conversion, Limits, Profile
from platform_assets.imagery.verify import failed, open_cog, verify_cog
from tests.builders import tiffs

CONVERSION = Conversion(Profile.ZSTD)


@pytest.fixture(autouse=True)
def environment(tmp_path):
    with gdal_environment(tmp_path):
        yield


def cog_of(path, **options):
    """Write a COG beside an image, by GDAL alone."""
    target = path.with_name("cog.tif")
    facts = inspect(path, Limits())
    with rasterio.open(path) as dataset:
        copy(dataset, target, driver="COG", **{**creation_options(facts, CONVERSION), **options})
    return target


def verdict(source, cog):
    return checked(source, cog, inspect(source, Limits()), CONVERSION)


def checked(source, cog, facts, conversion):
    with open_cog(cog) as made:
        return verify_cog(source, made, facts, conversion)


def assert_fails(check, source, cog, words=""):
    with pytest.raises(CheckFailed, match=f"cog.tif: check {check} failed: .*{words}") as error:
        verdict(source, cog)
    assert error.value.code == "check_failed"


@pytest.fixture
def source(tmp_path):
    return tiffs.write(tmp_path / "a.tif", tiffs.scenery(3, 700, 900), photometric="RGB", **tiffs.UTM)


def test_a_good_cog_passes_all_checks(source):
    assert verdict(source, cog_of(source)) == {
        "checks": ["cog_valid", "overviews_present", "georeferencing_kept", "facts_kept", "pixels_equal"],
        "overviews": 1,
        "windows_compared": 16,
    }


def test_a_tiff_that_is_no_cog_fails(source):
    tiffs.write(source.with_name("cog.tif"), tiffs.scenery(3, 700, 900), photometric="RGB", **tiffs.UTM)
    assert_fails("cog_valid", source, source.with_name("cog.tif"), "not tiled|overviews")


def test_a_cog_that_was_modified_later_fails(source):
    cog = cog_of(source)
    with rasterio.open(cog, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(LATER="yes")
    assert_fails("cog_valid", source, cog)


def test_a_validator_that_breaks_down_is_a_failed_check(source):
    cog = cog_of(source)
    cog.write_bytes(cog.read_bytes()[:300])
    assert_fails("cog_valid", source, cog)


def test_a_cog_without_overviews_fails(source):
    assert_fails("cog_valid", source, cog_of(source, OVERVIEWS="NONE"), "internal overviews")


def test_overviews_of_another_size_fail(source):
    assert_fails("overviews_present", source, cog_of(source, OVERVIEW_COUNT=2), r"images of \[\(900, 700\), \(450, 350\), \(225, 175\)\]")


def test_one_other_pixel_in_a_corner_fails(source):
    pixels = tiffs.scenery(3, 700, 900)
    pixels[2, 699, 899] ^= 1
    tiffs.write(source.with_name("b.tif"), pixels, photometric="RGB", **tiffs.UTM)
    assert_fails("pixels_equal", source, cog_of(source.with_name("b.tif")), "column 768, line 636")


def test_swapped_bands_fail(source):
    tiffs.write(source.with_name("b.tif"), tiffs.scenery(3, 700, 900)[::-1].copy(), photometric="RGB", **tiffs.UTM)
    assert_fails("pixels_equal", source, cog_of(source.with_name("b.tif")), "values differ")


@pytest.mark.parametrize(
    ("check", "words", "profile"),
    [
        ("georeferencing_kept", "transform is 'None'", {"crs": "EPSG:32633"}),
        ("georeferencing_kept", "crs_wkt", {**tiffs.UTM, "crs": "EPSG:32634"}),
        ("georeferencing_kept", "crs_wkt is ''", {"transform": tiffs.UTM["transform"]}),
        ("facts_kept", "nodata is .*7.0", {**tiffs.UTM, "nodata": 7}),
    ],
)
def test_other_facts_fail(source, check, words, profile):
    tiffs.write(source.with_name("b.tif"), tiffs.scenery(3, 700, 900), photometric="RGB", **profile)
    assert_fails(check, source, cog_of(source.with_name("b.tif")), words)


@pytest.mark.parametrize(
    ("check", "kind", "plain", "words"),
    [
        ("facts_kept", "palette", {"photometric": "MINISBLACK", **tiffs.UTM}, "colorinterp|colormap"),
        ("georeferencing_kept", "control points", {}, "crs_wkt"),
        ("georeferencing_kept", "rational polynomials", {}, "rpcs is 'False'"),
        ("facts_kept", "int8", {}, "nodata"),
        ("facts_kept", "12 bits", {}, "bits is '0' instead of '12'"),
        ("facts_kept", "colour profile", {"photometric": "RGB"}, "metadata COLOR_PROFILE"),
        ("overviews_present", "internal mask", {"photometric": "RGB", **tiffs.UTM}, r"masks of \[\] pixels"),
    ],
)
def test_what_a_kind_of_image_needs_is_missed(tmp_path, check, kind, plain, words):
    source = tiffs.KINDS[kind](tmp_path / "a.tif")
    with rasterio.open(source) as dataset:
        tiffs.write(tmp_path / "b.tif", dataset.read(), **plain)
    assert_fails(check, source, cog_of(tmp_path / "b.tif"), words)


def test_another_palette_of_the_same_size_fails(tmp_path):
    source = tiffs.KINDS["palette"](tmp_path / "a.tif")
    other = tiffs.write(
        tmp_path / "b.tif",
        tiffs.scenery(),
        lambda dataset: dataset.write_colormap(1, {value: (value, value, value, 255) for value in range(256)}),
        photometric="PALETTE",
        **tiffs.UTM,
    )
    assert_fails("facts_kept", source, cog_of(other), "palette")


def test_other_control_points_fail(tmp_path):
    def moved(dataset):
        tiffs.control_points(dataset)
        points, crs = dataset.gcps
        points[1].x += 1e-6
        dataset.gcps = (points, crs)

    source = tiffs.KINDS["control points"](tmp_path / "a.tif")
    assert_fails("georeferencing_kept", source, cog_of(tiffs.write(tmp_path / "b.tif", tiffs.scenery(), moved)), "control points")


def test_another_mask_fails(tmp_path):
    def other(dataset):
        dataset.write_mask(np.full(dataset.shape, 255, "uint8"))

    source = tiffs.KINDS["internal mask"](tmp_path / "a.tif")
    assert_fails("pixels_equal", source, cog_of(tiffs.write(tmp_path / "b.tif", tiffs.scenery(3), other, **tiffs.UTM)), "mask")


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_cog_that_is_cut_off_fails(source, share):
    with pytest.raises(CheckFailed):
        verdict(source, tiffs.truncated(cog_of(source), share))


def test_a_damaged_overview_fails(source):
    cog = cog_of(source)
    with rasterio.open(cog, overview_level=0) as overview:
        offset = int(overview.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    data = bytearray(cog.read_bytes())
    data[offset : offset + 100] = bytes(100)
    cog.write_bytes(data)
    assert_fails("blocks_decodable", source, cog)


def test_a_damaged_block_fails_when_all_are_decoded(tmp_path):
    source = tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 2000, 2000))
    cog = cog_of(source)
    with rasterio.open(cog) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_2", "TIFF", bidx=1))
    data = bytearray(cog.read_bytes())
    data[offset : offset + 100] = bytes(100)
    cog.write_bytes(data)
    with pytest.raises(CheckFailed, match="check blocks_decodable failed"):
        decode_all(cog, failed("blocks_decodable", cog))


def test_lossy_compression_is_allowed_detail_but_no_other_picture(tmp_path):
    source = tiffs.write(tmp_path / "a.tif", tiffs.scenery(3), photometric="RGB")
    facts, conversion = inspect(source, Limits()), Conversion(Profile.JPEG)
    cog = tmp_path / "cog.tif"
    write_cog(source, cog, facts, conversion)
    assert checked(source, cog, facts, conversion)["windows_compared"] > 0

    other = tiffs.write(tmp_path / "b.tif", np.roll(tiffs.scenery(3), 128, axis=2), photometric="RGB")
    write_cog(other, cog, facts, conversion)
    with pytest.raises(CheckFailed, match="16 x 16 pixels are up to"):
        checked(source, cog, facts, conversion)


def test_a_half_written_cog_of_a_larger_image_is_not_taken_for_it(source):
    facts = inspect(source, Limits())
    with pytest.raises(CheckFailed, match="overviews_present"):
        checked(source, cog_of(source), replace(facts, width=901), CONVERSION)
