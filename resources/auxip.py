"""Stations that have auxiliary files, as clients see them: STAC APIs, and OData as AUXIP and PRIP speak it.

Clients travel to Dask workers without any secret: a worker looks the references up when it asks the station.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr import auxip, cql2, odata
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.items import Item
from platform_assets.dpr.model import Source
from platform_assets.dpr.staging import Station
from platform_assets.dpr.stations import StationConfig
from platform_assets.dpr.transfer import Expected, StationRefused
from resources.http_files import HttpFiles, Retries
from resources.station_login import login

_MAX_ITEMS = 10_000
_PAGE_ITEMS = 100
_FEWEST_ITEMS = 10  # asked for: what a station finds and we do not, such as at the very end of an interval, is made up for


@dataclass(frozen=True)
class _Client:
    """A station.

    Attributes:
        config: What the document of stations says of it.
        secrets: What references stand for; looked up when the station is asked.
    """

    config: StationConfig
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """What messages and items call it."""
        return self.config.name

    def files(self, url: str = "") -> HttpFiles:
        """Return the way to it, or to a file on one of its servers, with credentials."""
        retries = Retries(self.config.retries.attempts, self.config.retries.pause_s)
        server = next((server for server in self.config.file_urls if _server(server) == _server(url)), self.config.url)
        return HttpFiles(server, login(self.config, self.secrets), retries)

    def fetch(self, href: str, path: Path, expected: Expected) -> None:
        """Write a file that is whole and as expected."""
        self.files(href).download(href, path, expected)


class StacStation(_Client):
    """A station that is a STAC API with the filter extension."""

    def search(self, search: Search, place: str, *, timeout_s: float | None) -> Sequence[Item]:
        """Return the items that a search finds, in its order; at most 10,000.

        Raises:
            StationUnavailable: The station does not answer.
            StationTimeout: It does not answer in time.
            StationRefused: It refuses, or is no STAC API.
            ConfigurationError: It does not filter.
            InvalidQuery: The search cannot be computed.
        """
        prepared, files, until = cql2.executable(search, place), self.files(), _until(timeout_s)
        if prepared is not None and not _filters(files, until):
            raise ConfigurationError(
                f"the station {self.name} does not filter with CQL2", remedy="Give a STAC API with the filter extension."
            )
        body = {
            "limit": min(search.limit or _PAGE_ITEMS, _PAGE_ITEMS),
            **({"filter": prepared, "filter-lang": "cql2-json"} if prepared is not None else {}),
            **({"sortby": [dict(row) for row in search.sortby]} if search.sortby else {}),
            **({"collections": list(self.config.collections)} if self.config.collections else {}),
        }
        items = _distinct(_features(files, f"{self.config.url}/search", body, until))
        return _chosen(items, search, search.limit, place)


class ODataStation(_Client):
    """A station that speaks OData, as the interface documents of AUXIP and PRIP have it."""

    def search(self, search: Search, place: str, *, timeout_s: float | None) -> Sequence[Item]:
        """Return the items of the products that a search finds, in its order; at most 10,000.

        Raises:
            StationUnavailable: The station does not answer.
            StationTimeout: It does not answer in time.
            StationRefused: It refuses, or answers otherwise than OData does.
            InvalidQuery: The search cannot be computed, or not be said in OData.
            InvalidItem: A product lacks its name or its dates.
        """
        order = auxip.orderby(search)
        limit = search.limit if order else None
        most = min(max(limit or _PAGE_ITEMS, _FEWEST_ITEMS), _PAGE_ITEMS)
        wanted = odata.options(filter_text=auxip.filter_text(search, place), expand="Attributes", orderby=order or "")
        rows = _rows(self.files(), f"{self.config.url}/Products", wanted, most, _until(timeout_s))
        items = (auxip.item_of(row, f"{self.config.url}/Products({odata.identifier(row)})/$value", self.name) for row in rows)
        return _chosen(_distinct(items), search, limit, place)


def station_client(config: StationConfig, secrets: Mapping[str, str]) -> Station:
    """Return the client of a station of auxiliary files; nothing is asked of it yet.

    Args:
        config: The station.
        secrets: What references stand for; looked up when the station is asked.
    """
    return StacStation(config, secrets) if config.protocol == "stac" else ODataStation(config, secrets)


def station_clients(configs: Sequence[StationConfig], secrets: Mapping[str, str]) -> Mapping[Source, tuple[Station, ...]]:
    """Return the clients of all stations that auxiliary files come from, by source, in their order."""
    found: dict[Source, tuple[Station, ...]] = {}
    for config in configs:
        if config.source is not Source.CADIP:
            found[config.source] = (*found.get(config.source, ()), station_client(config, secrets))
    return found


def _distinct(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, each once and 10,000 at most: what is published meanwhile shifts the pages."""
    seen: set[str] = set()
    for item in islice(items, _MAX_ITEMS):
        if (identifier := str(item.get("id"))) not in seen:
            seen.add(identifier)
            yield item


def _chosen(items: Iterable[Item], search: Search, limit: int | None, place: str) -> Sequence[Item]:
    """Return the items that were searched for, whatever the station understood; no more are read than the limit asks for."""
    matching = (item for item in items if cql2.select([item], Search(search.filter), place))
    return cql2.select(islice(matching, limit), search, place)


def _server(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _until(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _filters(files: HttpFiles, until: float | None) -> bool:
    """Whether a STAC API says that it filters; one that does is asked once a process."""
    url = files.origin_url
    if url not in _filtering:
        page = files.get_json(url, until=until)
        listed = page.get("conformsTo") if isinstance(page, dict) else None
        if not isinstance(listed, list):
            raise StationRefused(f"{url} is no STAC API: its landing page has no `conformsTo`", remedy="Correct the station's address.")
        if any(str(entry).endswith(("#filter", "/filter")) for entry in listed):
            _filtering.add(url)
    return url in _filtering


_filtering: set[str] = set()


def _features(files: HttpFiles, url: str, body: Mapping[str, Any], until: float | None) -> Iterator[Item]:
    """Yield the items that a search finds, page by page."""
    page = files.post_json(url, body, until=until)
    while True:
        features = page.get("features") if isinstance(page, dict) else None
        if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
            raise StationRefused(f"{url} answers a search with something that is no STAC: there is no list `features`")
        yield from features
        link = next((row for row in page.get("links") or () if isinstance(row, dict) and row.get("rel") == "next"), None)
        if not link or not features:
            return
        href = urljoin(url, str(link.get("href", "")))
        if str(link.get("method", "GET")).upper() == "POST":
            more = link.get("body") or {}
            page = files.post_json(href, {**body, **more} if link.get("merge") else more, until=until)
        else:
            page = files.get_json(href, until=until)


def _rows(files: HttpFiles, url: str, wanted: Mapping[str, str], most: int, until: float | None) -> Iterator[odata.Row]:
    """Yield the entities that a query finds, page by page: as the station cuts them, else as they are asked for."""
    skip = 0
    while True:
        asked, address, count = {**wanted, **odata.options(top=most, skip=skip or None)}, url, 0
        while address:
            page = files.get_json(address, asked, until=until)
            rows = odata.rows(page, url)
            yield from rows
            count += len(rows)
            address, asked = (odata.next_page(page, address) or "") if rows else "", {}
        if count < most:
            return
        skip += count
