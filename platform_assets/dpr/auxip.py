"""AUXIP over OData: what its products are as STAC items, and what searches for these are as `$filter` and `$orderby`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from platform_assets.dpr import cql2, moments, odata
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import InvalidItem, InvalidQuery, choice, quoted
from platform_assets.dpr.items import Item
from platform_assets.dpr.odata import Row

_FIELDS = {
    "id": "Name",
    "datetime": "ContentDate/Start",
    "start_datetime": "ContentDate/Start",
    "end_datetime": "ContentDate/End",
    "created": "PublicationDate",
    "published": "PublicationDate",
    "eopf:origin_datetime": "OriginDate",
}
"""Fields of a product by the property of the item that they are."""

_ATTRIBUTES = {
    "product:type": "productType",
    "processing:facility": "processingCenter",
    "processing:version": "processorVersion",
    "eopf:instrument_mode": "operationalMode",
}
"""Attributes of a product, all texts, by the property that they are."""

_PLATFORM = "platform"
_PLATFORM_PARTS = ("platformShortName", "platformSerialIdentifier")
_KNOWN = (*_FIELDS, *_ATTRIBUTES, _PLATFORM)

_COMPARISONS = {"=": "eq", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OPEN = ".."
_ORDER = ({"field": "datetime", "direction": "desc"},)

_TEMPORAL: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "t_contains": (("a1", "lt", "b1"), ("a2", "gt", "b2")),
    "t_during": (("a1", "gt", "b1"), ("a2", "lt", "b2")),
    "t_intersects": (("a1", "le", "b2"), ("a2", "ge", "b1")),
    "t_equals": (("a1", "eq", "b1"), ("a2", "eq", "b2")),
    "t_before": (("a2", "lt", "b1"),),
    "t_after": (("a1", "gt", "b2"),),
}
"""What must hold of begin (1) and end (2) of two intervals."""


def filter_text(search: Search, place: str) -> str:
    """Return the `$filter` of a search; empty for all products.

    Args:
        search: The search.
        place: What messages call it.

    Raises:
        InvalidQuery: It is no CQL2, or has what cannot be said in OData; the message lists what can.
    """
    prepared = cql2.executable(search, place)
    return "" if prepared is None else _Translation(place).text(prepared)


def orderby(search: Search) -> str | None:
    """Return the `$orderby` of a search, the newest first when it says none; None when the station cannot order so."""
    wanted = [(row["field"].removeprefix("properties."), row.get("direction", "asc")) for row in search.sortby or _ORDER]
    if any(name not in _FIELDS for name, _ in wanted):
        return None
    return ",".join(f"{_FIELDS[name]} {direction}" for name, direction in [*wanted, ("id", "desc")])


def item_of(row: Row, content_url: str, place: str) -> Item:
    """Return the STAC item of a product.

    Args:
        row: The product, with its attributes.
        content_url: Where its content is had.
        place: What messages call the station.

    Raises:
        InvalidItem: It has no name, or no date.
    """
    name, dates = row.get("Name"), row.get("ContentDate") or {}
    start, end, created = odata.moment(dates, "Start"), odata.moment(dates, "End"), odata.moment(row, "PublicationDate")
    if not isinstance(name, str) or not (start or created):
        raise InvalidItem(f"{place} lists a product {quoted(name)} that lacks its name or its dates", remedy="Tell the station.")
    attributes = _attributes(row)
    times = {
        "datetime": start or created,
        "start_datetime": start,
        "end_datetime": end,
        "created": created,
        "published": created,
        "eopf:origin_datetime": odata.moment(row, "OriginDate") or created,
        "eviction_datetime": odata.moment(row, "EvictionDate"),
    }
    told = {said: attributes[attribute] for said, attribute in _ATTRIBUTES.items() if attribute in attributes}
    platform = "".join(attributes.get(part, "") for part in _PLATFORM_PARTS).lower()
    properties = {key: moments.written(moment) for key, moment in times.items() if moment} | told
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": None,
        "properties": properties | ({_PLATFORM: _spelled(platform)} if platform else {}) | {"auxip:id": odata.identifier(row)},
        "links": [],
        "assets": {name: _asset(row, content_url)},
    }


def _asset(row: Row, content_url: str) -> Mapping[str, Any]:
    size, checksum = row.get("ContentLength"), odata.checksum(row)
    multihash = checksum.multihash if checksum else ""
    return {
        "href": content_url,
        "type": str(row.get("ContentType") or "application/octet-stream"),
        "roles": ["data"],
        **({"file:size": size} if isinstance(size, int) else {}),
        **({"file:checksum": multihash} if multihash else {}),
    }


def _attributes(row: Row) -> Mapping[str, str]:
    listed = row.get("Attributes")
    found = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return {str(entry.get("Name")): str(entry.get("Value")) for entry in found if entry.get("Value") is not None}


def _spelled(platform: str) -> str:
    """Return a platform as STAC spells it, such as `sentinel-1a`, whatever the station calls it, such as `SENTINEL1A`."""
    bare = platform.replace("-", "").replace("_", "")
    return f"sentinel-{bare[8:]}" if bare.startswith("sentinel") else platform


class _Translation:
    """A filter in CQL2-JSON, made executable, on its way to OData."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._operators: Mapping[str, Callable[[str, list[Any]], str]] = {
            "and": self._junction,
            "or": self._junction,
            "not": lambda _, arguments: f"not ({self.text(arguments[0])})",
            "in": self._membership,
            "like": self._likeness,
            **dict.fromkeys(_COMPARISONS, self._comparison),
            **dict.fromkeys(_TEMPORAL, self._temporal),
        }

    def text(self, node: Any) -> str:
        match node:
            case {"op": str() as op, "args": list() as arguments} if op in self._operators:
                return self._operators[op](op, arguments)
            case {"op": op}:
                raise self._impossible(f"the operator {quoted(op)}", choice("operators", self._operators))
            case _:
                raise self._impossible(quoted(str(node)), choice("operators", self._operators))

    def _junction(self, op: str, arguments: list[Any]) -> str:
        return f" {op} ".join(f"({self.text(argument)})" for argument in arguments)

    def _comparison(self, op: str, arguments: list[Any]) -> str:
        left, right = arguments
        if not _is_property(left):
            left, right, op = right, left, _MIRRORED[op]
        return self._compared(self._name(left), _COMPARISONS[op], self._literal(right))

    def _membership(self, _: str, arguments: list[Any]) -> str:
        name, values = self._name(arguments[0]), arguments[1]
        if not isinstance(values, list) or not values:
            raise self._impossible("`in` without a list of values", "")
        return " or ".join(f"({self._compared(name, 'eq', self._literal(value))})" for value in values)

    def _likeness(self, _: str, arguments: list[Any]) -> str:
        name, pattern = self._name(arguments[0]), arguments[1]
        bare = pattern.strip("%") if isinstance(pattern, str) else ""
        if not bare or any(mark in bare for mark in "%_\\") or name == _PLATFORM:
            raise self._impossible(f"`like` {quoted(pattern)}", "it can look for a text at the begin, at the end, or within, by `%`")
        if bare == pattern:
            return self._compared(name, "eq", bare)
        function = {(False, True): "startswith", (True, False): "endswith"}.get((pattern[0] == "%", pattern[-1] == "%"), "contains")
        return self._of(name, lambda field: f"{function}({field},{odata.literal(bare)})")

    def _temporal(self, op: str, arguments: list[Any]) -> str:
        (a1, a2), (b1, b2) = (self._ends(argument) for argument in arguments)
        ends = {"a1": a1, "a2": a2, "b1": b1, "b2": b2}
        terms = [(ends[left], operator, ends[right]) for left, operator, right in _TEMPORAL[op]]
        return " and ".join(" ".join(term) for term in terms if _OPEN not in term) or f"{_FIELDS['id']} ne null"

    def _ends(self, node: Any) -> tuple[str, str]:
        """Return begin and end of an interval; of a moment it is both."""
        match node:
            case {"interval": [begin, end]}:
                return self._end(begin), self._end(end)
            case _:
                return self._end(node), self._end(node)

    def _end(self, node: Any) -> str:
        if node == _OPEN:
            return _OPEN
        if _is_property(node):
            name = self._name(node)
            if name not in _FIELDS:
                raise self._impossible(f"the property {quoted(name)} as a time", choice("properties", _FIELDS))
            return _FIELDS[name]
        return odata.literal(self._moment(node))

    def _moment(self, node: Any) -> datetime:
        text = node.get("timestamp") if isinstance(node, dict) else node
        moment = moments.read(text) if isinstance(text, str) else None
        if moment is None:
            raise self._impossible(f"{quoted(str(node))} as a time", "")
        return moment

    def _name(self, node: Any) -> str:
        if not _is_property(node):
            raise self._impossible(f"{quoted(str(node))} in the place of a property", choice("properties", _KNOWN))
        name = str(node["property"]).removeprefix("properties.")
        if name not in _KNOWN:
            raise self._impossible(f"the property {quoted(name)}", choice("properties", _KNOWN))
        return name

    def _literal(self, node: Any) -> str | float | datetime:
        if isinstance(node, dict):
            return self._moment(node)
        if isinstance(node, str | int | float):
            return node
        raise self._impossible(quoted(str(node)), "")

    def _compared(self, name: str, operator: str, value: str | float | datetime) -> str:
        if name == _PLATFORM:
            return self._platform(operator, value)
        return self._of(name, lambda field: f"{field} {operator} {odata.literal(value)}")

    def _of(self, name: str, test: Callable[[str], str]) -> str:
        """Return the test of a field, or of the attribute that a property is."""
        if name in _FIELDS:
            return test(_FIELDS[name])
        return _any_attribute(_ATTRIBUTES[name], test)

    def _platform(self, operator: str, value: Any) -> str:
        if operator not in ("eq", "ne") or not isinstance(value, str) or not value:
            raise self._impossible(f"to compare the platform by `{operator}`", "")
        parts = zip(_PLATFORM_PARTS, (value[:-1].upper(), value[-1].upper()), strict=True)
        both = " and ".join(_any_attribute(attribute, _equals(part)) for attribute, part in parts)
        return both if operator == "eq" else f"not ({both})"

    def _impossible(self, what: str, hint: str) -> InvalidQuery:
        return InvalidQuery(f"{self._place}: a station that speaks OData cannot search for {what}" + (f"; {hint}" if hint else ""))


def _is_property(node: Any) -> bool:
    return isinstance(node, dict) and "property" in node


def _equals(value: str) -> Callable[[str], str]:
    return lambda field: f"{field} eq {odata.literal(value)}"


def _any_attribute(name: str, test: Callable[[str], str]) -> str:
    kind = "OData.CSC.StringAttribute"
    return f"Attributes/{kind}/any(att:att/Name eq {odata.literal(name)} and {test(f'att/{kind}/Value')})"
