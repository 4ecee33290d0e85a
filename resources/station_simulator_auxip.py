"""A simulated AUXIP station: auxiliary files over OData and, with the same files, over a STAC API."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from platform_assets.dpr import moments
from platform_assets.dpr.cql2 import Search, select
from platform_assets.dpr.odata import Row
from platform_assets.dpr.sample import AUX_COLLECTION, SampleAdf, block_row
from resources.station_faults import FaultSchedule, FaultyStation
from resources.station_simulator import FileContent, Question
from resources.station_simulator_odata import ROOT, addressed, page

_ATTRIBUTES = "Attributes"
_CONFORMS = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
)


class AuxipSimulator:
    """A station with some auxiliary files, at `/odata/v1` and at `/stac`.

    Args:
        adfs: What it has.
        schedule: What goes wrong.
        collection: The STAC collection that has them.
        page_rows: Entities or items of one page at most.
    """

    def __init__(
        self,
        adfs: Iterable[SampleAdf],
        schedule: FaultSchedule = FaultSchedule(),  # noqa: B008 - frozen
        collection: str = AUX_COLLECTION,
        page_rows: int = 20,
    ) -> None:
        self.faults = FaultyStation(schedule)
        self.fetched: list[str] = []
        self._adfs = {str(uuid5(NAMESPACE_URL, adf.name)): adf for adf in adfs}
        self._collection = collection
        self._page_rows = page_rows

    def add(self, adf: SampleAdf) -> None:
        """Publish one more file."""
        self._adfs = {**self._adfs, str(uuid5(NAMESPACE_URL, adf.name)): adf}

    def answer(self, question: Question) -> dict[str, Any] | FileContent | None:
        """Return what OData or STAC says to a request."""
        if question.path.startswith("/stac"):
            return self._stac(question)
        match addressed(question.path):
            case "Products", "", False:
                return page(question, [_row(key, adf) for key, adf in self._listed()], self._page_rows, _ATTRIBUTES)
            case "Products", key, False if key in self._adfs:
                return dict(_row(key, self._adfs[key]))
            case "Products", key, True if key in self._adfs:
                adf = self._adfs[key]
                return FileContent(adf.name, adf.content, lambda: self.fetched.append(adf.name))
            case _:
                return None

    def _listed(self) -> Sequence[tuple[str, SampleAdf]]:
        return [(key, adf) for key, adf in self._adfs.items() if self.faults.is_listed(adf.name)]

    def _stac(self, question: Question) -> dict[str, Any] | None:
        match question.path.removeprefix("/stac").strip("/").split("/"):
            case [""]:
                return _landing_page(f"{question.base}/stac")
            case ["search"] if question.method == "POST" and isinstance(question.body, dict):
                return self._search(question.base, question.body)
            case ["collections", name, "items", item_id] if name == self._collection:
                return next((item for item in self._items(question.base) if item["id"] == item_id), None)
            case _:
                return None

    def _search(self, base: str, body: dict[str, Any]) -> dict[str, Any]:
        wanted = Search(body.get("filter"), tuple(body.get("sortby") or ()))
        candidates = [item for item in self._items(base) if item["collection"] in body.get("collections", [self._collection])]
        found = [item for item in select(candidates, wanted, "the search") if item["id"] in body.get("ids", [item["id"]])]
        first, most = int(body.get("token", 0)), min(int(body.get("limit", self._page_rows)), self._page_rows)
        following = {"rel": "next", "method": "POST", "href": f"{base}/stac/search", "body": {"token": first + most}, "merge": True}
        return {
            "type": "FeatureCollection",
            "numberMatched": len(found),
            "features": found[first : first + most],
            "links": [following] if first + most < len(found) else [],
        }

    def _items(self, base: str) -> list[dict[str, Any]]:
        return [adf.item(self._collection, f"{base}{ROOT}/Products({key})/$value") for key, adf in self._listed()]


def _landing_page(url: str) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "auxip",
        "title": "A simulated AUXIP station",
        "description": "Auxiliary files of the sample.",
        "conformsTo": list(_CONFORMS),
        "links": [
            {"rel": "self", "type": "application/json", "href": url},
            {"rel": "root", "type": "application/json", "href": url},
            {"rel": "search", "type": "application/geo+json", "href": f"{url}/search", "method": "POST"},
        ],
    }


def _row(key: str, adf: SampleAdf) -> Row:
    said = block_row(adf.name, adf.content, adf.created, adf.end)
    platform, unit = adf.platform.upper().rpartition("-")[0], adf.platform[-1:].upper()
    attributes = {"productType": adf.product_type, "platformShortName": platform, "platformSerialIdentifier": unit}
    return {
        "Id": key,
        "Name": adf.name,
        "ContentType": "application/octet-stream",
        "ContentLength": said["Size"],
        "OriginDate": said["PublicationDate"],
        "PublicationDate": said["PublicationDate"],
        "EvictionDate": said["EvictionDate"],
        "Checksum": said["Checksum"],
        "ContentDate": {"Start": moments.written(adf.start), "End": moments.written(adf.end)},
        _ATTRIBUTES: [
            {"@odata.type": "#OData.CSC.StringAttribute", "Name": name, "ValueType": "String", "Value": value}
            for name, value in attributes.items()
        ],
    }
