"""A receiver of OTLP over HTTP with JSON that takes what the protocol allows, and answers 400 to anything else."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Check = Callable[[Any], bool]


def matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


TRACE_ID, SPAN_ID, UINT64, INT64 = matches("[0-9a-f]{32}"), matches("[0-9a-f]{16}"), matches("[0-9]{1,20}"), matches("-?[0-9]{1,19}")
TEXT, NAME, FLAG = matches("(?s).*"), matches("(?s).+"), lambda value: isinstance(value, bool)
NUMBER: Check = lambda value: isinstance(value, int | float) and not isinstance(value, bool)  # noqa: E731

# The messages of opentelemetry-proto 1.x as far as tasks send them: a field is checked, a message, or [a message] many times.
# In JSON ids are hexadecimal, 64-bit integers are texts, and enumerations are numbers.
MESSAGES: dict[str, dict[str, Any]] = {
    "/v1/traces": {"resourceSpans": ["ResourceSpans"]},
    "ResourceSpans": {"resource": "Resource", "scopeSpans": ["ScopeSpans"]},
    "ScopeSpans": {"scope": "Scope", "spans": ["Span"]},
    "Span": {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "parentSpanId": matches("([0-9a-f]{16})?"),
        "name": NAME,
        "kind": lambda value: value in range(6),
        "startTimeUnixNano": UINT64,
        "endTimeUnixNano": UINT64,
        "attributes": ["KeyValue"],
        "status": "Status",
        "events": ["Event"],
    },
    "Status": {"code": lambda value: value in range(3), "message": TEXT},
    "Event": {"timeUnixNano": UINT64, "name": NAME, "attributes": ["KeyValue"]},
    "/v1/metrics": {"resourceMetrics": ["ResourceMetrics"]},
    "ResourceMetrics": {"resource": "Resource", "scopeMetrics": ["ScopeMetrics"]},
    "ScopeMetrics": {"scope": "Scope", "metrics": ["Metric"]},
    "Metric": {"name": NAME, "sum": "Sum"},
    "Sum": {"dataPoints": ["Point"], "aggregationTemporality": lambda value: value in (1, 2), "isMonotonic": FLAG},
    "Point": {"asInt": INT64, "startTimeUnixNano": UINT64, "timeUnixNano": UINT64, "attributes": ["KeyValue"]},
    "Resource": {"attributes": ["KeyValue"]},
    "Scope": {"name": NAME},
    "KeyValue": {"key": NAME, "value": "AnyValue"},
    "AnyValue": {"stringValue": TEXT, "boolValue": FLAG, "intValue": INT64, "doubleValue": NUMBER},
}


def check(kind: str, document: Any) -> None:
    """Raise ValueError where a document is not the message that it should be."""
    known = MESSAGES[kind]
    if not isinstance(document, dict) or not document or set(document) - set(known):
        raise ValueError(f"{document} is no {kind}")
    for name, value in document.items():
        wanted = known[name]
        if isinstance(wanted, list):
            for one in value:
                check(wanted[0], one)
        elif isinstance(wanted, str):
            check(wanted, value)
        elif not wanted(value):
            raise ValueError(f"{kind}.{name} cannot be {value!r}")


@dataclass
class Received:
    """What a receiver got.

    Attributes:
        url: Where it listens.
        spans: Every span, its attributes as a dictionary.
        metrics: Every metric.
        resources: The attributes of every request's resource.
        refused: Why requests were refused.
    """

    url: str
    spans: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def named(self, name: str) -> dict[str, Any]:
        """Return the one span of this name."""
        [found] = [span for span in self.spans if span["name"] == name]
        return found

    def children(self, span: dict[str, Any]) -> list[dict[str, Any]]:
        return [other for other in self.spans if other["parentSpanId"] == span["spanId"]]

    def add(self, path: str, document: dict[str, Any]) -> None:
        check(path, document)
        for group in document.get("resourceSpans", ()):
            self.resources.append(plain(group["resource"]["attributes"]))
            self.spans += [{**span, "attributes": plain(span["attributes"])} for scope in group["scopeSpans"] for span in scope["spans"]]
        for group in document.get("resourceMetrics", ()):
            self.metrics += [metric for scope in group["scopeMetrics"] for metric in scope["metrics"]]


def plain(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: int(value) if kind == "intValue" else value for pair in pairs for kind, value in pair["value"].items()}


@contextmanager
def otlp_receiver() -> Iterator[Received]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Type"] != "application/json":
                    raise ValueError(f"{self.headers['Content-Type']} is not JSON")
                received.add(self.path, json.loads(body))
                answer = b'{"partialSuccess":{}}'
                self.send_response(200)
            except (ValueError, KeyError, TypeError) as error:
                received.refused.append(repr(error))
                answer = b'{"code":3}'
                self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Received(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
