"""Filters over a handful of items and what they find: the same of every engine that searches."""

from typing import Any

from tests.builders.dpr import Document, auxiliary, item

Case = tuple[str, Any, str]


def items() -> list[Document]:
    """Three auxiliary files `a`, `b`, `c` of one collection, and an item `d` that has only a datetime and few properties."""
    return [
        auxiliary("a", "aux", "ORB_RES", platform="s1a", created="2026-05-01T00:00:00.000Z", size=5, name="A_1%"),
        auxiliary(
            "b", "aux", "ORB_RES", platform="s1b", created="2026-05-01T00:00:00.500Z", size=7.5, end_datetime="2026-05-01T12:00:00.000Z"
        ),
        auxiliary("c", "aux", "ORB_PRE", platform="s1a", created="2026-04-01T00:00:00Z", size=50, start_datetime="2026-05-01T06:00:00Z"),
        item("d", "aux", datetime="2026-05-01T08:00:00Z", created=None),
    ]


def of(name: str) -> Document:
    return {"property": name}


def op(name: str, *arguments: Any) -> Document:
    return {"op": name, "args": list(arguments)}


def interval(start: Any, end: Any) -> Document:
    return {"interval": [start, end]}


VALIDITY = interval(of("start_datetime"), of("end_datetime"))
_DAY = "2026-05-01T00:00:00Z"

CASES: list[Case] = [
    ("equal", op("=", of("product:type"), "ORB_RES"), "ab"),
    ("equal, by its full name", op("=", of("properties.product:type"), "ORB_RES"), "ab"),
    ("id", op("=", of("id"), "c"), "c"),
    ("id in", op("in", of("id"), ["b", "d", "x"]), "bd"),
    ("collection", op("=", of("collection"), "aux"), "abcd"),
    ("unequal leaves out what is missing", op("<>", of("platform"), "s1a"), "b"),
    ("not leaves out what is missing", op("not", op("=", of("platform"), "s1a")), "b"),
    ("not of what is surely false", op("not", op("and", op("=", of("platform"), "s1a"), op("=", of("id"), "x"))), "abcd"),
    ("in", op("in", of("platform"), ["s1b", "s1c"]), "b"),
    ("not in", op("not", op("in", of("platform"), ["s1b"])), "ac"),
    ("like %", op("like", of("product:type"), "ORB%"), "abc"),
    ("like _", op("like", of("product:type"), "ORB_RE_"), "ab"),
    ("like is not for a part", op("like", of("product:type"), "RES"), ""),
    ("like has upper and lower case", op("like", of("product:type"), "orb%"), ""),
    ("like with an escaped %", op("like", of("name"), "A\\_1\\%"), "a"),
    ("like has no regular expressions", op("like", of("product:type"), "ORB.RES"), ""),
    ("less", op("<", of("size"), 7.5), "a"),
    ("less or equal", op("<=", of("size"), 7.5), "ab"),
    ("greater, by number and not by text", op(">", of("size"), 7.5), "c"),
    ("between numbers includes both", op("between", of("size"), 5, 7.5), "ab"),
    ("between moments includes both", op("between", of("created"), "2026-04-01T00:00:00.000Z", _DAY), "ac"),
    ("between marked moments", op("between", of("created"), {"timestamp": _DAY}, {"timestamp": "2026-05-02T00:00:00Z"}), "ab"),
    ("a moment is equal however it is written", op("=", of("created"), "2026-05-01T02:00:00+02:00"), "a"),
    ("a moment is later by half a second", op(">", of("created"), _DAY), "b"),
    ("and", op("and", op("=", of("platform"), "s1a"), op(">", of("size"), 10)), "c"),
    ("or with what is missing", op("or", op("=", of("platform"), "s1b"), op("=", of("id"), "d")), "bd"),
    ("is null", op("isNull", of("platform")), "d"),
    ("is not null", op("not", op("isNull", of("platform"))), "abc"),
    ("contains", op("t_contains", VALIDITY, interval("2026-05-01T07:00:00Z", "2026-05-01T11:00:00Z")), "abc"),
    ("contains not, when the end is the same", op("t_contains", VALIDITY, interval("2026-05-01T07:00:00Z", "2026-05-01T12:00:00Z")), "ac"),
    ("contains not, when the begin is the same", op("t_contains", VALIDITY, interval(_DAY, "2026-05-01T11:00:00Z")), ""),
    ("intersects", op("t_intersects", VALIDITY, interval("2026-05-01T13:00:00Z", "2026-05-03T00:00:00Z")), "ac"),
    ("intersects in one moment", op("t_intersects", VALIDITY, interval("2026-05-01T12:00:00Z", "2026-05-03T00:00:00Z")), "abc"),
    ("intersects an item of one moment", op("t_intersects", VALIDITY, interval("2026-05-01T07:00:00Z", "2026-05-01T09:00:00Z")), "abcd"),
    ("intersects an open interval", op("t_intersects", VALIDITY, interval("2026-05-01T13:00:00Z", "..")), "ac"),
    (
        "contains, with seconds added and taken away",
        op("t_contains", VALIDITY, interval(op("-", "2026-05-01T06:00:00.000Z", 0.5), op("+", "2026-05-01T11:00:00Z", 3599))),
        "ab",
    ),
    ("during", op("t_during", VALIDITY, interval("2026-04-30T00:00:00Z", "2026-05-01T13:00:00Z")), "bd"),
]
"""What a case is about, its filter, the identifiers that it finds."""

SORTS: list[tuple[str, list[Document], int | None, list[str]]] = [
    ("the newest first", [{"field": "created", "direction": "desc"}], None, ["b", "a", "c"]),
    ("the newest", [{"field": "properties.created", "direction": "desc"}], 1, ["b"]),
    ("by number", [{"field": "size", "direction": "asc"}], None, ["a", "b", "c"]),
    ("by two fields", [{"field": "platform", "direction": "desc"}, {"field": "created", "direction": "asc"}], None, ["b", "c", "a"]),
    ("of equal ones the greater id first", [{"field": "product:type", "direction": "asc"}], 2, ["c", "b"]),
    ("by id", [{"field": "id", "direction": "asc"}], 2, ["a", "b"]),
]
"""What a case is about, fields, limit, and the order of those that have a platform."""
