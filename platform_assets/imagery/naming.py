"""The object keys of the imagery domain: made here, parsed here, and nowhere else.

Of the raw image `county/a 1.tif`, with the output prefix empty:

    county/a 1.tif                                          the COG, at the raw image's own key
    county/a 1.jpg                                          the JPEG
    _stac/imagery/county/county~~a~201.tif.json             the item
    _stac/imagery/county/county~~a~201.tif.thumb.jpg        the thumbnail
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from platform_assets.common import stac
from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import UnsafeKey, checked_object_key, object_key, partition_key, shown
from platform_assets.imagery.model import Product

COLLECTION = "imagery"
NO_FOLDER = "_"

_RECORDS_FOLDER = "_groundtrack"
_SUFFIXES = (".tif", ".tiff")
_MAX_KEY_BYTES = 1024
_OUTCOME = re.compile(r"(?P<stem>.*)(?P<word>processing|processed|failed|report)-(?P<timestamp>\d{8}-\d{6})\.(?P<suffix>[a-z]+)", re.DOTALL)


class OutcomeName(NamedTuple):
    """The parts of the key of a manifest's result.

    Attributes:
        stem: The manifest's key without its pattern's tail.
        word: `processing`, `processed`, `failed` or `report`.
        timestamp: When the manifest was dropped.
        suffix: The file's suffix, without the dot.
    """

    stem: str
    word: str
    timestamp: str
    suffix: str


def checked_image_key(raw_key: str) -> str:
    """Return the key itself if a raw image may have it.

    Raises:
        UnsafeKey: It cannot be an identity, or is so long that its item could not be named.
        PermanentError: `unsupported_name`: it does not end in .tif or .tiff; `reserved_name`: it lies in a folder of the platform.
    """
    checked_object_key(raw_key)
    if not raw_key.lower().endswith(_SUFFIXES):
        raise PermanentError(
            f"{shown(raw_key)} does not end in .tif or .tiff", code="unsupported_name", remedy="Convert the image to TIFF, or rename it."
        )
    if raw_key.partition("/")[0] in (stac.ROOT_FOLDER, _RECORDS_FOLDER):
        raise PermanentError(
            f"{shown(raw_key)} lies in a folder that the platform keeps for itself", code="reserved_name", remedy="Move the image."
        )
    product_key(raw_key, Product.THUMBNAIL)
    return raw_key


def item_id(raw_key: str) -> str:
    """Return the id of an image's item, which is its partition key."""
    return partition_key(raw_key)


def folder(raw_key: str) -> str:
    """Return the name of the folder catalogue that has an image's item."""
    path, slash, _ = raw_key.rpartition("/")
    return partition_key(path) if slash else NO_FOLDER


def item_key(raw_key: str, prefix: str = "") -> str:
    """Return the key of an image's item.

    Raises:
        UnsafeKey: It would be longer than a key may be.
    """
    return _fitting(raw_key, stac.item_key(prefix, COLLECTION, folder(raw_key), item_id(raw_key)))


def raw_key(item: str, prefix: str = "") -> str:
    """Return the key of the raw image whose item has this key.

    Raises:
        UnsafeKey: It is not the key of an item.
    """
    raw = object_key(item.rpartition("/")[2].removesuffix(".json"))
    if item_key(raw, prefix) != item:
        raise UnsafeKey(f"{shown(item)} is not the key of an item of imagery", remedy="Take the key from the catalogue.")
    return raw


def product_key(raw_key: str, product: Product, prefix: str = "") -> str:
    """Return the key of a product of an image.

    Raises:
        UnsafeKey: It would be longer than a key may be.
    """
    if product is Product.COG:
        return _fitting(raw_key, prefix + raw_key)
    if product is Product.JPEG:
        return _fitting(raw_key, prefix + jpeg_key(raw_key))
    return _fitting(raw_key, item_key(raw_key, prefix).removesuffix(".json") + ".thumb.jpg")


def jpeg_key(raw_key: str) -> str:
    """Return the key of an image's JPEG under the output prefix: only the last suffix is replaced."""
    return raw_key.rpartition(".")[0] + ".jpg"


def manifest_stem(key: str, pattern: str) -> str:
    """Return a manifest's key without the text that the pattern ends in: `a/test_raw.csv` with `*raw.csv` gives `a/test_`."""
    return key.removesuffix(pattern.rpartition("*")[2])


def outcome_key(stem: str, word: str, timestamp: str, suffix: str = "csv") -> str:
    """Return the key of a manifest's result, such as `a/test_processed-20260401-101500.csv`."""
    return f"{stem}{word}-{timestamp}.{suffix}"


def parse_outcome_key(key: str) -> OutcomeName | None:
    """Return the parts of the key of a manifest's result, or None when it is none."""
    match = _OUTCOME.fullmatch(key)
    return OutcomeName(**match.groupdict()) if match else None


def timestamp(moment: datetime) -> str:
    """Return a moment as it stands in keys, in UTC: `20260401-101500`."""
    return moment.astimezone(UTC).strftime("%Y%m%d-%H%M%S")


def timestamp_of(epoch_s: float) -> str:
    """Return seconds since the epoch as they stand in keys."""
    return timestamp(datetime.fromtimestamp(epoch_s, UTC))


def _fitting(raw_key: str, key: str) -> str:
    size = len(key.encode())
    if size > _MAX_KEY_BYTES:
        raise UnsafeKey(f"{shown(raw_key)}: the key {shown(key, 40)} made from it would have {size} bytes; S3 allows {_MAX_KEY_BYTES}")
    return key
