"""The auxiliary files (ADFs) of a unit: where each alternative searches, what it finds, and when the search ends."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from platform_assets.dpr import cql2, items
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import (
    AuxiliaryNotFound,
    InvalidMultiplicity,
    MissingMapping,
    TaskTableError,
    UnfilledPlaceholder,
    UnknownQuery,
    choice,
    quoted,
)
from platform_assets.dpr.items import Item
from platform_assets.dpr.model import ANY, AuxiliaryMapping, ProcessingRequest, Source
from platform_assets.dpr.tasktable import TaskTable
from platform_assets.dpr.units import PIPELINE_INPUT, ProcessingUnit, Product

_PROPERTY = re.compile(r"\{([^{}.]+)\.([^{}]+)\}")


class Catalogue(Protocol):
    """Where STAC items are found."""

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
        """Return the items of a collection that a search finds, in its order; none when there is no such collection.

        Args:
            collection: Where items are; what a station has is brought there.
            search: What is searched.
            place: What messages call the query.
            source: What kind of station or catalogue is searched.
            timeout_s: How long the search may take, without the fetching; None for as long as it takes.
            assets: The assets that are fetched; None for all.
        """

    def item(self, collection: str, item_id: str) -> Item | None:
        """Return an item, or None when there is none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One alternative that was tried.

    Attributes:
        order: Its number; lower ones are tried first.
        query: The name of its query.
        collection: Where it searched.
        source: What kind of station or catalogue has that.
        timeout_s: How long the search may take; None for as long as it takes.
        search: What it searched for.
        found: Identifiers of what it found, the first found first; None when it was not searched.
        for_item: The input item that it is for; empty when it is for all.
    """

    order: int
    query: str
    collection: str
    source: Source
    timeout_s: float | None
    search: Search
    found: tuple[str, ...] | None
    for_item: str = ""


@dataclass(frozen=True, slots=True)
class AdfSearch:
    """What was done to find an auxiliary file.

    Attributes:
        unit: The unit that takes it.
        adf: The file as the unit describes it.
        attempts: The alternatives that were tried, in order.
        items: What was found.
        problem: Why the unit cannot run; None when it can.
    """

    unit: str
    adf: Product
    attempts: tuple[Attempt, ...]
    items: tuple[Item, ...]
    problem: AuxiliaryNotFound | None = None


def find_adf(
    unit: ProcessingUnit,
    adf: Product,
    table: TaskTable,
    request: ProcessingRequest,
    catalogue: Catalogue | None,
    inputs: Mapping[str, Sequence[Item]],
) -> AdfSearch:
    """Search for an auxiliary file of a unit.

    Alternatives are tried by `order` until one finds something. A file without alternatives is the processor's own.

    Args:
        unit: The unit.
        adf: The file.
        table: The task table that has the queries.
        request: What says where to search.
        catalogue: What is searched; None to only build the searches, of all alternatives.
        inputs: The items of each input; looked at only when a catalogue is searched.

    Raises:
        UnknownQuery: An alternative names no query of the table.
        InvalidQuery: A query cannot be computed.
        InvalidMultiplicity: It is wanted once an input, but not of exactly one input.
        UnfilledPlaceholder: A query has a placeholder that nothing fills.
        MissingMapping: It cannot be told where to search.
    """
    finder = _Finder(unit, adf, table, request, catalogue)
    attempts: list[Attempt] = []
    hits: dict[str, Item] = {}
    without: list[str] = []
    for target in _targets(unit, adf, inputs, is_searched=catalogue is not None):
        tried, found = finder.search(target)
        attempts += tried
        hits |= {str(item.get("id")): item for item in found}
        if tried and not found:
            without.append(str(target.item.get("id")) if target.item else "")
    problem = _problem(unit, adf, attempts, without) if catalogue and without and adf.mandatory else None
    return AdfSearch(unit.name, adf, tuple(attempts), tuple(hits.values()), problem)


def _problem(unit: ProcessingUnit, adf: Product, attempts: Sequence[Attempt], without: Sequence[str]) -> AuxiliaryNotFound:
    target = f" for {', '.join(without)}" if any(without) else ""
    collections = choice("searched were", (f"{attempt.collection} ({attempt.source})" for attempt in attempts))
    return AuxiliaryNotFound(f"unit {unit.name} needs the auxiliary file {quoted(adf.name)}; nothing was found{target}; {collections}")


def is_own(adf: Product) -> bool:
    """Whether an auxiliary file is the processor's own: nothing says how to search for it."""
    return not adf.fields.get("alternatives")


@dataclass(frozen=True, slots=True)
class _Target:
    """What a file is searched for: all inputs, or one item of the input of that name."""

    name: str = ""
    item: Item | None = None

    def filled(self, value: Any) -> Any:
        """Return a parameter with the property of the item that it names."""
        match = _PROPERTY.fullmatch(value) if isinstance(value, str) else None
        if not match or self.item is None or match[1] != self.name:
            return value
        return (self.item.get("properties") or {}).get(match[2], value)


@dataclass(frozen=True, slots=True)
class _Finder:
    unit: ProcessingUnit
    adf: Product
    table: TaskTable
    request: ProcessingRequest
    catalogue: Catalogue | None

    def search(self, target: _Target) -> tuple[list[Attempt], Sequence[Item]]:
        attempts: list[Attempt] = []
        for alternative in sorted(self.adf.fields.get("alternatives", ()), key=lambda row: int(row["order"])):
            query = alternative["query"]["name"]
            place = f"{self.table.source}: ADF {self.adf.name}, alternative {alternative['order']}, query {query}"
            parameters = {name: target.filled(value) for name, value in alternative["query"]["parameters"].items()}
            search = cql2.build_search(self.template(query, place), parameters, place)
            self.refuse_unfilled(search, parameters, place)
            where = self.target(str(parameters.get("product_type", ANY)))
            seconds = alternative["timeout_seconds"] or None
            found = self.found(where, search, place, seconds)
            ids = tuple(str(item.get("id")) for item in found) if self.catalogue else None
            name = str(target.item.get("id")) if target.item else ""
            attempts.append(Attempt(alternative["order"], query, where.collection_name, where.source, seconds, search, ids, name))
            if found:
                return attempts, found
        return attempts, ()

    def found(self, where: AuxiliaryMapping, search: Search, place: str, timeout_s: float | None) -> Sequence[Item]:
        if not self.catalogue:
            return ()
        return self.catalogue.search(
            where.collection_name, search, place, source=where.source, timeout_s=timeout_s, assets=where.selected_assets
        )

    def refuse_unfilled(self, search: Search, parameters: Mapping[str, Any], place: str) -> None:
        for name in search.unfilled:
            if self.catalogue or not _PROPERTY.fullmatch(f"{{{name}}}"):
                raise UnfilledPlaceholder(f"{place}: nothing fills {{{name}}}; {choice('parameters', parameters)}")

    def template(self, query: str, place: str) -> Mapping[str, Any]:
        if query not in self.table.queries:
            raise UnknownQuery(f"{place}: there is no such query; {choice('queries', self.table.queries)}")
        return self.table.queries[query]

    def target(self, product_type: str) -> AuxiliaryMapping:
        """Return where a type is searched: its own mapping, else that of any type, else the satellite's collection."""
        mappings = self.request.auxiliary_product_to_collection_identifier
        for wanted in (product_type, ANY):
            for mapping in mappings:
                if mapping.product_type == wanted:
                    return mapping
        if not self.request.satellite:
            raise MissingMapping(
                f"auxiliary_product_to_collection_identifier has no row for {quoted(product_type)}, which ADF {quoted(self.adf.name)} "
                f"needs, and the request gives no satellite; {choice('it has', (mapping.product_type for mapping in mappings))}"
            )
        return AuxiliaryMapping(product_type=product_type, collection_name=f"{self.request.satellite}-aux-{product_type}")


def _targets(unit: ProcessingUnit, adf: Product, inputs: Mapping[str, Sequence[Item]], *, is_searched: bool) -> list[_Target]:
    products = {product.name: product for product in unit.inputs}
    parameters = [value for row in adf.fields.get("alternatives", ()) for value in row["query"]["parameters"].values()]
    matches = [match for value in parameters if isinstance(value, str) and (match := _PROPERTY.fullmatch(value))]
    named = sorted({match[1] for match in matches} & set(products))
    if is_searched and any(products[name].origin == PIPELINE_INPUT and not inputs.get(name) for name in named):
        return []  # without the input there is nothing to search for; that it lacks is told elsewhere
    if (adf.fields.get("multiplicity") or adf.fields.get("folder_multiplicity")) != "one_per_input":
        # One item leaves no doubt which one is meant.
        only = inputs.get(named[0], ()) if is_searched and len(named) == 1 else ()
        return [_Target(named[0], only[0])] if len(only) == 1 else [_Target()]
    if len(named) != 1:
        raise InvalidMultiplicity(
            f"unit {unit.name}: ADF {quoted(adf.name)} is one_per_input, so its alternatives must refer to exactly one input, "
            f"such as {{{next(iter(products), 'input')}.start_datetime}}; {choice('they refer to', named)}"
        )
    given = inputs.get(named[0], ()) if is_searched else ()
    return [_Target(named[0], item) for item in _kept(unit, adf, products[named[0]], given)] or [_Target(named[0])]


def _kept(unit: ProcessingUnit, adf: Product, product: Product, given: Sequence[Item]) -> Sequence[Item]:
    """Return the items of an input that lie where its regular expression says."""
    pattern = product.fields.get("regex_expression") or (product.fields.get("store_params") or {}).get("regex")
    if not pattern or not given:
        return given
    try:
        kept = [item for item in given if re.fullmatch(pattern, items.input_path(item))]
    except re.error as error:
        raise TaskTableError(f"{quoted(product.name)}: {quoted(pattern)} is no regular expression: {error}") from error
    if not kept:
        raise InvalidMultiplicity(
            f"unit {unit.name}: ADF {quoted(adf.name)} is one_per_input, but no {quoted(product.name)} lies where {quoted(pattern)} "
            f"says; {choice('they lie in', map(items.input_path, given))}"
        )
    return kept
