"""The asset graph of the sar domain, as the web UI shows it: safe -> l1b -> quicklook, l1b_item."""

import dagster as dg

from platform_assets.sar.partitions import safes
from platform_assets.sar.stac import CODE_VERSION

SAFE, L1B, QUICKLOOK, ITEM = "safe", "l1b", "quicklook", "l1b_item"

_GROUP = "sar"
_OWNERS = ["team:sar"]

safe = dg.AssetSpec(
    SAFE,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"s3", "safe"},
    partitions_def=safes,
    description="A Sentinel-1 product in the input bucket, whole, in the version that was read. Its partition key is its name.",
)
products = [
    dg.AssetSpec(
        L1B,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "netcdf"},
        partitions_def=safes,
        deps=[SAFE],
        skippable=True,
        code_version=CODE_VERSION,
        description="Calibrated and denoised backscatter on a coarse grid in the swath's geometry, as CF NetCDF: checked.",
    ),
    dg.AssetSpec(
        QUICKLOOK,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "png"},
        partitions_def=safes,
        deps=[L1B],
        skippable=True,
        code_version=CODE_VERSION,
        description="The product's sigma0 in decibels, for people.",
    ),
    dg.AssetSpec(
        ITEM,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "stac"},
        partitions_def=safes,
        deps=[L1B, QUICKLOOK],
        skippable=True,
        code_version=CODE_VERSION,
        description="The product's STAC item, written last: what was made, of what, with what. Without it nothing counts as made.",
    ),
]

PRODUCT_KEYS = [spec.key for spec in products]
