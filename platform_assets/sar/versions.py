"""Processings of the same data: the newest wins, and each says which came before and after it.

Every item stays. The older ones are marked as deprecated and point to their successor, as STAC's version extension has it.
"""

import json
from typing import Any

from platform_assets.common.errors import MissingInput
from platform_assets.common.stac import GEOJSON, relative_href, to_json
from platform_assets.common.store import Bucket
from platform_assets.sar import naming
from platform_assets.sar.naming import ProductName

_ITEM_BYTES = 16 << 20
_TRIES = 20
_RELS = ("predecessor-version", "successor-version", "latest-version")

Item = dict[str, Any]


def link_versions(bucket: Bucket, prefix: str, product: ProductName) -> None:
    """Link the items of all processings of a product's data, in the order in which they were processed; can be done again.

    Args:
        bucket: The output bucket.
        prefix: The output prefix.
        product: One of them.
    """
    shelf = naming.item_key(product, prefix).rpartition("/")[0]
    keys = [ref.key for ref in bucket.list(f"{shelf}/{product.data_take_key}_") if ref.key.endswith(".json")]
    items = {key: item for key in keys if (item := _read(bucket, key)[0]) is not None}
    if len(items) < 2:
        return
    order = sorted(items, key=lambda key: (items[key]["properties"]["version"], key))
    for number, key in enumerate(order):
        before = order[number - 1] if number else None
        after = order[number + 1] if number + 1 < len(order) else None
        _update(bucket, key, before, after, order[-1])


def _update(bucket: Bucket, key: str, before: str | None, after: str | None, newest: str) -> None:
    for _ in range(_TRIES):
        item, etag = _read(bucket, key)
        if item is None:
            return
        linked = _linked(item, key, before, after, newest)
        if linked == item or bucket.replace(key, to_json(linked), etag=etag, content_type=GEOJSON):
            return


def _linked(item: Item, key: str, before: str | None, after: str | None, newest: str) -> Item:
    wanted = dict(zip(_RELS, (before, after, newest if after else None), strict=True))
    links = [link for link in item["links"] if link["rel"] not in _RELS] + [
        {"rel": rel, "href": relative_href(key, other), "type": GEOJSON, "title": other.rpartition("/")[2].removesuffix(".json")}
        for rel, other in wanted.items()
        if other
    ]
    return item | {"links": links, "properties": item["properties"] | {"deprecated": after is not None}}


def _read(bucket: Bucket, key: str) -> tuple[Item | None, str]:
    try:
        data, ref = bucket.read(key, limit_bytes=_ITEM_BYTES)
    except MissingInput:
        return None, ""
    return json.loads(data), ref.etag
