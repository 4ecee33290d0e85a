"""Serves products and reports from the object store under the web UI's own address, so that links in the UI open.

    GET /objects/<bucket>/<key>

Only the deployment's buckets; ranges are passed on, as viewers of COGs ask for them. What is served never runs with the
UI's rights: every answer is sandboxed, and no type is guessed.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from platform_assets.common.errors import GroundtrackError

if TYPE_CHECKING:
    from resources.object_store import S3Bucket

_PREFIX = "/objects/"
_CHUNK_BYTES = 256 << 10
_PASSED_ON = ("range", "if-none-match", "if-match")
_HEADERS = {"ContentType": "content-type", "ContentLength": "content-length", "ContentRange": "content-range", "ETag": "etag"}
_SANDBOX = "sandbox allow-scripts allow-popups"


class Objects:
    """ASGI middleware: answers for objects, and leaves everything else to the web UI.

    Args:
        app: The web UI.
        buckets: The buckets that are served, by name.
    """

    def __init__(self, app: ASGIApp, buckets: Mapping[str, "S3Bucket"]) -> None:
        self._app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        name, _, key = scope["path"].removeprefix(_PREFIX).partition("/")
        bucket = self._buckets.get(name)
        response = await run_in_threadpool(_answer, bucket, key, request) if bucket and key else _missing()
        await response(scope, receive, send)


def _answer(bucket: "S3Bucket", key: str, request: Request) -> Response:
    asked: dict[str, Any] = {_camel(name): request.headers[name] for name in _PASSED_ON if name in request.headers}
    try:
        found: Any = bucket.connection.client().get_object(Bucket=bucket.name, Key=key, **asked)
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return _missing() if status in (403, 404) else PlainTextResponse(f"{error}\n", status)
    except (BotoCoreError, GroundtrackError) as error:
        return PlainTextResponse(f"the object store does not answer: {error}\n", 502)
    headers = {header: str(found[name]) for name, header in _HEADERS.items() if name in found}
    headers |= {"accept-ranges": "bytes", "content-security-policy": _SANDBOX, "cache-control": "private, no-cache"}
    return StreamingResponse(_chunks(found["Body"]), 206 if "ContentRange" in found else 200, headers)


def _chunks(body: Any) -> Iterator[bytes]:
    with body:
        while chunk := body.read(_CHUNK_BYTES):
            yield chunk


def _missing() -> Response:
    return PlainTextResponse("there is no such object\n", 404)


def _camel(header: str) -> str:
    return header.title().replace("-", "")
