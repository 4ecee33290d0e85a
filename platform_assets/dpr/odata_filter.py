"""OData filters, computed: what a station does with `$filter` and `$orderby`. The station simulators answer with it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import shown
from platform_assets.dpr import moments
from platform_assets.dpr.odata import Row

Value = str | float | bool | datetime | None
Test = Callable[[Mapping[str, Any]], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<moment>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?)|(?P<number>-?\d+(?:\.\d+)?(?![\w-]))"
    r"|(?P<name>[A-Za-z_$][\w./$-]*)|(?P<mark>[(),:]))"
)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": lambda text, part: text.startswith(part),
    "endswith": lambda text, part: text.endswith(part),
}
_CONSTANTS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}


class InvalidFilter(PermanentError):
    """A filter is none, or has what is not understood."""

    code = "invalid_filter"
    remedy = "Correct the filter at the place that the message names."


class _Token(NamedTuple):
    kind: str
    text: str


def compiled(text: str) -> Test:
    """Return the test that a `$filter` stands for; a comparison with a missing value is false, as are those of unlike kinds.

    Understood are and, or, not, parentheses, eq, ne, gt, ge, lt, le, in, contains, startswith, endswith, and `any` over a list.

    Raises:
        InvalidFilter: It is no such filter.
    """
    parser = _Parser(list(_tokens(text)), text)
    test = parser.either()
    parser.end()
    return test


def ordered(rows: Iterable[Row], orderby: str) -> list[Row]:
    """Return rows in the order of an `$orderby`; rows without the field come first."""
    found = list(rows)
    for part in reversed([part.split() for part in orderby.split(",") if part.strip()]):
        field = part[0]
        found.sort(key=lambda row: _rank(_value(row, field)), reverse=part[1:] == ["desc"])
    return found


def _rank(value: Value) -> tuple[bool, str, Any]:
    return value is not None, type(value).__name__, value if value is not None else 0


def _tokens(text: str) -> Iterable[_Token]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if not found or not found.lastgroup:
            raise InvalidFilter(f"{shown(text)}: character {place + 1} is not understood")
        yield _Token(found.lastgroup, found[found.lastgroup])
        place = found.end()


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, tokens: Sequence[_Token], text: str) -> None:
        self._tokens, self._text, self._place = tokens, text, 0

    def either(self) -> Test:
        tests = [self._both()]
        while self._is("or"):
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def end(self) -> None:
        if self._place < len(self._tokens):
            raise self._wrong("nothing more")

    def _both(self) -> Test:
        tests = [self._single()]
        while self._is("and"):
            tests.append(self._single())
        return lambda row: all(test(row) for test in tests)

    def _single(self) -> Test:
        if self._is("not"):
            test = self._single()
            return lambda row: not test(row)
        if self._is("("):
            test = self.either()
            self._need(")")
            return test
        if self._peek().text in _TEXT and self._peek(1).text == "(":
            return self._function()
        if self._peek().kind == "name" and self._peek().text.endswith("/any"):
            return self._any()
        return self._comparison()

    def _function(self) -> Test:
        compare = _TEXT[self._next().text]
        self._need("(")
        left = self._operand()
        self._need(",")
        right = self._operand()
        self._need(")")

        def test(row: Mapping[str, Any]) -> bool:
            a, b = left(row), right(row)
            return isinstance(a, str) and isinstance(b, str) and compare(a, b)

        return test

    def _any(self) -> Test:
        field = self._next().text.removesuffix("/any").split("/")[0]
        self._need("(")
        variable = self._next().text
        self._need(":")
        test = self.either()
        self._need(")")
        return lambda row: any(test({**row, variable: entry}) for entry in row.get(field) or ())

    def _comparison(self) -> Test:
        left = self._operand()
        operator = self._next().text
        if operator == "in":
            values = self._list()
            return lambda row: any(_same(left(row), value(row)) for value in values)
        if operator not in _COMPARE:
            self._place -= 1
            raise self._wrong("an operator")
        right, compare = self._operand(), _COMPARE[operator]

        def test(row: Mapping[str, Any]) -> bool:
            a, b = left(row), right(row)
            if operator in ("eq", "ne"):
                return compare(a, b)
            return a is not None and b is not None and _alike(a, b) and compare(a, b)

        return test

    def _list(self) -> list[Test]:
        self._need("(")
        values = [self._operand()]
        while self._is(","):
            values.append(self._operand())
        self._need(")")
        return values

    def _operand(self) -> Test:
        token = self._next()
        match token.kind:
            case "text":
                value: Value = token.text[1:-1].replace("''", "'")
                value = moments.read(str(value)) or value
            case "moment":
                value = moments.read(token.text if "T" in token.text else f"{token.text}T00:00:00Z")
            case "number":
                value = float(token.text)
            case "name" if token.text in _CONSTANTS:
                value = _CONSTANTS[token.text]
            case "name":
                return lambda row: _value(row, token.text)
            case _:
                self._place -= 1
                raise self._wrong("a value")
        return lambda _: value

    def _peek(self, ahead: int = 0) -> _Token:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else _Token("end", "")

    def _next(self) -> _Token:
        token = self._peek()
        self._place += 1
        return token

    def _is(self, text: str) -> bool:
        if self._peek().text == text and self._peek().kind in ("name", "mark"):
            self._place += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._is(text):
            raise self._wrong(f"`{text}`")

    def _wrong(self, wanted: str) -> InvalidFilter:
        there = self._peek().text
        return InvalidFilter(f"{shown(self._text)}: {wanted} is expected {f'before {shown(there)}' if there else 'at the end'}")


def _alike(a: Any, b: Any) -> bool:
    numbers = (int, float)
    return type(a) is type(b) or (isinstance(a, numbers) and isinstance(b, numbers))


def _same(a: Value, b: Value) -> bool:
    return a is not None and a == b


def _value(row: Mapping[str, Any], path: str) -> Value:
    """Return what a path such as `ContentDate/Start` leads to; type names in it, which have dots, are passed over."""
    found: Any = row
    for part in path.split("/"):
        if "." in part:
            continue
        found = found.get(part) if isinstance(found, Mapping) else None
    return (moments.read(found) or found) if isinstance(found, str) else found
