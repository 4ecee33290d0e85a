"""The embedded S3 server: ministack on loopback, reachable only by who knows its access key.

    python -m platform_assets.cli.s3_server --port 9000 --data .groundtrack/s3

ministack is an emulator for tests: it does not check the secret of its root key, lets a key named `test` in, and wipes all
buckets on an unsigned `POST /_ministack/reset`, which any web page can send to a port of this machine. So the access key
itself is the secret, and what does not carry it is refused before ministack sees it.
"""

import argparse
import asyncio
import os
import re
from pathlib import Path
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

_HEALTH = "/_ministack/health"
_SIGNED_BY = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/")
_DENIED = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
_KEEP_ALIVE_S = 75


class KeyGuard:
    """ASGI middleware: lets through S3 requests that are signed with one access key.

    Args:
        app: The S3 server.
        access_key: The access key's id.
    """

    def __init__(self, app: ASGIApp, access_key: str) -> None:
        self._app = app
        self._access_key = access_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._allowed(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(_DENIED)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _DENIED})
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _allowed(self, scope: Scope) -> bool:
        if scope["path"] == _HEALTH:
            return bool(scope["method"] == "GET")
        # Everything of ministack that is not S3 lies under a first segment with an underscore, which no bucket has.
        return not scope["path"].startswith("/_") and _access_key(scope) == self._access_key


def _access_key(scope: Scope) -> str | None:
    """Return the access key that a request names: in the header, or in a presigned address of signature version 4 or 2."""
    signed = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    query = parse_qs(scope["query_string"].decode("latin-1"))
    keys = [match[1] if (match := _SIGNED_BY.match(value)) else "" for value in signed]
    keys += [value.partition("/")[0] for value in query.get("X-Amz-Credential", [])] + query.get("AWSAccessKeyId", [])
    return keys[0] if len(keys) == 1 else None


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM; the key pair is in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    parser = argparse.ArgumentParser(description="The embedded S3 server, on loopback.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="Folder of buckets and state.")
    asked = parser.parse_args(arguments)
    # Read by ministack while it is imported.
    os.environ.update(_environment(asked.port, asked.data.resolve()))

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app  # type: ignore[import-untyped]

    config = Config()
    config.bind = [f"127.0.0.1:{asked.port}"]
    config.keep_alive_timeout = _KEEP_ALIVE_S
    config.loglevel = "WARNING"
    asyncio.run(serve(KeyGuard(app, os.environ["AWS_ACCESS_KEY_ID"]), config))  # type: ignore[arg-type]


def _environment(port: int, data: Path) -> dict[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "AUTH": "true",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data / "objects"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # At its start ministack removes containers that it believes to be its own.
        "DOCKER_HOST": "unix:///nonexistent",
    }


if __name__ == "__main__":
    main()
