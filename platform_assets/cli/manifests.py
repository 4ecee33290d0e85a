"""What a command can know of a manifest without Dagster: waiting, in work, or settled with a report."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platform_assets.cli.deployment import Deployment
from platform_assets.common import lease
from platform_assets.common.errors import Conflict, MissingInput
from platform_assets.imagery import naming
from platform_assets.imagery.claim import Claim
from platform_assets.imagery.intake import Intake, Waiting, sort_listing
from platform_assets.imagery.report import rows_csv

_REPORT_BYTES = 1 << 30
_DUPLICATE = "duplicate_row"  # the row it repeats has an end of its own


@dataclass(frozen=True)
class Status:
    """How far a claimed manifest is.

    Attributes:
        claim: The manifest.
        done: Images converted or found done so far.
        failed: Rows that have failed so far.
        total: Rows.
        left_s: Seconds that are left at the pace so far; None when that is not known.
        settled: Whether its report is written.
    """

    claim: Claim
    done: int
    failed: int
    total: int
    left_s: float | None
    settled: bool


def status_of(deployment: Deployment, claim: Claim) -> Status:
    """Return how far a manifest is, from its outcomes and the leases of the batches in work."""
    ended = deployment.records.ended(claim.id, claim.batches)
    done = failed = 0
    left_s: list[float] = []
    for number in range(1, claim.batches + 1):
        if number in ended and (batch := deployment.records.outcomes(claim.id, number)):
            bad = sum(outcome.failure is not None for outcome in batch[0])
            done, failed = done + len(batch[0]) - bad, failed + bad
        elif held := lease.read(deployment.target, deployment.records.lease_key(claim.id, number)):
            note = held["note"]
            done, failed = done + note.get("done", 0) + note.get("carried_over", 0), failed + note.get("failed", 0)
            left_s += [note["left_s"]] if note.get("left_s") is not None else []
    settled = deployment.source.stat(claim.outcome_key("report", "json")) is not None
    return Status(claim, done, failed, len(claim.rows), max(left_s, default=None), settled)


def newest_report(deployment: Deployment, manifest: str) -> dict[str, Any]:
    """Return the newest JSON report of a manifest.

    Args:
        deployment: The deployment.
        manifest: The manifest's key, as it was dropped, or the key of one of its results.

    Raises:
        MissingInput: It has no report.
    """
    found = max(_reports(deployment, manifest), default=None)
    if found is None:
        remedy = "Give the manifest's key as it was dropped, such as county/1955_raw.csv."
        raise MissingInput(f"there is no report of {manifest} in s3://{deployment.source.name}", remedy=remedy)
    document: dict[str, Any] = json.loads(deployment.source.read(found, limit_bytes=_REPORT_BYTES)[0])
    return document | {"report_key": found}


def drop_failed(deployment: Deployment, manifest: str, code: str | None) -> int:
    """Drop the failed rows of a settled manifest again, under its own key, and return their number.

    A row that a later drop of the manifest brought to its end is left alone, and one that only an earlier drop had is not.

    Args:
        deployment: The deployment.
        manifest: Its key.
        code: Only rows of this error class; None for all.

    Raises:
        Conflict: Another manifest of this name waits to be claimed.
        MissingInput: It has no report.
    """
    key = newest_report(deployment, manifest)["manifest"]["key"]
    last: dict[str, list[dict[str, Any]]] = {}
    for report_key in sorted(_reports(deployment, manifest)):
        document = json.loads(deployment.source.read(report_key, limit_bytes=_REPORT_BYTES)[0])
        last |= {row["key"]: [] for row in document["rows"]}
        for row in document["rows"]:
            last[row["key"]].append(row)
    failed = [row for rows in last.values() for row in rows if "failure" in row]
    rows = [row["fields"] for row in failed if row["failure"]["error_class"] in ({code} if code else classes_of(failed) - {_DUPLICATE})]
    if rows and not deployment.source.create(key, rows_csv(rows), content_type="text/csv"):
        raise Conflict(f"s3://{deployment.source.name}/{key} waits to be claimed already", remedy="Wait until it is, then retry.")
    return len(rows)


def classes_of(failed: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the error classes of some failed rows."""
    return {row["failure"]["error_class"] for row in failed}


def unsettled(deployment: Deployment, manifest: str) -> str | None:
    """Return in words how far a manifest is that is waiting or in work; None when it is neither."""
    if claim := _open_claim(deployment, manifest):
        status = status_of(deployment, claim)
        left = f", about {status.left_s:.0f} s left" if status.left_s else ""
        return f"{manifest} is in work: {status.done + status.failed} of {status.total} ended, {status.failed} failed{left}"
    drop = deployment.source.stat(manifest)
    if drop is None:
        return None
    settings = deployment.settings
    pattern, grace_s = settings.manifest_pattern, settings.manifest_grace_s
    intake = Intake(
        deployment.source, deployment.records, settings.input_prefix, pattern, grace_s, settings.manifest_bytes, settings.batch_rows
    )
    seen = intake.examine(drop, time.time(), dict)
    reason = seen.reason if isinstance(seen, Waiting) else "nothing; the sensor claims it at its next look, if the platform is up"
    return f"{manifest} waits for: {reason}"


def _open_claim(deployment: Deployment, manifest: str) -> Claim | None:
    """Return the newest claim of a manifest whose report is not written yet."""
    stem = naming.manifest_stem(manifest, deployment.settings.manifest_pattern)
    tail = deployment.settings.manifest_pattern.rpartition("*")[2]
    found = sort_listing(deployment.source.list(f"{stem}processing-"), f"*{tail}").open
    return deployment.records.claim(max(found)) if found else None


def _reports(deployment: Deployment, manifest: str) -> Iterator[str]:
    pattern = deployment.settings.manifest_pattern
    parsed = naming.parse_outcome_key(manifest)
    stem = parsed.stem if parsed else naming.manifest_stem(manifest, pattern)
    for ref in deployment.source.list(f"{stem}report-"):
        name = naming.parse_outcome_key(ref.key)
        if name and name.stem == stem and name.suffix == "json":
            yield ref.key
