"""The picture of an L1B file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platform_assets.common.errors import CheckFailed
from platform_assets.sar.quicklook import make_quicklook
from tests.builders.l1b import l1b_values, write_l1b


def picture(tmp_path: Path, **changes: np.ndarray) -> tuple[np.ndarray, dict[str, object]]:
    details = make_quicklook(write_l1b(tmp_path / "a.nc", l1b_values(**changes)), tmp_path / "a.png", side_px=5)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["transparency"] == 0
        return np.asarray(image), details


def test_bright_is_white_dark_is_black_and_missing_is_transparent(tmp_path: Path) -> None:
    sigma0 = np.full((2, 4, 5), 0.01, "float32")
    sigma0[0, 3, 0], sigma0[0, 0, 0], sigma0[0, 0, 4] = 1.0, np.nan, -0.001
    pixels, details = picture(tmp_path, sigma0=sigma0)
    assert pixels[0, 0] == 255, "lines go north: the last is at the top"
    assert pixels[3, 0] == pixels[3, 4] == 0
    assert 0 < pixels[1, 1] < 128
    assert (details["polarisation"], details["variable"], details["width"], details["height"]) == ("VV", "sigma0", 5, 4)


def test_a_descending_pass_is_turned(tmp_path: Path) -> None:
    values = l1b_values()
    sigma0 = np.full((2, 4, 5), 0.01, "float32")
    sigma0[0, 0, 4] = 1.0
    pixels, _ = picture(tmp_path, sigma0=sigma0, latitude=values["latitude"][::-1], longitude=values["longitude"][:, ::-1])
    assert pixels[0, 0] == 255


def test_a_picture_across_the_antimeridian_is_not_turned(tmp_path: Path) -> None:
    sigma0 = np.full((2, 4, 5), 0.01, "float32")
    sigma0[0, 3, 4] = 1.0
    longitude = np.broadcast_to([179.8, 179.9, -180.0, -179.9, -179.8], (4, 5))
    assert picture(tmp_path, sigma0=sigma0, longitude=longitude)[0][0, 4] == 255


def test_a_calm_sea_does_not_look_like_a_storm(tmp_path: Path) -> None:
    sigma0 = (0.05 * (1 + 0.001 * np.random.default_rng(0).standard_normal((2, 4, 5)))).astype("float32")
    pixels, _ = picture(tmp_path, sigma0=sigma0)
    assert np.ptp(pixels) < 3


def test_an_image_without_values_is_transparent(tmp_path: Path) -> None:
    pixels, details = picture(tmp_path, sigma0=np.full((2, 4, 5), np.nan, "float32"))
    assert not pixels.any()
    assert details["dark_db"] is None


def test_a_large_grid_is_shrunk_and_a_small_one_enlarged(tmp_path: Path) -> None:
    path = write_l1b(tmp_path / "large.nc", l1b_values(100, 300))
    assert make_quicklook(path, tmp_path / "a.png", side_px=150)["width"] == 150
    assert make_quicklook(path, tmp_path / "a.png", side_px=700)["width"] == 600


def test_a_file_without_backscatter_cannot_be_shown(tmp_path: Path) -> None:
    values = {name: of for name, of in l1b_values().items() if name != "sigma0"}
    with pytest.raises(CheckFailed, match="no polarised variable"):
        make_quicklook(write_l1b(tmp_path / "a.nc", values), tmp_path / "a.png")
