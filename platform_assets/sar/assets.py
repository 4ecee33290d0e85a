"""The sar assets over their own partitions: what backfills and `dagster asset materialize` run."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from platform_assets.common.errors import MissingInput
from platform_assets.common.values import Failure
from platform_assets.sar import checks
from platform_assets.sar.batch import L1bConfig, Order, run_batch
from platform_assets.sar.intake import Waiting, find_safes
from platform_assets.sar.model import ClaimedSafe
from platform_assets.sar.specs import products
from resources.dask_cluster import DaskCluster
from resources.safe_archive import SafeArchive


@dg.multi_asset(specs=products, check_specs=checks.specs, can_subset=True, backfill_policy=dg.BackfillPolicy.single_run())
def sar(context: dg.AssetExecutionContext, config: L1bConfig, safe_archive: SafeArchive, dask: DaskCluster) -> Iterator[Any]:
    """Process the Sentinel-1 products of this run's partitions: each all the way, none at the cost of another."""
    found = find_safes(safe_archive.source, safe_archive.safe_prefix, context.partition_keys)
    order = Order(
        safes=[_claimed(key, found.get(key), safe_archive) for key in context.partition_keys],
        assets=sorted(context.selected_asset_keys),
        processing=config.over(safe_archive.processing),
        by_partition=True,
    )
    run_batch(context, safe_archive, dask, order).conclude(f"{len(context.partition_keys)} products")
    yield from ()


def _claimed(key: str, found: ClaimedSafe | Waiting | None, archive: SafeArchive) -> ClaimedSafe:
    if isinstance(found, ClaimedSafe):
        return found
    if found:
        problem = Failure("look_up", "incomplete_safe", f"{key} is not whole: {found.reason}", "Upload what is missing.")
        return ClaimedSafe(key, None, problem)
    error = MissingInput(f"{key} is nowhere under s3://{archive.input_bucket}/{archive.safe_prefix}")
    return ClaimedSafe(key, None, Failure("look_up", error.code, str(error), error.remedy))
