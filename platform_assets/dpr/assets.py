"""The dpr assets over their own partitions: what backfills and `dagster asset materialize` run."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from platform_assets.common.errors import MissingInput
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.dpr import checks
from platform_assets.dpr.batch import Order, run_batch
from platform_assets.dpr.claim import ClaimedRequest
from platform_assets.dpr.intake import find_requests
from platform_assets.dpr.specs import steps
from resources.dask_cluster import DaskCluster
from resources.dpr_archive import DprArchive


@dg.multi_asset(specs=steps, check_specs=checks.specs, can_subset=True, backfill_policy=dg.BackfillPolicy.single_run())
def dpr(context: dg.AssetExecutionContext, dpr_archive: DprArchive, dask: DaskCluster) -> Iterator[Any]:
    """Process the requests of this run's partitions: each all the way, none at the cost of another."""
    found = find_requests(dpr_archive.source, dpr_archive.request_prefix, dpr_archive.dpr_prefix, context.partition_keys)
    order = Order(
        requests=[found.get(key) or _missing(key, dpr_archive) for key in context.partition_keys],
        assets=sorted(context.selected_asset_keys),
        by_partition=True,
    )
    run_batch(context, dpr_archive, dask, order).conclude(f"{len(context.partition_keys)} requests")
    yield from ()


def _missing(partition: str, archive: DprArchive) -> ClaimedRequest:
    error = MissingInput(
        f"the document of {partition} is no longer under s3://{archive.input_bucket}/{archive.request_prefix}",
        remedy="Upload the request again; another content of it is another partition.",
    )
    return ClaimedRequest(partition, ObjectRef("", "", 0), None, Failure("look_up", error.code, str(error), error.remedy))
