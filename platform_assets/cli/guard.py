"""The guard in front of Dagster's web server, which by itself has no login and runs mutations even by GET.

Pure ASGI. A request passes when it names this host, comes from this origin and carries the token:

* Host: a name that this server was given. A page that rebinds its own name to 127.0.0.1 still sends that name. The port is
  not compared, as it differs behind an SSH tunnel and no attacker gains by it.
* Origin: whatever changes something must prove that the UI itself sent it; a form, an image or a script of another page,
  even of one on another port of this machine, cannot.
* Token: in the printed address, exchanged at once for a cookie; scripts send it as `Authorization: Bearer`.
"""

import hashlib
import hmac
import ipaddress
import logging
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("groundtrack.ui")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_READING = frozenset({"GET", "HEAD"})
_GRAPHQL = "/graphql"
_FOR_SCRIPTS = ("/report_asset_materialization/", "/report_asset_check/", "/report_asset_observation/")
_HEADERS = {
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_CSP = b"content-security-policy"
_NO_FRAMES = b"frame-ancestors 'none'"
_LOGIN_CSP = b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
_LOGIN_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Groundtrack</title>
<style>body{font:16px sans-serif;max-width:30em;margin:15vh auto;padding:0 1em}input{font:inherit;padding:.4em;width:70%}
button{font:inherit;padding:.4em 1em}</style>
<h1>Groundtrack</h1><p>Open the address that <code>groundtrack up</code> printed, or enter the token that is in it.</p>
<form><input name="token" type="password" aria-label="Token" autocomplete="current-password" autofocus required>
<button>Open</button></form></html>"""


@dataclass(frozen=True)
class Refusal:
    """Why a request does not pass.

    Attributes:
        status: The HTTP status.
        reason: What is wrong, for the client and the log.
    """

    status: int
    reason: str


@dataclass(frozen=True)
class Asked:
    """What the guard judges a request by; header names are lower-case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, scope: Scope) -> "Asked":
        """Take it from an ASGI scope."""
        query = tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
        return cls(scope.get("method", "GET"), scope["path"], query, headers)

    def header(self, name: str) -> str:
        """Return a header's value; empty when it is missing, and when it is there twice, as then nobody knows which one counts."""
        values = [value for given, value in self.headers if given == name]
        return values[0] if len(values) == 1 else ""

    @property
    def token(self) -> str | None:
        """The token in the address, if there is one."""
        return next((value for name, value in self.query if name == "token"), None)


class Guard:
    """ASGI middleware: lets through what may reach the web server, and adds the headers that forbid framing.

    Args:
        app: Dagster's web server.
        token: What a client must know.
        hosts: The names under which the server may be addressed.
        any_address: Whether IP addresses are names too, as for a server that listens on all of them.
        cookie: The cookie's name; cookies are shared by all ports of a host, so two servers need two names.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str], any_address: bool = False, cookie: str = "groundtrack") -> None:
        self._app = app
        self._token = token
        # Not the token itself: a browser stores it, and shows it to other servers on this host.
        self._cookie_value = hmac.new(token.encode(), b"cookie", hashlib.sha256).hexdigest()
        self._cookie = cookie
        self._hosts = frozenset(host.lower() for host in hosts)
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, _Answer(send, scope))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: "_Answer") -> None:
        asked = Asked.of(scope)
        refusal = self._wrong_host(asked)
        if refusal is None and asked.token is not None and asked.method == "GET":
            if _same(asked.token, self._token):
                await self._log_in(asked, send)
                return
            refusal = Refusal(401, "the token is wrong; a new one is made at every start")
        refusal = refusal or self._unknown(asked) or self._not_allowed(asked)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(asked, refusal, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked.of(scope)
        refusal = self._wrong_host(asked) or self._unknown(asked)
        if refusal is None and not (self._has_bearer(asked) or asked.header("origin")):
            refusal = Refusal(403, "a websocket must name its origin")
        if refusal is None:
            await self._app(scope, receive, send)
            return
        _log.warning("websocket %s refused: %s", quote(asked.path), refusal.reason)
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    def _wrong_host(self, asked: Asked) -> Refusal | None:
        host = asked.header("host").lower()
        match = _HOST.fullmatch(host)
        if match is None or not (match["name"] in self._hosts or (self._any_address and _is_address(match["name"]))):
            return Refusal(421, "this server has another name; open the address that `groundtrack up` printed")
        origin = asked.header("origin")
        if origin and origin.lower().partition("://")[2] != host:
            return Refusal(403, "requests of other sites are refused")
        return None

    def _unknown(self, asked: Asked) -> Refusal | None:
        cookies = (part.strip().partition("=") for part in asked.header("cookie").split(";"))
        if self._has_bearer(asked) or any(name == self._cookie and _same(value, self._cookie_value) for name, _, value in cookies):
            return None
        return Refusal(401, "the token is missing: open the address that `groundtrack up` printed, or send `Authorization: Bearer <token>`")

    def _not_allowed(self, asked: Asked) -> Refusal | None:
        if asked.method in _READING and asked.path.rstrip("/") != _GRAPHQL:
            return None
        if asked.method == "POST" and asked.path == _GRAPHQL:
            return self._not_from_the_ui(asked)
        if asked.method == "POST" and asked.path.startswith(_FOR_SCRIPTS) and self._has_bearer(asked):
            return None
        return Refusal(405, f"{asked.method} is not allowed here")

    def _not_from_the_ui(self, asked: Asked) -> Refusal | None:
        if asked.header("content-type").partition(";")[0].strip().lower() != "application/json":
            return Refusal(415, "GraphQL takes application/json")
        # A browser always says where a POST comes from; `_wrong_host` has seen that a named origin is this one.
        if self._has_bearer(asked) or asked.header("origin") or asked.header("sec-fetch-site") == "same-origin":
            return None
        return Refusal(403, "a request with the browser's cookie must name its origin")

    def _has_bearer(self, asked: Asked) -> bool:
        scheme, _, value = asked.header("authorization").partition(" ")
        return scheme.lower() == "bearer" and _same(value.strip(), self._token)

    async def _log_in(self, asked: Asked, send: "_Answer") -> None:
        rest = urlencode([(name, value) for name, value in asked.query if name != "token"])
        # One slash in front: two would make the path another host's name.
        target = quote("/" + asked.path.lstrip("/"), safe="/@") + (f"?{rest}" if rest else "")
        cookie = f"{self._cookie}={self._cookie_value}; Path=/; HttpOnly; SameSite=Strict"
        await _respond(send, 303, b"", {"location": target, "set-cookie": cookie})


class _Answer:
    """The way back to the client: adds the guard's headers, and writes the access log, which never has a query."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._request = f"{(scope.get('client') or ('-',))[0]} {scope['method']} {quote(scope['path'])}"

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            _harden(message)
            _log.info("%s %s", self._request, message["status"])
        await self._send(message)


def _harden(message: MutableMapping[str, Any]) -> None:
    given = [(name.lower(), value) for name, value in message.get("headers", ())]
    policies = [value.rstrip(b"; ") for name, value in given if name == _CSP]
    kept = [(name, value) for name, value in given if name != _CSP and name not in _HEADERS]
    message["headers"] = [*kept, *_HEADERS.items(), (_CSP, b"; ".join([*policies, _NO_FRAMES]))]


async def _refuse(asked: Asked, refusal: Refusal, send: Send) -> None:
    _log.warning("%s %s refused: %s", asked.method, quote(asked.path), refusal.reason)
    if refusal.status == 401 and "text/html" in asked.header("accept"):
        await _respond(send, 401, _LOGIN_PAGE, {"content-type": "text/html; charset=utf-8", _CSP.decode(): _LOGIN_CSP.decode()})
    else:
        challenge = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}
        await _respond(send, refusal.status, f"{refusal.reason}\n".encode(), {"content-type": "text/plain; charset=utf-8"} | challenge)


async def _respond(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    sized = headers | {"content-length": str(len(body)), "cache-control": "no-store"}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sized.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
