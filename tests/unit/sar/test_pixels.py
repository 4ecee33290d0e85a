"""The mean power of cells, against numpy's."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from platform_assets.common.errors import PermanentError
from platform_assets.sar.pixels import mean_power

SHAPE = (1037, 1290)


@contextmanager
def anywhere() -> Iterator[None]:
    """Let an image without a place be written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@pytest.fixture(scope="module")
def dn() -> NDArray[np.uint16]:
    rng = np.random.default_rng(1)
    amplitude = 40 + 200 * np.linspace(0, 1, SHAPE[1])
    return np.sqrt(rng.standard_gamma(4.4, SHAPE) / 4.4 * amplitude**2).clip(1).astype("uint16")


def write(path: Path, pixels: NDArray[np.uint16], **profile: object) -> Path:
    options = {"blockysize": 1, "tiled": False} | profile
    with (
        anywhere(),
        rasterio.open(
            path, "w", driver="GTiff", height=pixels.shape[0], width=pixels.shape[1], count=1, dtype="uint16", **options
        ) as image,
    ):
        image.write(pixels, 1)
    return path


def exact(pixels: NDArray[np.uint16], cell: tuple[int, int]) -> NDArray[np.float64]:
    rows, columns = pixels.shape[0] // cell[0], pixels.shape[1] // cell[1]
    squares = pixels[: rows * cell[0], : columns * cell[1]].astype("float64") ** 2
    return squares.reshape(rows, cell[0], columns, cell[1]).mean(axis=(1, 3))


@pytest.mark.parametrize("cell", [(100, 100), (7, 13), (1, 1), (1037, 1290), (500, 40)])
def test_strips_are_averaged_exactly(tmp_path: Path, dn: NDArray[np.uint16], cell: tuple[int, int]) -> None:
    mean = mean_power(write(tmp_path / "a.tiff", dn), SHAPE, cell, zero_is_missing=True)
    assert mean.source == "strips"
    np.testing.assert_allclose(mean.values, exact(dn, cell), rtol=1e-6)


@pytest.mark.parametrize(
    "profile",
    [
        {"blockysize": 16},
        {"compress": "zstd"},
        {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"},
        {"ENDIANNESS": "BIG"},
        {"BIGTIFF": "YES"},
    ],
    ids=str,
)
def test_every_layout_gives_the_same_values(tmp_path: Path, dn: NDArray[np.uint16], profile: dict[str, object]) -> None:
    mean = mean_power(write(tmp_path / "a.tiff", dn, **profile), SHAPE, (100, 100), zero_is_missing=True)
    np.testing.assert_allclose(mean.values, exact(dn, (100, 100)), rtol=1e-6)


@pytest.mark.parametrize(("resampling", "source"), [("RMS", "overviews 1:4"), ("AVERAGE", "windows")])
def test_overviews_are_used_only_if_they_keep_the_power(tmp_path: Path, dn: NDArray[np.uint16], resampling: str, source: str) -> None:
    path = write(tmp_path / "a.tiff", dn)
    with anywhere():
        rasterio.shutil.copy(path, tmp_path / "cog.tiff", driver="COG", blocksize=128, overview_resampling=resampling, compress="zstd")
    mean = mean_power(tmp_path / "cog.tiff", SHAPE, (100, 100), zero_is_missing=True)
    assert mean.source == source
    np.testing.assert_allclose(mean.values, exact(dn, (100, 100)), rtol=6e-3 if source.startswith("overviews") else 1e-6)


def test_cells_without_an_image_have_no_power_and_those_with_some_only_its(tmp_path: Path) -> None:
    pixels = np.full((200, 300), 20, "uint16")
    pixels[:, :130] = 0
    pixels[100:, 250:] = 0
    power = mean_power(write(tmp_path / "a.tiff", pixels), (200, 300), (100, 100), zero_is_missing=True).values
    np.testing.assert_array_equal(power, [[np.nan, 400, 400], [np.nan, 400, 400]])


def test_zeros_of_a_denoised_product_count_as_values(tmp_path: Path) -> None:
    pixels = np.zeros((100, 100), "uint16")
    pixels[:50] = 20
    path = write(tmp_path / "a.tiff", pixels)
    assert mean_power(path, (100, 100), (100, 100), zero_is_missing=False).values == 200
    assert mean_power(path, (100, 100), (100, 100), zero_is_missing=True).values == 400


@pytest.mark.parametrize("profile", [{}, {"compress": "zstd"}, {"tiled": True, "blockxsize": 256, "blockysize": 256}], ids=str)
def test_a_truncated_image_is_corrupt(tmp_path: Path, dn: NDArray[np.uint16], profile: dict[str, object]) -> None:
    path = write(tmp_path / "cut.tiff", dn, **profile)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(PermanentError, match=r"cut\.tiff") as caught:
        mean_power(path, SHAPE, (100, 100), zero_is_missing=True)
    assert caught.value.code == "corrupt_image"


def test_an_empty_image_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "empty.tiff").touch()
    with pytest.raises(PermanentError) as caught:
        mean_power(tmp_path / "empty.tiff", SHAPE, (100, 100), zero_is_missing=True)
    assert caught.value.code == "corrupt_image"


def test_an_image_of_another_size_than_its_annotation_says_is_refused(tmp_path: Path, dn: NDArray[np.uint16]) -> None:
    with pytest.raises(PermanentError, match="1037 lines of 1290 samples, but its annotation says 1036") as caught:
        mean_power(write(tmp_path / "a.tiff", dn), (1036, 1290), (100, 100), zero_is_missing=True)
    assert caught.value.code == "bad_image"


def test_an_image_of_other_numbers_is_refused(tmp_path: Path) -> None:
    with anywhere(), rasterio.open(tmp_path / "a.tiff", "w", driver="GTiff", height=10, width=10, count=1, dtype="complex64") as image:
        image.write(np.ones((1, 10, 10), "complex64"))
    with pytest.raises(PermanentError, match="complex64"):
        mean_power(tmp_path / "a.tiff", (10, 10), (5, 5), zero_is_missing=True)
