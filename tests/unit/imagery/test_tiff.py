import struct

import pytest

from platform_assets.common.errors import LimitExceeded
from platform_assets.imagery.tiff import CorruptImage, NotATiff, check_deflate, read_header
from tests.builders import tiffs


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_header_reads_alike_in_every_form_of_tiff(tmp_path, order, big):
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.tiff(tiffs.plain(30, 20, t277=3), bytes(600), order=order, big=big))

    header = read_header(path)

    assert (header.width, header.height, header.bands, header.decoded_bytes, header.pages) == (30, 20, 3, 1800, 1)
    assert not header.directories[0].tiled


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"", "empty"),
        (tiffs.HTML, "HTML page"),
        (b"\xef\xbb\xbf  <html>", "HTML page"),
        (tiffs.png(), "PNG"),
        (tiffs.GZIP, "gzip"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"PK\x03\x04", "ZIP"),
        (b"%PDF-1.7", "PDF"),
        (b"<VRTDataset>", "VRT"),
        (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "XML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"path/to/image.tif,3\r\n", "text file"),
        (bytes(2000), "zero bytes"),
        (b"II\x2a\0", "bytes 49 49 2a 00"),
        (b"II\x2b\0\x04\0\0\0" + bytes(8), "bytes 49 49 2b 00"),
    ],
)
def test_what_is_no_tiff_is_named_for_what_it_looks_like(tmp_path, content, looks_like):
    path = tmp_path / "a.tif"
    path.write_bytes(content)

    with pytest.raises(NotATiff, match=looks_like) as error:
        read_header(path)

    assert error.value.code == "not_a_tiff"


CORRUPT = {
    "header only": (b"II*\0\x08\0\0\0", "the file ends"),
    "no directory": (b"II*\0\0\0\0\0", "no image"),
    "directory past the end": (struct.pack("<2sHI", b"II", 42, 1 << 31), "the file ends"),
    "directory far past the end of a BigTIFF": (struct.pack("<2sHHHQ", b"II", 43, 8, 0, (1 << 64) - 2), "the file ends"),
    "directory cut short": (tiffs.tiff(tiffs.plain(), bytes(256))[:-20], "the file ends"),
    "absurd number of tags": (struct.pack("<2sHIH", b"II", 42, 8, 60000) + bytes(8000), "announces 60,000 tags"),
    "no tags": (struct.pack("<2sHIHI", b"II", 42, 8, 0, 0), "announces 0 tags"),
    "zero width": (tiffs.tiff(tiffs.plain(t256=0), bytes(256)), "0 x 16 pixels"),
    "zero height": (tiffs.tiff(tiffs.plain(t257=0), bytes(256)), "16 x 0 pixels"),
    "no bands": (tiffs.tiff(tiffs.plain(t277=0), bytes(256)), "in 0 bands"),
    "second directory past the end": (tiffs.tiff(tiffs.plain(), bytes(256), following=1 << 30), "the file ends"),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_broken_directory_is_corrupt(tmp_path, case):
    content, words = CORRUPT[case]
    path = tmp_path / "a.tif"
    path.write_bytes(content)

    with pytest.raises(CorruptImage, match=words) as error:
        read_header(path)

    assert error.value.code == "corrupt_image"


def test_a_looping_chain_of_directories_is_corrupt(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs.tiff(tiffs.plain(), bytes(256), following=272))

    with pytest.raises(CorruptImage, match="loops back to byte 272"):
        read_header(path)


def test_thousands_of_images_in_one_file_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    entry = struct.pack("<HHII", 256, 4, 1, 1)
    directories = [struct.pack("<H", 1) + entry + struct.pack("<I", 8 + 18 * (number + 1)) for number in range(5000)]
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + b"".join(directories))

    with pytest.raises(LimitExceeded, match="4,096 images"):
        read_header(path)


def test_pages_are_counted_without_overviews_and_masks(tmp_path):
    path = tiffs.pages(tmp_path / "pages.tif", 3)
    assert read_header(path).pages == 3

    path = tiffs.write(tmp_path / "masked.tif", tiffs.scenery(), tiffs.masked)
    header = read_header(path)
    assert (header.pages, len(header.directories)) == (1, 2)


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 128, "blockysize": 128}], ids=["strips", "tiles"])
@pytest.mark.parametrize("form", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"interleave": "band"}], ids=str)
def test_deflate_is_sound_until_one_bit_of_it_is_flipped(tmp_path, layout, form):
    path = tiffs.write(tmp_path / "a.tif", tiffs.scenery(2), tiffs.masked, compress="DEFLATE", **layout, **form)
    check_deflate(path)

    with pytest.raises(CorruptImage, match="checksum is wrong"):
        check_deflate(tiffs.flipped(path, bits=1))


def test_deflate_that_is_cut_off_is_corrupt(tmp_path):
    path = tiffs.truncated(tiffs.write(tmp_path / "a.tif", tiffs.scenery(), compress="DEFLATE"))

    with pytest.raises(CorruptImage, match="checksum is wrong"):
        check_deflate(path)


def test_deflate_that_is_sparse_or_absent_is_sound(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiffs.sparse(5000))
    check_deflate(tmp_path / "a.tif")
    check_deflate(tiffs.write(tmp_path / "b.tif", tiffs.scenery(), compress="LZW"))
