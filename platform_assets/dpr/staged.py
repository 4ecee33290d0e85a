"""Auxiliary files as they lie in the output bucket: which are wanted of a station's item, and what their items say of them."""

import mimetypes
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from platform_assets.common import published, stac
from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import UnsafeKey
from platform_assets.common.store import Bucket
from platform_assets.dpr import archives, naming
from platform_assets.dpr.archives import BrokenArchive, Unpacked
from platform_assets.dpr.errors import InvalidItem, choice, quoted
from platform_assets.dpr.items import ZARR, Item
from platform_assets.dpr.transfer import Checksum, Expected

ORIGIN = "groundtrack:origin"
"""Of an asset: what the station announced, and the key of the object that shows that it is there."""

ETAG = "groundtrack:etag"
STATION = "groundtrack:station"

_ALGORITHM = 4
"""Characters of a multihash in hexadecimal that tell its algorithm."""

_OCTETS = "application/octet-stream"
_OF_THE_STATION = {"href", "alternate", "auth:refs", "storage:refs"}

Asset = Mapping[str, Any]
"""An asset of an item, as JSON."""


class MissingAsset(PermanentError):
    """An item of a station has no such asset."""

    code = "missing_asset"
    remedy = "Correct `selected_assets` of the request."


@dataclass(frozen=True, slots=True)
class Wanted:
    """An asset of a station's item.

    Attributes:
        asset: The asset.
        name: Its name there.
        file_name: What its file is called in the bucket.
    """

    asset: Asset
    name: str
    file_name: str

    @property
    def href(self) -> str:
        """Where it lies."""
        return str(self.asset["href"])

    @property
    def expected(self) -> Expected:
        """What the station announces."""
        size, checksum = self.asset.get("file:size"), self.asset.get("file:checksum")
        return Expected(size if isinstance(size, int) else None, Checksum.of_multihash(checksum) if isinstance(checksum, str) else None)

    @property
    def announced(self) -> Mapping[str, Any]:
        """What tells this content from another."""
        return {"name": self.name, "size": self.asset.get("file:size"), "checksum": self.asset.get("file:checksum")}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of an item go.

    Attributes:
        bucket: The output bucket.
        prefix: The output prefix.
        collection: The item's collection.
        item_id: The item.
    """

    bucket: Bucket
    prefix: str
    collection: str
    item_id: str

    def key(self, path: str) -> str:
        """Return the key of a file of the item."""
        return naming.adf_key(self.collection, self.item_id, path, self.prefix)


def wanted(item: Item, assets: Sequence[str] | None) -> Mapping[str, Wanted]:
    """Return the assets that are wanted of an item, in its order.

    Args:
        item: A station's item.
        assets: Their names; None for all.

    Raises:
        InvalidItem: The item has no asset with an address.
        MissingAsset: It has none of that name.
    """
    item_id, there = item.get("id"), item.get("assets") or {}
    named = {name: asset for name, asset in there.items() if isinstance(asset, Mapping) and isinstance(asset.get("href"), str)}
    if not isinstance(item_id, str) or not isinstance(item.get("properties"), Mapping) or not named:
        raise InvalidItem(f"the STAC item {quoted(item_id)} has no id, no properties, or no asset with an href", remedy="Tell the station.")
    if missing := set(assets or ()) - set(named):
        raise MissingAsset(f"the item {quoted(item_id)} has no asset {quoted(min(missing))}; {choice('assets', named)}")
    names = _file_names(item_id, named)
    return {name: Wanted(asset, name, names[name]) for name, asset in named.items() if assets is None or name in assets}


def is_foreign(item: Item) -> bool:
    """Whether an item of the catalogue was not staged by us but put there by somebody."""
    return STATION not in item["properties"]


def matching(assets: Mapping[str, Asset], asked: Mapping[str, Wanted]) -> Mapping[str, Asset] | None:
    """Return those assets of a staged item that are what is wanted, in its order; None when one is not there or another one."""
    by_name = {asset[ORIGIN]["name"]: (name, asset) for name, asset in assets.items() if ORIGIN in asset}
    found: dict[str, Asset] = {}
    for one in asked.values():
        name, asset = by_name.get(one.name, ("", {}))
        if not name or _is_other(asset[ORIGIN], one.announced):
            return None
        found[name] = asset
    return found


def _is_other(origin: Mapping[str, Any], announced: Mapping[str, Any]) -> bool:
    """Whether a station announces another content than was fetched; stations that tell less, or other checksums, do not."""
    size, checksum = ((origin[key], announced[key]) for key in ("size", "checksum"))
    alike = None not in checksum and checksum[0][:_ALGORITHM] == checksum[1][:_ALGORITHM]
    return (None not in size and size[0] != size[1]) or (alike and checksum[0] != checksum[1])


def upload(place: Place, wanted: Wanted, path: Path) -> Asset:
    """Upload a file and return its asset.

    Raises:
        UnsafeKey: It has no safe name.
    """
    media_type = str(wanted.asset.get("type") or _OCTETS)
    stored = published.publish(place.bucket, path, place.key(wanted.file_name), media_type, {}, place.item_id)
    return _asset(place, wanted, stored, stored.key, media_type)


def upload_unpacked(place: Place, wanted: Wanted, unpacked: Unpacked) -> Asset:
    """Upload what was in an archive, in the place of the archive, and return the asset.

    As in the Reference System its address is that of the largest file; of a Zarr store it is the folder.

    Raises:
        BrokenArchive: There was nothing in it.
        UnsafeKey: A file has no safe name.
    """
    if not unpacked.main:
        raise BrokenArchive(f"{wanted.file_name} has no file in it")
    folder = archives.stripped(wanted.file_name)
    files = {place.key(f"{folder}/{path}"): unpacked.root / path for path in unpacked.files}
    main = place.key(f"{folder}/{unpacked.main}")
    details = {"archive": wanted.file_name, "files": len(files), "skipped": list(unpacked.skipped)[:100]}
    uploaded = {
        key: published.publish(place.bucket, path, key, _media_type(path.name), details, place.item_id) for key, path in files.items()
    }
    for ref in list(place.bucket.list(place.key(folder) + "/")):
        if ref.key not in files:
            place.bucket.delete(ref.key)
    if folder.lower().endswith(".zarr"):
        return _asset(place, wanted, uploaded[main], place.key(folder), ZARR)
    return _asset(place, wanted, uploaded[main], main, _media_type(unpacked.main))


def document(item: Item, collection: str, key: str, assets: Mapping[str, Asset], station: str) -> dict[str, Any]:
    """Return the item of files that are in the bucket.

    Args:
        item: The station's item.
        collection: The collection that it becomes an item of.
        key: Its key.
        assets: Its assets, as `upload` and `upload_unpacked` return them.
        station: The station's name.
    """
    properties = {**item["properties"], STATION: station}
    properties.setdefault("datetime", properties.get("start_datetime") or properties.get("created"))
    order = {name: number for number, name in enumerate(item["assets"])}
    ranked = sorted(assets.items(), key=lambda pair: order.get(pair[1][ORIGIN]["name"], len(order)))
    optional = {"bbox": item["bbox"]} if item.get("bbox") else {}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted({*item.get("stac_extensions", ()), stac.FILE_EXTENSION}),
        "id": item["id"],
        "collection": collection,
        "geometry": item.get("geometry"),
        **optional,
        "properties": properties,
        "links": [*_LINKS, *_sources(item, station)],
        "assets": {name: _here(asset, key) for name, asset in ranked},
    }


_LINKS = (
    {"rel": "root", "href": "../../catalog.json", "type": stac.JSON},
    {"rel": "collection", "href": "../collection.json", "type": stac.JSON},
    {"rel": "parent", "href": "./catalog.json", "type": stac.JSON},
)


def _sources(item: Item, station: str) -> list[dict[str, str]]:
    """Return where the item was found, without the query of its address, which may hold a signature."""
    links = [link for link in item.get("links") or () if isinstance(link, Mapping) and link.get("rel") == "self"]
    return [{"rel": "via", "href": str(link.get("href", "")).partition("?")[0], "title": station} for link in links[:1]]


def _here(asset: Asset, key: str) -> dict[str, Any]:
    """Return an asset whose address is relative to its item."""
    return {**asset, "href": stac.relative_href(key, str(asset["href"]).partition("://")[2].partition("/")[2])}


def _asset(place: Place, wanted: Wanted, stored: published.PublishedAsset, key: str, media_type: str) -> Asset:
    told = {name: value for name, value in wanted.asset.items() if name not in _OF_THE_STATION}
    origin = {**wanted.announced, "key": stored.key}
    return {"href": f"s3://{place.bucket.name}/{key}", "roles": ["data"], **told, "type": media_type, **stored.fields(), ORIGIN: origin}


def _file_names(item_id: str, assets: Mapping[str, Asset]) -> Mapping[str, str]:
    """Return what the files of an item are called; none twice."""
    names: dict[str, str] = {}
    for number, (name, asset) in enumerate(assets.items()):
        candidates = (name, posixpath.basename(unquote(urlsplit(str(asset["href"])).path)), item_id)
        chosen = next((candidate for candidate in candidates if "." in candidate and _is_safe(candidate)), item_id)
        names[name] = chosen if chosen not in names.values() else f"{number}-{chosen}"
    return names


def _is_safe(name: str) -> bool:
    try:
        return bool(naming.check_name(name, "the file"))
    except UnsafeKey:
        return False


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or _OCTETS
