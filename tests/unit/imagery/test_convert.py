from dataclasses import replace

import numpy as np
import pytest
import rasterio

from platform_assets.common.errors import CheckFailed
from platform_assets.imagery.convert import (
    ProfileUnsuitable,
    block_px,
    check_profile,
    creation_options,
    pyramid,
    write_cog,
)
from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.inspect import facts_of, inspect
from platform_assets.imagery.model import Conversion, Limits, Profile
from platform_assets.imagery.tiff import CorruptImage
from platform_assets.imagery.verify import open_cog, verify_cog
from tests.builders import tiffs

LOSSLESS = [profile for profile in Profile if profile.lossless]
NOT_FOR_LERC = ("one bit", "one bit, white first", "4 bits", "12 bits", "int64", "half floats", "complex", "complex integers")
DAMAGE = {"cut off": tiffs.truncated, "overwritten": tiffs.damaged, "bits flipped": tiffs.flipped}
NO_CHECKSUM = [("NONE", "overwritten"), ("NONE", "bits flipped"), ("LZW", "bits flipped"), ("ZSTD", "bits flipped")]
"""What still decodes is an image."""


@pytest.fixture(autouse=True)
def environment(tmp_path):
    with gdal_environment(tmp_path):
        yield


def converted(source, profile=Profile.ZSTD, **parameters):
    facts = inspect(source, Limits())
    conversion = Conversion(profile, **parameters)
    target = source.with_name("out.tif")
    write_cog(source, target, facts, conversion)
    with open_cog(target) as made:
        return target, verify_cog(source, made, facts, conversion), facts


def suits(facts, profile):
    try:
        check_profile("a.tif", facts, profile)
    except ProfileUnsuitable:
        return False
    return True


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask()


@pytest.mark.parametrize(("kind", "profile"), [(k, p) for k in tiffs.KINDS for p in LOSSLESS if p != "lerc" or k not in NOT_FOR_LERC])
def test_every_kind_of_image_keeps_pixels_mask_and_facts(tmp_path, kind, profile):
    source = tiffs.KINDS[kind](tmp_path / "a.tif")

    target, details, facts = converted(source, profile)

    for before, after in zip(read(source), read(target), strict=True):
        np.testing.assert_array_equal(before, after)
    with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(target) as dataset:
        assert facts_of(dataset, pages=facts.pages) == facts
    assert set(details) == {"checks", "overviews", "windows_compared"}


@pytest.mark.parametrize("profile", [Profile.DEFLATE, Profile.ZSTD, Profile.LZW])
def test_the_profiles_that_hold_every_image_hold_every_image(tmp_path, profile):
    for kind, builder in tiffs.KINDS.items():
        assert suits(inspect(builder(tmp_path / f"{kind}.tif"), Limits()), profile)


@pytest.mark.parametrize(
    ("kind", "unsuitable"),
    [
        ("grey", {"webp"}),
        ("rgb", set()),
        ("rgb and alpha", {"jpeg"}),
        ("rgb and infrared", {"jpeg", "webp"}),
        ("internal mask", set()),
        ("nodata", {"jpeg", "webp"}),
        ("palette", {"jpeg", "webp"}),
        ("one bit", {"jpeg", "webp", "lerc"}),
        ("uint16", {"jpeg", "webp"}),
        ("half floats", {"jpeg", "webp", "lerc"}),
        ("complex", {"jpeg", "webp", "lerc"}),
        ("int64", {"jpeg", "webp", "lerc"}),
    ],
)
def test_a_profile_that_would_lose_more_than_detail_is_refused(tmp_path, kind, unsuitable):
    facts = inspect(tiffs.KINDS[kind](tmp_path / "a.tif"), Limits())
    assert {profile for profile in Profile if not suits(facts, profile)} == unsuitable


def test_a_refused_profile_names_another(tmp_path):
    source = tiffs.KINDS["uint16"](tmp_path / "a.tif")
    with pytest.raises(ProfileUnsuitable, match="profile `jpeg` cannot hold it: JPEG takes 8-bit") as error:
        converted(source, Profile.JPEG)
    assert (error.value.code, "deflate" in error.value.remedy) == ("profile_unsuitable", True)


@pytest.mark.parametrize("profile", [Profile.JPEG, Profile.WEBP])
@pytest.mark.parametrize("kind", ["rgb", "rgb in planes", "internal mask", "colour profile"])
@pytest.mark.parametrize("quality", [10, 75, 100])
def test_lossy_profiles_keep_all_but_detail(tmp_path, profile, kind, quality):
    target, details, _ = converted(tiffs.KINDS[kind](tmp_path / "a.tif"), profile, jpeg_quality=quality)

    before, after = read(tmp_path / "a.tif")[0].astype(float), read(target)[0]
    assert np.abs(before - after).mean() < 25
    assert details["windows_compared"] > 0


def test_a_better_quality_is_larger(tmp_path):
    source = tiffs.KINDS["rgb"](tmp_path / "a.tif")
    sizes = [converted(source, Profile.JPEG, jpeg_quality=quality)[0].stat().st_size for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("kind", "predictor"),
    [("rgb", "2"), ("float32 with NaN", "3"), ("palette", None), ("one bit", None), ("12 bits", None), ("complex", None)],
)
def test_the_predictor_follows_the_type(tmp_path, kind, predictor):
    target, _, _ = converted(tiffs.KINDS[kind](tmp_path / "a.tif"))
    with rasterio.open(target) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR") == predictor


def test_existing_overviews_are_ignored(tmp_path):
    target, _, _ = converted(tiffs.KINDS["existing overviews"](tmp_path / "a.tif"))
    with rasterio.open(target, overview_level=0) as overview:
        assert overview.read().mean() > 100


def test_overviews_are_averaged_or_as_asked(tmp_path):
    source = tiffs.write(tmp_path / "a.tif", np.tile(np.uint8([[0, 200], [0, 200]]), (1, 400, 400)))
    for resampling, values in (("average", [100]), ("nearest", [0])):
        target, _, _ = converted(source, resampling=resampling)
        with rasterio.open(target, overview_level=0) as overview:
            assert np.unique(overview.read()).tolist() == values


@pytest.mark.parametrize("kind", ["palette", "one bit", "negative", "complex"])
def test_names_of_classes_are_never_averaged(tmp_path, kind):
    facts = inspect(tiffs.KINDS[kind](tmp_path / "a.tif"), Limits())
    assert creation_options(facts, Conversion(resampling="cubic"))["OVERVIEW_RESAMPLING"] == "nearest"


def test_hundreds_of_bands_make_smaller_tiles(tmp_path):
    target, _, facts = converted(tiffs.write(tmp_path / "a.tif", np.ones((300, 40, 60), "uint16")))

    with rasterio.open(target) as dataset:
        assert dataset.block_shapes[0] == (256, 256)
    assert block_px(replace(facts, dtypes=("float64",) * 512)) == 128
    assert pyramid(replace(facts, width=600, height=3)) == [(600, 3), (300, 1), (150, 1)]


def test_private_metadata_is_kept_where_gdal_can(tmp_path):
    def private(dataset):
        dataset.update_tags(ns="FLIGHT", PILOT="Ada")

    def both(dataset):
        private(dataset)
        dataset.update_tags(1, SENSOR="left")

    target, details, _ = converted(tiffs.write(tmp_path / "a.tif", tiffs.scenery(), private))
    with rasterio.open(target) as dataset:
        assert dataset.tags(ns="FLIGHT") == {"PILOT": "Ada"}
    target, details, _ = converted(tiffs.write(tmp_path / "b.tif", tiffs.scenery(), both))
    with rasterio.open(target) as dataset:
        assert dataset.tags(1) == {"SENSOR": "left"}
    assert details["metadata_dropped"] == ["FLIGHT"]


@pytest.mark.parametrize("code", [5999, 32767])
def test_a_reference_system_with_an_unknown_code_is_kept_as_it_is(tmp_path, code):
    source = tiffs.KINDS["grey"](tmp_path / "a.tif")
    data = source.read_bytes()
    source.write_bytes(data.replace(tiffs.projected_crs(32633), tiffs.projected_crs(code)))
    _, details, facts = converted(source)

    assert facts.crs_wkt.startswith('ENGCRS["WGS 84 / UTM zone 33N"')
    assert "georeferencing_kept" in details["checks"]


def test_a_reference_system_that_a_geotiff_cannot_hold_fails(tmp_path):
    pole = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=45 +lon_0=10 +to_meter=0.0174532925199433"
    source = tiffs.write(tmp_path / "a.tif", tiffs.scenery(), crs=pole, transform=tiffs.UTM["transform"])
    assert (tmp_path / "a.tif.aux.xml").exists()

    with pytest.raises(CheckFailed, match="check georeferencing_kept failed: crs_wkt is ''"):
        converted(source)


def test_no_path_of_the_worker_gets_into_the_cog(tmp_path):
    target, _, _ = converted(tiffs.KINDS["several pages"](tmp_path / "a.tif"))
    assert str(tmp_path).encode() not in target.read_bytes()


def test_nothing_is_written_beside_the_cog(tmp_path):
    source = tiffs.KINDS["internal mask"](tmp_path / "a.tif")
    target, _, _ = converted(source)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}


@pytest.mark.parametrize(
    ("compress", "damage"), [(c, d) for c in ("NONE", "DEFLATE", "LZW", "ZSTD", "JPEG") for d in DAMAGE if (c, d) not in NO_CHECKSUM]
)
def test_a_damaged_image_is_corrupt_and_leaves_no_cog(tmp_path, compress, damage):
    source = DAMAGE[damage](tiffs.write(tmp_path / "a.tif", tiffs.scenery(3), compress=compress))

    with pytest.raises(CorruptImage, match=r"a\.tif: ") as error:
        converted(source)

    assert error.value.code == "corrupt_image"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_lzw_that_no_longer_decodes_is_corrupt(tmp_path):
    gradient = np.repeat(np.arange(700, dtype="uint8")[None, :, None] // 3, 600, axis=2)
    with pytest.raises(CorruptImage, match="code not yet in table"):
        converted(tiffs.flipped(tiffs.write(tmp_path / "a.tif", gradient, compress="LZW"), bits=3))


def test_a_damaged_mask_is_corrupt(tmp_path):
    source = tiffs.with_external_mask(tmp_path / "a.tif")
    tiffs.truncated(tmp_path / "a.tif.msk")
    with pytest.raises(CorruptImage):
        converted(source)
