"""COGs that ISA-L compressed hold what GDAL's own hold, tile by tile and tag by tag."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.recompress import deflate
from platform_assets.imagery.tiff import TILE_BYTE_COUNTS, TILE_OFFSETS, read_header
from tests.builders import tiffs

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32", "float64"]


def both(folder: Path, source: Path) -> tuple[Path, Path]:
    """Return the COG that GDAL compresses, and the one that ISA-L does."""
    theirs, plain, ours = (folder / name for name in ("theirs.tif", "plain.tif", "ours.tif"))
    with gdal_environment(folder):
        copy(source, theirs, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", OVERVIEW_PREDICTOR="YES", BLOCKSIZE=128)
        copy(source, plain, driver="COG", COMPRESS="NONE", BLOCKSIZE=128)
    deflate(plain, ours)
    return theirs, ours


def tiles(path: Path) -> list[list[bytes]]:
    """Return what is compressed in each tile of each directory, in the order of the directories."""
    data = path.read_bytes()
    found = []
    for directory in read_header(path).directories:
        columns = []
        for tag in (TILE_OFFSETS, TILE_BYTE_COUNTS):
            form, number, position = directory.arrays[tag]
            columns.append(np.frombuffer(data, form, number, position).tolist())
        found.append([zlib.decompress(data[offset : offset + size]) for offset, size in zip(*columns, strict=True)])
    return found


def noise(dtype: str, bands: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    if dtype.startswith("float"):
        return generator.normal(0, 1e3, (bands, height, width)).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, (bands, height, width), dtype, endpoint=True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("bands", "interleave"), [(1, "pixel"), (3, "pixel"), (3, "band"), (5, "pixel")])
def test_every_tile_holds_what_gdal_would_have_compressed(tmp_path, dtype, bands, interleave):
    source = tiffs.write(tmp_path / "a.tif", noise(dtype, bands, 300, 410), interleave=interleave, **tiffs.UTM)
    theirs, ours = both(tmp_path, source)
    assert tiles(ours) == tiles(theirs)


def test_masks_are_kept(tmp_path):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        source = tiffs.write(tmp_path / "a.tif", noise("uint8", 3, 300, 410), **tiffs.UTM)
        with rasterio.open(source, "r+") as dataset:
            dataset.write_mask(np.random.default_rng(2).integers(0, 2, (300, 410)).astype(bool))
    theirs, ours = both(tmp_path, source)
    assert tiles(ours) == tiles(theirs)
    with rasterio.open(ours) as made, rasterio.open(source) as raw:
        assert np.array_equal(made.dataset_mask(), raw.dataset_mask())


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_tags_are_those_that_gdal_writes(tmp_path, dtype):
    source = tiffs.write(tmp_path / "a.tif", noise(dtype, 2, 300, 410), nodata=7, **tiffs.UTM)
    with rasterio.open(source, "r+") as dataset:
        dataset.update_tags(ONE="1")
        dataset.update_tags(1, TWO="2")
        dataset.set_band_description(2, "second")
        dataset.scales = (0.5, 2.0)
    theirs, ours = both(tmp_path, source)
    with rasterio.open(ours) as made, rasterio.open(theirs) as expected:
        assert made.profile == expected.profile
        for space in (None, "IMAGE_STRUCTURE"):
            assert made.tags(ns=space) == expected.tags(ns=space)
        assert made.tags(1) == expected.tags(1)
        assert (made.descriptions, made.scales, made.nodata) == (expected.descriptions, expected.scales, expected.nodata)
    assert [sorted(d.values) for d in read_header(ours).directories] == [sorted(d.values) for d in read_header(theirs).directories]


def test_an_image_of_one_tile_has_its_position_in_the_directory(tmp_path):
    source = tiffs.write(tmp_path / "a.tif", noise("uint16", 1, 5, 7), **tiffs.UTM)
    theirs, ours = both(tmp_path, source)
    assert tiles(ours) == tiles(theirs)
