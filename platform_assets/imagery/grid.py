"""The pixel grid and the bands of an image in STAC's words."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import GCPTransformer

from platform_assets.common.footprint import Footprint, Points, footprint
from platform_assets.common.raster import local_environment
from platform_assets.imagery.model import BandStatistics, ImageFacts

Gcp = tuple[float, float, float, float]
"""A ground control point: column, line, and its x and y in the image's reference system."""

_DATA_TYPES = {"complex_int16": "cint16", "complex_int32": "cint32", "complex64": "cfloat32", "complex128": "cfloat64"}
_STAC_DATA_TYPES = frozenset(
    f"{kind}{bits}" for kind, sizes in (("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)), ("float", (16, 32, 64))) for bits in sizes
)
_LARGEST = 1e12  # metres; damaged files have infinities and numbers near the end of the range


def footprint_of(facts: ImageFacts, gcps: Sequence[Gcp]) -> Footprint:
    """Return where an image lies, by its geotransform or else by its ground control points."""
    if affine := _affine(facts):
        return footprint(facts.crs_wkt, facts.width, facts.height, lambda pixels: _mapped(affine, pixels))
    if not gcps:
        only = "the image is located by rational polynomial coefficients only" if facts.rpcs else "the image is not georeferenced"
        return Footprint(None, None, only)
    points = [GroundControlPoint(row=line, col=column, x=x, y=y) for column, line, x, y in gcps]
    try:
        with local_environment(), GCPTransformer(points) as transformer:
            return footprint(
                facts.crs_wkt,
                facts.width,
                facts.height,
                lambda pixels: np.column_stack(transformer.xy(pixels[:, 1], pixels[:, 0], offset="ul")),
            )
    except CPLE_BaseError as error:
        return Footprint(None, None, f"the ground control points do not locate the image: {error}")


def projection_fields(facts: ImageFacts) -> dict[str, Any]:
    """Return the fields of the projection extension that describe an image's grid."""
    fields: dict[str, Any] = {"proj:shape": [facts.height, facts.width], **_crs_fields(facts.crs_wkt)}
    if affine := _affine(facts):
        corners = _mapped(affine, np.array([(0, 0), (facts.width, 0), (0, facts.height), (facts.width, facts.height)]))
        fields["proj:transform"] = list(affine[:6])
        fields["proj:bbox"] = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
    return fields


def shape_fields(facts: ImageFacts, width: int, height: int) -> dict[str, Any]:
    """Return the fields of a product whose grid is coarser than the image's; none when it is the same."""
    if (width, height) == (facts.width, facts.height):
        return {}
    fields: dict[str, Any] = {"proj:shape": [height, width]}
    if affine := _affine(facts):
        fields["proj:transform"] = list((affine @ Affine.scale(facts.width / width, facts.height / height))[:6])
    return fields


def bands_fields(facts: ImageFacts, statistics: Sequence[BandStatistics]) -> dict[str, Any]:
    """Return the bands, in the words of STAC 1.1 (`bands`) and in those of the raster extension that most readers know."""
    return {
        "bands": [_band(facts, statistics, index) for index in range(facts.bands)],
        "raster:bands": [_raster_band(facts, index) for index in range(facts.bands)],
    }


def _affine(facts: ImageFacts) -> Affine | None:
    """Return the geotransform; None when there is none, or one that no place on Earth can have."""
    if facts.transform is None or not all(abs(value) < _LARGEST for value in facts.transform):
        return None
    return Affine.from_gdal(*facts.transform)


def _mapped(affine: Affine, pixels: Points) -> Points:
    columns, lines = pixels.T
    return np.column_stack(
        [affine.a * columns + affine.b * lines + affine.c, affine.d * columns + affine.e * lines + affine.f],
    )


def _crs_fields(crs_wkt: str) -> dict[str, Any]:
    if not crs_wkt:
        return {"proj:code": None}
    try:
        crs = CRS.from_wkt(crs_wkt)
        authority = crs.to_authority(confidence_threshold=100)
        return {"proj:code": ":".join(authority)} if authority else {"proj:code": None, "proj:wkt2": crs.to_wkt(version="WKT2_2019")}
    except CRSError:
        return {"proj:code": None}


def _band(facts: ImageFacts, statistics: Sequence[BandStatistics], index: int) -> dict[str, Any]:
    band = {"name": f"b{index + 1}", "description": facts.descriptions[index] or facts.colorinterp[index], **_values(facts, index)}
    if index < len(statistics):
        of = statistics[index]
        numbers = {"minimum": of.minimum, "maximum": of.maximum, "mean": of.mean, "stddev": of.stddev, "valid_percent": of.valid_percent}
        band["statistics"] = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    return band


def _raster_band(facts: ImageFacts, index: int) -> dict[str, Any]:
    band = {**_values(facts, index), "sampling": facts.area_or_point.lower()}
    if facts.bits:
        band["bits_per_sample"] = facts.bits
    scale, offset = facts.scales[index], facts.offsets[index]
    if (scale, offset) != (1.0, 0.0) and math.isfinite(scale) and math.isfinite(offset):
        band |= {"scale": scale, "offset": offset}
    return band


def _values(facts: ImageFacts, index: int) -> dict[str, Any]:
    dtype = facts.dtypes[index]
    values: dict[str, Any] = {"data_type": _DATA_TYPES.get(dtype, dtype if dtype in _STAC_DATA_TYPES else "other")}
    if facts.nodata[index]:
        values["nodata"] = _nodata(facts.nodata[index])
    if facts.units[index]:
        values["unit"] = facts.units[index]
    return values


def _nodata(text: str) -> float | int | str:
    try:
        return int(text)
    except ValueError:
        value = float(text)
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() else value
