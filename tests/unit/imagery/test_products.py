import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rasterio

from platform_assets.common.errors import CheckFailed, PermanentError
from platform_assets.common.stages import Stages
from platform_assets.common.values import ObjectRef
from platform_assets.imagery.model import Conversion, ImageJob, Limits, Product, Profile
from platform_assets.imagery.products import make_products
from tests.builders import tiffs

EVERY = frozenset(Product)
CHECKS = ["cog_valid", "overviews_present", "georeferencing_kept", "facts_kept", "pixels_equal", "blocks_decodable"]


def make(source, wanted=EVERY, stages=None, bands=None, **parameters):
    folder = source.parent / "scratch"
    folder.mkdir(exist_ok=True)
    job = ImageJob(ObjectRef("county/1955/a.tif", "etag", source.stat().st_size), bands)
    return make_products(source, folder, job, frozenset(wanted), Conversion(**parameters), Limits(), stages or Stages())


def listing(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_all_products_are_made_in_the_folder_and_nothing_elsewhere(tmp_path):
    source = tiffs.KINDS["rgb"](tmp_path / "a.tif")
    content = source.read_bytes()
    result = make(source)

    assert [made.product for made in result.made] == [Product.COG, Product.JPEG, Product.THUMBNAIL]
    assert listing(tmp_path / "scratch") == ["a.cog.tif", "a.jpg", "a.thumbnail.jpg"]
    assert listing(tmp_path) == ["a.cog.tif", "a.jpg", "a.thumbnail.jpg", "a.tif"]
    assert source.read_bytes() == content
    assert [made.media_type for made in result.made] == [
        "image/tiff; application=geotiff; profile=cloud-optimized",
        "image/jpeg",
        "image/jpeg",
    ]


def test_the_details_tell_what_was_made_and_checked(tmp_path):
    source = tiffs.KINDS["rgb"](tmp_path / "a.tif")
    cog, jpeg, thumbnail = (made.details for made in make(source, profile=Profile.ZSTD).made)

    assert cog == {"width": 530, "height": 300, "profile": "zstd", "checks": CHECKS, "overviews": 1, "windows_compared": 12}
    assert jpeg == {"width": 530, "height": 300, "quality": 75}
    assert thumbnail == {"width": 512, "height": 290, "checks": ["thumbnail_not_blank"]}


@pytest.mark.parametrize("wanted", [{"cog"}, {"jpeg"}, {"thumbnail"}, {"cog", "thumbnail"}])
def test_only_what_is_wanted_is_made(tmp_path, wanted):
    result = make(tiffs.KINDS["grey"](tmp_path / "a.tif"), {Product(name) for name in wanted})

    assert {made.product.value for made in result.made} == wanted
    assert len(result.statistics) == 1


def test_stages_are_told_and_name_where_it_failed(tmp_path):
    stages = Stages()
    make(tiffs.KINDS["grey"](tmp_path / "a.tif"), stages=stages)
    assert list(stages.seconds) == ["inspect", "convert", "check", "preview"]

    stages = Stages()
    with pytest.raises(PermanentError):
        make(tiffs.truncated(tmp_path / "a.tif"), stages=stages)
    assert stages.current == "convert"


@pytest.mark.parametrize("kind", ["control points", "several pages", "int16 with all that can be said", "float32 with NaN"])
def test_results_are_plain_json(tmp_path, kind):
    result = make(tiffs.KINDS[kind](tmp_path / "a.tif"))

    json.dumps([made.details for made in result.made], allow_nan=False)
    assert len(result.gcps) == result.facts.gcps == (4 if kind == "control points" else 0)
    assert result.made[0].details.get("pages_ignored") == (2 if kind == "several pages" else None)


def test_a_jpeg_that_had_to_be_reduced_does_not_spare_the_full_decoding(tmp_path):
    result = make(tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 3, 66_000)))
    assert result.made[1].details["reduced_by"] == 2
    assert "blocks_decodable" in result.made[0].details["checks"]


class Saboteur(Stages):
    """Damages a block of the COG, far from all windows that are compared, before it is checked."""

    def __init__(self, cog):
        super().__init__()
        self._cog = cog

    def __call__(self, name):
        if name == "check":
            with rasterio.open(self._cog) as dataset:
                offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
            data = bytearray(self._cog.read_bytes())
            data[offset : offset + 100] = bytes(100)
            self._cog.write_bytes(data)
        return super().__call__(name)


@pytest.mark.parametrize("wanted", [EVERY, {Product.COG}, {Product.THUMBNAIL}])
def test_every_block_is_decoded_whatever_is_wanted(tmp_path, wanted):
    source = tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 400, 6000))
    with pytest.raises(CheckFailed, match="check blocks_decodable failed"):
        make(source, wanted, Saboteur(tmp_path / "scratch/a.cog.tif"))


BAD = {
    "zero bytes": (lambda path: path.write_bytes(b""), "not_a_tiff", "inspect"),
    "HTML page": (lambda path: path.write_bytes(tiffs.HTML), "not_a_tiff", "inspect"),
    "PNG": (lambda path: path.write_bytes(tiffs.png()), "not_a_tiff", "inspect"),
    "VRT": (lambda path: path.write_bytes(tiffs.vrt(path)), "not_a_tiff", "inspect"),
    "gzip": (lambda path: path.write_bytes(tiffs.GZIP), "not_a_tiff", "inspect"),
    "header only": (lambda path: path.write_bytes(b"II*\0\x08\0\0\0"), "corrupt_image", "inspect"),
    "directory past the end": (lambda path: path.write_bytes(b"II*\0\0\0\0\x7f"), "corrupt_image", "inspect"),
    "looping directories": (
        lambda path: path.write_bytes(tiffs.tiff(tiffs.plain(), bytes(256), following=272)),
        "corrupt_image",
        "inspect",
    ),
    "truncated strips": (lambda path: tiffs.truncated(tiffs.write(path, tiffs.scenery())), "corrupt_image", "convert"),
    "truncated tiles": (
        lambda path: tiffs.truncated(tiffs.write(path, tiffs.scenery(), tiled=True, blockxsize=64, blockysize=64)),
        "corrupt_image",
        "convert",
    ),
    "bit flips in DEFLATE": (
        lambda path: tiffs.flipped(tiffs.write(path, tiffs.scenery(), compress="DEFLATE")),
        "corrupt_image",
        "convert",
    ),
    "broken LZW": (lambda path: tiffs.damaged(tiffs.write(path, tiffs.scenery(), compress="LZW")), "corrupt_image", "convert"),
    "bit flips in JPEG": (lambda path: tiffs.flipped(tiffs.write(path, tiffs.scenery(), compress="JPEG")), "corrupt_image", "convert"),
    "missing codec": (
        lambda path: path.write_bytes(tiffs.tiff(tiffs.plain(t259=tiffs.UNKNOWN_CODEC), bytes(256))),
        "missing_codec",
        "inspect",
    ),
    "68-gigapixel bomb": (lambda path: path.write_bytes(tiffs.bomb(1 << 18)), "limit_exceeded", "inspect"),
    "sparse giant": (lambda path: path.write_bytes(tiffs.sparse(150_000)), "limit_exceeded", "inspect"),
    "giant tile": (
        lambda path: path.write_bytes(tiffs.tiff(tiffs.tiled(30_000, 30_000, [16], [1000]), bytes(1000))),
        "limit_exceeded",
        "inspect",
    ),
    "65,535 bands": (lambda path: path.write_bytes(tiffs.tiff(tiffs.plain(t277=65_535), bytes(256))), "limit_exceeded", "inspect"),
    "zero width": (lambda path: path.write_bytes(tiffs.tiff(tiffs.plain(t256=0), bytes(256))), "corrupt_image", "inspect"),
    "other bands than claimed": (lambda path: tiffs.write(path, tiffs.scenery(4)), "band_mismatch", "inspect"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_fails_with_its_code_and_leaves_nothing(tmp_path, case):
    spoil, code, stage = BAD[case]
    source = tmp_path / "a.tif"
    spoil(source)
    stages = Stages()

    with pytest.raises(PermanentError, match=r"a\.tif") as error:
        make(source, bands=1, stages=stages)

    assert (error.value.code, stages.current) == (code, stage)
    assert error.value.remedy
    assert str(tmp_path) not in str(error.value)
    assert listing(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("name", ["a b;c.TIF", "scene[1]!.tif", "100%2F?.tiff", "-x&y.tif", "straße 中.tif", "a.tif.tif", "zip+file.tif"])
def test_any_name_of_a_file_will_do(tmp_path, name):
    result = make(tiffs.KINDS["internal mask"](tmp_path / name))
    assert all(Path(made.path).stat().st_size for made in result.made)
    assert len(listing(tmp_path / "scratch")) == 3


def test_products_are_made_and_damage_is_heard_in_another_thread(tmp_path):
    good = tiffs.KINDS["rgb"](tmp_path / "a.tif")
    bad = tiffs.flipped(tiffs.write(tmp_path / "b.tif", tiffs.scenery(), compress="JPEG"))
    with ThreadPoolExecutor(1) as thread:
        assert len(thread.submit(make, good).result().made) == 3
        with pytest.raises(PermanentError, match=r"b\.tif: "):
            thread.submit(make, bad).result()


def test_the_environment_of_gdal_ends_with_the_work(tmp_path):
    make(tiffs.KINDS["grey"](tmp_path / "a.tif"))
    assert not rasterio.env.hasenv()
