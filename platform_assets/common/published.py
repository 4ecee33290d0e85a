"""A file in the output bucket, as items and outcomes tell of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

from platform_assets.common.provenance import multihash_sha256
from platform_assets.common.stac import referenced_key
from platform_assets.common.store import Bucket
from platform_assets.common.values import ObjectRef


@dataclass(frozen=True, slots=True)
class PublishedAsset:
    """A product in the output bucket.

    Attributes:
        key: Its object key.
        size_bytes: Its size.
        checksum: SHA-256 of its content as a multihash in hexadecimal.
        etag: Its entity tag without quotes.
        media_type: Its media type.
        details: What is worth knowing of it, in JSON types; `width` and `height` when they are not the image's.
    """

    key: str
    size_bytes: int
    checksum: str
    etag: str
    media_type: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return what an item's asset says of it besides reference and media type."""
        return {
            "file:size": self.size_bytes,
            "file:checksum": self.checksum,
            "groundtrack:etag": self.etag,
            "groundtrack:details": dict(self.details),
        }


class ProductFacts(TypedDict):
    """A product in the output bucket, in JSON types; see `PublishedAsset`."""

    key: str
    size_bytes: int
    checksum: str
    etag: str
    media_type: str
    details: dict[str, Any]


def publish(bucket: Bucket, path: Path, key: str, media_type: str, details: Mapping[str, Any], source: str) -> PublishedAsset:
    """Upload a file that was checked, and return what is known of it.

    Args:
        bucket: The output bucket.
        path: The file.
        key: Its object key.
        media_type: Its media type.
        details: What is worth knowing of it, in JSON types.
        source: The partition key of what it was made of; kept with the object.
    """
    ref = bucket.upload(path, key, content_type=media_type, metadata={SOURCE_METADATA: source})
    return PublishedAsset(key, ref.size_bytes, multihash_sha256(path), ref.etag, media_type, details)


SOURCE_METADATA = "groundtrack-source"
"""The user metadata that names what an object was made of."""


def product_facts(item_key: str, item: Mapping[str, Any]) -> dict[str, ProductFacts]:
    """Return the products that an item names.

    Args:
        item_key: The item's object key.
        item: The item as it is stored.
    """
    return {name: cast("ProductFacts", asdict(_published(item_key, asset))) for name, asset in item["assets"].items()}


def is_there(product: ProductFacts, ref: ObjectRef | None) -> bool:
    """Whether an object is the one that an item names."""
    return ref is not None and (ref.etag, ref.size_bytes) == (product["etag"], product["size_bytes"])


def _published(item_key: str, asset: Mapping[str, Any]) -> PublishedAsset:
    return PublishedAsset(
        key=referenced_key(item_key, asset["href"]),
        size_bytes=asset["file:size"],
        checksum=asset["file:checksum"],
        etag=asset["groundtrack:etag"],
        media_type=asset["type"],
        details=asset["groundtrack:details"],
    )
