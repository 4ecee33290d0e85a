"""What became of a manifest: its results as data and as the files that are laid beside it.

`report_page` makes the page for people from the same `BatchReport`.
"""

import csv
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from io import StringIO
from typing import Any
from urllib.parse import quote

from platform_assets.common.stac import utc
from platform_assets.common.values import Failure, Outcome, State

_COLUMNS = (
    "key", "state", "stage", "error_class", "message", "attempts", "seconds", "what_to_do", "how_to_retry", "line", "bands",
    "source_bytes", "cog_bytes", "jpeg_bytes", "cog_url", "jpeg_url", "thumbnail_url", "item_url",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NOT_IN_JSON = frozenset({"thumbnail"})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a manifest and how it ended.

    Attributes:
        line: Where it starts in the manifest, from 1.
        fields: Its columns as given.
        outcome: How it ended; a row that was refused has failed with no attempt. The facts of a row that is done are `ItemFacts`.
    """

    line: int
    fields: tuple[str, ...]
    outcome: Outcome

    @property
    def key(self) -> str:
        """The image's key as given."""
        return self.fields[0] if self.fields else ""

    @property
    def bands(self) -> str:
        """The band count as given."""
        return self.fields[1] if len(self.fields) > 1 else ""


@dataclass(frozen=True, slots=True)
class Run:
    """A Dagster run that worked on the manifest.

    Attributes:
        id: Its id.
        url: Where the web UI shows it; empty when that is not known.
    """

    id: str
    url: str = ""


@dataclass(frozen=True)
class BatchReport:
    """A manifest that is over.

    Attributes:
        id: The manifest's id.
        manifest: Its key.
        bucket: Its bucket.
        started: When it was claimed.
        ended: When its last row ended.
        rows: Its rows, in the order of the file.
        products_url: What stands before a product's key in its address, such as `s3://products/`.
        runs: The runs that worked on it.
        rejected: Why the manifest was refused as a whole; None when it was not.
    """

    id: str
    manifest: str
    bucket: str
    started: datetime
    ended: datetime
    rows: Sequence[Row]
    products_url: str
    runs: Sequence[Run] = ()
    rejected: Failure | None = None

    @cached_property
    def totals(self) -> "Totals":
        """The sums over the rows."""
        return Totals.of(self)

    @property
    def failed(self) -> list[Row]:
        """The rows that failed."""
        return [row for row in self.rows if row.outcome.state is State.FAILED]

    @property
    def good(self) -> list[Row]:
        """The rows whose products are there: made now, or found done."""
        return [row for row in self.rows if row.outcome.state is not State.FAILED]

    def url(self, key: str) -> str:
        """Return the address of a product; encoded for HTTP, and as it is for S3, whose tools decode nothing."""
        return self.products_url + (quote(key) if self.products_url.startswith("http") else key)

    def retry_command(self, code: str = "") -> str:
        """Return the command that tries the failed rows again, all or those of one error class."""
        return f"groundtrack retry {shlex.quote(self.manifest)}" + (f" --class {shlex.quote(code)}" if code else "")


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over the rows of a manifest.

    Attributes:
        rows: Rows.
        done: Rows converted now.
        carried_over: Rows found done.
        failed: Rows that failed.
        by_class: Failed rows by error class, the most frequent first.
        seconds: From the claim to the end of the last row.
        source_bytes: Bytes of the raw images that were converted.
        product_bytes: Bytes of the products that were made.
        images_per_minute: Rows converted a minute.
    """

    rows: int
    done: int
    carried_over: int
    failed: int
    by_class: dict[str, int]
    seconds: float
    source_bytes: int
    product_bytes: int
    images_per_minute: float

    @classmethod
    def of(cls, report: BatchReport) -> "Totals":
        """Count a report's rows."""
        states = Counter(row.outcome.state for row in report.rows)
        codes = Counter(row.outcome.failure.code for row in report.rows if row.outcome.failure)
        made = [row.outcome.facts for row in report.rows if row.outcome.state is State.DONE]
        seconds = max(0.0, (report.ended - report.started).total_seconds())
        return cls(
            rows=len(report.rows),
            done=states[State.DONE],
            carried_over=states[State.CARRIED_OVER],
            failed=states[State.FAILED],
            by_class=dict(sorted(codes.items(), key=lambda entry: (-entry[1], entry[0]))),
            seconds=seconds,
            source_bytes=sum(facts.get("source", {}).get("size_bytes", 0) for facts in made),
            product_bytes=sum(product["size_bytes"] for facts in made for product in facts.get("products", {}).values()),
            images_per_minute=round(60 * states[State.DONE] / seconds, 1) if seconds else 0.0,
        )


def report_json(report: BatchReport, settled_by: str) -> bytes:
    """Return the report for programs: everything that is known, without the thumbnails, and who wrote it."""
    totals = report.totals
    document = {
        "report_version": 1,
        "settled_by": settled_by,
        "manifest": {"id": report.id, "key": report.manifest, "bucket": report.bucket},
        "started": utc(report.started),
        "ended": utc(report.ended),
        "rejected": _failure(report.rejected) if report.rejected else None,
        "runs": [{"id": run.id, "url": run.url} for run in report.runs],
        "totals": {
            "rows": totals.rows,
            "done": totals.done,
            "carried_over": totals.carried_over,
            "failed": totals.failed,
            "failed_by_class": totals.by_class,
            "seconds": totals.seconds,
            "source_bytes": totals.source_bytes,
            "product_bytes": totals.product_bytes,
            "images_per_minute": totals.images_per_minute,
        },
        "rows": [_json_row(report, row) for row in report.rows],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def report_csv(report: BatchReport) -> bytes:
    """Return the report for spreadsheets, one line a row of the manifest.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    text = StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in report.rows:
        writer.writerow({name: _harmless(value) for name, value in _csv_row(report, row).items()})
    return text.getvalue().encode("utf-8", "replace")


def rows_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows of a manifest as a CSV like the manifest: without a header, with CRLF at the ends of lines."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def processed_csv(report: BatchReport) -> bytes | None:
    """Return the rows whose products are there, as given; None when there are none."""
    return rows_csv(row.fields for row in report.good) if report.good else None


def failed_csv(report: BatchReport) -> bytes | None:
    """Return the rows that failed, as given, ready to be corrected and dropped again; None when there are none."""
    return rows_csv(row.fields for row in report.failed) if report.failed else None


def _json_row(report: BatchReport, row: Row) -> dict[str, Any]:
    outcome = row.outcome
    document: dict[str, Any] = {
        "line": row.line,
        "fields": list(row.fields),
        "key": row.key,
        "state": outcome.state.value,
        "attempts": outcome.attempts,
        "seconds": outcome.seconds,
    }
    if outcome.failure:
        retry = report.retry_command(outcome.failure.code)
        return document | {"failure": _failure(outcome.failure) | {"how_to_retry": retry}}
    return document | {"facts": {name: value for name, value in outcome.facts.items() if name not in _NOT_IN_JSON}}


def _failure(failure: Failure) -> dict[str, str]:
    return {
        "stage": failure.stage,
        "error_class": failure.code,
        "message": failure.message,
        "what_to_do": failure.remedy,
        "traceback": failure.traceback,
    }


def _csv_row(report: BatchReport, row: Row) -> dict[str, Any]:
    outcome = row.outcome
    cells: dict[str, Any] = {
        "key": row.key,
        "state": outcome.state.value,
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 3),
        "line": row.line,
        "bands": row.bands,
    }
    if outcome.failure:
        return cells | {
            "stage": outcome.failure.stage,
            "error_class": outcome.failure.code,
            "message": outcome.failure.message,
            "what_to_do": outcome.failure.remedy,
            "how_to_retry": report.retry_command(outcome.failure.code),
        }
    products = outcome.facts.get("products", {})
    cells |= {f"{name}_url": report.url(product["key"]) for name, product in products.items()}
    cells |= {f"{name}_bytes": products[name]["size_bytes"] for name in ("cog", "jpeg") if name in products}
    if "item_key" in outcome.facts:
        cells["item_url"] = report.url(outcome.facts["item_key"])
    if "source" in outcome.facts:
        cells["source_bytes"] = outcome.facts["source"]["size_bytes"]
    return cells


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
