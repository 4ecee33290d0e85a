"""How a batch of products ends: a report as CSV and JSON beside its claim, and its marker gone."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from typing import Any

from platform_assets.common.values import Outcome
from platform_assets.sar.claim import SafeBatch, SafeRecords, digest

_COLUMNS = (
    "product", "state", "stage", "error_class", "message", "attempts", "seconds", "what_to_do", "how_to_retry", "l1b", "item",
)  # fmt: skip


def settle(records: SafeRecords, batch: SafeBatch) -> dict[str, str]:
    """Write the report of a batch that is over, close it, and return the report's keys; doing it again changes nothing."""
    over = records.outcomes(batch.id)
    outcomes, run = over or ([], {})
    rows = [row_of(outcome) for outcome in outcomes]
    document = {"report_version": 1, "batch": batch.id, "run": run, "products": rows}
    keys = {suffix: records.report_key(batch.id, suffix) for suffix in ("csv", "json")}
    records.bucket.write(keys["csv"], rows_csv(rows), content_type="text/csv; charset=utf-8")
    records.bucket.write(keys["json"], json.dumps(document, ensure_ascii=False, indent=1).encode(), content_type="application/json")
    ends = zip(batch.safes, outcomes, strict=False)
    records.note_ends({safe.partition: (digest(safe), outcome.failure is not None) for safe, outcome in ends})
    records.close(batch.id)
    return keys


def row_of(outcome: Outcome) -> dict[str, Any]:
    """Return what a report says of a product."""
    row: dict[str, Any] = {"product": outcome.key, "state": outcome.state.value, "attempts": outcome.attempts, "seconds": outcome.seconds}
    if failure := outcome.failure:
        return row | {
            "stage": failure.stage,
            "error_class": failure.code,
            "message": failure.message,
            "what_to_do": failure.remedy,
            "how_to_retry": f"dagster asset materialize --select l1b_item --partition {outcome.key}",
            "traceback": failure.traceback,
        }
    products = outcome.facts.get("products", {})
    return row | {"l1b": products.get("l1b", {}).get("key", ""), "item": outcome.facts.get("item_key", "")}


def rows_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as CSV with a header, for spreadsheets."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
