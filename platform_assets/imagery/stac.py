"""What was made of an image, as its STAC item; and the item, as what was made.

The item is the commit record: it is written last, and whether an image is done is read from it alone. The fields that
say so begin with `groundtrack:`.
"""

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NotRequired, TypedDict

import numpy as np
import pystac

from platform_assets.common import stac
from platform_assets.common.provenance import multihash_md5, parameters_digest, software
from platform_assets.common.published import ProductFacts, PublishedAsset, product_facts
from platform_assets.common.values import ObjectRef
from platform_assets.imagery import naming
from platform_assets.imagery.grid import Gcp, bands_fields, footprint_of, projection_fields, shape_fields
from platform_assets.imagery.model import BandStatistics, Conversion, ImageFacts, ImageJob, Product

CODE_VERSION = "1"
"""Raised when the same input and parameters would give other products: every image is then converted again."""

COLLECTION = stac.CollectionInfo(
    id=naming.COLLECTION,
    title="Imagery",
    description="Raw images as cloud-optimised GeoTIFF and JPEG, on their own pixel grid, each with its provenance.",
    keywords=("imagery", "cloud-optimised GeoTIFF", "COG"),
)

# "Unpacked, reformatted": the format changes, the grid and what the values mean do not.
_LEVEL = "L1A"
_ROLES = {Product.COG: ["data"], Product.JPEG: ["visual"], Product.THUMBNAIL: ["thumbnail"]}
_TITLES = {Product.COG: "Cloud-optimised GeoTIFF", Product.JPEG: "JPEG", Product.THUMBNAIL: "Thumbnail"}
_EXTENSIONS = [
    stac.FILE_EXTENSION,
    stac.PROCESSING_EXTENSION,
    stac.PROJECTION_EXTENSION,
    stac.RASTER_EXTENSION,
    stac.TIMESTAMPS_EXTENSION,
]
_OLDEST_PHOTOGRAPH = 1826
_CRS_NAME = re.compile(r'\w+\["([^"]*)"')


class SourceFacts(TypedDict):
    """The raw object."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    md5: str


class ItemFacts(TypedDict):
    """What an outcome says of an image that is done: the same for one just converted and one found done.

    Attributes:
        item_key: The item's object key.
        source: The raw object.
        products: What was made, by product name.
        width: Pixels a line.
        height: Lines.
        bands: Number of bands.
        dtype: Data type of the pixels; several, joined by a comma, when bands differ.
        crs: Code or name of the coordinate reference system; empty for none.
        datetime: The item's time, as ISO 8601.
        bbox: West, south, east, north; None without georeference.
        geometry: GeoJSON geometry; None without georeference.
        compression_ratio: Decoded bytes a byte of the COG; None when there is no COG.
        seconds_by_stage: Wall time by stage of the run that wrote the item.
        run_id: That run.
        thumbnail: A small JPEG in base64, for reports.
    """

    item_key: str
    source: SourceFacts
    products: dict[str, ProductFacts]
    width: int
    height: int
    bands: int
    dtype: str
    crs: str
    datetime: str
    bbox: list[float] | None
    geometry: dict[str, Any] | None
    compression_ratio: float | None
    seconds_by_stage: dict[str, float]
    run_id: str
    thumbnail: NotRequired[str]


def image_item(
    job: ImageJob,
    facts: ImageFacts,
    statistics: Sequence[BandStatistics],
    assets: Mapping[Product, PublishedAsset],
    conversion: Conversion,
    *,
    source_bucket: str,
    source_md5: str,
    prefix: str,
    run_id: str,
    created: datetime,
    seconds: Mapping[str, float],
    gcps: Sequence[Gcp] = (),
    previous: Mapping[str, Any] | None = None,
) -> pystac.Item:
    """Return the item of an image.

    Args:
        job: The raw object and its sidecars, in the versions that were read.
        facts: What the raw image says of itself.
        statistics: Of each band; empty when there are none.
        assets: The products that were made now.
        conversion: How they were made.
        source_bucket: The bucket of the raw object.
        source_md5: MD5 of the raw object, in hexadecimal.
        prefix: The output prefix.
        run_id: The Dagster run.
        created: Now.
        seconds: Wall time by stage.
        gcps: The image's ground control points.
        previous: The item that is there already; its products stay when they are of the same input and parameters.
    """
    where = footprint_of(facts, gcps)
    run = {"source_bucket": source_bucket, "source_md5": source_md5, "run_id": run_id, "seconds": dict(seconds)}
    properties = {**_properties(facts, job, conversion, created, previous), **{f"groundtrack:{name}": value for name, value in run.items()}}
    if where.note:
        properties["groundtrack:geometry_note"] = where.note
    bbox = list(where.bbox) if where.bbox else None
    moment, properties["groundtrack:datetime_source"] = _moment(facts, job, created)
    item = pystac.Item(naming.item_id(job.source.key), where.geometry, bbox, moment, properties, stac_extensions=list(_EXTENSIONS))
    _add_links(item, job, source_bucket, source_md5)
    for product, asset in merged_assets(previous, assets, job, conversion, prefix).items():
        item.add_asset(product.value, _asset(product, asset, facts, statistics, naming.item_key(job.source.key, prefix)))
    return item


def _properties(
    facts: ImageFacts, job: ImageJob, conversion: Conversion, created: datetime, previous: Mapping[str, Any] | None
) -> dict[str, Any]:
    now = stac.utc(created)
    return {
        "title": posixpath.basename(job.source.key),
        "created": (previous or {}).get("properties", {}).get("created", now),
        "updated": now,
        "published": now,
        "processing:software": software(),
        "processing:level": _LEVEL,
        "processing:lineage": _lineage(job.source.key, conversion),
        **projection_fields(facts),
        **_state(job, conversion),
        "groundtrack:bands": facts.bands,
        "groundtrack:data_type": ",".join(dict.fromkeys(facts.dtypes)),
    }


def document(item: pystac.Item) -> dict[str, Any]:
    """Return an item as it is stored: with the references it has, and without one to itself."""
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def is_done(item: Mapping[str, Any], job: ImageJob, conversion: Conversion, wanted: frozenset[Product]) -> bool:
    """Whether an item says that these products were made of this input, with these parameters, by this code.

    Args:
        item: The item that is there.
        job: What is to be converted; an item with another number of bands than it claims is not done, so that it fails again.
        conversion: How.
        wanted: The products that are asked for.
    """
    properties = item.get("properties", {})
    claimed = job.bands is None or job.bands == properties.get("groundtrack:bands")
    return claimed and _is_current(properties, job, conversion) and {product.value for product in wanted} <= item.get("assets", {}).keys()


def merged_assets(
    previous: Mapping[str, Any] | None, assets: Mapping[Product, PublishedAsset], job: ImageJob, conversion: Conversion, prefix: str
) -> dict[Product, PublishedAsset]:
    """Return all products that an image has: those made now, and those that the item has of the same input and parameters.

    Args:
        previous: The item that is there already.
        assets: The products that were made now.
        job: What they were made of.
        conversion: How.
        prefix: The output prefix.
    """
    kept = {}
    if previous and _is_current(previous.get("properties", {}), job, conversion):
        names = {product.value for product in Product}
        item_key = naming.item_key(job.source.key, prefix)
        kept = {Product(name): PublishedAsset(**facts) for name, facts in product_facts(item_key, previous).items() if name in names}
    merged = kept | dict(assets)
    return {product: merged[product] for product in Product if product in merged}


def facts_from_item(item: Mapping[str, Any], item_key: str) -> ItemFacts:
    """Return what an item says was made.

    Args:
        item: The item as it is stored.
        item_key: Its object key.
    """
    properties = item["properties"]
    height, width = properties["proj:shape"]
    products = product_facts(item_key, item)
    return ItemFacts(
        item_key=item_key,
        source=SourceFacts(
            bucket=properties["groundtrack:source_bucket"],
            key=properties["groundtrack:source_key"],
            etag=properties["groundtrack:source_etag"],
            size_bytes=properties["groundtrack:source_size"],
            md5=properties["groundtrack:source_md5"],
        ),
        products=products,
        width=width,
        height=height,
        bands=properties["groundtrack:bands"],
        dtype=properties["groundtrack:data_type"],
        crs=_crs_name(properties),
        datetime=properties["datetime"],
        bbox=item.get("bbox"),
        geometry=item.get("geometry"),
        compression_ratio=_compression_ratio(properties, products.get(Product.COG.value)),
        seconds_by_stage=properties["groundtrack:seconds"],
        run_id=properties["groundtrack:run_id"],
    )


# --- what the skip rule compares ----------------------------------------------------------------------------------------


def _state(job: ImageJob, conversion: Conversion) -> dict[str, Any]:
    return {
        "groundtrack:source_key": job.source.key,
        "groundtrack:source_etag": job.source.etag,
        "groundtrack:source_size": job.source.size_bytes,
        "groundtrack:sidecars": {sidecar.key: sidecar.etag for sidecar in job.sidecars},
        "groundtrack:parameters": parameters_digest(conversion),
        "groundtrack:code_version": CODE_VERSION,
    }


def _is_current(properties: Mapping[str, Any], job: ImageJob, conversion: Conversion) -> bool:
    return all(properties.get(name) == value for name, value in _state(job, conversion).items())


# --- when ---------------------------------------------------------------------------------------------------------------


def _moment(facts: ImageFacts, job: ImageJob, now: datetime) -> tuple[datetime, str]:
    """Return the item's time and where it is from: the TIFF tag, if a photograph can be of that time, else the raw object."""
    text = dict(facts.tags).get("TIFFTAG_DATETIME", "")
    try:
        tagged = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        tagged = None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)  # what a clock that was never set says
    # The tag has no time zone.
    if tagged and tagged.year >= _OLDEST_PHOTOGRAPH and tagged != epoch and tagged <= now + timedelta(days=1):
        return tagged, "tiff_datetime"
    if job.source.modified:
        return datetime.fromisoformat(job.source.modified).astimezone(UTC), "object_modified"
    return now, "created"


def _crs_name(properties: Mapping[str, Any]) -> str:
    name = _CRS_NAME.match(properties.get("proj:wkt2", ""))
    return properties["proj:code"] or (name[1] if name else "")


# --- assets -------------------------------------------------------------------------------------------------------------


def _asset(product: Product, asset: PublishedAsset, facts: ImageFacts, statistics: Sequence[BandStatistics], item_key: str) -> pystac.Asset:
    fields = asset.fields()
    if product is Product.COG:
        fields |= bands_fields(facts, statistics)
    fields |= shape_fields(facts, asset.details.get("width", facts.width), asset.details.get("height", facts.height))
    return pystac.Asset(
        href=stac.relative_href(item_key, asset.key),
        title=_TITLES[product],
        media_type=asset.media_type,
        roles=list(_ROLES[product]),
        extra_fields=fields,
    )


def _compression_ratio(properties: Mapping[str, Any], cog: ProductFacts | None) -> float | None:
    if cog is None:
        return None
    dtype = properties["groundtrack:data_type"].partition(",")[0]
    sample_bytes = {"complex_int16": 4, "complex_int32": 8}.get(dtype) or np.dtype(dtype).itemsize
    decoded: int = math.prod(properties["proj:shape"]) * properties["groundtrack:bands"] * sample_bytes
    return round(decoded / cog["size_bytes"], 2)


# --- links --------------------------------------------------------------------------------------------------------------


def _add_links(item: pystac.Item, job: ImageJob, source_bucket: str, source_md5: str) -> None:
    item.collection_id = COLLECTION.id
    item.add_link(pystac.Link("root", "../../catalog.json", stac.JSON))
    item.add_link(pystac.Link("collection", "../collection.json", stac.JSON))
    item.add_link(pystac.Link("parent", "./catalog.json", stac.JSON))
    item.add_link(_derived_from(job.source, source_bucket, "image/tiff", {"file:checksum": multihash_md5(source_md5)}))
    for sidecar in job.sidecars:
        item.add_link(_derived_from(sidecar, source_bucket, None, {}))


def _derived_from(source: ObjectRef, bucket: str, media_type: str | None, fields: Mapping[str, Any]) -> pystac.Link:
    known = {"file:size": source.size_bytes, "groundtrack:etag": source.etag, **fields}
    return pystac.Link("derived_from", stac.s3_href(bucket, source.key), media_type, posixpath.basename(source.key), extra_fields=known)


def _lineage(key: str, conversion: Conversion) -> str:
    return (
        f"{posixpath.basename(key)} on its own pixel grid: as cloud-optimised GeoTIFF (profile {conversion.profile}, overviews by "
        f"{conversion.resampling}) and as JPEG of quality {conversion.jpeg_quality}."
    )
