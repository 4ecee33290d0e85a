"""How a manifest ends: every row in `processed` or `failed`, the report beside them, the claim's CSV gone.

The JSON report is written last and only once; whoever finds it has nothing left to do but to remove the claim's CSV.
"""

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from platform_assets.common.errors import LimitExceeded, MissingInput
from platform_assets.common.store import Bucket
from platform_assets.common.values import Failure, Outcome, State
from platform_assets.imagery.claim import Claim, ClaimedRow, Records
from platform_assets.imagery.model import Product
from platform_assets.imagery.preview import small_jpeg
from platform_assets.imagery.report import BatchReport, Row, Run, failed_csv, processed_csv, report_csv, report_json
from platform_assets.imagery.report_page import THUMBNAILS, report_html

_THUMBNAIL_BYTES = 1 << 20
_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Settled:
    """A manifest that is over.

    Attributes:
        report: What became of it.
        keys: The results that were written, by name.
        first: Whether this call wrote the report; False when it was there.
    """

    report: BatchReport
    keys: dict[str, str]
    first: bool


def settle(
    source: Bucket, records: Records, claim: Claim, *, now_s: float, products_url: str, by: str, again: bool = False
) -> Settled | None:
    """Write the results of a manifest whose batches are all over; None while some are not.

    Args:
        source: The input bucket.
        records: Where claim and outcomes lie.
        claim: The manifest.
        now_s: The time, in seconds since the epoch.
        products_url: What stands before a product's key in its address.
        by: Who settles, such as a run's id; of several at once, exactly one is told that it was the first.
        again: Whether results that are there are replaced: a settled manifest was run again on purpose.
    """
    batches = [records.outcomes(claim.id, number) for number in range(1, claim.batches + 1)]
    over = [batch for batch in batches if batch]
    if len(over) < claim.batches:
        return None
    outcomes = [outcome for batch, _ in over for outcome in batch]
    report = BatchReport(
        id=claim.id,
        manifest=claim.manifest.key,
        bucket=source.name,
        # Not when its last run began: an interrupted manifest took longer.
        started=datetime.fromtimestamp(claim.claimed_s or min((run["started_s"] for _, run in over), default=now_s), UTC),
        ended=datetime.fromtimestamp(max((run["ended_s"] for _, run in over), default=now_s), UTC),
        rows=[Row(row.line, row.fields, outcome) for row, outcome in zip(claim.rows, outcomes, strict=True)],
        products_url=products_url,
        runs=[Run(run["id"], run["url"]) for _, run in over],
        rejected=claim.rejected,
    )
    return Settled(*_write(source, records, claim, report, by=by, again=again))


def refused(row: ClaimedRow) -> Outcome:
    """Return the outcome of a row that was refused when its manifest was claimed."""
    return Outcome(row.partition or "", State.FAILED, {}, row.problem)


def given_up(row: ClaimedRow, reason: str) -> Outcome:
    """Return the outcome of a row whose batch is not run again."""
    remedy = "If nobody canceled it, look at why runs end (memory of the machine, Dask, the store); then retry."
    return Outcome(row.partition or "", State.FAILED, {}, Failure("run", "batch_interrupted", reason, remedy))


def _write(
    source: Bucket, records: Records, claim: Claim, report: BatchReport, *, by: str, again: bool
) -> tuple[BatchReport, dict[str, str], bool]:
    json_key = claim.outcome_key("report", "json")
    keys = {"report": claim.outcome_key("report", "html"), "report_csv": claim.outcome_key("report"), "report_json": json_key}
    rows = {"processed": processed_csv(report), "failed": failed_csv(report)}
    if again or source.stat(json_key) is None:
        for word, data in rows.items():
            _put_or_remove(source, claim.outcome_key(word), data)
        if claim.rejected and (whole := source.stat(claim.outcome_key("processing"))) and whole.size_bytes:
            source.copy(whole, claim.outcome_key("failed"))
        csv_name = keys["report_csv"].rpartition("/")[2]
        pictured = replace(report, rows=_with_thumbnails(records.bucket, report.rows))
        source.write(keys["report"], report_html(pictured, csv_name=csv_name), content_type="text/html; charset=utf-8")
        source.write(keys["report_csv"], report_csv(report), content_type="text/csv; charset=utf-8")
        first = _put_report(source, json_key, report_json(report, by), again=again)
    else:
        first = False
    source.delete(claim.outcome_key("processing"))
    written = {word for word, data in rows.items() if data} | ({"failed"} if claim.rejected and claim.manifest.size_bytes else set())
    return report, keys | {word: claim.outcome_key(word) for word in sorted(written)}, first


def _put_report(source: Bucket, key: str, data: bytes, *, again: bool) -> bool:
    if again:
        source.write(key, data, content_type="application/json")
        return True
    return source.create(key, data, content_type="application/json")


def _put_or_remove(source: Bucket, key: str, data: bytes | None) -> None:
    if data:
        source.write(key, data, content_type="text/csv; charset=utf-8")
    else:
        source.delete(key)


def _with_thumbnails(target: Bucket, rows: Sequence[Row]) -> list[Row]:
    """Fetch the thumbnails of images that were found done, as many as the page shows."""
    without = [row for row in rows if row.outcome.state is State.CARRIED_OVER and Product.THUMBNAIL in row.outcome.facts["products"]]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        pictures = pool.map(lambda row: _thumbnail(target, row.outcome.facts), without[:THUMBNAILS])
        found = {row.line: picture for row, picture in zip(without, pictures, strict=False) if picture}
    return [_pictured(row, found[row.line]) if row.line in found else row for row in rows]


def _thumbnail(target: Bucket, facts: Any) -> str:
    try:
        data, _ = target.read(facts["products"][Product.THUMBNAIL]["key"], limit_bytes=_THUMBNAIL_BYTES)
    except (MissingInput, LimitExceeded):
        return ""
    return base64.b64encode(small_jpeg(data)).decode()


def _pictured(row: Row, thumbnail: str) -> Row:
    return replace(row, outcome=replace(row.outcome, facts={**row.outcome.facts, "thumbnail": thumbnail}))
