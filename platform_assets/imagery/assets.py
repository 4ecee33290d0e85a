"""The imagery assets over their own partitions: what backfills and `dagster asset materialize` run."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from platform_assets.common.errors import GroundtrackError, MissingInput
from platform_assets.common.keys import object_key
from platform_assets.common.values import Failure, Outcome, State
from platform_assets.imagery import checks, naming
from platform_assets.imagery.batch import ConversionConfig, Order, run_batch
from platform_assets.imagery.claim import find_images
from platform_assets.imagery.specs import products, wanted_products
from resources.dask_cluster import DaskCluster
from resources.image_archive import ImageArchive


@dg.multi_asset(specs=products, check_specs=checks.specs, can_subset=True, backfill_policy=dg.BackfillPolicy.single_run())
def imagery(context: dg.AssetExecutionContext, config: ConversionConfig, archive: ImageArchive, dask: DaskCluster) -> Iterator[Any]:
    """Convert the raw images of this run's partitions: each all the way, none at the cost of another."""
    keys, refused = _object_keys(context.partition_keys)
    found = find_images(archive.source, keys)
    missing = [_refused(key, MissingInput(f"s3://{archive.input_bucket}/{key} does not exist")) for key in keys if key not in found]
    order = Order(
        jobs=list(found.values()),
        refused=[*refused, *missing],
        assets=sorted(context.selected_asset_keys),
        products=wanted_products(context.selected_asset_keys),
        conversion=config.over(archive.conversion),
        by_partition=True,
    )
    run_batch(context, archive, dask, order).conclude(f"{len(context.partition_keys)} images")
    yield from ()


def _object_keys(partitions: list[str]) -> tuple[list[str], list[Outcome]]:
    keys, refused = [], []
    for partition in partitions:
        try:
            keys.append(naming.checked_image_key(object_key(partition)))
        except GroundtrackError as error:
            refused.append(Outcome(partition, State.FAILED, {}, Failure("partition", error.code, str(error), error.remedy)))
    return keys, refused


def _refused(key: str, error: GroundtrackError) -> Outcome:
    return Outcome(naming.item_id(key), State.FAILED, {}, Failure("look_up", error.code, str(error), error.remedy))
