"""Reads documents that people write, JSON or YAML, and says where one is wrong without quoting it: it may hold secrets."""

import json
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

import yaml
from pydantic import ValidationError

from platform_assets.common.errors import GroundtrackError
from platform_assets.dpr.errors import choice, quoted

LIMIT_BYTES = 8 << 20
"""Largest document that is read; real task tables have up to 250 kB."""

_DEEPEST = 60
_MOST_SHOWN = 5
_WORDS = {"missing": "is missing", "extra_forbidden": "is unknown", "tuple_type": "is no list", "model_type": "is no mapping"}


def read_document(data: bytes, name: str, error: type[GroundtrackError]) -> dict[str, Any]:
    """Return the mapping that a JSON or YAML document is.

    Args:
        data: Its content.
        name: What messages call it.
        error: What is raised.
    """
    if len(data) > LIMIT_BYTES:
        raise error(f"{name}: {len(data)} bytes are more than the {LIMIT_BYTES} that are read")
    try:
        text = data.decode("utf-8-sig")
        document = _json(text) if text.lstrip().startswith(("{", "[")) else yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except UnicodeDecodeError as wrong:
        raise error(f"{name}: byte {wrong.start} is not UTF-8") from None
    except json.JSONDecodeError as wrong:
        raise error(f"{name}: line {wrong.lineno}, column {wrong.colno}: {wrong.msg}") from None
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise error(f"{name}: {where}{wrong.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as wrong:
        raise error(f"{name}: {_reason(wrong)}") from None
    if not isinstance(document, dict):
        raise error(f"{name}: the document is no mapping of names to values")
    if strange := next(_strange(document), None):
        raise error(f"{name}: {strange}")
    return document


def problems(name: str, error: ValidationError, valid: Iterable[str]) -> str:
    """Return a message that names each field that is wrong; values are left out.

    Args:
        name: What messages call the document.
        error: What pydantic found.
        valid: The names of the document's own fields.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        f"{path(item['loc']) or 'the document'}: {_WORDS.get(item['type'], item['msg'].removeprefix('Value error, '))}" for item in found
    ]
    unknown = any(item["type"] == "extra_forbidden" and len(item["loc"]) == 1 for item in found)
    return listed(name, lines) + (f"; {choice('fields', valid)}" if unknown else "")


def listed(name: str, lines: Sequence[str]) -> str:
    """Return a message of several findings, of which the first few are told."""
    more = f"; and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
    return f"{name}: {'; '.join(lines[:_MOST_SHOWN])}{more}"


def path(places: Iterable[str | int]) -> str:
    """Return a place in a document, such as `units[0].name`."""
    return "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places).lstrip(".")


def _strange(document: Any) -> Iterator[str]:
    """Yield what JSON cannot hold, and what is nested too deeply to be worked on."""
    level: list[tuple[str, Any]] = [("", document)]
    for _ in range(_DEEPEST):
        below: list[tuple[str, Any]] = []
        for place, node in level:
            match node:
                case dict():
                    yield from (f"{place}{quoted(key)} is no text, which names must be" for key in node if not isinstance(key, str))
                    below += [(f"{place}{key}.", value) for key, value in node.items()]
                case list():
                    below += [(f"{place}{index}.", value) for index, value in enumerate(node)]
                case float() if not isfinite(node):
                    yield f"{place.rstrip('.')} is no finite number"
        level = below
    if level:
        yield f"it is nested more than {_DEEPEST} deep"


def _reason(error: Exception) -> str:
    match error:
        case _DuplicateKey():
            return str(error)
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return type(error).__name__


class _DuplicateKey(ValueError):
    """A mapping has a name twice."""


def _json(text: str) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
            raise _DuplicateKey(f"{quoted(twice)} is there twice in one object")
        return found

    return json.loads(text, object_pairs_hook=mapping)


class _Loader(yaml.SafeLoader):
    """YAML without aliases, which make a small document huge, and without names that are there twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]  # not in the stubs
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as in PyYAML
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{quoted(key.value)} is there twice", problem_mark=key.start_mark)
            seen.add(getattr(key, "value", None) if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)
