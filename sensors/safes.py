"""The sensor of Sentinel-1 products: claims those that are whole, requests a run for them, finds again what was interrupted."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from platform_assets.common.values import Failure, Outcome, State
from platform_assets.execution.record import failure_observation
from platform_assets.sar.claim import SafeBatch, SafeRecords, digest
from platform_assets.sar.events import product_events, safe_event
from platform_assets.sar.intake import Arrival, Waiting, arrivals, examine
from platform_assets.sar.jobs import l1b_batch
from platform_assets.sar.model import ClaimedSafe
from platform_assets.sar.partitions import safes
from platform_assets.sar.pipeline import Workshop, find_done, publish_catalogue, refused
from platform_assets.sar.report import settle
from platform_assets.sar.specs import ITEM, PRODUCT_KEYS, SAFE
from resources.instance import BATCH_TAG
from resources.safe_archive import SafeArchive
from sensors.alone import alone
from sensors.decisions import next_steps
from sensors.runs import ATTEMPT_TAG, batch_runs

SAFES_TAG = "groundtrack/safes"

_BUDGET_S = 45.0
_LOOKS = 16
"""Products looked at together: each costs a listing and, the first time, its manifest."""


def safe_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor of Sentinel-1 products.

    Args:
        interval_s: Seconds between two ticks.
    """

    @dg.sensor(
        job=l1b_batch,
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Claims Sentinel-1 products under the SAFE prefix as soon as they are whole, and requests a run for them.",
    )
    def sentinel_1_safes(context: dg.SensorEvaluationContext, safe_archive: SafeArchive) -> dg.SensorResult:
        with alone(safe_archive, "sentinel_1_safes") as first:
            if not first:
                return dg.SensorResult(skip_reason="another sensor looks at this bucket right now", cursor=context.cursor)
            return Tick(context, safe_archive, SafeRecords(safe_archive.target, safe_archive.output_prefix)).run()

    return sentinel_1_safes


class Tick:
    """One look at the SAFE prefix.

    A product is claimed when an open batch has it, or when Dagster shows its `safe` as materialized: the run of its batch
    records that first of all. One that failed is looked at again, and claimed when another version of it is there.

    Args:
        context: The sensor's context.
        archive: The buckets.
        records: Where claims lie.
    """

    def __init__(self, context: dg.SensorEvaluationContext, archive: SafeArchive, records: SafeRecords) -> None:
        self._context = context
        self._archive = archive
        self._records = records
        self._requests: list[dg.RunRequest] = []
        self._notes: list[str] = []
        self._before: dict[str, str] = json.loads(context.cursor or "{}")
        self._waiting: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def run(self) -> dg.SensorResult:
        """Follow up on open batches, then claim what is new and whole, until the time is up; the next tick goes on."""
        in_work = set(self._follow_up())
        found = [arrival for arrival in arrivals(self._archive.source, self._archive.safe_prefix) if arrival.partition not in in_work]
        if found:
            self._failed = self._records.failed()
            taken = self._context.instance.get_materialized_partitions(dg.AssetKey(SAFE)) - set(self._failed)
            self._claim(list(self._whole([arrival for arrival in found if arrival.partition not in taken])))
        cursor = json.dumps(self._waiting)
        if self._requests:
            return dg.SensorResult(run_requests=self._requests, cursor=cursor)
        return dg.SensorResult(skip_reason="; ".join(self._notes) or "no new product", cursor=cursor)

    def _whole(self, new: Sequence[Arrival]) -> Iterator[ClaimedSafe]:
        """Yield what can be claimed; those that waited or failed come last, so that they hold up nobody."""
        once = {arrival.partition: arrival for arrival in new}
        queue = sorted(once.values(), key=lambda arrival: arrival.partition in self._before or arrival.partition in self._failed)
        ends_s, whole = time.monotonic() + _BUDGET_S, 0
        with ThreadPoolExecutor(_LOOKS) as pool:
            for start in range(0, len(queue), _LOOKS):
                some = queue[start : start + _LOOKS]
                if time.monotonic() > ends_s or whole >= self._archive.batch_rows:
                    self._waiting |= {arrival.partition: self._before.get(arrival.partition, "") for arrival in queue[start:]}
                    self._notes.append("more at the next tick")
                    return
                for seen in pool.map(lambda arrival: examine(self._archive.source, arrival), some):
                    if isinstance(seen, Waiting):
                        self._wait(seen)
                    elif self._failed.get(seen.partition) != digest(seen):
                        whole += 1
                        yield seen

    def _wait(self, seen: Waiting) -> None:
        self._notes.append(f"{seen.partition} waits: {seen.reason}")
        self._waiting[seen.partition] = seen.reason
        if self._before.get(seen.partition) != seen.reason:
            self._context.instance.add_dynamic_partitions(safes.name or "", [seen.partition])
            self._context.instance.report_runless_asset_event(
                dg.AssetObservation(
                    SAFE,
                    partition=seen.partition,
                    description=f"waiting: {seen.reason}",
                    metadata={"outcome": "waiting", "lacks": len(seen.missing), "missing": dg.MetadataValue.json(list(seen.missing))},
                )
            )

    def _claim(self, whole: list[ClaimedSafe]) -> None:
        if not whole:
            return
        batch = SafeBatch.of(whole, time.time())
        self._records.put_claim(batch)
        self._context.log.info(f"claimed {len(whole)} products as batch {batch.id}")
        self._register(batch)
        self._requests.append(_request(batch, 1))

    def _register(self, batch: SafeBatch) -> None:
        self._context.instance.add_dynamic_partitions(safes.name or "", [safe.partition for safe in batch.safes])

    def _follow_up(self) -> Iterator[str]:
        """Bring every open batch further, and yield the partitions of their products."""
        for batch_id in self._records.open():
            batch = self._records.claim(batch_id)
            if batch is None:
                self._records.close(batch_id)
                continue
            yield from (safe.partition for safe in batch.safes)
            runs = batch_runs(self._context.instance, {SAFES_TAG: batch.id})
            if not runs:
                self._register(batch)
            plan = next_steps(1, self._records.ended(batch.id), runs, self._archive.batch_attempts)
            self._requests += [_request(batch, attempt) for _, attempt in plan.request]
            for _, reason in plan.give_up:
                self._give_up(batch, reason)
            if plan.settle or plan.give_up:
                settle(self._records, batch)
                self._notes.append(f"settled batch {batch.id}")

    def _give_up(self, batch: SafeBatch, reason: str) -> None:
        """Tell what the interrupted runs could not: what was made, and why the rest will not be."""
        archive, instance = self._archive, self._context.instance
        here = Workshop(archive.source, archive.target, archive.output_prefix, archive.processing, "")
        done = {outcome.key: outcome for outcome in find_done(here, [safe.job for safe in batch.safes if safe.job])}
        outcomes = [done.get(safe.partition) or (refused(safe) if safe.problem else given_up(safe, reason)) for safe in batch.safes]
        publish_catalogue(here, outcomes)
        shown = instance.get_materialized_partitions(dg.AssetKey(ITEM))
        events = product_events(archive.output_bucket, PRODUCT_KEYS)
        for safe, outcome in zip(batch.safes, outcomes, strict=True):
            instance.report_runless_asset_event(safe_event(archive.input_bucket, safe))
            if outcome.failure:
                instance.report_runless_asset_event(failure_observation(dg.AssetKey(ITEM), outcome, outcome.failure))
            elif outcome.key not in shown:
                for event in events(outcome):
                    instance.report_runless_asset_event(event)
        self._records.put_outcomes(batch.id, 1, outcomes, {"id": "", "url": "", "started_s": time.time(), "ended_s": time.time()})
        self._context.log.error(f"gave up on batch {batch.id}: {reason}")


def given_up(safe: ClaimedSafe, reason: str) -> Outcome:
    """Return the outcome of a product whose batch is not run again."""
    remedy = "If nobody canceled it, look at why runs end (memory of the machine, Dask, the store); then materialize its partition."
    return Outcome(safe.partition, State.FAILED, {}, Failure("run", "batch_interrupted", reason, remedy))


def _request(batch: SafeBatch, attempt: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{batch.id}/{attempt}",
        run_config={"ops": {"process_safe_batch": {"config": {"batch": batch.id}}}},
        tags={SAFES_TAG: batch.id, BATCH_TAG: f"{batch.id}/1", ATTEMPT_TAG: str(attempt)},
    )
