"""The job that the sensor requests: one batch of products, and its report."""

import dagster as dg
from pydantic import Field

from platform_assets.common.errors import MissingInput
from platform_assets.execution.claimed import carry_out
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
    processing = config.over(safe_archive.processing)
    carry_out(
        context,
        records,
        batch.id,
        [safe.partition for safe in batch.safes],
        work=lambda heartbeat: run_batch(
            context, safe_archive, dask, Order(batch.safes, PRODUCT_KEYS, processing, by_partition=False, heartbeat=heartbeat)
        ),
        settle=lambda: settle(records, batch),
    )


@dg.job(
    description="Processes a batch of Sentinel-1 products; requested by the sensor.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_retries": "0"},  # the sensor starts an interrupted batch again, and only one of the two may
)
def l1b_batch() -> None:
    """One batch of products."""
    process_safe_batch()
