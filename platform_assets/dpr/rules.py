"""Systematic processing: rules by which sessions become requests.

A rule is a document such as

    {"name": "s1-l0", "platforms": ["sentinel-1*"], "input": "S1CADUS",
     "request": {"processor_name": "s1_l0", "pipeline": "s1_l0_full", ...}}

whose `request` lacks what the session gives: `input_products`, and unless it has them itself, `start_datetime`,
`end_datetime` and `satellite`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platform_assets.common.errors import PermanentError
from platform_assets.dpr import cql2, documents, naming
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.items import Item
from platform_assets.dpr.model import ProcessingRequest

_GIVEN = {"start_datetime": "start_datetime", "end_datetime": "end_datetime", "satellite": "platform"}
"""Fields of a request, and the property of a session that each is unless the rule says it."""

_SATELLITE = re.compile(r"S(\d)([A-Z])")
_SESSION: Item = {
    "id": "S1A_20260501041000012345",
    "collection": "s01-cadip-session",
    "properties": {"platform": "sentinel-1a", "start_datetime": "2026-05-01T04:10:00Z", "end_datetime": "2026-05-01T04:22:00Z"},
}


class MalformedRule(PermanentError):
    """A rule is not readable or breaks its own rules."""

    code = "malformed_rule"
    remedy = "Correct the rule at the place that the message names."


@dataclass(frozen=True, slots=True)
class Rule:
    """Which sessions are processed, and how.

    Attributes:
        name: Its name.
        platforms: Patterns of the sessions' platforms, such as `sentinel-1*` or `S1A`; empty for all.
        collections: Patterns of the sessions' collections; empty for all.
        search: A filter that the sessions' items must pass.
        input: The name that the session has in the task table.
        request: The request, without what the session gives.
    """

    name: str
    platforms: tuple[str, ...]
    collections: tuple[str, ...]
    search: Search
    input: str
    request: Mapping[str, Any]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    platforms: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    filter: dict[str, Any] | None = None
    input: Annotated[str, Field(min_length=1)]
    request: dict[str, Any]


def read_rule(data: bytes, source: str) -> Rule:
    """Return the rule that a JSON or YAML document is.

    Args:
        data: The document.
        source: What messages call it.

    Raises:
        MalformedRule: It is none, or would make requests that are none; the message names every field that is wrong.
        InvalidQuery: Its filter is no CQL2.
        UnsafeKey: Its name cannot be a part of a key.
    """
    document = documents.read_document(data, source, MalformedRule)
    try:
        found = _Rule.model_validate(document)
    except ValidationError as error:
        raise MalformedRule(documents.problems(source, error, _Rule.model_fields)) from None
    if "input_products" in found.request:
        raise MalformedRule(f"{source}: request.input_products: is what the session gives; write its name as `input`")
    search = Search(found.filter)
    cql2.executable(search, f"{source}: filter")
    rule = Rule(naming.check_name(found.name, "the rule"), found.platforms, found.collections, search, found.input, found.request)
    try:
        ProcessingRequest.model_validate(_request(rule, _SESSION))
    except ValidationError as error:
        raise MalformedRule(documents.problems(f"{source}: request", error, ProcessingRequest.model_fields)) from None
    return rule


def request_for(rule: Rule, session: Item) -> dict[str, Any] | None:
    """Return the request that a rule makes of a session, the same each time; None when it is not for it.

    Args:
        rule: The rule.
        session: The session's item.

    Raises:
        MalformedRule: The session lacks what the request needs, so that it would be none.
    """
    if not _is_for(rule, session):
        return None
    document = _request(rule, session)
    try:
        ProcessingRequest.model_validate(document)
    except ValidationError as error:
        what = f"rule {rule.name} makes no request of session {quoted(session.get('id'))}"
        raise MalformedRule(documents.problems(what, error, ProcessingRequest.model_fields)) from None
    return document


def _is_for(rule: Rule, session: Item) -> bool:
    platforms = {str((session.get("properties") or {}).get("platform")), platform(session)}
    asked = ((rule.platforms, platforms), (rule.collections, {str(session.get("collection"))}))
    for patterns, values in asked:
        if patterns and not any(fnmatchcase(value, pattern) for pattern in patterns for value in values):
            return False
    return bool(cql2.select([session], rule.search, f"rule {rule.name}"))


def platform(session: Item) -> str:
    """Return the platform of a session as STAC calls it: `sentinel-1a` for the `S1A` of stations; empty when it is not told."""
    told = str((session.get("properties") or {}).get("platform") or "")
    found = _SATELLITE.fullmatch(told)
    return f"sentinel-{found[1]}{found[2].lower()}" if found else told


def _request(rule: Rule, session: Item) -> dict[str, Any]:
    properties = {**(session.get("properties") or {}), "platform": platform(session)}
    given = {field: properties[name] for field, name in _GIVEN.items() if properties.get(name)}
    row = {"name": rule.input, "item_id": session["id"], "collection_name": session.get("collection")}
    return {"workflow_type": "systematic", **given, **rule.request, "input_products": [row]}
