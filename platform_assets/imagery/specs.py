"""The asset graph of the imagery domain, as the web UI shows it: raw_image -> cog, jpeg, thumbnail -> image_item."""

from collections.abc import Iterable

import dagster as dg

from platform_assets.imagery.model import Product
from platform_assets.imagery.partitions import images, manifests
from platform_assets.imagery.stac import CODE_VERSION

RAW, ITEM = "raw_image", "image_item"
MANIFEST, REPORT = "image_manifest", "manifest_report"

_GROUP = "imagery"
_OWNERS = ["team:imagery"]

raw_image = dg.AssetSpec(
    RAW,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"s3", "tiff"},
    partitions_def=images,
    deps=[dg.AssetDep(MANIFEST)],
    description="A raw image in the input bucket, in the version that was read. Its partition key is its object key, `~~` for a slash.",
)
image_manifest = dg.AssetSpec(
    MANIFEST,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"s3", "csv"},
    partitions_def=manifests,
    description="A CSV of `key,bands` that was dropped into the input bucket: which images to convert. Claimed once, by the sensor.",
)
manifest_report = dg.AssetSpec(
    REPORT,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"s3", "html", "csv"},
    partitions_def=manifests,
    deps=[dg.AssetDep(MANIFEST), dg.AssetDep(ITEM)],
    description="How every row of a manifest ended: `processed` and `failed` CSV, and a report as HTML, CSV and JSON, beside the manifest.",
)
products = [
    dg.AssetSpec(
        Product.COG.value,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "cog"},
        partitions_def=images,
        deps=[RAW],
        skippable=True,
        code_version=CODE_VERSION,
        description="The image as a cloud-optimised GeoTIFF, at the raw image's key in the output bucket: same pixels, checked.",
    ),
    dg.AssetSpec(
        Product.JPEG.value,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "jpeg"},
        partitions_def=images,
        deps=[RAW],
        skippable=True,
        code_version=CODE_VERSION,
        description="The image as a JPEG at full resolution, for people: stretched to 8 bit, masks burnt in.",
    ),
    dg.AssetSpec(
        Product.THUMBNAIL.value,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "jpeg"},
        partitions_def=images,
        deps=[RAW],
        skippable=True,
        code_version=CODE_VERSION,
        description="The image at 512 pixels, beside its item.",
    ),
    dg.AssetSpec(
        ITEM,
        group_name=_GROUP,
        owners=_OWNERS,
        kinds={"s3", "stac"},
        partitions_def=images,
        deps=[product.value for product in Product],
        skippable=True,
        code_version=CODE_VERSION,
        description="The image's STAC item, written last: what was made, of what, with which software. Without it nothing counts as made.",
    ),
]

PRODUCT_KEYS = [spec.key for spec in products]


def wanted_products(selected: Iterable[dg.AssetKey]) -> frozenset[Product]:
    """Return the products that a selection of assets asks for; the item stands for all of them."""
    names = {key.to_user_string() for key in selected}
    return frozenset(product for product in Product if product.value in names or ITEM in names)
