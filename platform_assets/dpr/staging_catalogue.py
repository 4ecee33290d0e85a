"""The catalogue that requests search: the deployment's own items, and stations whose files are brought to the bucket."""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platform_assets.common.errors import GroundtrackError, TransientError
from platform_assets.dpr.bucket_catalogue import BucketCatalogue
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.items import Item
from platform_assets.dpr.model import Source
from platform_assets.dpr.staging import Staging, Station

_DEFAULT_ASSETS = {Source.CDSE: "product"}
"""What is fetched of a source's items when nothing is selected, if they have it: they have dozens of assets."""


@dataclass(frozen=True)
class StagingCatalogue:
    """Answers from stations where there are some, else from the deployment's own items; picklable, to travel to Dask workers.

    Attributes:
        staging: Where staged files lie; its bucket and prefix are those of the deployment's own items.
        stations: The stations of each source, in the order in which they are asked.
        remember_s: How long an answer that found something is used again, for the same search by others in this process.
    """

    staging: Staging
    stations: Mapping[Source, Sequence[Station]] = field(default_factory=dict)
    remember_s: float = 30.0

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
        """Return the items that a search finds, in its order; their assets lie in the bucket.

        The first station that finds anything is taken. One that does not answer is passed over if another one finds.

        Args:
            collection: The collection that is searched, or that what a station has becomes items of.
            search: What is searched.
            place: What messages call the query.
            source: What kind of station is asked; one that is not configured is the deployment's own catalogue.
            timeout_s: How long each station may take to search; None for as long as it takes.
            assets: The assets that are fetched; None for all, of CDSE for its `product`.

        Raises:
            TransientError: No station answered, or a file was not had this time.
            PermanentError: A station refuses, or a file cannot be had.
            InvalidQuery: The search cannot be computed.
        """
        stations = self.stations.get(source, ())
        if not stations:
            return self._own.search(collection, search, place)
        order = [dict(row) for row in search.sortby]
        question = json.dumps([collection, source, assets, search.filter, order, search.limit, self.staging.prefix], sort_keys=True)
        key = (self.staging.bucket, question)
        if (known := _answers.get(key, self.remember_s)) is not None:
            return known
        found = self._asked(stations, collection, search, place, source, timeout_s, assets)
        _answers.put(key, found)
        return found

    def item(self, collection: str, item_id: str) -> Item | None:
        """Return one of the deployment's own items, or None when there is none."""
        return self._own.item(collection, item_id)

    @property
    def _own(self) -> BucketCatalogue:
        return BucketCatalogue(self.staging.bucket, self.staging.prefix)

    def _asked(
        self,
        stations: Sequence[Station],
        collection: str,
        search: Search,
        place: str,
        source: Source,
        timeout_s: float | None,
        assets: Sequence[str] | None,
    ) -> Sequence[Item]:
        failure: GroundtrackError | None = None
        for station in stations:
            try:
                found = station.search(search, place, timeout_s=timeout_s)
            except TransientError as error:
                failure = failure or error
                continue
            if found:
                return self.staging.stage(station, collection, found, _selected(source, found, assets))
        if failure:
            raise failure
        return ()


def _selected(source: Source, found: Sequence[Item], assets: Sequence[str] | None) -> Sequence[str] | None:
    usual = _DEFAULT_ASSETS.get(source)
    if assets is None and usual and all(usual in (item.get("assets") or {}) for item in found):
        return (usual,)
    return assets


class _Answers:
    """Answers of this process to questions, the last ones."""

    _MOST = 1024

    def __init__(self) -> None:
        self._known: OrderedDict[object, tuple[float, Sequence[Item]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: object, age_s: float) -> Sequence[Item] | None:
        with self._lock:
            at_s, answer = self._known.get(question, (float("-inf"), ()))
        return answer if answer and time.monotonic() - at_s < age_s else None

    def put(self, question: object, answer: Sequence[Item]) -> None:
        with self._lock:
            self._known[question] = (time.monotonic(), answer)
            self._known.move_to_end(question)
            if len(self._known) > self._MOST:
                self._known.popitem(last=False)


_answers = _Answers()
