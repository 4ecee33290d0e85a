"""The static catalogue on the bucket: item links, extents, collections, root.

The items are the truth. A folder's links are what a listing of the folder shows; extents are widened by what was just
published, and computed anew by `rebuild`. Every document is replaced by compare-and-swap: its version is read before the
items are listed, so that of two writers the one that knew less loses, and looks again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from platform_assets.common import stac
from platform_assets.common.errors import MissingInput, TransientError
from platform_assets.common.keys import UnsafeKey, object_key
from platform_assets.common.stac import CollectionInfo
from platform_assets.common.store import Bucket

_ROOT_ID = "groundtrack"
_ROOT_TITLE = "Groundtrack"
_EXTENT = "groundtrack:extent"
_LIMIT_BYTES = 1 << 30
_PARALLEL_READS = 16
_TRIES = 50  # every lost one means that another writer got through

Document = dict[str, Any]
Bbox = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Extent:
    """Where and when items are.

    Attributes:
        bbox: West, south, east, north; west is greater than east across the antimeridian; None when nowhere is known.
        interval: Start and end in UTC, as ISO 8601; None when no time is known.
    """

    bbox: Bbox | None = None
    interval: tuple[str, str] | None = None

    def __or__(self, other: "Extent") -> "Extent":
        """Return the extent of both."""
        boxes = [bbox for bbox in (self.bbox, other.bbox) if bbox]
        times = [interval for interval in (self.interval, other.interval) if interval]
        return Extent(
            _bbox_of(boxes) if boxes else None,
            _interval_of(times) if times else None,
        )


def extent_of(item: Mapping[str, Any]) -> Extent:
    """Return the extent of one item; elevations are left out."""
    bbox, properties = item.get("bbox"), item["properties"]
    half = len(bbox) // 2 if bbox else 0
    start = properties.get("start_datetime") or properties["datetime"]
    end = properties.get("end_datetime") or properties["datetime"]
    return Extent((bbox[0], bbox[1], bbox[half], bbox[half + 1]) if bbox else None, (start, end))


def publish_folders(bucket: Bucket, prefix: str, info: CollectionInfo, folders: Mapping[str, Extent]) -> None:
    """Bring the catalogue up to date after items were written.

    Doing it twice changes nothing; two at once lose no link.

    Args:
        bucket: The output bucket.
        prefix: The output prefix.
        info: The collection.
        folders: The folders that have new items, each with the extent of those.

    Raises:
        StoreUnavailable: The store cannot answer; nothing is half-written and it can be done again.
    """
    for folder, extent in folders.items():
        _update(bucket, stac.folder_key(prefix, info.id, folder), _FolderUpdate(bucket, prefix, info, folder, extent))
    new = reduce(Extent.__or__, folders.values(), Extent())

    def widened(there: Document | None) -> Document:
        return _collection(info, {*_children(there), *folders}, _stored_extent(there) | new)

    _update(bucket, stac.collection_key(prefix, info.id), widened)
    _publish_root(bucket, prefix, info)


def rebuild(bucket: Bucket, prefix: str, info: CollectionInfo) -> int:
    """Compute a collection's catalogue anew from its items alone, and return their number.

    Args:
        bucket: The output bucket.
        prefix: The output prefix.
        info: The collection.

    Raises:
        StoreUnavailable: The store cannot answer; it can be done again.
    """
    for folder in _folders(bucket, prefix, info):
        _update(bucket, stac.folder_key(prefix, info.id, folder), _FolderUpdate(bucket, prefix, info, folder, None))
    items = 0

    def computed(_there: Document | None) -> Document:
        nonlocal items
        items, children, extent = 0, set(), Extent()
        for folder in _folders(bucket, prefix, info):
            catalog, _ = _read(bucket, stac.folder_key(prefix, info.id, folder))
            if found := sum(link["rel"] == "item" for link in (catalog or {}).get("links", [])):
                items += found
                children.add(folder)
                extent |= _stored_extent(catalog)
        return _collection(info, children, extent)

    _update(bucket, stac.collection_key(prefix, info.id), computed)
    _publish_root(bucket, prefix, info)
    return items


def _publish_root(bucket: Bucket, prefix: str, info: CollectionInfo) -> None:
    _update(bucket, stac.root_key(prefix), lambda there: _root({**_titles(there), info.id: info.title}))


# --- compare and swap ---------------------------------------------------------------------------------------------------


def _update(bucket: Bucket, key: str, change: Callable[[Document | None], Document]) -> None:
    for _ in range(_TRIES):
        there, etag = _read(bucket, key)
        wanted = change(there)
        if wanted == there:
            return
        data = stac.to_json(wanted)
        if etag is None:
            done = bucket.create(key, data, content_type=stac.JSON)
        else:
            done = bucket.replace(key, data, etag=etag, content_type=stac.JSON) is not None
        if done:
            return
    raise TransientError(f"s3://{bucket.name}/{key}: {_TRIES} other writers were faster", code="catalog_contention")


def _read(bucket: Bucket, key: str) -> tuple[Document | None, str | None]:
    """Return a document and its version; a document that is not one is as good as none, and is replaced."""
    try:
        data, ref = bucket.read(key, limit_bytes=_LIMIT_BYTES)
    except MissingInput:
        return None, None
    try:
        document = json.loads(data)
    except ValueError:
        return None, ref.etag
    return (document if isinstance(document, dict) else None), ref.etag


# --- what there is ------------------------------------------------------------------------------------------------------


def _item_keys(bucket: Bucket, prefix: str, info: CollectionInfo, folder: str) -> Iterator[str]:
    catalog = stac.folder_key(prefix, info.id, folder)
    for ref in bucket.list(catalog.removesuffix("catalog.json")):
        if ref.key.endswith(".json") and ref.key != catalog:
            yield ref.key


def _folders(bucket: Bucket, prefix: str, info: CollectionInfo) -> list[str]:
    """Return the names of all folders, by one page of listing a folder."""
    base = stac.collection_key(prefix, info.id).removesuffix("collection.json")
    found: list[str] = []
    after = ""
    while ref := next(iter(bucket.list(base, start_after=after)), None):
        folder, slash, _ = ref.key.removeprefix(base).partition("/")
        if slash:
            found.append(folder)
        # The character after the slash: where the next folder's keys begin at the earliest.
        after = f"{base}{folder}0" if slash else ref.key
    return found


def _exact_extent(bucket: Bucket, keys: Iterable[str]) -> Extent:
    def one(key: str) -> Extent:
        item, _ = _read(bucket, key)
        return extent_of(item) if item else Extent()

    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        return reduce(Extent.__or__, pool.map(one, keys), Extent())


def _stored_extent(document: Document | None) -> Extent:
    stored = (document or {}).get(_EXTENT) or {}
    bbox, interval = stored.get("bbox"), stored.get("interval")
    return Extent(tuple(bbox) if bbox else None, tuple(interval) if interval else None)


def _children(document: Document | None) -> set[str]:
    links = (document or {}).get("links", [])
    return {link["href"].split("/")[1] for link in links if link["rel"] == "child"}


def _titles(root: Document | None) -> dict[str, str]:
    return {link["href"].split("/")[1]: link.get("title", "") for link in (root or {}).get("links", []) if link["rel"] == "child"}


# --- documents ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _FolderUpdate:
    """The catalogue of a folder as it should be now.

    Attributes:
        bucket: The output bucket.
        prefix: The output prefix.
        info: The collection.
        folder: The folder.
        new: What widens its extent; None to compute the extent anew from all items.
    """

    bucket: Bucket
    prefix: str
    info: CollectionInfo
    folder: str
    new: Extent | None

    def __call__(self, there: Document | None) -> Document:
        keys = list(_item_keys(self.bucket, self.prefix, self.info, self.folder))
        extent = _exact_extent(self.bucket, keys) if self.new is None else _stored_extent(there) | self.new
        title = _folder_title(self.folder)
        return {
            "type": "Catalog",
            "stac_version": "1.1.0",
            "id": f"{self.info.id}-{self.folder}",
            "title": title,
            "description": f"Items of {self.info.title} in {title}",
            _EXTENT: _extent_field(extent),
            "links": [
                _link("root", "../../catalog.json"),
                _link("parent", "../collection.json", self.info.title),
                # Compact, as there may be 100,000: without type and title.
                *({"rel": "item", "href": f"./{key.rpartition('/')[2]}"} for key in keys),
            ],
        }


def _collection(info: CollectionInfo, folders: Iterable[str], extent: Extent) -> Document:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": info.id,
        "title": info.title,
        "description": info.description,
        "license": info.license,
        **({"keywords": list(info.keywords)} if info.keywords else {}),
        **({"providers": [dict(provider) for provider in info.providers]} if info.providers else {}),
        # STAC asks for a place; for items that have none it is everywhere.
        "extent": {
            "spatial": {"bbox": [list(extent.bbox or (-180.0, -90.0, 180.0, 90.0))]},
            "temporal": {"interval": [list(extent.interval or (None, None))]},
        },
        _EXTENT: _extent_field(extent),
        "links": [
            _link("root", "../catalog.json", _ROOT_TITLE),
            _link("parent", "../catalog.json", _ROOT_TITLE),
            *(_link("child", f"./{folder}/catalog.json", _folder_title(folder)) for folder in sorted(folders)),
        ],
    }


def _root(titles: Mapping[str, str]) -> Document:
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": _ROOT_ID,
        "title": _ROOT_TITLE,
        "description": "What this platform has produced.",
        "links": [
            _link("root", "./catalog.json", _ROOT_TITLE),
            *(_link("child", f"./{collection}/collection.json", title) for collection, title in sorted(titles.items())),
        ],
    }


def _link(rel: str, href: str, title: str = "") -> dict[str, str]:
    return {"rel": rel, "href": href, "type": stac.JSON} | ({"title": title} if title else {})


def _folder_title(folder: str) -> str:
    try:
        return object_key(folder)
    except UnsafeKey:
        return folder


def _extent_field(extent: Extent) -> dict[str, Any]:
    return {
        "bbox": list(extent.bbox) if extent.bbox else None,
        "interval": list(extent.interval) if extent.interval else None,
    }


def _interval_of(times: list[tuple[str, str]]) -> tuple[str, str]:
    return min((start for start, _ in times), key=datetime.fromisoformat), max((end for _, end in times), key=datetime.fromisoformat)


def _bbox_of(boxes: list[Bbox]) -> Bbox:
    """Return the box round boxes; it crosses the antimeridian only when one of them does."""
    south, north = min(bbox[1] for bbox in boxes), max(bbox[3] for bbox in boxes)
    if all(bbox[0] <= bbox[2] for bbox in boxes):
        return min(bbox[0] for bbox in boxes), south, max(bbox[2] for bbox in boxes), north
    west, east = reduce(_arc_round, ((bbox[0], bbox[2]) for bbox in boxes))
    return west, south, east, north


def _arc_round(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return the shortest arc of longitudes, from west to east, that holds two."""
    candidates = [(start, end) for start in (one[0], other[0]) for end in (one[1], other[1])]
    holding = [arc for arc in candidates if _holds(arc, one) and _holds(arc, other)]
    return min(holding, key=lambda arc: (arc[1] - arc[0]) % 360, default=(-180.0, 180.0))


def _holds(arc: tuple[float, float], part: tuple[float, float]) -> bool:
    if arc[1] - arc[0] >= 360:
        return True
    start, length = (part[0] - arc[0]) % 360, part[1] - part[0] if part[1] >= part[0] else part[1] - part[0] + 360
    return start + length <= (arc[1] - arc[0]) % 360 + 1e-9
