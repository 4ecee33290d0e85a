"""Dagster's web UI behind the guard, in one process.

GROUNDTRACK_UI_TOKEN=... python -m platform_assets.cli.ui --host 127.0.0.1 --port 3000 --workspace workspace.yaml
"""

import argparse
import logging
import os
import socket
from pathlib import Path

from starlette.types import ASGIApp

from platform_assets.cli.guard import Guard
from platform_assets.cli.objects import Objects
from platform_assets.cli.services import UI_TOKEN_VARIABLE
from resources.settings import load

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_POLL_MS = 2000
# As Dagster's own command has them: a query may take 15 s, a database connection lives an hour.
_STATEMENT_MS, _POOL_RECYCLE_S, _POOL_OVERFLOW = 15_000, 3600, 20
_FAREWELL_S = 2


def main(arguments: list[str] | None = None) -> None:
    """Serve the UI until SIGTERM."""
    parser = argparse.ArgumentParser(description="Dagster's web UI behind the guard.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workspace", type=Path, required=True, help="Dagster's workspace file.")
    parser.add_argument("--read-only", action="store_true", help="Only show.")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    token = os.environ.pop(UI_TOKEN_VARIABLE)

    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_MS, _POOL_RECYCLE_S, _POOL_OVERFLOW)
        target = WorkspaceFileTarget([str(asked.workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__, read_only=asked.read_only) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=_POLL_MS)
            settings = load()
            buckets = {name: settings.s3.bucket(name) for name in (settings.input_bucket, settings.output_bucket)}
            served = guarded(Objects(app, buckets), token, asked.host, asked.port, settings.ui_public_name)
            _serve(served, asked.host, asked.port)


def guarded(app: ASGIApp, token: str, host: str, port: int, public_name: str = "") -> Guard:
    """Put the guard in front of a server that listens on an address, or that a proxy shows under a public name."""
    everywhere = host in _WILDCARDS
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host, *filter(None, [public_name])}
    own = {socket.gethostname(), socket.getfqdn()} if everywhere else set()
    return Guard(app, token=token, hosts=names | own, any_address=everywhere, cookie=f"groundtrack-{port}")


def _serve(app: Guard, host: str, port: int) -> None:
    import uvicorn

    # uvicorn's access log has the query and so the token; the guard writes its own. Headers of proxies are not believed.
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_FAREWELL_S,
    )


if __name__ == "__main__":
    main()
