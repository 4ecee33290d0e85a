"""The job that the sensor requests: one batch of a manifest's rows, and the manifest's report when it was the last.

It is a job of its own, not a run over a range of partitions: a re-dropped manifest is an arbitrary set of partitions, and
Dagster's runs know only ranges in order of insertion. Images in work are shown as in progress, those that failed as
failed, and those found done are left as they are recorded.
"""

import time
from collections.abc import Callable, Sequence

import dagster as dg
from pydantic import Field

from platform_assets.common.errors import MissingInput
from platform_assets.common.values import Outcome
from platform_assets.execution import hold
from platform_assets.execution.progress import Progress
from platform_assets.imagery.batch import ConversionConfig, Order, run_batch
from platform_assets.imagery.claim import Claim, ClaimedRow, Records
from platform_assets.imagery.events import report_event
from platform_assets.imagery.model import Product
from platform_assets.imagery.settle import refused, settle
from platform_assets.imagery.specs import PRODUCT_KEYS
from resources.dask_cluster import DaskCluster
from resources.image_archive import ImageArchive


class BatchConfig(ConversionConfig):
    """Which batch of which manifest."""

    manifest: str = Field(description="Id of the manifest: its partition key in image_manifest.")
    batch: int = Field(default=1, ge=1, description="Number of the batch, from 1.")


@dg.op
def convert_manifest_batch(context: dg.OpExecutionContext, config: BatchConfig, archive: ImageArchive, dask: DaskCluster) -> None:
    """Convert the images of one batch of a manifest, record how every row ended, and settle the manifest if it was the last."""
    records = Records(archive.target, archive.output_prefix)
    claim = records.claim(config.manifest)
    if claim is None:
        raise MissingInput(f"nobody claimed a manifest {config.manifest}", remedy="Take the id from image_manifest's partitions.")
    again = bool(context.run.parent_run_id) and archive.source.stat(claim.outcome_key("report", "json")) is not None
    held = hold.take(context, records.bucket, records.lease_key(claim.id, config.batch))
    if held is None:
        context.log.info(f"another run works on batch {config.batch} of {claim.id}; nothing to do here")
        return
    if not again and config.batch in records.ended(claim.id, claim.batches):
        context.log.info(f"batch {config.batch} of {claim.id} is over already")
        _settle(context, archive, records, claim, again=False)
        held.release()
        return
    rows = claim.batch(config.batch)
    began_s = time.time()
    run = run_batch(context, archive, dask, _order(rows, config, archive, held.heartbeat))
    ended_s = time.time()
    about = {"id": context.run.run_id, "url": f"/runs/{context.run.run_id}", "started_s": began_s, "ended_s": ended_s}
    records.put_outcomes(claim.id, config.batch, _in_order(rows, run.outcomes), about)
    _settle(context, archive, records, claim, again=again)
    held.release(hold.note_of(run.progress, ended_s - began_s))
    if claim.rejected:
        raise dg.Failure(f"{claim.manifest.key} is rejected: {claim.rejected.message}", allow_retries=False)
    run.conclude(f"batch {config.batch} of {claim.batches} of {claim.manifest.key}")


@dg.job(
    description="Converts one batch of a manifest; requested by the sensor, once a batch.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_retries": "0"},  # the sensor starts an interrupted batch again, and only one of the two may
)
def image_batch() -> None:
    """One batch of a manifest."""
    convert_manifest_batch()


def _order(rows: Sequence[ClaimedRow], config: BatchConfig, archive: ImageArchive, heartbeat: Callable[[Progress, float], None]) -> Order:
    return Order(
        jobs=[row.job for row in rows if row.job],
        # Rows that name no image have no partition to be shown on; they are in the report.
        refused=[refused(row) for row in rows if row.problem and row.partition],
        assets=PRODUCT_KEYS,
        products=frozenset(Product),
        conversion=config.over(archive.conversion),
        by_partition=False,
        heartbeat=heartbeat,
    )


def _in_order(rows: Sequence[ClaimedRow], outcomes: Sequence[Outcome]) -> list[Outcome]:
    by_key = {outcome.key: outcome for outcome in outcomes}
    return [refused(row) if row.problem else by_key[row.partition or ""] for row in rows]


def _settle(context: dg.OpExecutionContext, archive: ImageArchive, records: Records, claim: Claim, *, again: bool) -> None:
    url = f"s3://{archive.output_bucket}/"
    settled = settle(archive.source, records, claim, now_s=time.time(), products_url=url, by=context.run.run_id, again=again)
    if settled is None:
        return
    context.log.info(f"{claim.manifest.key} is settled; report {settled.keys['report']}")
    if settled.first:
        context.log_event(report_event(claim, archive.input_bucket, settled.report.totals, settled.keys))
