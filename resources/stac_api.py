"""A STAC API as the catalogue that auxiliary files are searched in."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pystac_client import Client, ConformanceClasses
from pystac_client.exceptions import APIError
from requests import RequestException

from platform_assets.common.errors import ConfigurationError, TransientError
from platform_assets.dpr import cql2
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.items import Item

_TIMEOUT_S = (10, 60)
_MAX_ITEMS = 10_000


class StacApi:
    """A STAC API that has the filter extension.

    Args:
        url: Its landing page.

    Raises:
        ConfigurationError: The address has credentials in it, which would show in messages.
    """

    def __init__(self, url: str) -> None:
        if "@" in urlsplit(url).netloc:
            raise ConfigurationError("the address of the STAC API has credentials in it", remedy="Give the address without them.")
        self._url = url.rstrip("/")

    def search(self, collection: str, search: Search, place: str, **_: Any) -> Sequence[Item]:
        """Return the items of a collection that a search finds, in its order; at most 10,000.

        Raises:
            TransientError: The API does not answer.
            ConfigurationError: It does not filter.
            InvalidQuery: The search cannot be computed.
        """
        prepared = cql2.executable(search, place)
        with self._answering():
            if prepared is not None and not self._client.conforms_to(ConformanceClasses.FILTER):
                raise ConfigurationError(f"{self._url} does not filter with CQL2", remedy="Give a STAC API with the filter extension.")
            found = self._client.search(
                collections=[collection],
                filter=prepared,
                filter_lang="cql2-json" if prepared is not None else None,
                sortby=[dict(row) for row in search.sortby] or None,
                max_items=search.limit or _MAX_ITEMS,
                limit=min(search.limit or 100, 100),
            )
            return list(found.items_as_dicts())

    def item(self, collection: str, item_id: str) -> Item | None:
        """Return an item, or None when there is none.

        Raises:
            TransientError: The API does not answer.
        """
        with self._answering():
            found = self._client.search(collections=[collection], ids=[item_id], max_items=1)
            return next(iter(found.items_as_dicts()), None)

    @cached_property
    def _client(self) -> Client:
        return Client.open(self._url, timeout=_TIMEOUT_S)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                # pgSTAC sorts without saying that it can, and pystac-client warns of it at each search.
                warnings.simplefilter("ignore")
                yield
        except (APIError, RequestException) as error:
            raise TransientError(
                f"{self._url} does not answer: {_reason(error)}",
                code="catalogue_unavailable",
                remedy="Check the address and that the STAC API is up, and try again.",
            ) from error


def _reason(error: Any) -> str:
    return str(error).partition("\n")[0][:300] or type(error).__name__
