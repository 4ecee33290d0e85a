"""The sensor of processing requests: claims those whose inputs are there, requests a run for them, finds again what was interrupted."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

import dagster as dg

from platform_assets.common.errors import ConfigurationError, PermanentError
from platform_assets.common.values import Outcome
from platform_assets.dpr.batch import refused
from platform_assets.dpr.claim import ClaimedRequest, RequestBatch, RequestRecords
from platform_assets.dpr.events import request_event, step_events
from platform_assets.dpr.intake import Arrival, arrivals, examine_all, missing_inputs, task_tables
from platform_assets.dpr.jobs import process_request_batch, request_batch
from platform_assets.dpr.partitions import requests
from platform_assets.dpr.pipeline import clean_up, find_done, publish_catalogue
from platform_assets.dpr.report import settle
from platform_assets.dpr.specs import ITEMS, REQUEST, STEP_KEYS
from platform_assets.dpr.systematic import Systematic
from resources.dpr_archive import DprArchive
from sensors.alone import alone
from sensors.batches import BatchTick, given_up

_BUDGET_S = 45.0
_READ_TOGETHER = 64
_PRIORITIES = {"high": 10, "medium": 5, "low": 0}
"""Of runs, as Dagster's queue orders them."""


def request_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor of processing requests.

    Args:
        interval_s: Seconds between two ticks.
    """

    @dg.sensor(
        job=request_batch,
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Claims processing requests under the request prefix as soon as what they process is there.",
    )
    def processing_requests(context: dg.SensorEvaluationContext, dpr_archive: DprArchive) -> dg.SensorResult:
        with alone(dpr_archive, "processing_requests") as first:
            if not first:
                return dg.SensorResult(skip_reason="another sensor looks at this bucket right now", cursor=context.cursor)
            return Tick(context, dpr_archive).run()

    return processing_requests


class Tick(BatchTick[RequestBatch]):
    """One look at the request prefix.

    Args:
        context: The sensor's context.
        archive: The deployment.
    """

    tag: ClassVar[str] = "groundtrack/requests"
    op: ClassVar[str] = process_request_batch.name
    asset: ClassVar[str] = REQUEST
    partitions: ClassVar[dg.DynamicPartitionsDefinition] = requests

    def __init__(self, context: dg.SensorEvaluationContext, archive: DprArchive) -> None:
        self._archive = archive
        self._own_records = RequestRecords(archive.target, archive.output_prefix)
        self._systematic = Systematic(
            archive.source, archive.target, f"{archive.dpr_prefix}rules/", archive.request_prefix, archive.output_prefix
        )
        super().__init__(context, self._own_records, archive.batch_attempts)

    def take(self, in_work: Collection[str]) -> None:
        """Claim the requests that are new and have what they process, those of higher priority first."""
        self._notes += self._systematic.write()
        found = {row.partition: row for row in arrivals(self._archive.source, self._archive.request_prefix) if row.partition not in in_work}
        new = self.new(found)
        taken = list(self._ready([row for key, row in found.items() if key in new and self._failed.get(key) != _digest(row)]))
        if taken:
            taken.sort(key=_priority, reverse=True)
            batch = RequestBatch.of(taken, time.time())
            self._own_records.put_claim(batch)
            self.claimed(batch, batch.id, {"dagster/priority": str(_priority(taken[0]))})

    def _ready(self, new: Sequence[Arrival]) -> Iterator[ClaimedRequest]:
        """Yield what can be claimed; those that waited or failed come last, so that they hold up nobody."""
        queue = sorted(new, key=lambda row: row.partition in self._before or row.partition in self._failed)
        tables = task_tables(self._archive.source, self._archive.dpr_prefix) if queue else None
        ends_s, ready = time.monotonic() + _BUDGET_S, 0
        for start in range(0, len(queue), _READ_TOGETHER):
            if tables is None or time.monotonic() > ends_s or ready >= self._archive.batch_rows:
                self.later([row.partition for row in queue[start:]])
                return
            claims = examine_all(self._archive.source, queue[start : start + _READ_TOGETHER], tables)
            lacking = missing_inputs(self._archive.target, self._archive.output_prefix, claims)
            for claim in claims:
                tried = replace(claim, lacking=lacking.get(claim.partition, ()))
                if self._failed.get(claim.partition) == tried.digest:
                    continue
                if tried.lacking and _age_s(claim) < self._archive.request_grace_s:
                    self._wait_for(tried)
                else:
                    ready += 1
                    yield tried

    def _wait_for(self, claim: ClaimedRequest) -> None:
        names = [key.rpartition("/")[2].removesuffix(".json") for key in claim.lacking]
        self.wait(claim.partition, f"{', '.join(names)} not in the catalogue", claim.lacking)

    def read(self, batch_id: str) -> RequestBatch | None:
        """Return a batch that was claimed."""
        return self._own_records.claim(batch_id)

    def keys(self, batch: RequestBatch) -> list[str]:
        """Return the partitions of a batch."""
        return [claim.partition for claim in batch.requests]

    def settle(self, batch: RequestBatch) -> None:
        """Write the report of a batch that is over."""
        settle(self._own_records, batch)

    def give_up(self, batch: RequestBatch, reason: str) -> Sequence[Outcome]:
        """Tell what was published, and why the rest will not be; nothing of an interrupted publication is left half-done."""
        archive = self._archive
        try:
            configuration = archive.configuration()
        except (ConfigurationError, PermanentError):
            configuration = archive.defaults()  # what is broken now must not keep the sensor from all other requests
        here = archive.workshop(configuration, "")
        jobs = [claim.job for claim in batch.requests if claim.job]
        clean_up(here, jobs)
        done = {outcome.key: outcome for outcome in find_done(here, jobs)}
        outcomes = [
            done.get(claim.partition) or (refused(claim) if claim.problem else given_up(claim.partition, reason))
            for claim in batch.requests
        ]
        publish_catalogue(here, outcomes)
        claimed = [request_event(archive.input_bucket, claim) for claim in batch.requests]
        self.tell(ITEMS, outcomes, claimed, step_events(archive.input_bucket, archive.output_bucket, STEP_KEYS))
        return outcomes


def _digest(row: Arrival) -> str:
    """Return what tells a try of a request that lacks nothing; one that failed so is not read again at each look."""
    return ClaimedRequest(row.partition, row.ref, None).digest


def _priority(claim: ClaimedRequest) -> int:
    return _PRIORITIES.get(claim.job.document.get("priority", ""), 0) if claim.job else 0


def _age_s(claim: ClaimedRequest) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(claim.ref.modified)).total_seconds()
