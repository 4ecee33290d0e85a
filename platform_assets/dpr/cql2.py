"""Searches for auxiliary files: built from a task table's template, computed over STAC items as a STAC API computes them.

The `cql2` library evaluates; three things are done to a filter beforehand, for it and for STAC APIs alike:

* `+` and `-` of seconds on a moment are computed: neither engine does.
* `between` becomes `>=` and `<=`: cql2 0.6.0 compares the text of moments there.
* A moment that is compared to a property is marked as one, so that `.000Z` and `Z` are equal.

And one for the library alone: what is valid for ever ends on 9999-12-31, which is beyond its last moment, so that it raises.

As in SQL, what compares a missing property is neither true nor false, and an item is found only by what is true.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

import cql2

from platform_assets.dpr import moments
from platform_assets.dpr.errors import InvalidQuery, choice, quoted
from platform_assets.dpr.items import Item

_A_MOMENT = "2000-01-01T00:00:00.000Z"
_LAST_DAYS = "9999-12-3"
_LAST = "9999-12-30T00:00:00.000000Z"
_WHOLE = re.compile(r"\{([^{}]+)\}")
_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})
_OPERATORS = frozenset(
    {
        *_COMPARISONS,
        *("and", "or", "not", "between", "in", "like", "isNull", "casei", "accenti", "+", "-", "*", "/", "%", "^"),
        *("t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedBy", "t_finishes", "t_intersects"),
        *("t_meets", "t_metBy", "t_overlappedBy", "t_overlaps", "t_startedBy", "t_starts"),
        *("s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects", "s_overlaps", "s_touches", "s_within"),
        *("a_containedBy", "a_contains", "a_equals", "a_overlaps"),
    }
)


@dataclass(frozen=True, slots=True)
class Search:
    """A STAC search.

    Attributes:
        filter: CQL2-JSON as the task table has it, placeholders filled in; None for all items.
        sortby: Fields and directions, as in STAC's sort extension.
        limit: Items at most; None for all.
        unfilled: Placeholders that nothing was given for.
    """

    filter: Any = None
    sortby: tuple[Mapping[str, str], ...] = ()
    limit: int | None = None
    unfilled: tuple[str, ...] = field(default=(), compare=False)


def build_search(template: Mapping[str, Any], parameters: Mapping[str, Any], place: str) -> Search:
    """Return the search that a template stands for.

    Args:
        template: The `stac` part of a query of a task table; it is not changed.
        parameters: Replaces texts that are `{name}` and nothing else; values keep their type.
        place: What messages call the query.

    Raises:
        InvalidQuery: The template is no search.
    """
    filled = _filled(dict(template), parameters)
    limit, sortby = filled.get("limit"), filled.get("sortby") or []
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidQuery(f"{place}: limit {quoted(limit)} is no whole number above 0")
    if not isinstance(sortby, list) or not all(isinstance(row, dict) and isinstance(row.get("field"), str) for row in sortby):
        raise InvalidQuery(f"{place}: sortby is no list of `field` and `direction`")
    if wrong := [row["direction"] for row in sortby if row.get("direction", "asc") not in ("asc", "desc")]:
        raise InvalidQuery(f"{place}: sortby: {quoted(wrong[0])} is no direction; {choice('valid are', ['asc', 'desc'])}")
    return Search(filled.get("filter"), tuple(sortby), limit, tuple(dict.fromkeys(_placeholders(filled.get("filter")))))


def executable(search: Search, place: str) -> Any:
    """Return the filter as engines take it; None when there is none.

    Raises:
        InvalidQuery: It is no CQL2, has an operator that CQL2 does not have, or adds seconds to what is no moment.
    """
    if search.filter is None:
        return None
    prepared = _prepared(search.filter, place)
    if problem := _problem(json.dumps(_at_one_time(prepared))):
        raise InvalidQuery(f"{place}: the filter is no CQL2: {problem}")
    return prepared


def text(prepared: Any) -> str:
    """Return a filter that was made executable in the text form of CQL2."""
    return "" if prepared is None else str(_parsed(prepared).to_text())


def select(items: Iterable[Item], search: Search, place: str) -> list[Item]:
    """Return the items that a search finds, in its order; the newest first when it says none.

    Items without the field they are ordered by come last; of equal ones the greater id comes first.

    Raises:
        InvalidQuery: The search cannot be computed.
    """
    prepared = executable(search, place)
    expression = None if prepared is None else _parsed(_bounded(prepared))
    found = [item for item in items if expression is None or _matches(expression, item)]
    found.sort(key=lambda item: str(item.get("id", "")), reverse=True)
    for row in reversed(search.sortby or ({"field": "datetime", "direction": "desc"},)):
        descending = row.get("direction") == "desc"
        found.sort(key=partial(_rank, name=row["field"], last=descending), reverse=descending)
    return found[: search.limit]


def _filled(node: Any, parameters: Mapping[str, Any]) -> Any:
    match node:
        case str():
            match = _WHOLE.fullmatch(node)
            return parameters[match[1]] if match and match[1] in parameters else node
        case dict():
            return {key: _filled(value, parameters) for key, value in node.items()}
        case list():
            return [_filled(value, parameters) for value in node]
        case _:
            return node


def _placeholders(node: Any) -> Iterable[str]:
    match node:
        case str() if match := _WHOLE.fullmatch(node):
            yield match[1]
        case dict():
            for value in node.values():
                yield from _placeholders(value)
        case list():
            for value in node:
                yield from _placeholders(value)


def _prepared(node: Any, place: str) -> Any:
    match node:
        case {"op": op, "args": list() as arguments}:
            if op not in _OPERATORS:
                raise InvalidQuery(f"{place}: {quoted(op)} is no operator of CQL2; {choice('operators', _OPERATORS)}")
            return _operation(op, [_prepared(argument, place) for argument in arguments], place)
        case {"op": op}:
            raise InvalidQuery(f"{place}: the operator {quoted(op)} has no list of args")
        case dict():
            return {key: _prepared(value, place) for key, value in node.items()}
        case list():
            return [_prepared(value, place) for value in node]
        case _:
            return node


def _operation(op: str, arguments: list[Any], place: str) -> Any:
    if op in ("+", "-") and len(arguments) == 2 and isinstance(_unmarked(arguments[0]), str):
        return _shifted(op, _unmarked(arguments[0]), arguments[1], place)
    if op == "between" and len(arguments) == 3:
        value, low, high = arguments
        return {"op": "and", "args": [_operation(">=", [value, low], place), _operation("<=", [value, high], place)]}
    if op in _COMPARISONS:
        arguments = [_marked(argument) for argument in arguments]
    return {"op": op, "args": arguments}


def _shifted(op: str, moment: str, seconds: Any, place: str) -> str:
    """Return a moment some seconds later or earlier."""
    begin = moments.read(moment)
    if begin is None or isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidQuery(f"{place}: {quoted(moment)} {op} {quoted(seconds)} is not seconds added to a moment")
    try:
        return moments.written(begin + timedelta(seconds=seconds if op == "+" else -seconds))
    except OverflowError as error:
        raise InvalidQuery(f"{place}: {quoted(moment)} {op} {quoted(seconds)} is beyond the years 1 to 9999") from error


def _unmarked(node: Any) -> Any:
    return node["timestamp"] if isinstance(node, dict) and set(node) == {"timestamp"} else node


def _marked(node: Any) -> Any:
    if isinstance(node, str) and (moment := moments.read(node)):
        return {"timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z")}
    return node


@lru_cache(maxsize=1024)
def _problem(filter_json: str) -> str:
    """Return why a filter is no CQL2; empty when it is. Validating costs 20 ms, since cql2 compiles its schema each time."""
    try:
        cql2.parse_json(filter_json).validate()
    except (cql2.ParseError, cql2.ValidationError) as error:
        return str(error).splitlines()[0]
    return ""


def _at_one_time(node: Any) -> Any:
    """Return a filter with all moments the same, so that requests which differ in time alone are validated once."""
    match node:
        case str():
            return _A_MOMENT if moments.read(node) else node
        case dict():
            return {key: _at_one_time(value) for key, value in node.items()}
        case list():
            return [_at_one_time(value) for value in node]
        case _:
            return node


def _parsed(prepared: Any) -> cql2.Expr:
    # Given a document, `Expr` raises a bare Exception for what it cannot read, and takes a text for CQL2's text form.
    return cql2.parse_json(json.dumps(prepared))


def _matches(expression: cql2.Expr, item: Item) -> bool:
    # What cannot be decided is reduced to an expression, not to true; `matches` would raise.
    reduced: Any = expression.reduce(_completed(item)).to_json()
    return reduced is True


def _completed(item: Item) -> dict[str, Any]:
    """Return an item whose times are all there and all have a zone, as STAC APIs see it."""
    properties = dict(item.get("properties") or {})
    for name, other in (("start_datetime", "datetime"), ("end_datetime", "datetime"), ("datetime", "start_datetime")):
        value = properties.get(name) or properties.get(other)
        if isinstance(value, str) and (moment := moments.read(value)):
            properties[name] = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {**item, "properties": {name: _bounded(value) for name, value in properties.items()}}


def _bounded(node: Any) -> Any:
    """Return a filter, or the value of a property, with no moment beyond the last one that cql2 knows."""
    match node:
        case str():
            return _LAST if node.startswith(_LAST_DAYS) and moments.read(node) else node
        case dict():
            return {key: _bounded(value) for key, value in node.items()}
        case list():
            return [_bounded(value) for value in node]
        case _:
            return node


def _rank(item: Item, name: str, *, last: bool) -> tuple[bool, int, Any]:
    """Return what an item is ordered by: missing values at the end, then numbers, then moments, then texts."""
    value = _value(item, name)
    if value is None:
        return (not last, 0, 0)
    if isinstance(value, int | float):
        return (last, 0, value)
    moment = moments.read(value) if isinstance(value, str) else None
    return (last, 2, str(value)) if moment is None else (last, 1, (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def _value(item: Item, name: str) -> Any:
    bare = name.removeprefix("properties.")
    properties = item.get("properties") or {}
    return item.get(name) if name in ("id", "collection") else properties.get(bare)
