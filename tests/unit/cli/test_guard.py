"""The guards' decisions, request by request, in front of an application that notes what reaches it."""

import asyncio
from typing import Any

import pytest

from platform_assets.cli.guard import Guard
from platform_assets.cli.s3_server import KeyGuard
from platform_assets.cli.ui import guarded

TOKEN = "sesame"
BEARER = (b"authorization", b"Bearer sesame")


class Application:
    """Answers 200 to everything, and counts."""

    def __init__(self, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.reached = 0
        self.headers = headers or []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.reached += 1
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": self.headers})
            await send({"type": "http.response.body", "body": b"ok"})


def ask(
    app: Any, *headers: tuple[bytes, bytes], method: str = "GET", path: str = "/", query: str = "", kind: str = "http"
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path, "query_string": query.encode(), "headers": list(headers), "client": ("127.0.0.1", 1)}
    if kind == "http":
        scope["method"] = method
    asyncio.run(app(scope, receive, send))
    return sent


def status(app: Any, *headers: tuple[bytes, bytes], **options: Any) -> int:
    return ask(app, *headers, **options)[0]["status"]


@pytest.mark.parametrize(
    ("listens_on", "host", "passes"),
    [
        ("127.0.0.1", b"127.0.0.1:3000", True),
        ("127.0.0.1", b"localhost", True),
        ("127.0.0.1", b"[::1]:3000", True),
        ("127.0.0.1", b"localhost.", False),
        ("127.0.0.1", b"10.0.0.5:3000", False),
        ("10.0.0.5", b"10.0.0.5:3000", True),
        ("eo.example", b"EO.example:8080", True),
        ("fd00::5", b"[fd00::5]:3000", True),
        ("0.0.0.0", b"10.0.0.5:3000", True),
        ("0.0.0.0", b"[fd00::5]:3000", True),
        ("0.0.0.0", b"evil.example:3000", False),
        ("0.0.0.0", b"10.0.0.5.evil.example", False),
        ("::", b"10.0.0.5", True),
        ("::", b"[1.2]", False),
        ("127.0.0.1", b"localhost:3000:80", False),
        ("127.0.0.1", b"user@localhost", False),
        ("127.0.0.1", b"localhost/..", False),
        ("127.0.0.1", b"localhost, evil.example", False),
    ],
)
def test_only_names_of_this_server_pass(listens_on, host, passes):
    guard = guarded(Application(), TOKEN, listens_on, 3000)
    assert status(guard, (b"host", host), BEARER) == (200 if passes else 421)


def test_a_server_on_all_addresses_answers_to_its_own_name(monkeypatch):
    monkeypatch.setattr("platform_assets.cli.ui.socket.gethostname", lambda: "station7")
    assert status(guarded(Application(), TOKEN, "0.0.0.0", 3000), (b"host", b"station7:3000"), BEARER) == 200
    assert status(guarded(Application(), TOKEN, "127.0.0.1", 3000), (b"host", b"station7:3000"), BEARER) == 421


@pytest.mark.parametrize("name", [b"host", b"authorization"])
def test_a_header_that_is_there_twice_counts_for_nothing(name):
    app = Application()
    guard = Guard(app, token=TOKEN, hosts=["localhost"])
    headers = {b"host": b"localhost", b"authorization": b"Bearer sesame"}
    assert status(guard, *headers.items(), (name, headers[name])) in (401, 421)
    assert app.reached == 0


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/graphql//"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_graphql_is_never_read(path, method):
    assert status(Guard(Application(), token=TOKEN, hosts=["h"]), (b"host", b"h"), BEARER, path=path, method=method) == 405


def test_the_policies_of_the_application_are_kept_and_its_weaker_headers_replaced():
    given = [
        (b"Content-Security-Policy", b"object-src 'none'; "),
        (b"X-Frame-Options", b"SAMEORIGIN"),
        (b"Referrer-Policy", b"unsafe-url"),
        (b"x-own", b"1"),
    ]
    start = ask(Guard(Application(given), token=TOKEN, hosts=["h"]), (b"host", b"h"), BEARER)[0]
    headers = start["headers"]
    assert (b"content-security-policy", b"object-src 'none'; frame-ancestors 'none'") in headers
    assert [value for name, value in headers if name == b"x-frame-options"] == [b"DENY"]
    assert [value for name, value in headers if name == b"referrer-policy"] == [b"same-origin"]
    assert (b"x-own", b"1") in headers


@pytest.mark.parametrize("headers", [(), (BEARER,), ((b"origin", b"http://h"),), (BEARER, (b"origin", b"http://evil.example"))])
def test_a_websocket_needs_host_token_and_origin(headers):
    app = Application()
    sent = ask(Guard(app, token=TOKEN, hosts=["h"]), (b"host", b"h"), *headers, kind="websocket", path="/graphql")
    refused = sent == [{"type": "websocket.close", "code": 1008}]
    assert refused == (headers != (BEARER,))
    assert app.reached == (0 if refused else 1)


def test_lifespan_reaches_the_application():
    app = Application()
    ask(Guard(app, token=TOKEN, hosts=["h"]), kind="lifespan")
    assert app.reached == 1


SIGNED = (b"authorization", b"AWS4-HMAC-SHA256 Credential=GTkey/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")


@pytest.mark.parametrize(
    ("headers", "query", "passes"),
    [
        ((SIGNED,), "", True),
        ((), "X-Amz-Credential=GTkey%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", True),
        ((), "AWSAccessKeyId=GTkey&Signature=x&Expires=1", True),
        ((), "", False),
        ((), "AWSAccessKeyId=test", False),
        (((b"authorization", SIGNED[1].replace(b"GTkey", b"test")),), "", False),
        (((b"authorization", b"AWS GTkey:signature"),), "", False),
        # Which one ministack would believe is not for us to guess.
        ((SIGNED,), "X-Amz-Credential=test%2F1%2F2%2F3%2F4", False),
        ((SIGNED, SIGNED), "", False),
        ((), "AWSAccessKeyId=test&AWSAccessKeyId=GTkey", False),
    ],
)
def test_only_requests_with_the_access_key_reach_the_s3_server(headers, query, passes):
    app = Application()
    assert status(KeyGuard(app, "GTkey"), *headers, path="/raw/key", query=query) == (200 if passes else 403)
    assert app.reached == passes


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/_aws/x", "/_localstack/health", "/_ministack/health"])
def test_the_emulators_own_paths_are_closed_even_with_the_key(path):
    assert status(KeyGuard(Application(), "GTkey"), SIGNED, path=path, method="POST") == 403
    assert status(KeyGuard(Application(), "GTkey"), path="/_ministack/health", method="GET") == 200
