"""The asset graph of the dpr domain, as the web UI shows it.

session ──► processing_units ──► auxiliary_files ──► payload ──► dpr_products ──► published_items
             ▲        ▲                                ▲
request ──► task_table                          processing_units
"""

import dagster as dg

from platform_assets.dpr.partitions import requests, sessions

SESSION, REQUEST = "session", "request"
TASK_TABLE, UNITS, AUXILIARY, PAYLOAD = "task_table", "processing_units", "auxiliary_files", "payload"
PRODUCTS, ITEMS = "dpr_products", "published_items"

_GROUP = "dpr"
_OWNERS = ["team:dpr"]

session = dg.AssetSpec(
    SESSION,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"s3", "stac"},
    partitions_def=sessions,
    description="A downlink session in the input bucket, complete: every block of every channel. Its partition key is its id.",
)
request = dg.AssetSpec(
    REQUEST,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"s3", "yaml"},
    partitions_def=requests,
    description="A processing request as it was dropped: what to process, by what, and where products go. "
    "Its partition key is the document's name and a digest of its content.",
)


def _made(name: str, deps: list[str | dg.AssetDep], kinds: set[str], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds=kinds,
        partitions_def=requests,
        deps=deps,
        skippable=True,
        description=description,
    )


steps = [
    _made(TASK_TABLE, [REQUEST], {"json"}, "The processor's task table, in the version that the request was planned with."),
    _made(
        UNITS,
        # A request names its sessions itself; Dagster has no mapping that could be told of it.
        [dg.AssetDep(SESSION, partition_mapping=dg.AllPartitionMapping()), REQUEST, TASK_TABLE],
        {"json"},
        "The processing units that the request runs, in their order, with where each of their inputs comes from.",
    ),
    _made(AUXILIARY, [UNITS], {"s3", "stac"}, "The auxiliary files: every search that was tried, what it found, and where the files lie."),
    _made(PAYLOAD, [UNITS, AUXILIARY], {"yaml"}, "What triggers the processor; it has references in place of secrets."),
    _made(PRODUCTS, [PAYLOAD], {"s3", "zarr"}, "What the processor made, checked: every final output is there and can be read."),
    _made(ITEMS, [PRODUCTS], {"s3", "stac"}, "The STAC items of the products, all or none: with session, auxiliary files and run."),
]

STEP_KEYS = [spec.key for spec in steps]
