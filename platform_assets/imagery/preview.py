"""What people look at: a JPEG at full resolution and a thumbnail, made from the COG and rendered alike."""

import base64
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rasterio.io import DatasetReader
from rasterio.windows import Window

from platform_assets.imagery.convert import pyramid
from platform_assets.imagery.gdal import numpy_type, pixel_bytes, strict, windows
from platform_assets.imagery.inspect import palette_of
from platform_assets.imagery.jpeg import MOST_PX, JpegWriter, Pixels
from platform_assets.imagery.model import BandStatistics, ImageFacts
from platform_assets.imagery.render import Array, Rendering, Tally, is_valid, magnitudes, nodata_values, render, rendering_of, shown_bands
from platform_assets.imagery.verify import failed, open_cog

_VISIBLE_CONTRAST = 0.01
_COLOUR_SPACES = {1: b"GRAY", 3: b"RGB "}


@dataclass(frozen=True, slots=True)
class Survey:
    """An image seen from afar.

    Attributes:
        pixels: The bands that are shown, decimated: lines x columns x bands.
        mask: Its mask, or None: lines x columns, 0 where there is nothing.
        rendering: How it is rendered.
        statistics: Of every band.
    """

    pixels: Array
    mask: Array | None
    rendering: Rendering
    statistics: tuple[BandStatistics, ...]


def survey(cog: Path, facts: ImageFacts, thumbnail_px: int) -> Survey:
    """Read the smallest overview of a COG that is not smaller than its thumbnail will be.

    Raises:
        CheckFailed: It cannot be decoded.
    """
    # Overviews of line drawings have lost most of each line; seen from nearer, the rest adds up to grey.
    wanted = 4 * thumbnail_px if facts.bits == 1 else thumbnail_px
    level = max((level for level, size in enumerate(pyramid(facts)) if max(size) >= wanted), default=0)
    bands = shown_bands(facts)
    nodata = nodata_values(facts)
    with open_cog(cog, level) as dataset, strict(cog, failed("blocks_decodable", cog)):
        pixels = np.empty((dataset.height, dataset.width, len(bands)), numpy_type(facts.dtypes[0]))
        mask = np.empty((dataset.height, dataset.width), "uint8") if facts.mask in ("alpha", "per_dataset") else None
        tallies = [Tally() for _ in facts.dtypes]
        for window in windows(dataset, pixel_bytes(facts.dtypes)):
            here = window.toslices()
            read = dataset.read(window=window)
            pixels[here] = np.moveaxis(read[[band - 1 for band in bands]], 0, 2)
            if mask is not None:
                mask[here] = dataset.read_masks(1, window=window)
            for tally, band, missing in zip(tallies, read, nodata, strict=True):
                tally.add(magnitudes(band), is_valid(band, missing, None if mask is None else mask[here]))
        rendering = rendering_of(facts, palette_of(dataset), pixels, mask)
    return Survey(pixels, mask, rendering, tuple(tally.statistics() for tally in tallies))


def write_thumbnail(target: Path, view: Survey, thumbnail_px: int, quality: int) -> dict[str, Any]:
    """Write a thumbnail, never larger than the image.

    Returns:
        `width`, `height`, and a `note` when there is nothing to see on it.

    Raises:
        CheckFailed: It is blank, although the image is not.
    """
    shown = render(view.pixels, view.mask, view.rendering)
    image = Image.fromarray(shown)
    share = min(1.0, thumbnail_px / max(image.size))
    width, height = (max(1, round(side * share)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BOX)
    image.save(target, "JPEG", quality=quality)
    details = {"width": width, "height": height}
    small = np.asarray(image)
    if (small != small[0, 0]).any():
        return details
    if _contrast(view, shown) > _VISIBLE_CONTRAST:
        raise failed("thumbnail_not_blank", target)("it has one colour, but the image has many")
    has_values = any(view.statistics[band - 1].valid_percent for band in view.rendering.bands)
    return {**details, "note": "the image has one colour" if has_values else "the image has no valid pixel"}


def write_jpeg(made: DatasetReader, target: Path, facts: ImageFacts, rendering: Rendering, quality: int) -> dict[str, Any]:
    """Write a JPEG of an open COG at full resolution, or at half of it and so on where JPEG ends; decodes every block of it.

    Returns:
        `width`, `height`, `quality`, and `reduced_by` when it is smaller than the image.

    Raises:
        CheckFailed: A block of the COG cannot be decoded.
    """
    sizes = pyramid(facts)
    level = next(level for level, size in enumerate(sizes) if max(size) <= MOST_PX)
    width, height = sizes[level]
    cog = Path(made.name)
    with open_cog(cog, level) if level else nullcontext(made) as dataset, strict(cog, failed("blocks_decodable", cog)):
        profile = _icc_profile(dataset, rendering)
        with JpegWriter(target, height, quality, profile) as jpeg:
            strip: Pixels = np.empty(0, "uint8")
            for window in windows(dataset, 4 * pixel_bytes(facts.dtypes)):
                shown = _rendered(dataset, window, rendering)
                if not window.col_off:
                    strip = np.empty((window.height, width, *shown.shape[2:]), "uint8")
                strip[:, window.col_off : window.col_off + window.width] = shown
                if window.col_off + window.width == width:
                    jpeg.write(strip)
    details = {"width": width, "height": height, "quality": quality}
    return {**details, "reduced_by": 2**level} if level else details


def _rendered(dataset: DatasetReader, window: Window, rendering: Rendering) -> Pixels:
    # Read as the encoder wants it, band by band in each pixel: turning the array afterwards costs as much as decoding it.
    pixels = np.empty((window.height, window.width, len(rendering.bands)), numpy_type(dataset.dtypes[0]))
    dataset.read(list(rendering.bands), window=window, out=pixels.transpose(2, 0, 1))
    mask = dataset.read_masks(1, window=window) if rendering.mask else None
    return render(pixels, mask, rendering)


def _contrast(view: Survey, shown: Pixels) -> float:
    """Return the deviation of what is shown as a share of its range, taken from the values, not from what became of them."""
    rendering = view.rendering
    if rendering.colours is not None:
        return float(shown.std()) / 255.0
    ends = rendering.ends or ((0.0, 255.0),) * len(rendering.bands)
    deviations = [view.statistics[band - 1].stddev or 0.0 for band in rendering.bands]
    return max(deviation / (high - low) for deviation, (low, high) in zip(deviations, ends, strict=True))


def _icc_profile(dataset: DatasetReader, rendering: Rendering) -> bytes:
    """Return the colour profile of an image whose values are shown as they are; empty for none."""
    text = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE", "")
    profile = b"" if rendering.ends or rendering.colours is not None else base64.b64decode(text)
    return profile if profile[16:20] == _COLOUR_SPACES[len(rendering.bands)] else b""


def small_jpeg(thumbnail: bytes, side_px: int = 192) -> bytes:
    """Return a thumbnail as a JPEG of a few kilobytes, to stand in a database row or in a page."""
    with Image.open(BytesIO(thumbnail)) as image:
        image.thumbnail((side_px, side_px))
        small = BytesIO()
        image.convert("RGB").save(small, "JPEG", quality=70)
    return small.getvalue()
