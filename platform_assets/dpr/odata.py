"""OData as CADIP and AUXIP stations speak it: filter texts, query options, pages, and what rows say of their files."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from platform_assets.dpr import moments
from platform_assets.dpr.transfer import Checksum, StationRefused

Row = Mapping[str, Any]
"""An entity, as JSON."""


def literal(value: str | float | datetime | None) -> str:
    """Return a value as filters have it: texts in quotes, moments bare."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case datetime():
            return moments.written(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            return repr(value)


def is_any(field: str, values: Iterable[str]) -> str:
    """Return the filter of rows of which a field has one of these values."""
    return f"{field} in ({', '.join(literal(value) for value in values)})"


def both(*filters: str) -> str:
    """Return the filter of rows that fulfil all; empty ones ask nothing."""
    return " and ".join(text if len(filters) == 1 else f"({text})" for text in filters if text)


def options(
    *, filter_text: str = "", expand: str = "", orderby: str = "", top: int | None = None, skip: int | None = None
) -> dict[str, str]:
    """Return the query options of a request."""
    given = {"$filter": filter_text, "$expand": expand, "$orderby": orderby, "$top": top, "$skip": skip}
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def rows(document: Any, source: str) -> Sequence[Row]:
    """Return the rows of an answer: those of a collection, or the one entity that it is.

    Args:
        document: The answer.
        source: What messages call it.

    Raises:
        StationRefused: It is no answer of OData.
    """
    found = document.get("value", [document]) if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise StationRefused(f"{source} does not answer as OData does: there is no list `value`")
    return found


def next_page(document: Mapping[str, Any], url: str) -> str | None:
    """Return the address of the next page, or None after the last one.

    Args:
        document: The answer.
        url: Where it came from; the next page's address may be relative to it.
    """
    link = document.get("@odata.nextLink")
    return urljoin(url, link) if isinstance(link, str) and link else None


def identifier(row: Row) -> str:
    """Return the key of an entity; some stations spell `Id` in lower case."""
    return str(row.get("Id") or row.get("id") or "")


def moment(row: Row, field: str) -> datetime | None:
    """Return a moment of an entity; None when it has none."""
    value = row.get(field)
    return moments.read(value) if isinstance(value, str) else None


def checksum(row: Row) -> Checksum | None:
    """Return the strongest checksum of `Checksum` that can be computed; None when there is none."""
    listed = row.get("Checksum")
    entries = [entry for entry in (listed if isinstance(listed, list) else [listed]) if isinstance(entry, dict)]
    found = [Checksum.named(str(entry.get("Algorithm", "")), str(entry.get("Value", ""))) for entry in entries if entry.get("Value")]
    return max((one for one in found if one), key=lambda one: len(one.hexadecimal), default=None)
