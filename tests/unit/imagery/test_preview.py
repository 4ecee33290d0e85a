import imagecodecs
import numpy as np
import pytest
import rasterio
from PIL import Image

from platform_assets.common.errors import CheckFailed
from platform_assets.imagery.convert import write_cog
from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.inspect import inspect
from platform_assets.imagery.model import Conversion, Limits, Profile
from platform_assets.imagery.preview import survey, write_jpeg, write_thumbnail
from platform_assets.imagery.verify import open_cog
from tests.builders import tiffs

COLOURED = {
    *("rgb", "rgb in planes", "rgb of a photograph", "rgb and infrared", "rgb and alpha", "palette", "seven bands", "uint16"),
    *("nodata", "internal mask", "external mask", "colour profile"),
}


@pytest.fixture(autouse=True)
def environment(tmp_path):
    with gdal_environment(tmp_path):
        yield


class Previews:
    """The JPEG and the thumbnail of an image, decoded by another library."""

    def __init__(self, source, thumbnail_px=200, quality=95):
        folder = source.parent
        self.facts = inspect(source, Limits())
        self.cog = folder / "cog.tif"
        write_cog(source, self.cog, self.facts, Conversion(Profile.ZSTD))
        self.view = survey(self.cog, self.facts, thumbnail_px)
        self.small_details = write_thumbnail(folder / "small.jpg", self.view, thumbnail_px, quality)
        with open_cog(self.cog) as made:
            self.details = write_jpeg(made, folder / "full.jpg", self.facts, self.view.rendering, quality)
        self.small = imagecodecs.jpeg8_decode((folder / "small.jpg").read_bytes())
        self.full = imagecodecs.jpeg8_decode((folder / "full.jpg").read_bytes())


def grey(pixels):
    return pixels if pixels.ndim == 2 else pixels.mean(axis=2)


@pytest.mark.parametrize("kind", tiffs.KINDS)
def test_every_kind_of_image_has_a_jpeg_of_its_size_and_a_thumbnail_alike(tmp_path, kind):
    made = Previews(tiffs.KINDS[kind](tmp_path / "a.tif"))

    height, width = made.full.shape[:2]
    assert (width, height) == (made.facts.width, made.facts.height) == (made.details["width"], made.details["height"])
    assert max(made.small.shape[:2]) == min(200, max(width, height))
    assert (made.full.ndim == 3) == (made.small.ndim == 3) == (kind in COLOURED)
    size = made.small.shape[1::-1]
    reduced = Image.fromarray(grey(made.full).astype("uint8")).resize(size, Image.Resampling.BOX)
    limit = 40 if made.facts.bits == 1 else 12  # of line drawings, the overview has one pixel of four
    assert np.abs(grey(made.small) - np.asarray(reduced).astype(float)).mean() < limit


@pytest.mark.parametrize("kind", [kind for kind in tiffs.KINDS if not kind.startswith("one")])
def test_no_kind_of_image_is_shown_almost_black_or_white(tmp_path, kind):
    made = Previews(tiffs.KINDS[kind](tmp_path / "a.tif"))
    for pixels in (made.full, made.small):
        assert pixels.std() > 15
        assert 40 < pixels.mean() < 215


def test_plain_colours_are_the_sources(tmp_path):
    made = Previews(tiffs.KINDS["rgb"](tmp_path / "a.tif"))
    assert np.abs(made.full.astype(float) - np.moveaxis(tiffs.scenery(3), 0, 2)).mean() < 6


def test_colours_of_a_palette_are_shown_not_its_indices(tmp_path):
    made = Previews(tiffs.KINDS["palette"](tmp_path / "a.tif"))
    indices = tiffs.scenery()[0].astype(int)
    expected = np.stack([indices, 255 - indices], axis=2)
    assert np.abs(made.full[..., :2] - expected).mean() < 30  # neighbouring colours differ much, and JPEG blurs them


def test_a_one_bit_scan_is_black_and_white(tmp_path):
    scan = np.zeros((1, 300, 530), "uint8")
    scan[:, :, 200:] = 1
    for photometric, left in (("MINISBLACK", 0), ("MINISWHITE", 255)):
        made = Previews(tiffs.write(tmp_path / "a.tif", scan, nbits=1, photometric=photometric))
        assert abs(int(made.full[150, 50]) - left) < 3
        assert abs(int(made.full[150, 400]) - (255 - left)) < 3


@pytest.mark.parametrize("first", [0, 1])
def test_thin_lines_of_a_drawing_are_on_its_thumbnail(tmp_path, first):
    ink = np.zeros((1, 600, 600), "uint8")
    ink[..., first::16] = 1
    made = Previews(tiffs.write(tmp_path / "a.tif", ink, nbits=1, photometric="MINISWHITE"), thumbnail_px=128)
    assert made.small.mean() == pytest.approx(255 * 15 / 16, abs=3)


def test_a_negative_is_shown_as_its_file_says(tmp_path):
    made = Previews(tiffs.KINDS["negative"](tmp_path / "a.tif"))
    assert np.abs(made.full.astype(float) - (255 - tiffs.scenery()[0].astype(float))).mean() < 4


def test_sixteen_bits_are_stretched_alike_everywhere(tmp_path):
    made = Previews(tiffs.KINDS["uint16"](tmp_path / "a.tif"))
    for band, (low, high) in zip((0, 1, 2), made.view.rendering.ends, strict=True):
        expected = np.clip((tiffs.scenery(3, dtype="uint16")[band].astype(float) - low) / (high - low), 0, 1) * 255
        assert np.abs(made.full[..., band] - expected).mean() < 8


@pytest.mark.parametrize("kind", ["nodata", "float32 with NaN", "float64"])
def test_nodata_is_black(tmp_path, kind):
    made = Previews(tiffs.KINDS[kind](tmp_path / "a.tif"))
    assert made.full[120:280, 70:380].max() < 30
    assert made.view.statistics[0].valid_percent == pytest.approx(100 - 100 * 200 * 350 / (300 * 530), abs=2)


@pytest.mark.parametrize("kind", ["internal mask", "external mask"])
def test_masked_pixels_are_black(tmp_path, kind):
    made = Previews(tiffs.KINDS[kind](tmp_path / "a.tif"))
    assert made.full[:90, :250].max() < 30
    assert made.full[110:, 280:].min() > 30


def test_transparent_pixels_are_black(tmp_path):
    pixels = tiffs.scenery(4)
    pixels[3] = 255
    pixels[3, :150] = 0
    made = Previews(tiffs.write(tmp_path / "a.tif", pixels, photometric="RGB", alpha="YES"))
    assert made.full[:140].max() < 30
    assert made.full[160:].min() > 30
    assert made.view.statistics[0].valid_percent == pytest.approx(50, abs=1)


def test_statistics_are_those_of_the_band(tmp_path):
    made = Previews(tiffs.KINDS["seven bands"](tmp_path / "a.tif"), thumbnail_px=512)
    assert len(made.view.statistics) == 7
    for found, band in zip(made.view.statistics, tiffs.scenery(7, dtype="uint16").astype(float), strict=True):
        assert (found.minimum, found.maximum) == (band.min(), band.max())
        assert (found.mean, found.stddev) == (pytest.approx(band.mean()), pytest.approx(band.std()))


@pytest.mark.parametrize(("thumbnail_px", "size"), [(16, (16, 9)), (200, (200, 113)), (530, (530, 300)), (4000, (530, 300))])
def test_a_thumbnail_is_never_larger_than_the_image(tmp_path, thumbnail_px, size):
    made = Previews(tiffs.KINDS["rgb"](tmp_path / "a.tif"), thumbnail_px)
    assert (made.small_details["width"], made.small_details["height"]) == size


def test_a_thumbnail_is_made_from_an_overview(tmp_path):
    made = Previews(tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 1100, 2100)), thumbnail_px=300)
    assert made.view.pixels.shape == (275, 525, 1)


@pytest.mark.parametrize(
    ("value", "nodata", "note"),
    [(7, None, "the image has one colour"), (7, 7, "the image has no valid pixel"), (0, None, "the image has one colour")],
)
def test_a_blank_image_may_have_a_blank_thumbnail_and_says_so(tmp_path, value, nodata, note):
    made = Previews(tiffs.write(tmp_path / "a.tif", np.full((1, 600, 600), value, "uint16"), nodata=nodata))
    assert made.small_details["note"] == note


def test_a_blank_thumbnail_of_an_image_that_is_not_blank_is_a_failed_check(tmp_path):
    made = Previews(tiffs.KINDS["grey"](tmp_path / "a.tif"))
    made.view.pixels[:] = 9
    with pytest.raises(CheckFailed, match="thumbnail_not_blank") as error:
        write_thumbnail(tmp_path / "t.jpg", made.view, 200, 75)
    assert error.value.code == "check_failed"


def test_a_damaged_block_of_the_cog_is_found_by_the_jpeg(tmp_path):
    made = Previews(tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 2000, 2000)))
    with rasterio.open(made.cog) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_2", "TIFF", bidx=1))
    data = bytearray(made.cog.read_bytes())
    data[offset : offset + 100] = bytes(100)
    made.cog.write_bytes(data)
    with open_cog(made.cog) as cog, pytest.raises(CheckFailed, match="check blocks_decodable failed"):
        write_jpeg(cog, tmp_path / "b.jpg", made.facts, made.view.rendering, 75)


def test_a_wide_image_is_put_together_from_parts(tmp_path):
    pixels = tiffs.scenery(3, 600, 4000, dtype="float64")
    made = Previews(tiffs.write(tmp_path / "a.tif", pixels))
    low, high = np.array(made.view.rendering.ends).T
    expected = np.clip((np.moveaxis(pixels, 0, 2) - low) / (high - low), 0, 1) * 255
    assert np.abs(made.full - expected).mean() < 8


def test_what_is_too_large_for_jpeg_is_reduced_and_says_so(tmp_path):
    made = Previews(tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 3, 66_000)))
    assert made.details == {"width": 33_000, "height": 1, "quality": 95, "reduced_by": 2}
    assert made.full.shape == (1, 33_000)


def test_the_largest_jpeg_is_not_reduced(tmp_path):
    made = Previews(tiffs.write(tmp_path / "a.tif", tiffs.scenery(1, 65_500, 2)))
    assert made.details == {"width": 2, "height": 65_500, "quality": 95}


def test_the_colour_profile_goes_into_the_jpeg_only_where_colours_are_the_sources(tmp_path):
    Previews(tiffs.KINDS["colour profile"](tmp_path / "a.tif"))
    with Image.open(tmp_path / "full.jpg") as image:
        assert image.info["icc_profile"][16:20] == b"RGB "
    Previews(tiffs.write(tmp_path / "b.tif", tiffs.scenery(3, dtype="uint16"), SOURCE_ICC_PROFILE=tiffs.srgb_profile()))
    with Image.open(tmp_path / "full.jpg") as image:
        assert "icc_profile" not in image.info


def test_no_side_file_is_written(tmp_path):
    Previews(tiffs.KINDS["rgb"](tmp_path / "a.tif"))
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "cog.tif", "small.jpg", "full.jpg"}
