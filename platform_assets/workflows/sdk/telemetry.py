"""Spans and counters, sent as OTLP over HTTP with JSON when an endpoint is configured; otherwise nothing is even recorded.

The variables are OpenTelemetry's own: `OTEL_EXPORTER_OTLP_ENDPOINT`, or `..._TRACES_ENDPOINT` and `..._METRICS_ENDPOINT`,
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; `TRACEPARENT` continues a trace, as W3C's
Trace Context says. As the reference does, `MESH_CONFIG` may say where `otlp-traces-endpoint` and `otlp-metrics-endpoint` are.
"""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from platform_assets.workflows.sdk.configuration import mesh_address, variables

Value = str | int | float | bool

_TIMEOUT_S = 5.0
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_SCOPE = {"name": "groundtrack.workflows"}
_METER = "dkist"
_NOMAD = {
    "nomad.allocation.id": "NOMAD_ALLOC_ID",
    "nomad.allocation.name": "NOMAD_ALLOC_NAME",
    "nomad.allocation.group": "NOMAD_GROUP_NAME",
}
_OK, _ERROR, _INTERNAL, _DELTA = 1, 2, 1, 1

_log = logging.getLogger(__name__)


class Span:
    """A part of a task's time.

    Args:
        name: What was done.
        trace_id: The trace it belongs to, in hexadecimal.
        parent_id: The span around it; empty for none.
        attributes: What is known about it.
    """

    def __init__(self, name: str, trace_id: str, parent_id: str, attributes: Mapping[str, Value]) -> None:
        self.name, self.trace_id, self.parent_id = name, trace_id, parent_id
        self.span_id = os.urandom(8).hex()
        self.attributes = dict(attributes)
        self.error: BaseException | None = None
        self._began_ns, self._ended_ns = time.time_ns(), 0

    def end(self) -> None:
        """Stop its clock."""
        self._ended_ns = time.time_ns()

    def document(self) -> dict[str, Any]:
        """Return the span as OTLP has it."""
        found: dict[str, Any] = {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "parentSpanId": self.parent_id,
            "name": self.name,
            "kind": _INTERNAL,
            "startTimeUnixNano": str(self._began_ns),
            "endTimeUnixNano": str(self._ended_ns),
            "attributes": _pairs(self.attributes),
            "status": {"code": _OK},
        }
        if self.error is not None:
            kind, text = type(self.error).__qualname__, str(self.error)
            found["status"] = {"code": _ERROR, "message": f"{kind}: {text}"}
            attributes = _pairs({"exception.type": kind, "exception.message": text})
            found["events"] = [{"timeUnixNano": str(self._ended_ns), "name": "exception", "attributes": attributes}]
        return found


class Counter:
    """A number that only grows.

    Args:
        name: Its name with that of its meter.
    """

    def __init__(self, name: str) -> None:
        self.name, self.value = name, 0
        self._began_ns = time.time_ns()

    def add(self, amount: int) -> None:
        """Add to it."""
        self.value += amount

    def document(self, attributes: Mapping[str, Value]) -> dict[str, Any]:
        """Return what was counted since the last time, as OTLP has it."""
        now_ns = time.time_ns()
        point = {
            "asInt": str(self.value),
            "startTimeUnixNano": str(self._began_ns),
            "timeUnixNano": str(now_ns),
            "attributes": _pairs(attributes),
        }
        self.value, self._began_ns = 0, now_ns
        return {"name": self.name, "sum": {"dataPoints": [point], "aggregationTemporality": _DELTA, "isMonotonic": True}}


class Telemetry:
    """The spans and counters of one task.

    Args:
        attributes: What every one of them carries.
        environment: Where the configuration is read from.
    """

    def __init__(self, attributes: Mapping[str, Value], environment: Mapping[str, str]) -> None:
        given = variables(environment)
        nomad = {name: given[variable] for name, variable in _NOMAD.items() if given.get(variable)}
        self._attributes: dict[str, Value] = {**attributes, **nomad}
        self._urls = {signal: _url(given, signal) for signal in ("traces", "metrics")}
        self._headers = _listed(given.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
        service = {"service.name": given.get("OTEL_SERVICE_NAME") or "groundtrack-workflows"}
        self._resource = _listed(given.get("OTEL_RESOURCE_ATTRIBUTES", "")) | service
        outer = _TRACEPARENT.fullmatch(given.get("TRACEPARENT", ""))
        self._trace_id, self._outer_id = outer.groups() if outer else (os.urandom(16).hex(), "")
        self._open: list[Span] = []
        self._ended: list[Span] = []
        self._counters: list[Counter] = []

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value]) -> Iterator[Span | None]:
        """Record a span around a block, with the error that the block raised."""
        if not self._urls["traces"]:
            yield None
            return
        parent_id = self._open[-1].span_id if self._open else self._outer_id
        span = Span(name, self._trace_id, parent_id, {**self._attributes, **attributes})
        self._open.append(span)
        try:
            yield span
        except BaseException as error:
            span.error = error
            raise
        finally:
            span.end()
            self._open.pop()
            self._ended.append(span)

    def counter(self, name: str) -> Counter:
        """Return a new counter, named as the reference names its own."""
        self._counters.append(Counter(f"{_METER}.processing.{name}"))
        return self._counters[-1]

    def flush(self) -> None:
        """Send what has ended; an endpoint that does not answer costs a warning and never the task."""
        resource = {"attributes": _pairs(self._resource)}
        if self._urls["traces"] and self._ended:
            spans = [span.document() for span in self._ended]
            self._ended = []
            self._send("traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": _SCOPE, "spans": spans}]}]})
        if self._urls["metrics"] and any(counter.value for counter in self._counters):
            metrics = [counter.document(self._attributes) for counter in self._counters]
            self._send("metrics", {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": _SCOPE, "metrics": metrics}]}]})

    def _send(self, signal: str, document: Mapping[str, Any]) -> None:
        import json
        from urllib.request import Request, urlopen

        url = self._urls[signal]
        headers = {"Content-Type": "application/json", **self._headers}
        try:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url} is not an HTTP address")
            request = Request(url, json.dumps(document).encode(), headers)  # noqa: S310 - checked above
            with urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
                pass
        except (OSError, ValueError) as error:
            _log.warning("telemetry was not sent to %s: %s", url, error)


def _url(given: Mapping[str, str], signal: str) -> str:
    """Return where a signal is sent; the most particular setting counts."""
    if url := given.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"):
        return url
    base = given.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    if not base and (address := mesh_address(given, f"otlp-{signal}-endpoint")):
        base = f"http://{address}"
    return f"{base}/v1/{signal}" if base else ""


def _listed(text: str) -> dict[str, str]:
    """Return the pairs of a list such as `a=1,b=2`."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _pairs(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _typed(value)} for key, value in attributes.items()]


def _typed(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
