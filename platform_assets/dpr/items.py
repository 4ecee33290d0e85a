"""What is needed of STAC items: where they lie."""

import posixpath
from collections.abc import Mapping
from typing import Any

from platform_assets.dpr.errors import InvalidItem, quoted

Item = Mapping[str, Any]
"""A STAC item, as JSON."""

ZARR = "application/vnd+zarr"
"""The media type of assets that are folders themselves."""


def first_asset(item: Item) -> Mapping[str, Any]:
    """Return the first asset of an item.

    Raises:
        InvalidItem: It has none.
    """
    assets = item.get("assets")
    first = next(iter(assets.values()), None) if isinstance(assets, Mapping) else None
    if not isinstance(first, Mapping) or not isinstance(first.get("href"), str):
        raise InvalidItem(f"the STAC item {quoted(item.get('id'))} has no asset with an href")
    return first


def location(item: Item) -> str:
    """Return where the first asset of an item lies.

    Raises:
        InvalidItem: It has none.
    """
    return str(first_asset(item)["href"]).rstrip("/")


def input_path(item: Item) -> str:
    """Return the folder of an item's first asset, or the asset itself if it is a Zarr store.

    Raises:
        InvalidItem: It has no asset.
    """
    href = location(item)
    return href if first_asset(item).get("type") == ZARR else posixpath.dirname(href)
