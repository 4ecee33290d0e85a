"""The job that the sensor requests: one batch of products, and its report."""

import time

import dagster as dg
from pydantic import Field

from platform_assets.common.errors import MissingInput
from platform_assets.execution import hold
from platform_assets.sar.batch import L1bConfig, Order, run_batch
from platform_assets.sar.claim import SafeRecords
from platform_assets.sar.report import settle
from platform_assets.sar.specs import PRODUCT_KEYS
from resources.dask_cluster import DaskCluster
from resources.safe_archive import SafeArchive


class SafeBatchConfig(L1bConfig):
    """Which batch."""

    batch: str = Field(description="Id of the batch that the sensor claimed.")


@dg.op
def process_safe_batch(context: dg.OpExecutionContext, config: SafeBatchConfig, safe_archive: SafeArchive, dask: DaskCluster) -> None:
    """Process the products of one batch, record how every one ended, and write the batch's report."""
    records = SafeRecords(safe_archive.target, safe_archive.output_prefix)
    batch = records.claim(config.batch)
    if batch is None:
        raise MissingInput(f"nobody claimed a batch {config.batch}", remedy="Take the id from a run that the sensor requested.")
    again = bool(context.run.parent_run_id)
    held = hold.take(context, records.bucket, records.lease_key(batch.id))
    if held is None:
        context.log.info(f"another run works on batch {batch.id}; nothing to do here")
        return
    if records.ended(batch.id) and not again:
        context.log.info(f"batch {batch.id} is over already")
        settle(records, batch)
        held.release()
        return
    began_s = time.time()
    order = Order(batch.safes, PRODUCT_KEYS, config.over(safe_archive.processing), by_partition=False, heartbeat=held.heartbeat)
    run = run_batch(context, safe_archive, dask, order)
    ended_s = time.time()
    by_key = {outcome.key: outcome for outcome in run.outcomes}
    about = {"id": context.run.run_id, "url": f"/runs/{context.run.run_id}", "started_s": began_s, "ended_s": ended_s}
    records.put_outcomes(batch.id, 1, [by_key[safe.partition] for safe in batch.safes], about)
    keys = settle(records, batch)
    context.log.info(f"batch {batch.id} is settled; report {keys['csv']}")
    held.release(hold.note_of(run.progress, ended_s - began_s))
    run.conclude(f"batch {batch.id}")


@dg.job(
    description="Processes a batch of Sentinel-1 products; requested by the sensor.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_retries": "0"},  # the sensor starts an interrupted batch again, and only one of the two may
)
def l1b_batch() -> None:
    """One batch of products."""
    process_safe_batch()
