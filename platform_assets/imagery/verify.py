"""Independent checks of a COG that was written: another reader's verdict, the source's facts again, its pixels again."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from platform_assets.common.errors import CheckFailed
from platform_assets.common.keys import shown
from platform_assets.common.raster import NO_SESSION
from platform_assets.imagery.convert import pyramid
from platform_assets.imagery.gdal import cache_for, decode_all, strict
from platform_assets.imagery.inspect import KEPT_DOMAINS, facts_of, palette_of, private_domains
from platform_assets.imagery.model import Conversion, ImageFacts
from platform_assets.imagery.tiff import IMAGE_LENGTH, IMAGE_WIDTH, read_header

_WINDOW_PX, _WINDOW_LINES = 256, 64
_INSIDE = (0.382, 0.618)
"""Where windows inside the image begin, as shares of its side: not on borders of tiles or strips."""

_MEAN_PX = 16
_LOSSY_LEVELS = 24.0
"""How far lossy compression may move the mean of 16 x 16 pixels; a misplaced or grey tile is further off."""

_GEOREFERENCING = frozenset({"crs_wkt", "transform", "gcps", "rpcs", "area_or_point"})
_FALSE_ALARMS = ("not tiled", "Invalid Decimation", "should be sorted")
"""rio-cogeo takes tiles as wide as the image for strips and compares widths only; `check_pyramid` reads the directories."""


def verify_cog(source: Path, made: DatasetReader, facts: ImageFacts, conversion: Conversion) -> dict[str, Any]:
    """Check a COG against the image it was made from; its full resolution is decoded in windows only.

    Args:
        source: The image.
        made: Its COG, as `open_cog` opened it; what is decoded here stays in its cache for `write_jpeg`.
        facts: What the image says of itself.
        conversion: How the COG was made.

    Returns:
        `checks`, the names of those passed; `overviews` and `windows_compared`, their numbers; `metadata_dropped`, the private
        metadata domains that GDAL did not copy, if there are any.

    Raises:
        CheckFailed: The COG is not what it should be; the message names the check.
    """
    cog = Path(made.name)
    check_valid(cog)
    overviews = check_pyramid(cog, facts)
    with strict(cog, failed("pixels_equal", cog)), rasterio.open(source, driver="GTiff") as raw, cache_for(raw):
        check_facts(cog, facts, facts_of(made))
        check_metadata(cog, raw, made)
        compared = check_pixels(cog, raw, made, lossless=conversion.profile.lossless)
        dropped = sorted(private_domains(raw) - private_domains(made))
    for level in range(overviews):
        decode_all(cog, failed("blocks_decodable", cog), overview_level=level)
    checks = ["cog_valid", "overviews_present", "georeferencing_kept", "facts_kept", "pixels_equal"]
    details: dict[str, Any] = {"checks": checks, "overviews": overviews, "windows_compared": compared}
    return {**details, "metadata_dropped": dropped} if dropped else details


def open_cog(cog: Path, level: int = 0) -> DatasetReader:
    """Open a COG at its full resolution (level 0) or one of its overviews.

    Raises:
        CheckFailed: It cannot be opened.
    """
    with strict(cog, failed("cog_valid", cog)):
        return rasterio.open(cog, driver="GTiff", **({"overview_level": level - 1} if level else {}))


def failed(check: str, path: Path) -> Callable[[str], CheckFailed]:
    """Return what makes the error of a check from the words of what found it."""

    def error(said: str) -> CheckFailed:
        return CheckFailed(f"{path.name}: check {check} failed: {said.removeprefix(f'{path.name}: ')}")

    return error


def check_valid(cog: Path) -> None:
    """Check the layout with rio-cogeo's validator, its warnings included.

    Raises:
        CheckFailed: It objects, or breaks down on the file.
    """
    wrong = failed("cog_valid", cog)
    try:
        with strict(cog, wrong):
            _, errors, warnings = cog_validate(cog, strict=True, quiet=True, config={"session": NO_SESSION})
    except CheckFailed:
        raise
    except Exception as error:
        raise wrong(f"the validator broke down: {error!r}") from error
    if objections := [words for words in (*errors, *warnings) if not any(alarm in words for alarm in _FALSE_ALARMS)]:
        raise wrong("; ".join(objections))


def check_pyramid(cog: Path, facts: ImageFacts) -> int:
    """Check that image, overviews and their masks are all there, each tiled and half as large as the one before.

    Returns:
        The number of overviews.

    Raises:
        CheckFailed: One is missing, has another size, or is not tiled.
    """
    wrong = failed("overviews_present", cog)
    directories = read_header(cog).directories
    expected = pyramid(facts)
    kinds = (False, True) if facts.mask == "per_dataset" else (False,)
    for is_mask in kinds:
        sizes = [(d.values[IMAGE_WIDTH], d.values[IMAGE_LENGTH]) for d in directories if d.is_mask == is_mask]
        if sizes != expected:
            raise wrong(f"{'masks' if is_mask else 'images'} of {sizes} pixels instead of {expected}")
    if not all(directory.tiled for directory in directories):
        raise wrong("not every image in it is tiled")
    return len(expected) - 1


def check_facts(cog: Path, expected: ImageFacts, found: ImageFacts) -> None:
    """Check that the COG says of itself what its source says.

    Raises:
        CheckFailed: It does not; the message names the first difference.
    """
    for field in fields(ImageFacts):
        before, after = getattr(expected, field.name), getattr(found, field.name)
        if field.name == "pages" or before == after or _means_the_same(field.name, before, after):
            continue
        check = "georeferencing_kept" if field.name in _GEOREFERENCING else "facts_kept"
        raise failed(check, cog)(f"{field.name} is {shown(str(after))} instead of {shown(str(before))}")


def _means_the_same(name: str, before: Any, after: Any) -> bool:
    if name == "crs_wkt":
        return bool(before and after and CRS.from_wkt(before) == CRS.from_wkt(after))
    if name == "transform":
        # A geotransform of pixel centres is moved by half a pixel and back, which costs its last digit.
        return bool(before and after and all(isclose(a, b, rel_tol=1e-12, abs_tol=1e-12) for a, b in zip(before, after, strict=True)))
    if name == "colorinterp":
        return len(before) == len(after) and all(old in (new, "undefined") for old, new in zip(before, after, strict=True))
    return False


def check_metadata(cog: Path, raw: DatasetReader, made: DatasetReader) -> None:
    """Check what the facts only mention: control points, RPCs, palette, colour profile, XMP, private metadata.

    Raises:
        CheckFailed: Something differs.
    """
    kept = private_domains(raw) & private_domains(made) | KEPT_DOMAINS
    pairs = {
        "georeferencing_kept": [
            ("control points", _points(raw), _points(made)),
            ("RPCs", raw.rpcs, made.rpcs),
        ],
        "facts_kept": [
            ("palette", palette_of(raw), palette_of(made)),
            *((f"metadata {domain}", raw.tags(ns=domain), made.tags(ns=domain)) for domain in sorted(kept)),
        ],
    }
    for check, comparisons in pairs.items():
        for what, before, after in comparisons:
            if before != after:
                raise failed(check, cog)(f"the {what} differ from the source's")


def _points(dataset: DatasetReader) -> list[tuple[float, ...]]:
    return [(point.row, point.col, point.x, point.y, point.z) for point in dataset.gcps[0]]


def check_pixels(cog: Path, raw: DatasetReader, made: DatasetReader, *, lossless: bool) -> int:
    """Compare pixels and masks in windows: corners, edges and inside.

    Returns:
        The number of windows.

    Raises:
        CheckFailed: They differ, or differ by more than lossy compression explains.
    """
    wrong = failed("pixels_equal", cog)
    compared = 0
    for window in _sample(raw.width, raw.height):
        where = f"in the window at column {window.col_off}, line {window.row_off}"
        before, after = raw.read(window=window), made.read(window=window)
        mask = raw.dataset_mask(window=window)
        if not np.array_equal(mask, made.dataset_mask(window=window)):
            raise wrong(f"the mask differs from the source's {where}")
        if lossless:
            if not np.array_equal(before, after, equal_nan=before.dtype.kind in "fc"):
                raise wrong(f"the values differ from the source's {where}")
        # WebP does not keep the colours of what is transparent.
        elif (off := _distance(before * (mask > 0), after * (mask > 0))) > _LOSSY_LEVELS:
            raise wrong(f"the means of {_MEAN_PX} x {_MEAN_PX} pixels are up to {off:.0f} levels off {where}")
        compared += 1
    return compared


def _sample(width: int, height: int) -> Iterator[Window]:
    """Yield flat windows in a few lines of them: of a source in strips, a window costs as much as its whole lines."""
    for top in _begins(height, _WINDOW_LINES):
        for left in _begins(width, _WINDOW_PX):
            yield Window(left, top, min(_WINDOW_PX, width - left), min(_WINDOW_LINES, height - top))


def _begins(length: int, window: int) -> list[int]:
    """Return where windows begin: of a short side all of it is compared."""
    if length <= 4 * window:
        return list(range(0, length, window))
    last = length - window
    return [0, *(int(last * share) for share in _INSIDE), last]


def _distance(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    """Return the largest difference between the means of small squares."""
    difference = after.astype("float32") - before
    height, width = difference.shape[1] // _MEAN_PX * _MEAN_PX, difference.shape[2] // _MEAN_PX * _MEAN_PX
    if not height or not width:
        return float(abs(difference.mean()))
    squares = difference[:, :height, :width].reshape(-1, height // _MEAN_PX, _MEAN_PX, width // _MEAN_PX, _MEAN_PX)
    return float(np.abs(squares.mean(axis=(2, 4))).max())
