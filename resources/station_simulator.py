"""Simulated stations over HTTP: for demos and tests of everything that real ones do to their clients, on loopback."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from platform_assets.common.errors import GroundtrackError
from resources.station_faults import Fault, FaultyStation

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Question:
    """A request.

    Attributes:
        method: GET or POST.
        path: The path, decoded.
        query: The query.
        body: The JSON document that was posted; None for none.
        base: The station's own address.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    base: str


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file as an answer.

    Attributes:
        name: Its name, by which faults happen to it.
        content: Its content.
        fetched: Called after it was sent to its end.
    """

    name: str
    content: bytes = field(repr=False)
    fetched: Callable[[], None] = lambda: None


class Station(Protocol):
    """What a simulated station answers; None for what it does not have."""

    faults: FaultyStation

    def answer(self, question: Question) -> dict[str, Any] | FileContent | None:
        """Return a document or a file."""


@contextmanager
def serving(station: Station, *, host: str = "127.0.0.1", port: int = 0, authorization: str = "") -> Iterator[str]:
    """Serve a station until the end of the block; yields its address.

    Args:
        station: What answers.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        authorization: The header Authorization that each request must have; empty for none.
    """
    handler = type("Handler", (_Handler,), {"station": station, "authorization": authorization})
    with _Server((host, port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="groundtrack-station")
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients may leave whenever they want."""


class _Handler(BaseHTTPRequestHandler):
    station: Station
    authorization: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _respond(self) -> None:
        posted = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.authorization and self.headers.get("Authorization") != self.authorization:
            self._send(401, b'{"detail": "Authorization is required"}')
            return
        parts = urlsplit(self.path)
        base = f"http://{self.headers.get('Host', '')}"
        try:
            question = Question(
                self.command, unquote(parts.path), dict(parse_qsl(parts.query)), json.loads(posted) if posted else None, base
            )
            answer = self.station.answer(question)
        except (ValueError, GroundtrackError) as error:
            self._send(400, json.dumps({"detail": str(error)}).encode())
            return
        if answer is None:
            self._send(404, b'{"detail": "there is no such thing"}')
        elif isinstance(answer, FileContent):
            self._send_file(answer)
        elif not self._fails(self.station.faults.next_fault(question.path, listing=True)):
            self._send(200, json.dumps(answer).encode())

    def _fails(self, fault: Fault | None) -> bool:
        """Answer as a fault that is no matter of the content demands; False when there is none."""
        if fault is Fault.THROTTLE:
            self._send(429, b'{"detail": "too many requests"}', {"Retry-After": str(self.station.faults.schedule.retry_after_s)})
        elif fault is Fault.ERROR:
            self._send(500, b'{"detail": "the station failed"}')
        else:
            return False
        return True

    def _send_file(self, file: FileContent) -> None:
        if self.station.faults.is_gone(file.name):
            self._send(404, b'{"detail": "the file is gone"}')
            return
        fault = self.station.faults.next_fault(file.name)
        if self._fails(fault):
            return
        etag = f'"{md5(file.content, usedforsecurity=False).hexdigest()}"'
        content = _spoilt(file.content) if fault is Fault.CORRUPT else file.content
        first = _first_byte(self.headers.get("Range", "")) if self.headers.get("If-Range", etag) == etag else 0
        if first and first >= len(content):
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        sent = (len(content) - first) // 2 if fault is Fault.TRUNCATE else None
        self._send(206 if first else 200, content[first:], headers, "application/octet-stream", sent)
        if sent is None and fault is None:
            file.fetched()

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, content_type: str = JSON, sent: int | None = None
    ) -> None:
        """Send an answer.

        Args:
            status: Its status.
            body: Its body.
            headers: More headers.
            content_type: Of the body.
            sent: How many bytes of the body are sent before the connection ends; None for all.
        """
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])
        if sent is not None:
            self.close_connection = True


def _first_byte(header: str) -> int:
    begin = header.removeprefix("bytes=").partition("-")[0]
    return int(begin) if header.startswith("bytes=") and begin.isdigit() else 0


def _spoilt(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :] if content else content
