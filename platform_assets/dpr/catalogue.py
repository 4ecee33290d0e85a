"""The embedded catalogue: STAC items in memory, read from a folder, and answers that are remembered."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from platform_assets.common.errors import MissingInput
from platform_assets.dpr import cql2
from platform_assets.dpr.auxiliary import Catalogue
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import InvalidItem, quoted
from platform_assets.dpr.items import Item
from platform_assets.dpr.model import Source


class ItemCatalogue:
    """Items by collection; answers searches as a STAC API does.

    Raises:
        InvalidItem: An item has no id, no collection or no properties.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: dict[str, dict[str, Item]] = {}
        for item in items:
            identifier, collection = item.get("id"), item.get("collection")
            if not isinstance(identifier, str) or not isinstance(item.get("properties"), dict):
                raise InvalidItem(f"the STAC item {quoted(identifier)} has no id, or no properties")
            if not isinstance(collection, str):
                raise InvalidItem(f"the STAC item {quoted(identifier)} names no collection", remedy="Give the item its `collection`.")
            self._items.setdefault(collection, {})[identifier] = item

    @property
    def collections(self) -> dict[str, int]:
        """How many items each collection has."""
        return {name: len(items) for name, items in self._items.items()}

    def search(self, collection: str, search: Search, place: str, **_: Any) -> Sequence[Item]:
        """Return the items of a collection that a search finds, in its order."""
        return cql2.select(self._items.get(collection, {}).values(), search, place)

    def item(self, collection: str, item_id: str) -> Item | None:
        """Return an item, or None when there is none."""
        return self._items.get(collection, {}).get(item_id)


class Remembering:
    """A catalogue that is asked the same only once: units share auxiliary files."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._answers: dict[str, Sequence[Item]] = {}

    def search(
        self,
        collection: str,
        search: Search,
        place: str,
        *,
        source: Source = Source.CATALOG,
        timeout_s: float | None = None,
        assets: Sequence[str] | None = None,
    ) -> Sequence[Item]:
        """Return the items of a collection that a search finds, in its order."""
        order = [dict(row) for row in search.sortby]
        question = json.dumps([collection, source, assets, search.filter, order, search.limit], sort_keys=True)
        if question not in self._answers:
            self._answers[question] = self._catalogue.search(collection, search, place, source=source, timeout_s=timeout_s, assets=assets)
        return self._answers[question]

    def item(self, collection: str, item_id: str) -> Item | None:
        """Return an item, or None when there is none."""
        return self._catalogue.item(collection, item_id)


def read_folder(folder: Path) -> ItemCatalogue:
    """Return the catalogue of all items in a folder and those below: Features and FeatureCollections in `*.json`.

    Other JSON documents are passed over. Relative addresses of assets are those of the file that has them.

    Raises:
        MissingInput: There is no such folder, or no item in it.
        InvalidItem: A file is no JSON, or an item lacks its id, collection or properties.
    """
    if not folder.is_dir():
        raise MissingInput(f"{folder} is no folder", remedy="Give a folder of STAC items, or the address of a STAC API.")
    catalogue = ItemCatalogue(item for path in sorted(folder.rglob("*.json")) for item in _read(path))
    if not catalogue.collections:
        raise MissingInput(f"{folder} has no STAC item in it", remedy="Give a folder that has STAC items in files *.json.")
    return catalogue


def _read(path: Path) -> Iterable[Item]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidItem(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict):
        return
    features = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    for feature in features if isinstance(features, list) else []:
        if isinstance(feature, dict) and feature.get("type") == "Feature":
            yield _placed(feature, path)


def _placed(item: dict[str, Any], path: Path) -> Item:
    assets = item.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if isinstance(href, str) and "://" not in href and not href.startswith("/"):
            asset["href"] = str((path.parent / href).resolve())
    return item
