"""The archive of `groundtrack demo`: synthetic images of every kind that is common, and five that are broken."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter

from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.scenery import CLASS_COLOURS, Landscape, Style, landscape

_METRES_PER_DEGREE = 111_320.0
_NODATA = -9999.0
_PHOTOGRAPH: dict[str, Any] = {"compress": "JPEG", "jpeg_quality": 85, "tiled": True}
_LOSSLESS: dict[str, Any] = {"compress": "DEFLATE", "predictor": 2}

Array = np.ndarray[Any, Any]
Writer = Callable[[Path, "_Frame", Landscape], int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the sample archive.

    Attributes:
        key: Its path in the archive.
        bands: The band count for its row in the manifest.
        expected: How it should end: `done`, or the error code.
    """

    key: str
    bands: int
    expected: str = "done"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where and how large an image is.

    Attributes:
        latitude: Of its upper left corner.
        longitude: Of its upper left corner.
        width: Columns.
        height: Lines.
        pixel_m: Side of a pixel on the ground.
        seed: Of the landscape.
        style: Of the landscape.
    """

    latitude: float
    longitude: float
    width: int
    height: int
    pixel_m: float
    seed: int
    style: Style = "fields"

    @property
    def georeference(self) -> dict[str, Any]:
        """Reference system and transform: the corner's UTM zone, on a sphere, which is near enough."""
        zone = int((self.longitude + 180) // 6) + 1
        east = 500_000 + (self.longitude - (6 * zone - 183)) * _METRES_PER_DEGREE * cos(radians(self.latitude))
        north = self.latitude * _METRES_PER_DEGREE + (0 if self.latitude >= 0 else 10_000_000)
        transform = Affine(self.pixel_m, 0, round(east), 0, -self.pixel_m, round(north))
        return {"crs": f"EPSG:{(32600 if self.latitude >= 0 else 32700) + zone}", "transform": transform}


def write_samples(folder: Path) -> list[Sample]:
    """Write the archive; the same at every call.

    Args:
        folder: Where to; two folders are made in it.

    Returns:
        The images in the order of the manifest.
    """
    with gdal_environment(folder):
        good = [_write_good(folder, key, frame, writer) for key, (frame, writer) in _archive().items()]
        return good + _write_broken(folder)


def _archive() -> dict[str, tuple[_Frame, Writer]]:
    return {
        "aerial-1955/roll-1-frame-01.tif": (_Frame(43.07, -89.45, 1500, 1500, 1.0, 11), _scan),
        "aerial-1955/roll-1-frame-02.tif": (_Frame(41.65, -93.60, 1200, 1200, 1.0, 12), _scan),
        "aerial-1955/roll-1-frame-03.tif": (_Frame(46.87, -96.80, 1200, 1200, 1.0, 13), _scan),
        "aerial-1955/roll-1-frame-04.tif": (_Frame(37.98, -100.87, 1400, 1400, 1.5, 14, "pivots"), _scan),
        "aerial-1955/roll-1-frame-05.tif": (_Frame(52.52, -1.15, 1000, 1300, 0.8, 15), _scan),
        "aerial-1955/roll-2-frame-01.tif": (_Frame(48.45, 1.48, 1100, 1100, 1.0, 16), _scan),
        "aerial-1955/roll-2-frame-02.tif": (_Frame(-43.75, 171.75, 1300, 1000, 1.0, 17), _scan),
        "aerial-1955/roll-2-frame-03-unreferenced.tif": (_Frame(0, 0, 1200, 1200, 1.0, 18), _unreferenced),
        "aerial-1955/roll-2-frame-04-control-points.tif": (_Frame(45.05, 9.70, 1100, 1100, 1.0, 19), _control_points),
        "aerial-1955/roll-2-frame-05-negative.tif": (_Frame(50.45, 30.52, 700, 700, 1.2, 20), _negative),
        "aerial-1955/roll-2-index-map-1-bit.tif": (_Frame(43.07, -89.45, 2400, 1800, 2.0, 11), _line_map),
        "survey-2024/county-north.tif": (_Frame(51.97, 5.66, 3000, 2400, 0.25, 31), _photograph),
        "survey-2024/county-south.tif": (_Frame(-33.43, 149.10, 2000, 2600, 0.25, 32), _photograph),
        "survey-2024/delta.tif": (_Frame(30.78, 31.00, 1800, 1800, 0.5, 33, "pivots"), _photograph),
        "survey-2024/glacier.tif": (_Frame(64.02, -16.80, 1600, 1200, 1.0, 34, "ice"), _photograph),
        "survey-2024/estate.tif": (_Frame(-12.55, -55.72, 900, 700, 0.5, 35), _photograph),
        "survey-2024/mosaic-masked.tif": (_Frame(35.68, 139.60, 1200, 1200, 0.5, 36), _masked),
        "survey-2024/overlay-alpha.tif": (_Frame(-1.28, 36.82, 700, 700, 0.5, 37), _with_alpha),
        "survey-2024/infrared-east.tif": (_Frame(21.03, 105.80, 700, 600, 1.0, 38), _infrared),
        "survey-2024/infrared-west.tif": (_Frame(31.63, -8.00, 600, 700, 1.0, 39, "pivots"), _infrared),
        "survey-2024/multispectral-16-bit.tif": (_Frame(31.20, 74.30, 560, 560, 10.0, 40, "pivots"), _multispectral),
        "survey-2024/panchromatic-16-bit.tif": (_Frame(-33.92, 18.86, 900, 900, 2.0, 41), _panchromatic),
        "survey-2024/elevation-float.tif": (_Frame(47.05, 11.20, 800, 700, 5.0, 42), _elevation),
        "survey-2024/land-cover-palette.tif": (_Frame(49.80, -111.20, 1500, 1200, 2.0, 43, "pivots"), _land_cover),
    }


def _write_good(folder: Path, key: str, frame: _Frame, writer: Writer) -> Sample:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return Sample(key, writer(path, frame, landscape(frame.width, frame.height, frame.seed, frame.style)))


# --- the kinds ----------------------------------------------------------------------------------------------------------


def _save(path: Path, pixels: Array, change: Callable[[DatasetWriter], None] | None = None, **profile: Any) -> int:
    bands, height, width = pixels.shape
    with rasterio.open(path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=pixels.dtype.name, **profile) as dataset:
        dataset.write(pixels)
        if change:
            change(dataset)
    return len(pixels)


def _bytes(bands: Array) -> Array:
    """Return reflectance as the eye likes it, in 8 bits."""
    return np.asarray(255 * bands**0.7 + 0.5).astype("uint8")


def _photograph(path: Path, frame: _Frame, scene: Landscape) -> int:
    return _save(path, _bytes(scene.bands[:3]), photometric="YCBCR", **_PHOTOGRAPH, **frame.georeference)


def _infrared(path: Path, frame: _Frame, scene: Landscape) -> int:
    return _save(path, _bytes(scene.bands), photometric="RGB", alpha="UNSPECIFIED", **_LOSSLESS, **frame.georeference)


def _with_alpha(path: Path, frame: _Frame, scene: Landscape) -> int:
    alpha = np.where(_inside(frame, 0.46), 255, 0)[None]
    pixels = np.concatenate([_bytes(scene.bands[:3]), alpha]).astype("uint8")
    return _save(path, pixels, photometric="RGB", alpha="YES", **_LOSSLESS, **frame.georeference)


def _masked(path: Path, frame: _Frame, scene: Landscape) -> int:
    def mask(dataset: DatasetWriter) -> None:
        dataset.write_mask(_inside(frame, 0.44))

    return _save(path, _bytes(scene.bands[:3]), mask, photometric="YCBCR", **_PHOTOGRAPH, **frame.georeference)


def _inside(frame: _Frame, reach: float) -> Array:
    """Return where a frame that was turned by some degrees has pixels."""
    y, x = np.ogrid[-0.5 : 0.5 : frame.height * 1j, -0.5 : 0.5 : frame.width * 1j]
    return np.asarray((np.abs(x * 0.95 + y * 0.31) < reach) & (np.abs(y * 0.95 - x * 0.31) < reach))


def _film(frame: _Frame, scene: Landscape) -> Array:
    """Return a scan of black and white film: vignetted, with a dark frame and fiducial marks in its corners."""
    grey = 0.35 * scene.bands[0] + 0.5 * scene.bands[1] + 0.15 * scene.bands[3]
    y, x = np.ogrid[-1 : 1 : frame.height * 1j, -1 : 1 : frame.width * 1j]
    grey = grey * (1.05 - 0.3 * (x * x + y * y))
    border = (np.abs(x) > 0.965) | (np.abs(y) > 0.965)
    cross = (np.abs(np.abs(x) - 0.91) < 0.03) & (np.abs(np.abs(y) - 0.91) < 0.002)
    cross |= (np.abs(np.abs(x) - 0.91) < 0.002) & (np.abs(np.abs(y) - 0.91) < 0.03)
    return _bytes(np.where(cross, 0.95, np.where(border, 0.03, np.clip(grey, 0, 1))))[None]


def _scan(path: Path, frame: _Frame, scene: Landscape) -> int:
    return _save(path, _film(frame, scene), _dated, **_PHOTOGRAPH, **frame.georeference)


def _dated(dataset: DatasetWriter) -> None:
    dataset.update_tags(TIFFTAG_DATETIME="1955:07:01 10:30:00", TIFFTAG_SOFTWARE="Film scanner")


def _unreferenced(path: Path, frame: _Frame, scene: Landscape) -> int:
    return _save(path, _film(frame, scene), _dated, **_PHOTOGRAPH)


def _control_points(path: Path, frame: _Frame, scene: Landscape) -> int:
    transform = frame.georeference["transform"]

    def points(dataset: DatasetWriter) -> None:
        corners = [(row, col) for row in (0, frame.height // 2, frame.height) for col in (0, frame.width // 2, frame.width)]
        places = [transform @ (col + row * 0.05, row - col * 0.05) for row, col in corners]
        found = [GroundControlPoint(row, col, *place, 0) for (row, col), place in zip(corners, places, strict=True)]
        dataset.gcps = (found, rasterio.CRS.from_user_input(frame.georeference["crs"]))

    return _save(path, _film(frame, scene), points, **_PHOTOGRAPH)


def _negative(path: Path, frame: _Frame, scene: Landscape) -> int:
    return _save(path, 255 - _film(frame, scene), photometric="MINISWHITE", **_LOSSLESS, **frame.georeference)


def _line_map(path: Path, frame: _Frame, scene: Landscape) -> int:
    """Write contour lines, land cover borders and a grid, drawn in ink."""
    ink = np.zeros(scene.relief.shape, bool)
    for lines in (np.floor(scene.relief * 16), scene.cover):
        ink[:-2] |= lines[2:] != lines[:-2]
        ink[:, :-2] |= lines[:, 2:] != lines[:, :-2]
    ink[::300] = ink[:, ::300] = True
    return _save(path, ink[None].astype("uint8"), nbits=1, photometric="MINISWHITE", compress="CCITTFAX4", **frame.georeference)


def _multispectral(path: Path, frame: _Frame, scene: Landscape) -> int:
    def describe(dataset: DatasetWriter) -> None:
        dataset.descriptions = ("blue", "green", "red", "near infrared")
        dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
        dataset.scales = (0.0001,) * 4

    reflectance = np.asarray(scene.bands[[2, 1, 0, 3]] * 10_000).astype("uint16")
    return _save(path, reflectance, describe, **_LOSSLESS, **frame.georeference)


def _panchromatic(path: Path, frame: _Frame, scene: Landscape) -> int:
    counts = np.asarray(200 + 2400 * scene.bands[:3].mean(axis=0, keepdims=True)).astype("uint16")
    return _save(path, counts, **_LOSSLESS, **frame.georeference)


def _elevation(path: Path, frame: _Frame, scene: Landscape) -> int:
    heights = np.where(_inside(frame, 0.45), 400 + 2600 * scene.relief, _NODATA)[None].astype("float32")
    return _save(path, heights, compress="DEFLATE", predictor=3, nodata=_NODATA, **frame.georeference)


def _land_cover(path: Path, frame: _Frame, scene: Landscape) -> int:
    def colours(dataset: DatasetWriter) -> None:
        dataset.write_colormap(1, CLASS_COLOURS)

    return _save(path, scene.cover[None], colours, photometric="PALETTE", compress="DEFLATE", **frame.georeference)


# --- the broken ---------------------------------------------------------------------------------------------------------


def _write_broken(folder: Path) -> list[Sample]:
    scans, survey = folder / "aerial-1955", folder / "survey-2024"
    cut = scans / "roll-3-frame-01-cut-off.tif"
    frame = _Frame(43.10, -89.50, 900, 900, 1.0, 51)
    _save(cut, _film(frame, landscape(frame.width, frame.height, frame.seed)), **_LOSSLESS)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])

    (scans / "roll-3-frame-02-web-page.tif").write_text(
        "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>The scan has moved.</body></html>\n"
    )
    (survey / "mosaic-vrt.tif").write_text(
        '<VRTDataset rasterXSize="3000" rasterYSize="2400"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">county-north.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>\n'
    )
    miscounted = _Frame(40.80, -96.70, 600, 600, 0.5, 52)
    _photograph(survey / "claims-4-bands.tif", miscounted, landscape(miscounted.width, miscounted.height, miscounted.seed))
    giant = {"width": 1 << 18, "height": 1 << 18, "count": 1, "dtype": "uint8", "blockxsize": 1 << 14, "blockysize": 1 << 14}
    rasterio.open(survey / "68-gigapixels.tif", "w", driver="GTiff", tiled=True, sparse_ok=True, compress="DEFLATE", **giant).close()
    return [
        Sample("aerial-1955/roll-3-frame-01-cut-off.tif", 1, "corrupt_image"),
        Sample("aerial-1955/roll-3-frame-02-web-page.tif", 1, "not_a_tiff"),
        Sample("survey-2024/mosaic-vrt.tif", 1, "not_a_tiff"),
        Sample("survey-2024/claims-4-bands.tif", 4, "band_mismatch"),
        Sample("survey-2024/68-gigapixels.tif", 1, "limit_exceeded"),
    ]
