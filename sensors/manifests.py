"""The sensor of manifests: claims what was dropped, requests a run a batch, and finds again what was interrupted."""

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from uuid import uuid4

import dagster as dg

from platform_assets.common.errors import MissingInput
from platform_assets.common.values import Outcome
from platform_assets.execution.record import failure_observation
from platform_assets.imagery.claim import Claim, Records
from platform_assets.imagery.events import image_events, manifest_event, report_event
from platform_assets.imagery.intake import Intake, Waiting
from platform_assets.imagery.jobs import image_batch
from platform_assets.imagery.model import Product
from platform_assets.imagery.partitions import images, manifests
from platform_assets.imagery.pipeline import Workshop, find_done, publish_catalogue
from platform_assets.imagery.settle import given_up, refused, settle
from platform_assets.imagery.specs import ITEM, MANIFEST
from resources.image_archive import ImageArchive
from resources.instance import BATCH_TAG
from sensors.alone import alone
from sensors.decisions import Plan, next_steps
from sensors.runs import ATTEMPT_TAG, batch_runs

MANIFEST_TAG = "groundtrack/manifest"

_BUDGET_S = 60.0
_MOST_REQUESTS = 50
_MOST_NAMED = 20


def manifest_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor of manifests.

    Args:
        interval_s: Seconds between two ticks.
    """

    @dg.sensor(
        job=image_batch,
        # The daemon looks every 5 s, and a sensor that is due a moment later waits for the next time.
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Claims manifests under the input prefix, waits for their images, and requests a run for every batch of rows.",
    )
    def image_manifests(context: dg.SensorEvaluationContext, archive: ImageArchive) -> dg.SensorResult | dg.SkipReason:
        with alone(archive, "image_manifests") as first:
            if not first:
                return dg.SkipReason("another sensor looks at this bucket right now")
            return Tick(context, archive, Records(archive.target, archive.output_prefix)).run()

    return image_manifests


class Tick:
    """One look at the input bucket.

    Args:
        context: The sensor's context.
        archive: The buckets.
        records: Where claims lie.
    """

    def __init__(self, context: dg.SensorEvaluationContext, archive: ImageArchive, records: Records) -> None:
        self._context = context
        self._archive = archive
        self._records = records
        self._intake = Intake(
            archive.source,
            records,
            archive.input_prefix,
            archive.manifest_pattern,
            archive.manifest_grace_s,
            archive.manifest_bytes,
            archive.batch_rows,
        )
        self._busy: dict[str, str] = {}
        self._requests: list[dg.RunRequest] = []
        self._notes: list[str] = []
        self._waiting: dict[str, str] = {}
        self._ends_s = time.monotonic() + _BUDGET_S

    def run(self) -> dg.SensorResult | dg.SkipReason:
        """Follow up on open manifests, then claim new ones, until the time is up; the next tick goes on."""
        found = self._intake.scan()
        claims = [claim for claim in (_claim(self._records, claim_id) for claim_id in found.open) if claim]
        for claim in claims:
            self._occupy(claim)
        for claim in claims:
            self._follow_up(claim)
        for drop in found.drops:
            if time.monotonic() > self._ends_s or len(self._requests) >= _MOST_REQUESTS:
                self._notes.append("more at the next tick")
                break
            try:
                self._look_at(self._intake.examine(drop, time.time(), lambda: self._busy))
            except MissingInput:
                self._notes.append(f"{drop.key} is gone again")
        cursor = json.dumps(self._waiting)
        if self._requests:
            return dg.SensorResult(run_requests=self._requests, cursor=cursor)
        return dg.SensorResult(skip_reason="; ".join(self._notes) or "no new manifest", cursor=cursor)

    def _look_at(self, seen: Claim | Waiting) -> None:
        if isinstance(seen, Waiting):
            self._wait(seen)
        elif self._intake.take(seen):
            self._context.log.info(f"claimed {seen.manifest.key} as {seen.id}: {len(seen.rows)} rows, {seen.batches} batches")
            self._occupy(seen)
            self._follow_up(seen)

    def _wait(self, seen: Waiting) -> None:
        self._notes.append(f"{seen.manifest.key} waits: {seen.reason}")
        self._waiting[seen.id] = seen.reason
        if json.loads(self._context.cursor or "{}").get(seen.id) != seen.reason:
            self._context.instance.add_dynamic_partitions(manifests.name or "", [seen.id])
            self._context.instance.report_runless_asset_event(
                dg.AssetObservation(
                    MANIFEST,
                    partition=seen.id,
                    description=f"waiting: {seen.reason}",
                    metadata={"outcome": "waiting", "reason": seen.reason, "missing": seen.missing},
                )
            )

    def _occupy(self, claim: Claim) -> None:
        self._busy |= {row.job.source.key: claim.manifest.key for row in claim.rows if row.job}

    def _follow_up(self, claim: Claim) -> None:
        self._intake.rename(claim)
        runs = batch_runs(self._context.instance, {MANIFEST_TAG: claim.id})
        if not runs:
            self._register(claim)
        plan = next_steps(claim.batches, self._records.ended(claim.id, claim.batches), runs, self._archive.batch_attempts)
        self._requests += [_request(claim, number, attempt) for number, attempt in plan.request]
        for number, reason in plan.give_up:
            self._give_up(claim, number, reason)
        if plan.settle or plan.give_up:
            self._settle(claim, plan)

    def _register(self, claim: Claim) -> None:
        partitions = list(dict.fromkeys(row.partition for row in claim.rows if row.partition))
        instance = self._context.instance
        instance.add_dynamic_partitions(images.name or "", partitions)
        instance.add_dynamic_partitions(manifests.name or "", [claim.id])
        instance.report_runless_asset_event(manifest_event(claim, self._archive.input_bucket))

    def _give_up(self, claim: Claim, number: int, reason: str) -> None:
        rows = claim.batch(number)
        archive = self._archive
        here = Workshop(
            archive.source, archive.target, archive.output_prefix, archive.conversion, archive.image_limits, frozenset(Product), ""
        )
        done = {outcome.key: outcome for outcome in find_done(here, [row.job for row in rows if row.job])}
        now_s = time.time()
        outcomes: list[Outcome] = [refused(row) if row.problem else done.get(row.partition or "") or given_up(row, reason) for row in rows]
        about = {"id": "", "url": "", "started_s": now_s, "ended_s": now_s}
        publish_catalogue(here, outcomes)
        self._show(outcomes)
        self._records.put_outcomes(claim.id, number, outcomes, about)
        self._context.log.error(f"gave up on batch {number} of {claim.id}: {reason}")

    def _show(self, outcomes: Sequence[Outcome]) -> None:
        """Tell Dagster what the interrupted runs could not: images that were converted, and why the others will not be."""
        instance = self._context.instance
        shown = instance.get_materialized_partitions(dg.AssetKey(ITEM))
        events = image_events(self._archive.output_bucket, Product)
        for outcome in outcomes:
            if outcome.failure and outcome.key:
                instance.report_runless_asset_event(failure_observation(dg.AssetKey(ITEM), outcome, outcome.failure))
            elif not outcome.failure and outcome.key not in shown:
                for event in events(outcome):
                    instance.report_runless_asset_event(event)

    def _settle(self, claim: Claim, plan: Plan) -> None:
        url = f"s3://{self._archive.output_bucket}/"
        settled = settle(self._archive.source, self._records, claim, now_s=time.time(), products_url=url, by=f"sensor-{uuid4().hex}")
        if settled and settled.first:
            event = report_event(claim, self._archive.input_bucket, settled.report.totals, settled.keys)
            self._context.instance.report_runless_asset_event(event)
            self._notes.append(f"settled {claim.manifest.key}" + (" with what there was" if plan.give_up else ""))


@lru_cache(maxsize=64)
def _claim(records: Records, claim_id: str) -> Claim | None:
    """Return a claim; claims never change, and open manifests are looked at every few seconds."""
    return records.claim(claim_id)


def _request(claim: Claim, number: int, attempt: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{claim.id}/{number}/{attempt}",
        run_config={"ops": {"convert_manifest_batch": {"config": {"manifest": claim.id, "batch": number}}}},
        tags={MANIFEST_TAG: claim.id, BATCH_TAG: f"{claim.id}/{number}", ATTEMPT_TAG: str(attempt)},
    )
