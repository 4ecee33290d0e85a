"""What Dagster is told of an image that is done: one materialization an asset, with what the web UI should show."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import dagster as dg
from dagster import MetadataValue

from platform_assets.common.keys import partition_key
from platform_assets.common.values import Outcome, State
from platform_assets.execution.versions import version_tags
from platform_assets.imagery.claim import Claim
from platform_assets.imagery.model import ImageJob, Product
from platform_assets.imagery.report import Totals
from platform_assets.imagery.specs import ITEM, MANIFEST, RAW, REPORT
from platform_assets.imagery.stac import CODE_VERSION


def object_link(bucket: str, key: str) -> dg.MetadataValue[Any]:
    """Return a link that the guarded web UI serves from the object store."""
    return MetadataValue.url(f"/objects/{bucket}/{quote(key)}")


def _address(bucket: str, key: str) -> str:
    """Return an object's address as S3 tools take it: nothing is encoded."""
    return f"s3://{bucket}/{key}"


def image_events(bucket: str, wanted: Iterable[Product]) -> Callable[[Outcome], list[dg.AssetMaterialization]]:
    """Return what makes the events of an image that is done.

    Args:
        bucket: The output bucket.
        wanted: The products that the run asks for; the item is always told of, as it is always written.
    """
    asked = sorted(wanted)

    def events(outcome: Outcome) -> list[dg.AssetMaterialization]:
        return [*_products(bucket, asked, outcome), _item(bucket, outcome)]

    return events


def raw_events(bucket: str, jobs: Iterable[ImageJob]) -> Iterator[dg.AssetMaterialization]:
    """Yield the events of raw images, in the versions that are about to be read.

    Args:
        bucket: The input bucket.
        jobs: The images.
    """
    for job in jobs:
        source = job.source
        metadata: dict[str, Any] = {
            "object": object_link(bucket, source.key),
            "uri": _address(bucket, source.key),
            "dagster/size_bytes": source.size_bytes,
            "etag": source.etag,
            "last_modified": source.modified,
        }
        if job.sidecars:
            metadata["sidecars"] = ", ".join(sidecar.key for sidecar in job.sidecars)
        yield _event(RAW, partition_key(source.key), metadata, source.etag, {})


def _products(bucket: str, wanted: list[Product], outcome: Outcome) -> Iterator[dg.AssetMaterialization]:
    facts = outcome.facts
    for product in wanted:
        made = facts["products"][product.value]
        metadata: dict[str, Any] = {
            "object": object_link(bucket, made["key"]),
            "uri": _address(bucket, made["key"]),
            "dagster/size_bytes": made["size_bytes"],
            "checksum": made["checksum"],
            **_shown_details(made["details"]),
            **_of_all(outcome),
        }
        if product is Product.THUMBNAIL and "thumbnail" in facts:
            metadata = {"thumbnail": MetadataValue.md(f"![thumbnail](data:image/jpeg;base64,{facts['thumbnail']})")} | metadata
        if product is Product.COG:
            about = {"dtype": facts["dtype"], "bands": facts["bands"], "crs": facts["crs"] or "none"}
            metadata |= about | {"compression_ratio": facts["compression_ratio"] or 0.0}
        yield _event(product.value, outcome.key, metadata, made["checksum"], {RAW: facts["source"]["etag"]})


def _item(bucket: str, outcome: Outcome) -> dg.AssetMaterialization:
    facts = outcome.facts
    metadata = {
        "object": object_link(bucket, facts["item_key"]),
        "uri": _address(bucket, facts["item_key"]),
        "bbox": MetadataValue.json(facts["bbox"]),
        "datetime": facts["datetime"],
        **{name: object_link(bucket, made["key"]) for name, made in facts["products"].items()},
        "seconds_by_stage": MetadataValue.json(facts["seconds_by_stage"]),
        **_of_all(outcome),
    }
    inputs = {name: made["checksum"] for name, made in facts["products"].items()}
    return _event(ITEM, outcome.key, metadata, None, inputs)


def _of_all(outcome: Outcome) -> dict[str, Any]:
    if outcome.state is State.CARRIED_OVER:
        return {"carried_over": True, "made_by_run": outcome.facts["run_id"]}
    return {"seconds": outcome.seconds, "attempts": outcome.attempts, "peak_memory_mb": outcome.peak_memory_mb}


def _shown_details(details: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in details.items() if isinstance(value, str | int | float)}
    return plain | {name: ", ".join(map(str, value)) for name, value in details.items() if isinstance(value, list)}


def _event(asset: str, partition: str, metadata: dict[str, Any], version: str | None, inputs: Mapping[str, str]) -> dg.AssetMaterialization:
    """Return an event with the versions by which Dagster tells what is out of date."""
    return dg.AssetMaterialization(asset, partition=partition, metadata=metadata, tags=version_tags(CODE_VERSION, version, inputs))


def manifest_event(claim: Claim, bucket: str) -> dg.AssetMaterialization:
    """Return the event of a manifest that was claimed."""
    refused = sum(row.problem is not None for row in claim.rows)
    metadata: dict[str, Any] = {
        "uri": _address(bucket, claim.manifest.key),
        "now_at": _address(bucket, claim.outcome_key("processing")),
        "rows": len(claim.rows),
        "refused_rows": refused,
        "batches": claim.batches,
        "dropped_at": claim.manifest.modified,
        "etag": claim.manifest.etag,
    }
    if claim.rejected:
        metadata["rejected"] = claim.rejected.message
    return dg.AssetMaterialization(MANIFEST, partition=claim.id, metadata=metadata)


def report_event(claim: Claim, bucket: str, totals: Totals, keys: dict[str, str]) -> dg.AssetMaterialization:
    """Return the event of a manifest that is settled.

    Args:
        claim: The manifest.
        bucket: The input bucket, where its results lie.
        totals: The sums over its rows.
        keys: The results that were written, by name.
    """
    links = {name if "report" in name else f"{name}_csv": object_link(bucket, key) for name, key in keys.items()}
    sums = {"rows": totals.rows, "converted": totals.done, "found_done": totals.carried_over, "failed": totals.failed}
    metadata: dict[str, Any] = {
        **links,
        **sums,
        "images_per_minute": totals.images_per_minute,
        "manifest": _address(bucket, claim.manifest.key),
    }
    return dg.AssetMaterialization(REPORT, partition=claim.id, metadata=metadata)
