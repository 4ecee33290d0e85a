"""Dagster's code server, which makes its definitions anew when workflow manifests change, and starts runs warm.

    python -m platform_assets.cli.code_server --socket S --module-name M ...

The options are those of `dagster api grpc`, which cannot do that; a restart would end the runs that it started. Daemon and
web UI notice by the server's new id, within seconds, as with a server that was replaced. Code is not imported anew.

A run's process is a fork of one that has done nothing but imports: as Dagster starts it, a new interpreter, it imports for
two seconds of CPU.
"""

import logging
import multiprocessing
import threading
from multiprocessing import forkserver
from typing import Any
from uuid import uuid4

from dagster._cli.api import grpc_command
from dagster._grpc import server
from dagster._grpc.__generated__ import dagster_api_pb2

from platform_assets.common.errors import GroundtrackError
from platform_assets.workflows.shelf import fingerprint
from resources.settings import Settings, load
from resources.workflow_shelf import fetch_manifests, has_copy, manifests_folder

_LOOK_S = 2.0
_IMPORTED = ["dagster._grpc.impl", "platform_assets.definitions"]

_log = logging.getLogger("dagster.code_server")


class ReloadingApiServer(server.DagsterApiServer):
    """The code server's service.

    Args:
        location_name: The name of the code location.
        options: As Dagster gives them.
    """

    def __init__(self, *, location_name: str | None = None, **options: Any) -> None:
        self._location_name = location_name
        settings = load()
        seen = fingerprint(manifests_folder(settings))
        super().__init__(location_name=location_name, **options)
        self._mp_ctx = multiprocessing.get_context("forkserver")  # type: ignore[assignment]
        self._mp_ctx.set_forkserver_preload(_IMPORTED)
        forkserver.ensure_running()
        threading.Thread(target=self._watch, args=(settings, seen), name="manifests", daemon=True).start()

    def ReloadCode(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - Dagster's name
        """Make the definitions anew, as the web UI's button asks for."""
        self.reload()
        return dagster_api_pb2.ReloadCodeReply()

    def reload(self) -> None:
        """Make the definitions anew; those of before stay when that fails."""
        with self._reload_lock:
            try:
                self._loaded_repositories = server.LoadedRepositories(
                    self._loadable_target_origin,
                    container_image=self._container_image,
                    entry_point=self._entry_point,
                    container_context=self._container_context,
                    defs_state_info=self._defs_state_info,
                    code_location_name=self._location_name,
                )
            except Exception:  # noqa: BLE001 - whatever it is, the server goes on
                _log.exception("The definitions could not be made anew; those of before stay")
                return
            self._server_id = str(uuid4())
        _log.info("The definitions were made anew")

    def _watch(self, settings: Settings, seen: str) -> None:
        told = ""
        look_s = max(_LOOK_S, settings.sensor_interval_s) if has_copy(settings) else _LOOK_S
        while not self._server_termination_event.wait(look_s):
            try:
                fetch_manifests(settings)
                now = fingerprint(manifests_folder(settings))
                told = ""
            except (GroundtrackError, OSError) as error:
                if told != str(error):
                    told = str(error)
                    _log.warning("The workflow manifests are those of last time: %s", error)
                continue
            if now != seen:
                seen = now
                self.reload()


def main() -> None:
    """Run the server until it is ended."""
    # The command imports the class when it runs.
    server.DagsterApiServer = ReloadingApiServer  # type: ignore[assignment,misc]
    grpc_command()


if __name__ == "__main__":
    main()
