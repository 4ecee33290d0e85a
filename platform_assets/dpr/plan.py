"""What a request would do, without doing it: units, searches for auxiliary files, payload."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from platform_assets.common.errors import GroundtrackError
from platform_assets.dpr import items
from platform_assets.dpr.auxiliary import AdfSearch, Catalogue, find_adf, is_own
from platform_assets.dpr.catalogue import Remembering
from platform_assets.dpr.errors import MissingInputProduct, quoted
from platform_assets.dpr.items import Item
from platform_assets.dpr.model import InputProduct, ProcessingRequest
from platform_assets.dpr.payload import BEFORE, CPM3, Destination, Payload, build_payload
from platform_assets.dpr.secrets import in_clear
from platform_assets.dpr.storage import BucketRule, Storage
from platform_assets.dpr.tasktable import TaskTable
from platform_assets.dpr.units import UnitList, build_units


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request would do.

    Attributes:
        request: The request.
        table: The task table.
        units: What is run.
        searches: What was searched for each auxiliary file.
        payload: What the processor is given; None when there are problems.
        problems: Why it cannot be run.
        notes: What is worth knowing, such as steps that were put in order.
    """

    request: ProcessingRequest
    table: TaskTable
    units: UnitList
    searches: tuple[AdfSearch, ...]
    payload: Payload | None
    problems: tuple[GroundtrackError, ...] = ()
    notes: tuple[str, ...] = ()


def destination(request: ProcessingRequest, storage: Storage, rules: Sequence[BucketRule]) -> Destination:
    """Return where the products of a request go: folders of its own, the same whenever the same is asked for."""
    run = uuid5(NAMESPACE_URL, json.dumps(request.model_dump(mode="json"), sort_keys=True))
    return Destination(storage, rules, lambda name: str(uuid5(run, name)), str(run))


def make_plan(
    request: ProcessingRequest, table: TaskTable, destination: Destination, catalogue: Catalogue | None, key: str | None = None
) -> Plan:
    """Return what a request would do.

    Args:
        request: The request.
        table: The processor's task table.
        destination: Where products go.
        catalogue: Where items are found; None to search nothing, and to stand names in angle brackets for places.
        key: `payload.CPM3` or `payload.BEFORE`; None for what suits the table.

    Raises:
        GroundtrackError: A document breaks a rule. What the catalogue lacks is among the plan's problems instead.
    """
    units = build_units(
        table, pipeline=request.pipeline, unit=request.unit, modes=request.processing_mode, variables=request.external_variables
    )
    catalogue = Remembering(catalogue) if catalogue else None
    inputs, problems = _input_items(request, catalogue)
    searches = [find_adf(unit, adf, table, request, catalogue, inputs) for unit in units.units for adf in unit.adfs if not is_own(adf)]
    problems += [search.problem for search in searches if search.problem]
    payload = None
    if not problems:
        payload = build_payload(
            request,
            table,
            units.units,
            {name: [items.input_path(item) for item in found] for name, found in inputs.items()},
            _adf_places(searches, catalogue),
            destination,
            key or (BEFORE if table.is_first_generation else CPM3),
        )
    return Plan(request, table, units, tuple(searches), payload, tuple(problems), (*units.notes, *_in_clear(payload)))


def _input_items(request: ProcessingRequest, catalogue: Catalogue | None) -> tuple[Mapping[str, Sequence[Item]], list[GroundtrackError]]:
    found: dict[str, list[Item]] = {}
    problems: list[GroundtrackError] = []
    for index, given in enumerate(request.input_products):
        item = catalogue.item(given.collection_name, given.item_id) if catalogue else _stand_in(given)
        if item is None:
            problems.append(
                MissingInputProduct(
                    f"input_products[{index}]: there is no item {quoted(given.item_id)} in collection {quoted(given.collection_name)}",
                    remedy="Add the item to the catalogue, or correct the request.",
                )
            )
        else:
            found.setdefault(given.name, []).append(item)
    return found, problems


def _stand_in(given: InputProduct) -> Item:
    """Return an item for one that is not looked up; it lies in angle brackets."""
    href = f"<{given.collection_name}>/{given.item_id}"
    return {"id": given.item_id, "properties": {}, "assets": {"": {"href": href, "type": items.ZARR}}}


def _adf_places(searches: Sequence[AdfSearch], catalogue: Catalogue | None) -> Mapping[str, Sequence[str]]:
    places: dict[str, list[str]] = {}
    for search in searches:
        stand_in = f"<{search.adf.name}>" + ("/" if search.adf.fields.get("type") == "folder" else "")
        found = [items.location(item) for item in search.items] if catalogue else [stand_in]
        places.setdefault(search.adf.name, []).extend(found)
    return places


def _in_clear(payload: Payload | None) -> Sequence[str]:
    places = in_clear(payload.document) if payload else ()
    if not places:
        return ()
    return (f"{len(places)} secrets are in clear, such as {places[0]}: such a payload is not stored; write ${{NAME}} in their place",)


def shown(search: AdfSearch) -> Any:
    """Return a search in JSON types."""
    return {
        "unit": search.unit,
        "adf": search.adf.name,
        "mandatory": search.adf.mandatory,
        "attempts": [
            {
                "order": attempt.order,
                "query": attempt.query,
                "collection": attempt.collection,
                "source": str(attempt.source),
                "timeout_seconds": attempt.timeout_s,
                "for_item": attempt.for_item or None,
                "filter": attempt.search.filter,
                "sortby": [dict(row) for row in attempt.search.sortby],
                "limit": attempt.search.limit,
                "found": None if attempt.found is None else list(attempt.found),
            }
            for attempt in search.attempts
        ],
    }
