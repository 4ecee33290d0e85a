import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from platform_assets.imagery.jpeg import STRIP_LINES, JpegWriter
from tests.builders import tiffs


def at_once(pixels, quality=75):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return imagecodecs.jpeg8_decode(buffer.getvalue())


def stripwise(path, pixels, lines, quality=75):
    with JpegWriter(path, len(pixels), quality) as jpeg:
        for top in range(0, len(pixels), lines):
            jpeg.write(pixels[top : top + lines])
    return imagecodecs.jpeg8_decode(path.read_bytes())


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 3 * STRIP_LINES + 20),
    width=st.integers(1, 70),
    bands=st.sampled_from([1, 3]),
    strips=st.integers(1, 4),
    quality=st.sampled_from([1, 30, 75, 100]),
)
def test_strips_make_exactly_the_image_that_is_encoded_at_once(tmp_path_factory, height, width, bands, strips, quality):
    pixels = np.moveaxis(tiffs.scenery(bands, height, width), 0, 2)
    pixels = np.ascontiguousarray(pixels if bands == 3 else pixels[..., 0])

    decoded = stripwise(tmp_path_factory.mktemp("jpeg") / "a.jpg", pixels, strips * STRIP_LINES, quality)

    np.testing.assert_array_equal(decoded, at_once(pixels, quality))


def test_the_file_is_a_baseline_jpeg_with_its_colour_profile(tmp_path):
    profile = b"\0" * 16 + b"RGB " + bytes(100)
    with JpegWriter(tmp_path / "a.jpg", 300, 75, profile) as jpeg:
        for top in (0, 128, 256):
            jpeg.write(np.zeros((min(128, 300 - top), 40, 3), "uint8"))

    data = (tmp_path / "a.jpg").read_bytes()
    assert (data[:4], data[-2:], data.count(profile)) == (b"\xff\xd8\xff\xe0", b"\xff\xd9", 1)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.size, image.mode, image.info["icc_profile"], "progressive" in image.info) == ((40, 300), "RGB", profile, False)


def test_a_jpeg_that_failed_half_way_is_no_jpeg(tmp_path):
    def broken():
        with JpegWriter(tmp_path / "a.jpg", 300, 75) as jpeg:
            jpeg.write(np.zeros((128, 40), "uint8"))
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        broken()
    assert not (tmp_path / "a.jpg").read_bytes().endswith(b"\xff\xd9")
