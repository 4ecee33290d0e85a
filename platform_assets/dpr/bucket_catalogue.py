"""The embedded catalogue of a deployment: the STAC items of all collections in the output bucket.

A process remembers items by their ETags, so that a search costs one listing, and searches at about the same time share it.
What is there is looked at anew before it is said that nothing is.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from platform_assets.common import stac
from platform_assets.common.errors import MissingInput
from platform_assets.common.store import Bucket
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import cql2, naming
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import InvalidItem
from platform_assets.dpr.items import Item

_LIMIT_BYTES = 32 << 20  # a session of 40 files has 40 kB
_PARALLEL_READS = 16
_FRESH_S = 2.0
_COLLECTIONS = 64
"""Collections that a process remembers, the last ones used."""


class BucketCatalogue:
    """The items of a deployment; picklable, so that it travels to Dask workers.

    Args:
        bucket: The output bucket.
        prefix: The output prefix.
    """

    def __init__(self, bucket: Bucket, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = prefix

    def search(self, collection: str, search: Search, place: str, **_: Any) -> Sequence[Item]:
        """Return the items of a collection that a search finds, in its order.

        Raises:
            StoreUnavailable: The store cannot answer.
            InvalidItem: An item of the collection is no item.
            InvalidQuery: The search cannot be computed.
            UnsafeKey: The collection has no safe name.
        """
        known = _known(self._bucket, self._prefix, collection)
        found = cql2.select(known.items(self._bucket, _FRESH_S), search, place)
        return found or cql2.select(known.items(self._bucket, 0.0), search, place)

    def item(self, collection: str, item_id: str) -> Item | None:
        """Return an item as it is at this moment, or None when there is none.

        Raises:
            StoreUnavailable: The store cannot answer.
            InvalidItem: It is no item.
            UnsafeKey: Collection or item have no safe name.
        """
        return _known(self._bucket, self._prefix, collection).item(self._bucket, naming.item_key(collection, item_id, self._prefix))


class _Known:
    """What this process knows of one collection. Buckets are given by each caller, whose credentials may be newer."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._items: dict[str, tuple[str, Item]] = {}
        self._listed_s = float("-inf")
        self._listing: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def items(self, bucket: Bucket, age_s: float) -> Sequence[Item]:
        """Return all items, by a listing of at most this age; one that began while it was waited for will do."""
        asked_s = time.monotonic()
        with self._lock:
            if self._listed_s < asked_s - age_s:
                began_s = time.monotonic()
                self._list(bucket)
                self._listed_s = began_s
            return [self._items[key][1] for key in self._listing if key in self._items]

    def item(self, bucket: Bucket, key: str) -> Item | None:
        known = self._items.get(key)
        ref = bucket.stat(key) if known else None
        if known and ref and ref.etag == known[0]:
            return known[1]
        read = _read(bucket, key)
        if read:
            self._items[key] = read
        return read[1] if read else None

    def _list(self, bucket: Bucket) -> None:
        refs = [ref for ref in bucket.list(self._prefix, ending=(".json",)) if not ref.key.endswith("/catalog.json")]
        news = [ref for ref in refs if (known := self._items.get(ref.key)) is None or known[0] != ref.etag]
        if news:
            with ThreadPoolExecutor(min(_PARALLEL_READS, len(news))) as pool:
                read = pool.map(lambda ref: _read(bucket, ref.key), news)
                self._items.update(_pairs(news, read))
        keys = {ref.key for ref in refs}
        for gone in self._items.keys() - keys:
            del self._items[gone]
        self._listing = tuple(keys)


def _pairs(refs: Sequence[ObjectRef], read: Any) -> Mapping[str, tuple[str, Item]]:
    return {ref.key: found for ref, found in zip(refs, read, strict=True) if found}


@lru_cache(_COLLECTIONS)
def _known(bucket: Bucket, prefix: str, collection: str) -> _Known:  # noqa: ARG001 - a key of the cache
    return _Known(naming.items_prefix(collection, prefix))


def _read(bucket: Bucket, key: str) -> tuple[str, Item] | None:
    """Return the ETag of an item and the item, or None when it is gone."""
    try:
        data, ref = bucket.read(key, limit_bytes=_LIMIT_BYTES)
    except MissingInput:
        return None
    try:
        item = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidItem(f"s3://{bucket.name}/{key} is no JSON: {error}") from error
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not isinstance(item.get("properties"), dict):
        raise InvalidItem(f"s3://{bucket.name}/{key} is no STAC item: it has no id, or no properties")
    return ref.etag, placed(item, bucket.name, key)


def placed(item: Mapping[str, Any], bucket: str, key: str) -> Item:
    """Return an item whose assets have the addresses that processors open, whatever the item is read from.

    Args:
        item: The item as it is stored; addresses may be relative to it.
        bucket: The bucket that it lies in.
        key: Its key.
    """
    assets = {name: {**asset, "href": _address(str(asset.get("href", "")), bucket, key)} for name, asset in item.get("assets", {}).items()}
    return {**item, "assets": assets}


def _address(href: str, bucket: str, key: str) -> str:
    if "://" in href:
        return href
    return f"s3://{bucket}/{stac.referenced_key(key, href)}{'/' if href.endswith('/') else ''}"
