"""What Dagster is told of a product that is done: one materialization an asset, with what the web UI should show."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import dagster as dg
from dagster import MetadataValue

from platform_assets.common.values import Outcome, State
from platform_assets.execution.versions import version_tags
from platform_assets.sar.model import ClaimedSafe
from platform_assets.sar.specs import ITEM, L1B, QUICKLOOK, SAFE
from platform_assets.sar.stac import CODE_VERSION

_DECIMALS = 2


def product_events(bucket: str, assets: Iterable[dg.AssetKey]) -> Callable[[Outcome], list[dg.AssetMaterialization]]:
    """Return what makes the events of a product that is done.

    Args:
        bucket: The output bucket.
        assets: Those that the run asks for; all are made together, so the item is always told of.
    """
    asked = {key.to_user_string() for key in assets} | {ITEM}
    makers = {L1B: _l1b, QUICKLOOK: _quicklook, ITEM: _item}

    def events(outcome: Outcome) -> list[dg.AssetMaterialization]:
        return [event for name, make in makers.items() if name in asked and (event := make(bucket, outcome))]

    return events


def safe_event(bucket: str, safe: ClaimedSafe) -> dg.AssetMaterialization:
    """Return the event of a product that was claimed, in the version that is about to be read.

    Args:
        bucket: The input bucket.
        safe: The product.
    """
    metadata: dict[str, Any] = {}
    if safe.job:
        metadata |= {
            "uri": _address(bucket, safe.job.root),
            "packaging": safe.job.packaging,
            "objects": len(safe.job.objects),
            "dagster/size_bytes": safe.job.size_bytes,
        }
    if safe.problem:
        metadata |= {"refused": safe.problem.message, "what_to_do": safe.problem.remedy}
    return dg.AssetMaterialization(SAFE, partition=safe.partition, metadata=metadata)


def _l1b(bucket: str, outcome: Outcome) -> dg.AssetMaterialization | None:
    facts, l1b = outcome.facts, outcome.facts["l1b"]
    metadata: dict[str, Any] = _picture(facts) | _file(bucket, facts["products"][L1B])
    metadata |= {
        "dims": ", ".join(f"{name} {size}" for name, size in l1b["dims"].items()),
        "spacing_m": " x ".join(f"{spacing:.{_DECIMALS}f}" for spacing in l1b["spacing_m"]),
        "polarisations": ", ".join(l1b["polarisations"]),
        "flags": ", ".join(l1b["flags"]) or "none",
        "variables": MetadataValue.json(l1b["variables"]),
    }
    for polarisation, statistics in l1b["statistics"].items():
        shown = {name: value for name, value in statistics.items() if value is not None}
        metadata |= {f"{polarisation} {name}": value for name, value in shown.items() if name in ("mean_db", "nan_share")}
        metadata[f"{polarisation} statistics"] = MetadataValue.json(shown)
    if "read" in l1b:
        metadata["pixels_read_from"] = MetadataValue.json(l1b["read"])
    return _event(L1B, outcome, metadata | _of_all(outcome), facts["products"][L1B]["checksum"], {SAFE: facts["source"]["md5"]})


def _quicklook(bucket: str, outcome: Outcome) -> dg.AssetMaterialization | None:
    products = outcome.facts["products"]
    if QUICKLOOK not in products:
        return None
    details = {name: value for name, value in products[QUICKLOOK]["details"].items() if value is not None}
    metadata = _picture(outcome.facts) | _file(bucket, products[QUICKLOOK]) | details | _of_all(outcome)
    return _event(QUICKLOOK, outcome, metadata, products[QUICKLOOK]["checksum"], {L1B: products[L1B]["checksum"]})


def _item(bucket: str, outcome: Outcome) -> dg.AssetMaterialization | None:
    facts = outcome.facts
    metadata = {
        "object": _link(bucket, facts["item_key"]),
        "uri": _address(bucket, facts["item_key"]),
        "bbox": MetadataValue.json(facts["bbox"]),
        "datetime": facts["datetime"],
        "seconds_by_stage": MetadataValue.json(facts["seconds_by_stage"]),
        **({"predecessor": facts["predecessor"]} if facts["predecessor"] else {}),
        **_of_all(outcome),
    }
    return _event(ITEM, outcome, metadata, None, {name: made["checksum"] for name, made in facts["products"].items()})


def _picture(facts: Mapping[str, Any]) -> dict[str, Any]:
    if "picture" not in facts:
        return {}
    return {"quicklook": MetadataValue.md(f"![sigma0 in dB](data:image/png;base64,{facts['picture']})")}


def _file(bucket: str, made: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "object": _link(bucket, made["key"]),
        "uri": _address(bucket, made["key"]),
        "dagster/size_bytes": made["size_bytes"],
        "checksum": made["checksum"],
    }


def _address(bucket: str, key: str) -> str:
    """Return an object's address as S3 tools take it: nothing is encoded."""
    return f"s3://{bucket}/{key}"


def _link(bucket: str, key: str) -> dg.MetadataValue[Any]:
    return MetadataValue.url(f"/objects/{bucket}/{quote(key)}")


def _of_all(outcome: Outcome) -> dict[str, Any]:
    if outcome.state is State.CARRIED_OVER:
        return {"carried_over": True, "made_by_run": outcome.facts["run_id"]}
    return {"seconds": outcome.seconds, "attempts": outcome.attempts, "peak_memory_mb": outcome.peak_memory_mb}


def _event(
    asset: str, outcome: Outcome, metadata: dict[str, Any], version: str | None, inputs: Mapping[str, str]
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(asset, partition=outcome.key, metadata=metadata, tags=version_tags(CODE_VERSION, version, inputs))
