"""Values to colours: the bands that are shown, the stretch of what is no colour yet, palettes, and black where nothing is."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from platform_assets.imagery.jpeg import Pixels
from platform_assets.imagery.model import BandStatistics, ImageFacts

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int, int]

_PERCENTILES = (2.0, 98.0)
_FEW_LEVELS = 16
_TABLE_TYPES = ("uint16", "int16")
"""Types with few enough values to look every one up: three times as fast as arithmetic."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """How the values of an image become colours; the same for JPEG and thumbnail.

    Attributes:
        bands: The one that is shown in grey, or the three that are shown as red, green and blue.
        ends: The values of each band that become black and white; empty where values are colours already.
        colours: The colour of each value of a palette, or its grey level; None for no palette.
        nodata: The nodata value of each band; NaN for none.
        mask: Whether validity is told by `alpha`, a mask (`per_dataset`), or neither.
    """

    bands: tuple[int, ...]
    ends: tuple[tuple[float, float], ...] = ()
    colours: Pixels | None = None
    nodata: tuple[float, ...] = ()
    mask: str = ""


def shown_bands(facts: ImageFacts) -> tuple[int, ...]:
    """Return the bands that are shown: red, green and blue where the file names them, else the first three, else the first."""
    named = {name: band for band, name in enumerate(facts.colorinterp, 1)}
    if {"red", "green", "blue"} <= named.keys():
        return named["red"], named["green"], named["blue"]
    visible = [band for band, name in enumerate(facts.colorinterp, 1) if name != "alpha"] or [1]
    return tuple(visible[:3]) if len(visible) >= 3 and not facts.colormap else (visible[0],)


def nodata_values(facts: ImageFacts) -> tuple[float, ...]:
    """Return the nodata value of each band; NaN for none, as NaN is never valid."""
    return tuple(float(text) if text else math.nan for text in facts.nodata)


def rendering_of(facts: ImageFacts, palette: dict[int, Colour], pixels: Array, mask: Array | None) -> Rendering:
    """Decide how an image is rendered.

    Args:
        facts: What it says of itself.
        palette: Its palette; empty for none.
        pixels: A decimated reading of the bands that are shown: lines x columns x bands.
        mask: Its mask, or None: lines x columns, 0 where there is nothing.
    """
    bands = shown_bands(facts)
    every = nodata_values(facts)
    nodata = tuple(every[band - 1] for band in bands)
    values = [pixels[..., index][is_valid(pixels[..., index], nodata[index], mask)] for index in range(len(bands))]
    return Rendering(
        bands,
        ends=() if palette else _ends(facts, values),
        colours=_colours(palette) if palette else None,
        nodata=nodata,
        mask=facts.mask if facts.mask in ("alpha", "per_dataset") else "",
    )


def render(pixels: Array, mask: Array | None, rendering: Rendering) -> Pixels:
    """Return the colours of pixels.

    Args:
        pixels: Lines x columns x the rendering's bands.
        mask: Lines x columns: 0 where there is nothing, 255 where there is; between for translucent alpha. None for no mask.
        rendering: How.

    Returns:
        Lines x columns for grey, or lines x columns x 3.
    """
    if rendering.colours is not None:
        shown = np.take(rendering.colours, pixels[..., 0], axis=0, mode="clip")
    elif rendering.ends:
        shown = _stretched(pixels, rendering.ends)
    else:
        shown = pixels
    shown = shown[..., 0] if shown.shape[2:] == (1,) else shown
    if mask is not None and rendering.mask == "alpha":
        return _faded(shown, mask)
    hidden = _missing(pixels, rendering.nodata) if mask is None else mask == 0
    return np.where(_as_deep(hidden, shown), np.uint8(0), shown) if hidden is not None and hidden.any() else shown


def is_valid(band: Array, nodata: float, mask: Array | None) -> Array:
    """Return where the pixels of one band are values: finite, not nodata, not masked."""
    valid = np.isfinite(band)
    if not math.isnan(nodata):
        valid &= band != nodata
    if mask is not None:
        valid &= mask > 0
    return valid


def magnitudes(pixels: Array) -> Array:
    """Return real values: of complex ones the magnitude."""
    return np.abs(pixels) if pixels.dtype.kind == "c" else pixels


@dataclass(slots=True)
class Tally:
    """Statistics of one band, gathered part by part.

    Attributes:
        seen: Pixels.
        valid: Those of them that are values.
        minimum: Smallest value.
        maximum: Largest value.
        mean: Mean value.
        squares: Sum of the squared deviations from the mean.
    """

    seen: int = 0
    valid: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = field(default=0.0)

    def add(self, band: Array, valid: Array) -> None:
        """Take another part into account."""
        self.seen += band.size
        values = band[valid].astype("float64")
        if not values.size:
            return
        mean = float(values.mean())
        apart = mean - self.mean
        before, self.valid = self.valid, self.valid + values.size
        with np.errstate(over="ignore"):
            self.squares += float(np.square(values - mean).sum()) + apart * apart * before * values.size / self.valid
        self.mean += apart * values.size / self.valid
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def statistics(self) -> BandStatistics:
        """Return what was gathered."""
        percent = round(100.0 * self.valid / self.seen, 4)
        if not self.valid:
            return BandStatistics(None, None, None, None, percent)
        deviation = math.sqrt(self.squares / self.valid)
        return BandStatistics(self.minimum, self.maximum, self.mean, deviation if math.isfinite(deviation) else None, percent)


def _colours(palette: dict[int, Colour]) -> Pixels:
    table = np.zeros((max(palette) + 1, 3), "uint8")
    for value, colour in palette.items():
        table[value] = colour[:3]
    is_grey = (table == table[:, :1]).all()
    return np.ascontiguousarray(table[:, 0]) if is_grey else table


def _ends(facts: ImageFacts, values: list[Array]) -> tuple[tuple[float, float], ...]:
    if facts.dtypes[0] != "uint8":
        return tuple(_percentiles(magnitudes(band)) for band in values)
    if facts.bits:
        return ((0.0, 2.0**facts.bits - 1),) * len(values)
    lowest = min((float(band.min()) for band in values if band.size), default=0.0)
    highest = max((float(band.max()) for band in values if band.size), default=0.0)
    # Bytes are shown as they are, unless they are so few that they are names of classes, and black to the eye.
    return ((lowest, highest),) * len(values) if 0 < highest - lowest < _FEW_LEVELS else ()


def _percentiles(values: Array) -> tuple[float, float]:
    """Return what becomes black and white: not the extremes, so that a few outliers do not turn all others grey."""
    if not values.size:
        return 0.0, 1.0
    low, high = (float(end) for end in np.percentile(values.astype("float64"), _PERCENTILES))
    if not low < high:
        low, high = float(values.min()), float(values.max())
    if not low < high:
        margin = max(1.0, abs(low))
        low, high = low - margin, high + margin
    return low, high


def _stretched(pixels: Array, ends: tuple[tuple[float, float], ...]) -> Pixels:
    if pixels.dtype.name in _TABLE_TYPES:
        every = np.arange(1 << 16, dtype="uint16").view(pixels.dtype)
        tables = _scaled(np.repeat(every[:, None], len(ends), axis=1), ends)
        indices = pixels.view("uint16")
        return np.stack([np.take(tables[:, index], indices[..., index]) for index in range(len(ends))], axis=-1)
    return _scaled(magnitudes(pixels), ends)


def _scaled(values: Array, ends: tuple[tuple[float, float], ...]) -> Pixels:
    work = np.float32 if values.dtype.itemsize < 4 or values.dtype == np.float32 else np.float64
    low, high = np.array(ends, "float64").T
    with np.errstate(over="ignore", invalid="ignore"):
        levels = np.subtract(values, low.astype(work), dtype=work)
        levels *= (255.0 / (high - low)).astype(work)
        levels += work(0.5)
        np.clip(levels, 0, 255, out=levels)
        shown: Pixels = np.nan_to_num(levels, copy=False, nan=0.0).astype("uint8")
    return shown


def _missing(pixels: Array, nodata: tuple[float, ...]) -> Array | None:
    """Return where all bands are nodata; None where that cannot be."""
    if any(math.isnan(value) for value in nodata):
        return None
    missing = pixels[..., 0] == nodata[0]
    for index in range(1, len(nodata)):
        missing &= pixels[..., index] == nodata[index]
    return np.asarray(missing)


def _faded(shown: Pixels, alpha: Array) -> Pixels:
    if alpha.min() == 255:
        return shown
    faded: Pixels = ((shown * _as_deep(alpha, shown).astype("uint16") + 127) // 255).astype("uint8")
    return faded


def _as_deep(plane: Array, shown: Pixels) -> Array:
    return plane if shown.ndim == 2 else plane[..., None]
