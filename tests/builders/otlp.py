"""A receiver of OTLP over HTTP with JSON that takes what the protocol's own messages take, and answers 400 to anything else."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MESSAGES: dict[str, type[Message]] = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}
IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}
"""In OTLP's JSON these are hexadecimal, where protobuf's own JSON has base64."""


def check(path: str, document: Any) -> None:
    """Raise ValueError where a document is not the message that the official definition says."""
    ParseDict(_as_protobuf(document), MESSAGES[path]())


def _as_protobuf(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _as_protobuf(child, key) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_protobuf(child) for child in value]
    if name in IDS and value:
        if not re.fullmatch(f"[0-9a-f]{{{IDS[name]}}}", value):
            raise ValueError(f"{name} cannot be {value!r}")
        return base64.b64encode(bytes.fromhex(value)).decode()
    return value


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
            except (ValueError, KeyError, TypeError, ParseError) as error:
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
