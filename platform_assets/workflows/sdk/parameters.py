"""A task's parameters: a dataclass of the scientist's, filled from JSON, strictly."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean"}


def schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema of a dataclass of parameters.

    Raises:
        TypeError: It is no dataclass, or a field has a type that JSON has not, or a default that is not of its type.
        ValueError: A default is not one of those allowed.
    """
    _check_dataclass(kind)
    hints = get_type_hints(kind)
    properties = {}
    for field in fields(kind):
        described = _type_schema(f"{kind.__name__}.{field.name}", hints[field.name])
        if field.default is not MISSING or field.default_factory is not MISSING:
            described["default"] = _plain(field.default if field.default_factory is MISSING else field.default_factory())
            _value(field.name, hints[field.name], described["default"])
        properties[field.name] = described
    required = sorted(name for name, described in properties.items() if "default" not in described)
    return {"type": "object", "properties": properties, "required": required}


def parse(kind: type, values: Mapping[str, Any]) -> Any:
    """Return an instance of a dataclass of parameters; values that it has no field for are another task's.

    Raises:
        TypeError: A value has another type than its field.
        ValueError: A field without a default has no value, or a value is not one of those allowed, as NaN never is.
    """
    _check_dataclass(kind)
    hints = get_type_hints(kind)
    given = {field.name: values[field.name] for field in fields(kind) if field.name in values}
    for field in fields(kind):
        if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"the parameter {field.name} has no value")
    return kind(**{name: _value(name, hints[name], value) for name, value in given.items()})


def _check_dataclass(kind: type) -> None:
    if not is_dataclass(kind):
        raise TypeError(f"Parameters must be a dataclass; {kind.__name__} is none")


def _type_schema(where: str, hint: Any) -> dict[str, Any]:
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        inner = next(argument for argument in arguments if argument is not type(None))
        return {"anyOf": [_type_schema(where, inner), {"type": "null"}]}
    if get_origin(hint) is list and arguments:
        return {"type": "array", "items": _type_schema(where, arguments[0])}
    if get_origin(hint) is Literal:
        return {"enum": list(arguments)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    raise TypeError(f"{where} has the type {hint}; use int, float, str, bool, Literal, an Enum, list[...] or ... | None of such")


def _value(name: str, hint: Any, value: Any) -> Any:
    described = _type_schema(name, hint)
    if "anyOf" in described:
        inner = next(argument for argument in get_args(hint) if argument is not type(None))
        return None if value is None else _value(name, inner, value)
    if "enum" in described:
        if value not in described["enum"]:
            raise ValueError(f"the parameter {name} is one of {described['enum']}, not {value!r}")
        return hint(value) if isinstance(hint, type) else value
    if described["type"] == "array":
        if not isinstance(value, list):
            raise TypeError(f"the parameter {name} is a list, not {value!r}")
        return [_value(name, get_args(hint)[0], item) for item in value]
    wanted = (int, float) if hint is float else hint
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"the parameter {name} is a {described['type']}, not {value!r}")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"the parameter {name} is {value}, which JSON has not; None may stand for it")
    return hint(value)


def _plain(value: Any) -> Any:
    """Return a default in JSON types."""
    if isinstance(value, Enum):
        return value.value
    return [_plain(item) for item in value] if isinstance(value, list) else value
