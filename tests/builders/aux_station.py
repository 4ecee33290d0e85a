"""A station of auxiliary files in memory: items, their files, and what goes wrong."""

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_assets.dpr import cql2
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.items import Item
from platform_assets.dpr.transfer import CorruptTransfer, Expected, FileGone, StationUnavailable
from tests.builders.dpr import auxiliary


def aux_item(name: str, files: Mapping[str, bytes], product_type: str = "ORB", **properties: Any) -> dict[str, Any]:
    """Return the item of some files; each is an asset of its own name."""
    assets = {
        file: {
            "href": f"https://station/{name}/{file}?signature=s3cret",
            "type": "application/xml",
            "file:size": len(content),
            "file:checksum": "1220" + hashlib.sha256(content).hexdigest(),
        }
        for file, content in files.items()
    }
    links = [{"rel": "self", "href": f"https://station/items/{name}?token=s3cret"}, {"rel": "root", "href": "https://station"}]
    return auxiliary(name, "theirs", product_type, **properties) | {"assets": assets, "links": links}


class AuxStation:
    """A station.

    Attributes:
        fetched: The addresses that were fetched, in order.
        searches: How often it was asked.
        failing: Parts of addresses of which fetching fails, and how.
        is_down: Whether it does not answer searches.
        slow_s: How long fetching takes.
    """

    name = "adgs"

    def __init__(self, *files: tuple[dict[str, Any], Mapping[str, bytes]]) -> None:
        self.fetched: list[str] = []
        self.searches = 0
        self.failing: dict[str, Exception] = {}
        self.is_down = False
        self.slow_s = 0.0
        self._lock = threading.Lock()
        self.items: list[Item] = []
        self._content: dict[str, bytes] = {}
        for item, contents in files:
            self.add(item, contents)

    def add(self, item: dict[str, Any], contents: Mapping[str, bytes]) -> None:
        self.items = [there for there in self.items if there["id"] != item["id"]] + [item]
        self._content |= {item["assets"][name]["href"]: content for name, content in contents.items()}

    def search(self, search: Search, place: str, *, timeout_s: float | None) -> Sequence[Item]:
        del timeout_s
        self.searches += 1
        if self.is_down:
            raise StationUnavailable(f"{self.name} does not answer")
        return cql2.select(self.items, search, place)

    def fetch(self, href: str, path: Path, expected: Expected) -> None:
        with self._lock:
            self.fetched.append(href)
        time.sleep(self.slow_s)
        for part, error in self.failing.items():
            if part in href:
                raise error
        if href not in self._content:
            raise FileGone(f"{href} answers 404")
        path.write_bytes(self._content[href])
        if problem := expected.problem(path):
            raise CorruptTransfer(f"{href}: {problem}")


def one(name: str = "ORB_1.EOF", content: bytes = b"orbit", **properties: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return an item of one file of its name, and the file."""
    files = {name: content}
    return aux_item(name, files, **properties), files
