"""What an image may say of itself, without a file."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pystac
from rasterio.crs import CRS

from platform_assets.common.values import ObjectRef
from platform_assets.imagery import naming, stac
from platform_assets.imagery.model import BandStatistics, Conversion, ImageFacts, ImageJob, Product

NOW = datetime(2026, 4, 1, 10, 15, tzinfo=UTC)
MD5 = "0123456789abcdef0123456789abcdef"


def wkt(crs: str) -> str:
    """Return the WKT 2 of anything that names a reference system."""
    return str(CRS.from_user_input(crs).to_wkt(version="WKT2_2019"))


def image_facts(**changes: Any) -> ImageFacts:
    """Return the facts of a 300 x 200 RGB image near Madison, Wisconsin, in UTM; per-band facts follow `dtypes`."""
    dtypes = changes.get("dtypes", ("uint8",) * 3)
    bands = len(dtypes)
    facts = ImageFacts(
        width=300,
        height=200,
        dtypes=dtypes,
        bits=0,
        nodata=("",) * bands,
        mask="all_valid",
        colorinterp=("red", "green", "blue") if bands == 3 else ("gray",) * bands,
        colormap=False,
        crs_wkt=wkt("EPSG:32616"),
        transform=(300000.0, 10.0, 0.0, 4780000.0, 0.0, -10.0),
        gcps=0,
        rpcs=False,
        scales=(1.0,) * bands,
        offsets=(0.0,) * bands,
        units=("",) * bands,
        descriptions=("",) * bands,
        area_or_point="Area",
        tags=(),
        band_tags=((),) * bands,
    )
    return replace(facts, **changes)


def image_job(key: str = "county/1955/a 1.tif", **changes: Any) -> ImageJob:
    """Return a job for a raw object."""
    return replace(ImageJob(ObjectRef(key, MD5, 190_000, "2026-03-31T09:00:00Z"), bands=3), **changes)


def statistics(facts: ImageFacts) -> list[BandStatistics]:
    """Return statistics of every band."""
    return [BandStatistics(0.0, 255.0, 120.5, 30.25, 100.0) for _ in facts.dtypes]


def published(job: ImageJob, *products: Product, prefix: str = "") -> dict[Product, stac.PublishedAsset]:
    """Return products as they are after publication; all of them unless some are named."""
    assets = {
        Product.COG: ("image/tiff; application=geotiff; profile=cloud-optimized", 90_000, {"valid_cog": True}),
        Product.JPEG: ("image/jpeg", 30_000, {}),
        Product.THUMBNAIL: ("image/jpeg", 9_000, {"width": 150, "height": 100}),
    }
    return {
        product: stac.PublishedAsset(
            naming.product_key(job.source.key, product, prefix), size, "1220" + f"{size:064x}", f"etag-{product}", media_type, details
        )
        for product, (media_type, size, details) in assets.items()
        if product in (products or assets)
    }


def image_item(job: ImageJob | None = None, facts: ImageFacts | None = None, **changes: Any) -> pystac.Item:
    """Return an item with every product."""
    job, facts = job or image_job(), facts or image_facts()
    prefix = changes.get("prefix", "")
    arguments: dict[str, Any] = {
        "statistics": statistics(facts),
        "assets": published(job, prefix=prefix),
        "conversion": Conversion(),
        "source_bucket": "raw",
        "source_md5": MD5,
        "prefix": prefix,
        "run_id": "run-1",
        "created": NOW,
        "seconds": {"stage_in": 0.5, "convert": 2.25},
    }
    return stac.image_item(job, facts, **(arguments | changes))


def item_document(job: ImageJob | None = None, facts: ImageFacts | None = None, **changes: Any) -> dict[str, Any]:
    """Return such an item as it is stored."""
    return stac.document(image_item(job, facts, **changes))
