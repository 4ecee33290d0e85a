"""What simulated stations have in common that speak OData: filters, order, pages."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from platform_assets.dpr.odata import Row
from platform_assets.dpr.odata_filter import compiled, ordered
from resources.station_simulator import Question

ROOT = "/odata/v1"
_ENTITY = re.compile(r"/odata/v1/(?P<set>[A-Za-z]+)(?:\((?P<key>[^()]+)\))?(?P<value>/\$value)?/?")


def addressed(path: str) -> tuple[str, str, bool] | None:
    """Return entity set, key and whether the content is asked for; None for a path that is none of these."""
    found = _ENTITY.fullmatch(path)
    return (found["set"], (found["key"] or "").strip("'"), bool(found["value"])) if found else None


def page(question: Question, rows: Iterable[Row], page_rows: int, expandable: str) -> dict[str, Any]:
    """Return the answer to a query.

    Args:
        question: The request.
        rows: All entities.
        page_rows: Entities of one page at most.
        expandable: What entities have in them only when they are asked with `$expand`.

    Raises:
        InvalidFilter: The filter is none.
    """
    query = question.query
    test = compiled(query["$filter"]) if query.get("$filter") else None
    found = [row for row in ordered(rows, query.get("$orderby", "")) if test is None or test(row)]
    skip, top = int(query.get("$skip", 0)), int(query.get("$top", len(found)))
    most = min(top, page_rows)
    expanded = expandable in query.get("$expand", "").split(",")
    answer: dict[str, Any] = {"value": [shown(row, "" if expanded else expandable) for row in found[skip : skip + most]]}
    if query.get("$count") == "true":
        answer["@odata.count"] = len(found)
    if most < top and skip + most < len(found):
        following: Mapping[str, str] = {**query, "$skip": str(skip + most), **({"$top": str(top - most)} if "$top" in query else {})}
        answer["@odata.nextLink"] = f"{question.base}{question.path}?{urlencode(following)}"
    return answer


def shown(row: Row, hidden: str) -> dict[str, Any]:
    """Return an entity without a field."""
    return {name: value for name, value in row.items() if name != hidden}
