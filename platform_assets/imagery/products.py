"""Everything that is made of one raw image: inspected, converted, checked and rendered, in one scratch folder."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from platform_assets.common.stages import Stages
from platform_assets.imagery.convert import write_cog
from platform_assets.imagery.gdal import decode_all, gdal_environment
from platform_assets.imagery.inspect import check_bands, control_points, inspect
from platform_assets.imagery.jpeg import MOST_PX
from platform_assets.imagery.model import BandStatistics, Conversion, ImageFacts, ImageJob, Limits, Made, Product
from platform_assets.imagery.preview import Survey, survey, write_jpeg, write_thumbnail
from platform_assets.imagery.verify import failed, open_cog, verify_cog

_COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_JPEG_TYPE = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Result:
    """What was made of one raw image.

    Attributes:
        facts: What the image says of itself.
        statistics: Of every band.
        gcps: Its ground control points: column, line, and x and y in its reference system.
        made: The products that were wanted.
    """

    facts: ImageFacts
    statistics: tuple[BandStatistics, ...]
    gcps: tuple[tuple[float, float, float, float], ...]
    made: tuple[Made, ...]


def make_products(
    source: Path, folder: Path, job: ImageJob, wanted: frozenset[Product], conversion: Conversion, limits: Limits, stages: Stages
) -> Result:
    """Make the wanted products of an image.

    Args:
        source: The raw image, its sidecars beside it.
        folder: Where to write; nothing is written elsewhere.
        job: The raw object and what is claimed of it.
        wanted: The products; the COG is written in any case, as the others are made from it.
        conversion: How to make them.
        limits: What the image may announce.
        stages: Told of `inspect`, `convert`, `check` and `preview`.

    Raises:
        PermanentError: The image is not what it should be, or a product does not pass its checks.
    """
    cog = folder / f"{source.stem}.cog.tif"
    with gdal_environment(folder), ExitStack() as stack:
        with stages("inspect"):
            facts = inspect(source, limits)
            check_bands(facts, job.bands, job.source.key)
            gcps = control_points(source) if facts.gcps else ()
        with stages("convert"):
            write_cog(source, cog, facts, conversion)
        with stages("check"):
            made = stack.enter_context(open_cog(cog))
            checked = verify_cog(source, made, facts, conversion)
            # A JPEG at full resolution decodes every block as it is made.
            if Product.JPEG not in wanted or max(facts.width, facts.height) > MOST_PX:
                decode_all(cog, failed("blocks_decodable", cog))
        with stages("preview"):
            view = survey(cog, facts, conversion.thumbnail_px)
            previews = tuple(_previews(made, facts, view, wanted, conversion))
    cogs = (Made(Product.COG, str(cog), _COG_TYPE, _cog_details(facts, conversion, checked)),)
    return Result(facts, view.statistics, gcps, (cogs if Product.COG in wanted else ()) + previews)


def _previews(made: DatasetReader, facts: ImageFacts, view: Survey, wanted: frozenset[Product], conversion: Conversion) -> Iterator[Made]:
    cog = Path(made.name)
    if Product.JPEG in wanted:
        path = cog.with_suffix("").with_suffix(".jpg")
        details = write_jpeg(made, path, facts, view.rendering, conversion.jpeg_quality)
        yield Made(Product.JPEG, str(path), _JPEG_TYPE, details)
    if Product.THUMBNAIL in wanted:
        path = cog.with_suffix("").with_suffix(".thumbnail.jpg")
        details = write_thumbnail(path, view, conversion.thumbnail_px, conversion.jpeg_quality)
        yield Made(Product.THUMBNAIL, str(path), _JPEG_TYPE, {**details, "checks": ["thumbnail_not_blank"]})


def _cog_details(facts: ImageFacts, conversion: Conversion, checked: dict[str, Any]) -> dict[str, Any]:
    details = {
        "width": facts.width,
        "height": facts.height,
        "profile": conversion.profile.value,
        **checked,
        "checks": [*checked["checks"], "blocks_decodable"],
    }
    return {**details, "pages_ignored": facts.pages - 1} if facts.pages > 1 else details
