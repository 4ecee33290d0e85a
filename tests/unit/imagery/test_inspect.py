import math
import struct
from dataclasses import replace

import numpy as np
import psutil
import pytest

from platform_assets.common.errors import LimitExceeded
from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.inspect import BandMismatch, MissingCodec, check_bands, control_points, inspect
from platform_assets.imagery.model import Limits
from platform_assets.imagery.tiff import CorruptImage, NotATiff
from tests.builders import tiffs


@pytest.fixture(autouse=True)
def environment(tmp_path):
    with gdal_environment(tmp_path):
        yield


def facts_of(path, **limits):
    return inspect(path, replace(Limits(), **limits))


def test_the_facts_of_a_plain_image_are_read(tmp_path):
    facts = facts_of(tiffs.write(tmp_path / "a.tif", tiffs.scenery(3), photometric="RGB", **tiffs.UTM))

    assert (facts.width, facts.height, facts.bands, facts.dtypes, facts.bits) == (530, 300, 3, ("uint8",) * 3, 0)
    assert facts.colorinterp == ("red", "green", "blue")
    assert facts.transform == (500_000, 10, 0, 5_000_000, 0, -10)
    assert facts.crs_wkt.startswith('PROJCRS["WGS 84 / UTM zone 33N"')
    assert (facts.mask, facts.nodata, facts.colormap, facts.gcps, facts.rpcs) == ("all_valid", ("", "", ""), False, 0, False)


def test_the_facts_of_an_image_without_georeferencing_are_read(tmp_path):
    facts = facts_of(tiffs.write(tmp_path / "a.tif", tiffs.scenery()))

    assert (facts.crs_wkt, facts.transform) == ("", None)


def test_all_that_is_said_of_a_band_is_read(tmp_path):
    facts = facts_of(tiffs.write(tmp_path / "a.tif", tiffs.scenery(dtype="int16"), tiffs.described, nodata=-9999, **tiffs.UTM))

    assert (facts.scales, facts.offsets, facts.units, facts.descriptions) == ((0.1,), (273.15,), ("K",), ("temperature",))
    assert (facts.mask, facts.nodata, facts.area_or_point) == ("nodata", ("-9999.0",), "Point")
    assert dict(facts.tags) == {"OBSERVER": "Ada", "TIFFTAG_SOFTWARE": "scanner 3", "TIFFTAG_DATETIME": "1955:07:01 12:00:00"}
    assert facts.band_tags == ((("SENSOR", "left"),),)


def test_a_nodata_value_of_nan_equals_itself(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery(dtype="float32"), nodata=math.nan)

    assert facts_of(path) == facts_of(path)
    assert facts_of(path).nodata == ("nan",)


def test_masks_and_alpha_are_told_apart(tmp_path):
    assert facts_of(tiffs.write(tmp_path / "a.tif", tiffs.scenery(3), tiffs.masked)).mask == "per_dataset"
    assert facts_of(tiffs.write(tmp_path / "b.tif", tiffs.scenery(4), photometric="RGB", alpha="YES")).mask == "alpha"
    assert facts_of(tiffs.with_external_mask(tmp_path / "c.tif")).mask == "per_dataset"


def test_a_one_bit_image_and_a_negative_are_known(tmp_path):
    scan = tiffs.scenery() > 128
    facts = facts_of(tiffs.write(tmp_path / "a.tif", scan.astype("uint8"), nbits=1))
    assert (facts.bits, facts.colormap) == (1, True)
    facts = facts_of(tiffs.write(tmp_path / "b.tif", tiffs.scenery(), photometric="MINISWHITE"))
    assert (facts.bits, facts.colormap) == (0, True)


def test_control_points_are_read_with_their_reference_system(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery(), tiffs.control_points)

    assert (facts_of(path).gcps, facts_of(path).transform) == (4, None)
    assert facts_of(path).crs_wkt.startswith('GEOGCRS["WGS 84"')
    assert control_points(path)[1] == (530, 0, 10.053, 50)


def test_a_world_file_georeferences(tmp_path):
    assert facts_of(tiffs.with_world_file(tmp_path / "a.tif")).transform == (1000, 2, 0, 2000, 0, -2)


def test_pages_behind_the_first_are_counted(tmp_path):
    assert facts_of(tiffs.pages(tmp_path / "a.tif", 3)).pages == 3


@pytest.mark.parametrize(("claimed", "right"), [(3, True), (None, True), (1, False), (4, False)])
def test_a_wrong_claim_of_bands_is_refused(tmp_path, claimed, right):
    facts = facts_of(tiffs.write(tmp_path / "a.tif", tiffs.scenery(3)))
    if right:
        check_bands(facts, claimed, "folder/a.tif")
        return
    with pytest.raises(BandMismatch, match=f"'folder/a.tif': the manifest says {claimed} bands, the file has 3") as error:
        check_bands(facts, claimed, "folder/a.tif")
    assert error.value.code == "band_mismatch"


def test_a_codec_that_gdal_does_not_have_is_named_as_missing(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.tiff(tiffs.plain(t259=tiffs.UNKNOWN_CODEC), bytes(256)))

    with pytest.raises(MissingCodec, match=str(tiffs.UNKNOWN_CODEC)) as error:
        facts_of(path)

    assert error.value.code == "missing_codec"


@pytest.mark.parametrize("driver", ["VRT", "PNG"])
def test_no_other_driver_than_gtiff_sees_a_file(tmp_path, driver):
    secret = tiffs.write(tmp_path / "secret.tif", tiffs.scenery())
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.vrt(secret) if driver == "VRT" else tiffs.png())

    with pytest.raises(NotATiff, match=driver):
        facts_of(path)


def test_a_mask_beside_the_image_that_is_no_tiff_is_refused(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery())
    (tmp_path / "a.tif.msk").write_bytes(tiffs.vrt(path))

    with pytest.raises(NotATiff, match=r"a\.tif\.msk: it is a GDAL VRT"):
        facts_of(path)


def test_a_mask_of_another_size_is_refused(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery())
    tiffs.write(tmp_path / "small.tif", tiffs.scenery(1, 70, 60)).rename(tmp_path / "a.tif.msk")

    with pytest.raises(CorruptImage, match="the mask has 60 x 70 pixels, its image 530 x 300"):
        facts_of(path)


TOO_MUCH = {
    "file size": (lambda: tiffs.tiff(tiffs.plain(), bytes(256)), "MAX_FILE_BYTES", {"file_bytes": 100}),
    "65,535 bands": (lambda: tiffs.tiff(tiffs.plain(t277=65535), bytes(256)), "MAX_BANDS", {}),
    "68-gigapixel bomb": (lambda: tiffs.bomb(1 << 18), "MAX_PIXELS", {}),
    "sparse giant": (lambda: tiffs.sparse(150_000), "MAX_EXPANSION", {}),
    "deflate bomb": (lambda: tiffs.bomb(60_000), "MAX_EXPANSION", {}),
    "decoded size": (lambda: tiffs.tiff(tiffs.plain(150_000, 150_000, t277=4, t279=1), bytes(256)), "MAX_DECODED_BYTES", {}),
    "giant tile": (lambda: tiffs.tiff(tiffs.tiled(30_000, 30_000, [16], [1000]), bytes(1000)), "MAX_BLOCK_BYTES", {}),
    "giant strip": (lambda: tiffs.tiff(tiffs.plain(200_000, 1500, t259=tiffs.DEFLATE, t279=1000), bytes(1000)), "MAX_BLOCK_BYTES", {}),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_announces_too_much_is_refused_before_memory_is_spent(tmp_path, case):
    content, setting, limits = TOO_MUCH[case]
    path = tmp_path / "a.tif"
    path.write_bytes(content())
    process = psutil.Process()
    before = process.memory_info().rss

    with pytest.raises(LimitExceeded, match=f"GROUNDTRACK_{setting} allows") as error:
        facts_of(path, **limits)

    assert error.value.code == "limit_exceeded"
    assert process.memory_info().rss - before < 20_000_000


def test_a_blank_scan_is_no_bomb(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", np.zeros((1, 8000, 8000), "uint8"), compress="deflate")

    assert path.stat().st_size < 300_000
    assert facts_of(path).width == 8000


def test_an_uncompressed_image_in_one_strip_is_no_giant_block(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.tiff(tiffs.plain(5000, 5000), bytes(25_000_000)))

    assert facts_of(path, block_bytes=1_000_000).height == 5000


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"t258": 7, "t277": 3, "t339": 9}, "SampleFormat"),
        ({"t262": 6}, "zero strip size"),
        ({"t278": 0}, "RowsPerStrip"),
        ({"t284": 7}, "PlanarConfiguration"),
    ],
)
def test_headers_that_libtiff_refuses_are_corrupt(tmp_path, tags, words):
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.tiff(tiffs.plain(**tags), bytes(256)))
    with pytest.raises(CorruptImage, match=words):
        facts_of(path)


def test_a_tag_that_claims_more_than_the_file_holds_is_no_lack_of_memory(tmp_path):
    path = tmp_path / "a.tif"
    one, many = struct.pack("<HHI", tiffs.BITS, 4, 1), struct.pack("<HHI", tiffs.BITS, 3, 1 << 28)
    path.write_bytes(tiffs.tiff(tiffs.plain(), bytes(256)).replace(one, many))
    with pytest.raises(CorruptImage, match="greater than filesize"):
        facts_of(path)
