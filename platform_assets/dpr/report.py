"""How a batch of requests ends: a report as CSV and JSON beside its claim, and its marker gone."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from typing import Any

from platform_assets.common.values import Outcome
from platform_assets.dpr.claim import ClaimedRequest, RequestBatch, RequestRecords

_COLUMNS = (
    "request", "state", "document", "processor", "stage", "error_class", "message", "attempts", "seconds", "what_to_do", "how_to_retry",
    "items", "log",
)  # fmt: skip


def settle(records: RequestRecords, batch: RequestBatch) -> dict[str, str]:
    """Write the report of a batch that is over, close it, and return the report's keys; doing it again changes nothing."""
    outcomes, run = records.outcomes(batch.id) or ([], {})
    rows = [row_of(claim, outcome) for claim, outcome in zip(batch.requests, outcomes, strict=False)]
    document = {"report_version": 1, "batch": batch.id, "run": run, "requests": rows}
    keys = {suffix: records.report_key(batch.id, suffix) for suffix in ("csv", "json")}
    records.bucket.write(keys["csv"], _csv(rows), content_type="text/csv; charset=utf-8")
    records.bucket.write(keys["json"], json.dumps(document, ensure_ascii=False, indent=1).encode(), content_type="application/json")
    ends = zip(batch.requests, outcomes, strict=False)
    records.note_ends({claim.partition: (claim.digest, outcome.failure is not None) for claim, outcome in ends})
    records.close(batch.id)
    return keys


def row_of(claim: ClaimedRequest, outcome: Outcome) -> dict[str, Any]:
    """Return what a report says of a request."""
    row: dict[str, Any] = {
        "request": outcome.key,
        "state": outcome.state.value,
        "document": claim.ref.key,
        "processor": claim.job.document["processor_name"] if claim.job else "",
        "attempts": outcome.attempts,
        "seconds": outcome.seconds,
    }
    if failure := outcome.failure:
        return row | {
            "stage": failure.stage,
            "error_class": failure.code,
            "message": failure.message,
            "what_to_do": failure.remedy,
            "how_to_retry": f"dagster asset materialize --select published_items --partition {outcome.key}",
            "traceback": failure.traceback,
        }
    return row | {"items": [item["key"] for item in outcome.facts.get("items", ())], "log": outcome.facts.get("log_key", "")}


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(row | ({"items": " ".join(row["items"])} if "items" in row else {}) for row in rows)
    return text.getvalue().encode("utf-8", "replace")
