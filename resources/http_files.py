"""Files and documents over HTTP from stations that throttle, break off and err: resumed, retried with back-off, verified.

Credentials are sent to the station's own origin only, wherever the addresses of its files lead.
"""

import base64
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests import PreparedRequest, Response
from requests.auth import AuthBase
from requests.exceptions import RequestException

from platform_assets.common.errors import ConfigurationError
from platform_assets.common.keys import shown
from platform_assets.dpr.processors import masked
from platform_assets.dpr.transfer import CorruptTransfer, Expected, FileGone, Received, StationRefused, StationTimeout, StationUnavailable

_CHUNK_BYTES = 64 << 10  # of a body that breaks off, the last chunk is lost
_MOST_DOCUMENT_BYTES = 256 << 20
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_SAID_BYTES = 64 << 10  # of which 120 characters are shown, but a secret must be read whole to be masked
_SECRET_FIELDS = ("client_secret", "password")
_JITTER = 0.2
_PART = ".part"


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is tried, and how long it is waited in between.

    Attributes:
        attempts: How often it is tried; for a download, how often in a row without a byte more.
        pause_s: The first pause; each further one is twice as long.
        longest_s: No pause is longer, also when the station asks for a longer one.
    """

    attempts: int = 4
    pause_s: float = 60.0
    longest_s: float = 300.0

    def wait_s(self, failed: int, asked_s: float | None) -> float:
        """Return the pause after some failed attempts; what the station asks for comes first."""
        if asked_s is not None:
            return min(max(asked_s, 0.0), self.longest_s)
        pause = min(self.pause_s * 2.0 ** (failed - 1), self.longest_s)
        return pause * (1 + _JITTER * random.random())  # noqa: S311 - no secret


class _Again(Exception):
    """An attempt failed and another may succeed."""

    def __init__(self, error: StationUnavailable | CorruptTransfer, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


@dataclass(frozen=True)
class HttpFiles:
    """A client of one station; picklable, so that it travels to Dask workers.

    Attributes:
        origin_url: An address of the station; credentials are sent to its scheme, host and port only.
        authorization: The value of the header Authorization, in memory only, or what gives it at each request; empty for none.
        retries: How often requests are tried.
        connect_s: Longest time to connect.
        read_s: Longest silence while something is read.

    Raises:
        ConfigurationError: The address is none, or has credentials in it, which would show in messages.
    """

    origin_url: str
    authorization: str | Callable[[], str] = field(default="", repr=False)
    retries: Retries = Retries()
    connect_s: float = 10.0
    read_s: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.origin_url)
        if "@" in parts.netloc:
            raise ConfigurationError("the address of the station has credentials in it", remedy="Give the address without them.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{shown(self.origin_url)} is no http:// or https:// address")

    def get_json(self, url: str, params: Mapping[str, str] | None = None, *, until: float | None = None) -> Any:
        """Return a JSON document.

        Args:
            url: Its address.
            params: The query.
            until: When to give up, on the monotonic clock.

        Raises:
            StationUnavailable: The station did not answer as often as it was asked.
            StationTimeout: It did not answer in time.
            StationRefused: It refuses, or answers with something else.
            FileGone: There is nothing at this address.
        """
        return self._json("GET", url, until, params=dict(params or {}))

    def post_json(self, url: str, body: Any, *, until: float | None = None) -> Any:
        """Return the JSON document that answers one; arguments and errors are those of `get_json`."""
        return self._json("POST", url, until, json=body)

    def post_form(self, url: str, form: Mapping[str, str], *, until: float | None = None) -> Any:
        """Return the JSON document that answers a form; arguments and errors are those of `get_json`."""
        return self._json("POST", url, until, data=dict(form))

    def download(self, url: str, path: Path, expected: Expected = Expected()) -> Received:  # noqa: B008 - frozen
        """Fetch a file whole and as announced; what breaks off is gone on with, unless the file is another one meanwhile.

        Until it is whole, it lies beside `path` under a name with `.part` at its end.

        Raises:
            StationUnavailable: The station broke off or did not answer, as often as it was asked in a row.
            CorruptTransfer: It always sent something else than it announced.
            StationRefused: It refuses.
            FileGone: It does not have the file.
        """
        part = path.with_name(path.name + _PART)
        part.unlink(missing_ok=True)
        download = _Download(self, url, part, expected)
        self._tried(download.attempt, url, None, progress=download.size)
        part.replace(path)
        return Received(path.stat().st_size, download.attempts, download.resumed)

    # --- one request -------------------------------------------------------------------------------------------------

    def _json(self, method: str, url: str, until: float | None, **request: Any) -> Any:
        def attempt() -> Any:
            with self.answer(method, url, until, **request) as response:
                body = bytearray()
                for chunk in response.iter_content(_CHUNK_BYTES):
                    body += chunk
                    _left_s(until, url)
                    if len(body) > _MOST_DOCUMENT_BYTES:
                        raise StationRefused(f"{_bare(url)} answers with more than {_MOST_DOCUMENT_BYTES:,} bytes")
            try:
                return json.loads(body)
            except ValueError as error:
                raise StationRefused(f"{_bare(url)} answers with something that is no JSON: {error}") from error

        return self._tried(attempt, url, until)

    @contextmanager
    def answer(self, method: str, url: str, until: float | None, **request: Any) -> Iterator[Response]:
        """Yield a good answer to one request, of which the body is not read yet."""
        read_s = min(self.read_s, _left_s(until, url))
        try:
            with _session().request(
                method, url, stream=True, timeout=(min(self.connect_s, read_s), read_s), auth=_Authorization(self), **request
            ) as response:
                _check(response, url)
                yield response
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema) as error:
            raise StationRefused(f"{shown(_bare(url))} is no address", remedy="Tell the station, or correct its address.") from error
        except RequestException as error:
            _left_s(until, url)
            raise _Again(StationUnavailable(f"{_bare(url)}: {_reason(error)}")) from error

    def _tried(self, attempt: Callable[[], Any], url: str, until: float | None, progress: Callable[[], int] = lambda: 0) -> Any:
        failed, before = 0, progress()
        while True:
            try:
                return attempt()
            except _Again as again:
                # More than ever before: what is thrown away and fetched again is no progress.
                failed = 1 if progress() > before else failed + 1
                before = max(before, progress())
                if failed >= self.retries.attempts:
                    raise again.error from again.__cause__
                pause_s = self.retries.wait_s(failed, again.after_s)
            if pause_s >= _left_s(until, url):
                raise StationTimeout(f"{_bare(url)} did not answer in time") from None
            time.sleep(pause_s)


class _Download:
    """One file on its way."""

    def __init__(self, files: HttpFiles, url: str, part: Path, expected: Expected) -> None:
        self._files, self._url, self._part, self._expected = files, url, part, expected
        self._etag = ""
        self.attempts = self.resumed = 0

    def size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def attempt(self) -> None:
        """Fetch what is missing, and compare what then is there with what is expected."""
        self.attempts += 1
        try:
            if not self.size() or self.size() != self._expected.size_bytes:
                self._fetch(self.size())
            if problem := self._expected.problem(self._part):
                raise _Again(CorruptTransfer(f"{_bare(self._url)}: {problem}"))
        except _Again as again:
            if isinstance(again.error, CorruptTransfer):
                self._part.unlink(missing_ok=True)
            raise

    def _fetch(self, there: int) -> None:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        if there and self._etag:
            headers["If-Range"] = self._etag
        with self._files.answer("GET", self._url, None, headers=headers) as response:
            resumes = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
            self.resumed += resumes
            etag = response.headers.get("ETag", "")
            self._etag = "" if etag.startswith("W/") else etag
            self._append(response, "ab" if resumes else "wb")

    def _append(self, response: Response, mode: str) -> None:
        most = self._expected.size_bytes
        with self._part.open(mode) as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                if most is not None and file.tell() > most:
                    return


class _Authorization(AuthBase):
    """Adds the credentials to requests to the station itself."""

    def __init__(self, files: HttpFiles) -> None:
        self._files = files

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        given = self._files.authorization
        if given and _origin(str(request.url)) == _origin(self._files.origin_url):
            request.headers["Authorization"] = given if isinstance(given, str) else given()
        return request


_local = threading.local()


def _session() -> requests.Session:
    """Return this thread's session; requests' own are not safe to share."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.headers["User-Agent"] = "groundtrack"
    session: requests.Session = _local.session
    session.cookies.clear()
    return session


def _check(response: Response, url: str) -> None:
    status = response.status_code
    if status < 400:
        return
    secrets = _secrets(response.request)
    said = f"{_bare(url)} answers {status} {masked(response.reason or '', secrets)}".rstrip()
    if status in _MAY_PASS:
        raise _Again(StationUnavailable(said), _asked_s(response.headers.get("Retry-After", "")))
    if status in (404, 410):
        raise FileGone(said)
    if status == 416:  # what lies there is not the begin of what the station has now
        raise _Again(CorruptTransfer(said))
    text = masked(response.raw.read(_MOST_SAID_BYTES, decode_content=True).decode("utf-8", "replace").strip(), secrets)
    raise StationRefused(f"{said}: {shown(text)}" if text else said)


def _secrets(request: PreparedRequest) -> set[str]:
    """Return the secrets that a request carried, in the ways in which a station may quote them."""
    header = str(request.headers.get("Authorization", ""))
    kind, _, value = header.partition(" ")
    found = {header, value}
    if kind.lower() == "basic":
        with suppress(ValueError):
            pair = base64.b64decode(value).decode("utf-8", "replace")
            found |= {pair, pair.partition(":")[2]}
    if isinstance(request.body, str):
        fields = dict(parse_qsl(request.body))
        found |= {fields[name] for name in _SECRET_FIELDS if name in fields}
    return found - {""}


def _asked_s(header: str) -> float | None:
    """Return the seconds that a Retry-After asks for: it has seconds, or a moment."""
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _left_s(until: float | None, url: str) -> float:
    left_s = float("inf") if until is None else until - time.monotonic()
    if left_s <= 0:
        raise StationTimeout(f"{_bare(url)} did not answer in time")
    return left_s


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _bare(url: str) -> str:
    """Return an address without its query, which may hold a signature, and without credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _reason(error: RequestException) -> str:
    cause: BaseException = error
    while (inner := getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)) and isinstance(inner, BaseException):
        cause = inner
    return type(cause).__name__
