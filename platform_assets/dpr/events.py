"""What Dagster is told of a request that is done: one materialization an asset, with what the web UI should show."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dagster as dg
from dagster import MetadataValue

from platform_assets.common.values import Outcome, State
from platform_assets.dpr import naming
from platform_assets.dpr.claim import ClaimedRequest
from platform_assets.dpr.intake import inputs_of
from platform_assets.dpr.specs import AUXILIARY, ITEMS, PAYLOAD, PRODUCTS, REQUEST, SESSION, STEP_KEYS, TASK_TABLE, UNITS

_MOST_TEXT = 40_000

Metadata = dict[str, Any]


def step_events(source: str, target: str, assets: Iterable[dg.AssetKey]) -> Callable[[Outcome], list[dg.AssetMaterialization]]:
    """Return what makes the events of a request that is done.

    Args:
        source: The input bucket.
        target: The output bucket.
        assets: Those that the run asks for.
    """
    asked = set(assets)

    def events(outcome: Outcome) -> list[dg.AssetMaterialization]:
        shown = _shown(source, target, outcome.facts)
        return [
            dg.AssetMaterialization(key, partition=outcome.key, metadata=shown[key.to_user_string()] | _of_all(outcome))
            for key in STEP_KEYS
            if key in asked and key.to_user_string() in shown
        ]

    return events


def reached_events(
    source: str, target: str, assets: Iterable[dg.AssetKey], partition: str, facts: Mapping[str, Any]
) -> list[dg.AssetMaterialization]:
    """Return the events of what was made of a request before it failed: never its products and items.

    Args:
        source: The input bucket.
        target: The output bucket.
        assets: Those that the run asks for.
        partition: The request's partition key.
        facts: What was known when it failed.
    """
    shown = _shown(source, target, facts)
    asked = {key.to_user_string() for key in assets}
    wanted = [name for name in (TASK_TABLE, UNITS, AUXILIARY, PAYLOAD) if name in shown and name in asked]
    return [dg.AssetMaterialization(name, partition=partition, metadata=shown[name]) for name in wanted]


def request_event(bucket: str, claim: ClaimedRequest) -> dg.AssetMaterialization:
    """Return the event of a request that was claimed, in the version that was read.

    Args:
        bucket: The input bucket.
        claim: The request.
    """
    metadata: Metadata = _object(bucket, claim.ref.key) | {"dagster/size_bytes": claim.ref.size_bytes}
    if claim.job:
        document = claim.job.document
        metadata |= {
            "processor": " ".join(filter(None, (document["processor_name"], document.get("processor_version")))),
            "runs": document.get("pipeline") or document.get("unit") or "",
            "priority": document.get("priority", ""),
            "inputs": _rows([{"input": row.name, "item": row.item_id, "collection": row.collection_name} for row in inputs_of(claim)]),
            "document": MetadataValue.json(dict(document)),
        }
    if claim.problem:
        metadata |= {"refused": claim.problem.message, "what_to_do": claim.problem.remedy}
    return dg.AssetMaterialization(REQUEST, partition=claim.partition, metadata=metadata)


def _shown(source: str, target: str, facts: Mapping[str, Any]) -> dict[str, Metadata]:
    """Return the metadata of each asset that the facts tell something of."""
    shown: dict[str, Metadata] = {}
    if table := facts.get("table"):
        shown[TASK_TABLE] = _object(source, table["key"]) | {name: text for name, text in table.items() if name != "key"}
    if "units" in facts:
        shown[UNITS] = _units(target, facts)
    if "searches" in facts:
        shown[AUXILIARY] = _auxiliary(target, facts)
    if "payload" in facts:
        link = _object(target, facts["payload_key"]) if facts.get("payload_key") else {}
        shown[PAYLOAD] = link | {"payload": MetadataValue.md(_fenced("yaml", facts["payload"]))}
    if "items" in facts:
        shown[PRODUCTS] = _products(target, facts)
        shown[ITEMS] = _items(target, facts)
    return shown


def _units(target: str, facts: Mapping[str, Any]) -> Metadata:
    units = facts["units"]
    rows = [
        {
            "unit": unit["name"],
            "module": unit["module"],
            "inputs": ", ".join(f"{row['name']} ← {row.get('origin', '')}" for row in unit["input_products"]),
            "auxiliary files": ", ".join(row["name"] for row in unit["input_adfs"]),
            "outputs": ", ".join(f"{row['name']} → {row.get('origin', '')}" for row in unit["output_products"]),
        }
        for unit in units
    ]
    return {
        "units": len(units),
        "in_order": _rows(rows),
        "inputs": _linked(target, facts.get("inputs", ())),
        "unit_list": MetadataValue.json(units),
    }


def _auxiliary(target: str, facts: Mapping[str, Any]) -> Metadata:
    rows = [
        {
            "file": search["adf"],
            "alternative": attempt["order"],
            "found": ", ".join(attempt["found"] or ()) or "nothing",
            "query": attempt["query"],
            "collection": attempt["collection"],
            "source": attempt["source"],
            "unit": search["unit"],
        }
        for search in facts["searches"]
        for attempt in search["attempts"]
    ]
    found = facts.get("auxiliary", ())
    return {
        "files": len(found),
        "found": _linked(target, found),
        "tried": _rows(rows),
        "cql2": MetadataValue.json(facts["searches"]),
    }


def _products(target: str, facts: Mapping[str, Any]) -> Metadata:
    processor = facts.get("processor", {})
    metadata: Metadata = {
        "products": _rows([{name: row.get(name) or "" for name in ("output", "id", "product_type", "href")} for row in facts["items"]])
    }
    metadata |= {f"processor_{name}": _plain(value) for name, value in processor.items() if name != "dashboard"}
    if dashboard := processor.get("dashboard"):
        metadata["dask_dashboard"] = MetadataValue.url(dashboard)
    if facts.get("log_key"):
        metadata["log"] = _link(target, facts["log_key"])
    if facts.get("log_tail"):
        metadata["log_end"] = MetadataValue.md(_fenced("", facts["log_tail"]))
    return metadata


def _items(target: str, facts: Mapping[str, Any]) -> Metadata:
    """Return what leads from the items back to where they come from."""
    return {
        "items": _linked(target, facts["items"]),
        "derived_from": _linked(target, [*facts.get("inputs", ()), *facts.get("auxiliary", ())]),
        "seconds_by_stage": MetadataValue.json(facts.get("seconds_by_stage", {})),
    }


def _linked(bucket: str, items: Iterable[Mapping[str, Any]]) -> MetadataValue[Any]:
    """Return items as a table; sessions lead to their partition, the others to their document."""
    lines = ["| item | collection | |", "|---|---|---|"]
    for item in items:
        what = item.get("adf") or item.get("name") or item.get("output") or ""
        lines.append(f"| [{item['id']}]({_place(bucket, item)}) | {item['collection']} | {what} |")
    return MetadataValue.md("\n".join(lines) if len(lines) > 2 else "none")


def _place(bucket: str, item: Mapping[str, Any]) -> str:
    if item["collection"].endswith(naming.SESSIONS):
        return f"/assets/{SESSION}?partition={quote(item['id'])}"
    return f"/objects/{bucket}/{quote(item.get('key') or '')}"


def _rows(rows: Sequence[Mapping[str, Any]]) -> MetadataValue[Any]:
    """Return rows as a table."""
    if not rows:
        return MetadataValue.md("none")
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row[column]) for column in columns)} |" for row in rows]
    return MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _fenced(language: str, text: str) -> str:
    cut = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}\n..."
    fence = "````"  # longer than any fence that a log is likely to have
    return f"{fence}{language}\n{cut}\n{fence}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _object(bucket: str, key: str) -> Metadata:
    return {"object": _link(bucket, key), "uri": f"s3://{bucket}/{key}"}


def _link(bucket: str, key: str) -> MetadataValue[Any]:
    return MetadataValue.url(f"/objects/{bucket}/{quote(key)}")


def _of_all(outcome: Outcome) -> Metadata:
    if outcome.state is State.CARRIED_OVER:
        return {"carried_over": True, "made_by_run": outcome.facts.get("run_id", "")}
    return {"seconds": outcome.seconds, "attempts": outcome.attempts, "peak_memory_mb": outcome.peak_memory_mb}
