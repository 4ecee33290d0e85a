"""What was made of a SAFE, as its STAC item; and the item, as what was made.

The item is the commit record: it is written last, and whether a product is done is read from it alone. The fields that
say so begin with `groundtrack:`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

import numpy as np
import pystac

from platform_assets.common import stac
from platform_assets.common.footprint import Footprint, on_globe
from platform_assets.common.provenance import multihash_md5, parameters_digest, software
from platform_assets.common.published import ProductFacts, PublishedAsset, product_facts
from platform_assets.sar import naming
from platform_assets.sar.manifest import Manifest
from platform_assets.sar.model import SafeJob
from platform_assets.sar.naming import MANIFEST, ProductName

CODE_VERSION = "1"
"""Raised when the same input and parameters would give other products: every SAFE is then processed again."""

L1B, QUICKLOOK = "l1b", "quicklook"

SAR_EXTENSION = "https://stac-extensions.github.io/sar/v1.0.0/schema.json"
SAT_EXTENSION = "https://stac-extensions.github.io/sat/v1.0.0/schema.json"
PRODUCT_EXTENSION = "https://stac-extensions.github.io/product/v1.1.0/schema.json"
VERSION_EXTENSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"

_EXTENSIONS = [
    stac.FILE_EXTENSION,
    stac.PROCESSING_EXTENSION,
    PRODUCT_EXTENSION,
    stac.PROJECTION_EXTENSION,
    SAR_EXTENSION,
    SAT_EXTENSION,
    stac.TIMESTAMPS_EXTENSION,
    VERSION_EXTENSION,
]
_PACKAGES = ("xsar", "numpy", "netcdf4", "rasterio")
_CENTER_FREQUENCY_GHZ = 5.405
_ROLES = {L1B: ["data"], QUICKLOOK: ["overview", "visual"]}
_TITLES = {L1B: "L1B", QUICKLOOK: "Quicklook"}
_TIMELINESS = {"NRT-10m": "PT10M", "NRT-1h": "PT1H", "NRT-3h": "PT3H", "Fast-24h": "PT24H"}
MODES = {"IW": "Interferometric Wide swath", "EW": "Extra Wide swath", "SM": "Stripmap"}
_COPERNICUS = {
    "name": "European Union/ESA/Copernicus",
    "roles": ["producer", "licensor"],
    "url": "https://sentinels.copernicus.eu/web/sentinel/missions/sentinel-1",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The circumstances under which an item is written.

    Attributes:
        source_bucket: The bucket of the SAFE.
        source_md5: MD5 in hexadecimal of the SAFE's manifest, or of its zip.
        prefix: The output prefix.
        run_id: The Dagster run.
        created: Now.
        seconds: Wall time by stage.
    """

    source_bucket: str
    source_md5: str
    prefix: str
    run_id: str
    created: datetime
    seconds: Mapping[str, float]


class SourceFacts(TypedDict):
    """The SAFE: its root, and its manifest or zip."""

    bucket: str
    root: str
    size_bytes: int
    md5: str


class ItemFacts(TypedDict):
    """What an outcome says of a SAFE that is done: the same for one just processed and one found done.

    Attributes:
        item_key: The item's object key.
        source: The SAFE.
        products: What was made, by name.
        l1b: What the making of the L1B reported: dimensions, statistics, flags and the like.
        datetime: Start of the acquisition, as ISO 8601.
        start_datetime: The same.
        end_datetime: Its end.
        bbox: West, south, east, north; None when the footprint is unknown.
        geometry: GeoJSON geometry; None when the footprint is unknown.
        seconds_by_stage: Wall time by stage of the run that wrote the item.
        run_id: That run.
        predecessor: The name of an earlier processing of the same data; empty for none.
    """

    item_key: str
    source: SourceFacts
    products: dict[str, ProductFacts]
    l1b: dict[str, Any]
    datetime: str
    start_datetime: str
    end_datetime: str
    bbox: list[float] | None
    geometry: dict[str, Any] | None
    seconds_by_stage: dict[str, float]
    run_id: str
    predecessor: str


def l1b_collection(product: ProductName) -> stac.CollectionInfo:
    """Return the collection that a product's item belongs to: one a mode and level."""
    return collection(product.instrument_mode)


def collection(mode: str) -> stac.CollectionInfo:
    """Return the collection of an instrument mode: `IW`, `EW` or `SM`."""
    return stac.CollectionInfo(
        id=naming.mode_collection_id(mode),
        title=f"Sentinel-1 {mode} GRD L1B",
        description=(
            f"Sentinel-1 {MODES.get(mode, mode)} ground range detected products, calibrated and denoised, averaged to a coarse grid that "
            "keeps the geometry of the swath, as CF NetCDF."
        ),
        keywords=("Sentinel-1", "SAR", "sigma nought", mode, "L1B"),
        providers=(_COPERNICUS,),
    )


def l1b_item(
    job: SafeJob,
    manifest: Manifest,
    facts: Mapping[str, Any],
    assets: Mapping[str, PublishedAsset],
    options: Any,
    run: Run,
    *,
    previous: Mapping[str, Any] | None = None,
    predecessor: ProductName | None = None,
) -> pystac.Item:
    """Return the item of a SAFE.

    Args:
        job: The SAFE's objects, in the versions that were read.
        manifest: What its manifest says.
        facts: What the making of the L1B reported; used here are `dims`, `polarisations`, `spacing_m` of lines and of samples, and
            `footprint`, the outline of the image as longitude and latitude.
        assets: The products, by name.
        options: The dataclass of how they were made.
        run: When, where and by which run.
        previous: The item that is there already.
        predecessor: An earlier processing of the same data, whether or not it was processed here.
    """
    product = manifest.product
    where = outline(facts["footprint"])
    properties = _properties(job, manifest, facts, options, run, previous)
    if where.note:
        properties["groundtrack:geometry_note"] = where.note
    bbox = list(where.bbox) if where.bbox else None
    item = pystac.Item(product.name, where.geometry, bbox, manifest.start, properties, stac_extensions=list(_EXTENSIONS))
    _add_links(item, job, run, predecessor)
    key = naming.item_key(product, run.prefix)
    for name, asset in assets.items():
        item.add_asset(name, _asset(name, asset, facts, key))
    return item


def outline(ring: Any) -> Footprint:
    """Return the footprint that a ring of longitudes and latitudes encloses, cut at the antimeridian.

    Args:
        ring: Shape (n, 2); longitude before latitude, in degrees; closed or not.
    """
    points = np.asarray(ring, float).reshape(-1, 2)
    if len(points) < 3 or not np.isfinite(points).all():
        return Footprint(None, None, "the outline of the image is unknown")
    return on_globe(points, "")


def document(item: pystac.Item) -> dict[str, Any]:
    """Return an item as it is stored: with the references it has, and without one to itself."""
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def is_done(item: Mapping[str, Any], job: SafeJob, options: Any, wanted: frozenset[str]) -> bool:
    """Whether an item says that these products were made of this input, with these parameters, by this code.

    Args:
        item: The item that is there.
        job: What is to be processed.
        options: How.
        wanted: The names of the products that are asked for.
    """
    properties = item.get("properties", {})
    current = all(properties.get(name) == value for name, value in _state(job, options).items())
    return current and wanted <= item.get("assets", {}).keys()


def facts_from_item(item: Mapping[str, Any], item_key: str) -> ItemFacts:
    """Return what an item says was made.

    Args:
        item: The item as it is stored.
        item_key: Its object key.
    """
    properties = item["properties"]
    return ItemFacts(
        item_key=item_key,
        source=SourceFacts(
            bucket=properties["groundtrack:source_bucket"],
            root=properties["groundtrack:source_root"],
            size_bytes=properties["groundtrack:source_size"],
            md5=properties["groundtrack:source_md5"],
        ),
        products=product_facts(item_key, item),
        l1b=dict(properties["groundtrack:l1b"]),
        datetime=properties["datetime"],
        start_datetime=properties["start_datetime"],
        end_datetime=properties["end_datetime"],
        bbox=item.get("bbox"),
        geometry=item.get("geometry"),
        seconds_by_stage=properties["groundtrack:seconds"],
        run_id=properties["groundtrack:run_id"],
        predecessor=next((link["title"] for link in item["links"] if link["rel"] == "predecessor-version"), ""),
    )


# --- properties ---------------------------------------------------------------------------------------------------------


def _properties(
    job: SafeJob, manifest: Manifest, facts: Mapping[str, Any], options: Any, run: Run, previous: Mapping[str, Any] | None
) -> dict[str, Any]:
    now, product = stac.utc(run.created), manifest.product
    return {
        "title": product.name,
        "created": (previous or {}).get("properties", {}).get("created", now),
        "updated": now,
        "published": now,
        "version": stac.utc(manifest.processed),
        "start_datetime": stac.utc(manifest.start),
        "end_datetime": stac.utc(manifest.stop),
        "constellation": "sentinel-1",
        "platform": f"sentinel-{product.mission[1:]}".lower(),
        "instruments": ["c-sar"],
        "gsd": max(facts["spacing_m"]),
        **_sar_properties(manifest, facts),
        **_sat_properties(manifest),
        **_product_properties(manifest),
        "proj:code": None,
        "proj:shape": _shape(facts),
        "processing:level": "L1B",
        "processing:software": {**software(_PACKAGES), "Sentinel-1 IPF": manifest.ipf_version},
        "processing:lineage": f"{product.name}, calibrated, denoised and averaged on its own swath.",
        **({"processing:facility": manifest.facility} if manifest.facility else {}),
        **_state(job, options),
        "groundtrack:source_bucket": run.source_bucket,
        "groundtrack:source_md5": run.source_md5,
        "groundtrack:source_is_original": manifest.is_original,
        "groundtrack:l1b": dict(facts),
        "groundtrack:seconds": dict(run.seconds),
        "groundtrack:run_id": run.run_id,
    }


def _sar_properties(manifest: Manifest, facts: Mapping[str, Any]) -> dict[str, Any]:
    azimuth_m, range_m = facts["spacing_m"]
    return {
        "sar:instrument_mode": manifest.product.mode,
        "sar:frequency_band": "C",
        "sar:center_frequency": _CENTER_FREQUENCY_GHZ,
        "sar:polarizations": list(facts["polarisations"]),
        "sar:product_type": manifest.product_type,
        "sar:pixel_spacing_range": range_m,
        "sar:pixel_spacing_azimuth": azimuth_m,
        "sar:observation_direction": "right",
    }


def _shape(facts: Mapping[str, Any]) -> list[int]:
    return [facts["dims"]["line"], facts["dims"]["sample"]]


def _sat_properties(manifest: Manifest) -> dict[str, Any]:
    node = manifest.ascending_node_time
    return {
        "sat:orbit_state": manifest.orbit_state,
        "sat:absolute_orbit": manifest.orbit,
        "sat:relative_orbit": manifest.relative_orbit,
        **({"sat:platform_international_designator": manifest.platform_designator} if manifest.platform_designator else {}),
        **({"sat:anx_datetime": stac.utc(node)} if node else {}),
    }


def _product_properties(manifest: Manifest) -> dict[str, Any]:
    product = manifest.product
    fields = {"product:type": f"{product.instrument_mode}_{product.product_type}{product.resolution}_L1B"}
    if duration := _TIMELINESS.get(manifest.timeliness):
        fields |= {"product:timeliness": duration, "product:timeliness_category": manifest.timeliness}
    return fields


def _state(job: SafeJob, options: Any) -> dict[str, Any]:
    """Return what the skip rule compares."""
    objects = sorted((job.path(ref), ref.etag, ref.size_bytes) for ref in job.objects)
    return {
        "groundtrack:source_root": job.root,
        "groundtrack:source_size": job.size_bytes,
        "groundtrack:source_digest": hashlib.sha256(json.dumps(objects).encode()).hexdigest(),
        "groundtrack:parameters": parameters_digest(options),
        "groundtrack:code_version": CODE_VERSION,
    }


# --- assets and links ---------------------------------------------------------------------------------------------------


def _asset(name: str, asset: PublishedAsset, facts: Mapping[str, Any], item_key: str) -> pystac.Asset:
    fields = asset.fields()
    if name == L1B:
        fields |= {"proj:shape": _shape(facts), "sar:polarizations": list(facts["polarisations"])}
    href = stac.relative_href(item_key, asset.key)
    roles = list(_ROLES.get(name, ["metadata"]))
    return pystac.Asset(href=href, title=_TITLES.get(name, name), media_type=asset.media_type, roles=roles, extra_fields=fields)


def _add_links(item: pystac.Item, job: SafeJob, run: Run, predecessor: ProductName | None) -> None:
    product = ProductName.parse(job.name)
    item.collection_id = naming.collection_id(product)
    item.add_link(pystac.Link("root", "../../catalog.json", stac.JSON))
    item.add_link(pystac.Link("collection", "../collection.json", stac.JSON))
    item.add_link(pystac.Link("parent", "./catalog.json", stac.JSON))
    item.add_link(_derived_from(job, run))
    if predecessor:
        href = stac.relative_href(naming.item_key(product), naming.item_key(predecessor))
        item.add_link(pystac.Link("predecessor-version", href, stac.GEOJSON, predecessor.name))


def _derived_from(job: SafeJob, run: Run) -> pystac.Link:
    """Return the link to the SAFE: to its manifest, which has the checksums of the rest, or to its zip."""
    source = next(ref for ref in job.objects if job.packaging == "zip" or job.path(ref) == MANIFEST)
    media_type = "application/zip" if job.packaging == "zip" else "application/xml"
    fields = {"file:size": source.size_bytes, "file:checksum": multihash_md5(run.source_md5), "groundtrack:etag": source.etag}
    return pystac.Link("derived_from", stac.s3_href(run.source_bucket, source.key), media_type, job.name, extra_fields=fields)
