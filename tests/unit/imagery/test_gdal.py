import errno
import logging
import threading

import numpy as np
import pytest
import rasterio

from platform_assets.common.errors import PermanentError
from platform_assets.imagery.gdal import cache_for, decode_all, gdal_environment, pixel_bytes, strict, windows
from platform_assets.imagery.tiff import CorruptImage
from tests.builders import tiffs

PHOTOGRAPH = {"photometric": "YCBCR", "compress": "JPEG"}


@pytest.fixture(autouse=True)
def environment(tmp_path):
    with gdal_environment(tmp_path):
        yield


def say(logger: str, level: int, words: str, *values: object) -> None:
    logging.getLogger(logger).log(level, words, *values)


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 256, "blockysize": 256}], ids=["strips", "tiles"])
@pytest.mark.parametrize("compress", ["NONE", "DEFLATE", "LZW", "ZSTD", "PACKBITS", "JPEG"])
def test_pixels_that_are_cut_off_are_corrupt(tmp_path, compress, layout):
    path = tiffs.truncated(tiffs.write(tmp_path / "a.tif", tiffs.scenery(), compress=compress, **layout))

    with pytest.raises(CorruptImage, match=r"^a\.tif: "):
        decode_all(path, CorruptImage)


@pytest.mark.parametrize("compress", ["LZW", "ZSTD", "JPEG"])
def test_pixels_that_are_overwritten_are_corrupt(tmp_path, compress):
    path = tiffs.damaged(tiffs.write(tmp_path / "a.tif", tiffs.scenery(), compress=compress))

    with pytest.raises(CorruptImage):
        decode_all(path, CorruptImage)


def test_a_damaged_jpeg_strip_is_only_a_warning_without_strict(tmp_path):
    path = tiffs.flipped(tiffs.write(tmp_path / "a.tif", tiffs.scenery(3, 700, 600), **PHOTOGRAPH), bits=3)

    with rasterio.open(path) as dataset:
        dataset.read()
    with pytest.raises(CorruptImage, match="Corrupt JPEG data"):
        decode_all(path, CorruptImage)


def test_an_intact_file_passes(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery(3), tiffs.masked, **PHOTOGRAPH)

    decode_all(path, CorruptImage)


@pytest.mark.parametrize(
    ("level", "words", "values"),
    [
        (logging.WARNING, "%s in %s", ("CPLE_AppDefined", "something is odd")),
        (logging.INFO, "GDAL signalled an error: err_no=%r, msg=%r", (1, "something is odd")),
        (logging.WARNING, "something is odd", ()),
    ],
)
@pytest.mark.parametrize("logger", ["rasterio._env", "rasterio._err"])
def test_what_gdal_only_mentions_ends_the_block(tmp_path, logger, level, words, values):
    with pytest.raises(PermanentError, match=r"^a\.tif: something is odd$"), strict(tmp_path / "a.tif", PermanentError):
        say(logger, level, words, *values)


def test_only_the_first_words_are_repeated_and_no_folder(tmp_path):
    def complain():
        with strict(tmp_path / "a.tif", PermanentError):
            for number in (1, 1, 2, 3, 4, 5):
                say("rasterio._env", logging.WARNING, "%s in %s", "CPLE_AppDefined", f"{tmp_path}/a.tif: bad {number}")

    with pytest.raises(PermanentError, match=r"^a\.tif: bad 1; bad 2; bad 3 \(and 2 more\)$"):
        complain()


def test_odd_tags_are_harmless(tmp_path):
    with strict(tmp_path / "a.tif", PermanentError):
        say("rasterio._env", logging.WARNING, "%s in %s", "CPLE_AppDefined", "TIFFReadDirectory:Unknown field with tag 37724")
        say("rasterio._env", logging.INFO, "GDAL_DATA found in package.")


def test_the_same_words_are_not_harmless_as_an_error(tmp_path):
    with pytest.raises(PermanentError), strict(tmp_path / "a.tif", PermanentError):
        say("rasterio._env", logging.INFO, "GDAL signalled an error: err_no=%r, msg=%r", 1, "TIFFReadDirectory:Failed to read it")


def test_what_other_threads_complain_of_is_theirs(tmp_path):
    with strict(tmp_path / "a.tif", PermanentError):
        other = threading.Thread(target=say, args=("rasterio._env", logging.WARNING, "not mine"))
        other.start()
        other.join()


def test_a_logging_configuration_does_not_deafen(tmp_path):
    logger = logging.getLogger("rasterio._env")
    logger.disabled = True
    logger.setLevel(logging.CRITICAL)
    try:
        with pytest.raises(PermanentError), strict(tmp_path / "a.tif", PermanentError):
            say("rasterio._env", logging.INFO, "GDAL signalled an error: err_no=%r, msg=%r", 1, "odd")
        assert logger.level == logging.CRITICAL
    finally:
        logger.setLevel(logging.NOTSET)


def test_a_full_disk_and_lack_of_memory_are_no_faults_of_the_image(tmp_path):
    with pytest.raises(OSError, match="No space left") as error, strict(tmp_path / "a.tif", PermanentError):
        say("rasterio._env", logging.INFO, "GDAL signalled an error: err_no=%r, msg=%r", 1, "TIFFAppendToStrip:Write error at scanline 8")
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(MemoryError), strict(tmp_path / "a.tif", PermanentError):
        say("rasterio._env", logging.INFO, "GDAL signalled an error: err_no=%r, msg=%r", 2, "Cannot allocate 68719476736 bytes")


def test_windows_cover_every_pixel_once_in_whole_blocks(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery(3, 1100, 900), tiled=True, blockxsize=128, blockysize=64)
    with rasterio.open(path) as dataset:
        for bytes_per_pixel in (3, 300, 100_000):
            seen = np.zeros(dataset.shape, int)
            for window in windows(dataset, bytes_per_pixel):
                assert (window.col_off % 128, window.row_off % 64) == (0, 0)
                assert window.width * window.height * bytes_per_pixel <= max(32 << 20, 128 * 512 * bytes_per_pixel)
                seen[window.toslices()] += 1
            assert (seen == 1).all()


def test_the_cache_holds_a_row_of_blocks_of_a_wide_image(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.tiff(tiffs.plain(120_000, 600, t277=3, t278=1, t273=[16] * 600, t279=[360_000] * 600), bytes(360_000)))
    with rasterio.open(path) as dataset, cache_for(dataset):
        held = rasterio.env.getenv()["GDAL_CACHEMAX"]

    assert 120_000 * 3 * 512 < held <= 512 << 20


def test_bytes_of_a_pixel_are_counted_as_they_are_read():
    assert pixel_bytes(("uint8", "uint8", "uint8")) == 3
    assert pixel_bytes(("complex_int16",)) == 8
