"""Starts the platform on this machine, watches its processes, and ends them; one platform a home.

    with Platform(load()) as platform:
        platform.wait()

Nothing here imports Dagster: the supervisor stays small, and starts what is large at once.
"""

import fcntl
import json
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from platform_assets.cli import services
from platform_assets.cli.process import Service, Supervised, end_left_overs
from platform_assets.cli.services import Places, Ports, WebUi
from platform_assets.common.errors import PermanentError
from resources.instance import POSTGRES_VARIABLE, dagster_environment, write_dagster_home
from resources.object_store import S3Connection
from resources.settings import Settings, load

_TEND_S = 0.5
_TROUBLE_S = 10.0


class AlreadyRunning(PermanentError):
    """Another supervisor holds the home."""

    code = "already_running"
    remedy = "Use the one that runs, stop it with Ctrl-C, or give this one another GROUNDTRACK_HOME."


@dataclass(frozen=True)
class Running:
    """A platform that runs, as it left word of itself.

    Attributes:
        pid: The supervisor's process.
        services: Of each service its `pid`, `port` and `url`, as far as it has them.
        environment: What a command needs in its environment to work on the same data: instance, endpoint, key pair.
        ui_url: The web UI's address with the token.
    """

    pid: int
    services: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str]
    ui_url: str


def running(home: Path) -> Running | None:
    """Return the platform that runs on a home, or None."""
    places = Places(home.resolve())
    if not (places.run / "lock").exists():
        return None
    with (places.run / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            state = _state(places)
            return Running(**state) if state else None
    return None


class Platform:
    """The processes of the platform, as a context: ready when it is entered, gone when it is left.

    Args:
        settings: The settings of the deployment.
        definitions: The module of Dagster's definitions.
        tell: Gets a line when something happens that users should see.

    Attributes, once it is entered:
        settings: The settings in effect: with the endpoint and scheduler of what was started.
        environment: What a process needs in its environment to work with the platform.
        s3: How to reach the object store.
        own_store: Whether that is the embedded server.
        dashboard_url: Dask's dashboard; empty when Dask runs elsewhere.
    """

    settings: Settings
    environment: Mapping[str, str]
    s3: S3Connection
    own_store: bool
    dashboard_url: str = ""

    def __init__(
        self, settings: Settings, *, definitions: str = "platform_assets.definitions", tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._asked = settings
        self._definitions = definitions
        self._tell = tell
        self._places = Places(settings.home.resolve())
        self._supervised: list[Supervised] = []
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._live, name="supervisor")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start everything and wait until all of it can be used.

        Raises:
            AlreadyRunning: A platform runs on this home.
            ConfigurationError: There is no free port.
            ServiceFailed: A process did not come up, such as the code server with definitions that cannot be loaded.
        """
        with ExitStack() as stack:
            self._places.make()
            stack.enter_context(_locked(self._places))
            stack.enter_context(_stop_signals())
            orphans = end_left_overs(self._places.home)
            if orphans:
                self._tell(f"Ended {orphans} processes that an earlier supervisor left behind.")
            with services.choosing_ports():
                self._prepare()
                stack.callback(self._stop)
                self._thread.start()
                while not (self._ready.wait(_TEND_S) or self._ended.is_set()):
                    pass
            self._raise_error()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End everything, in the reverse order."""
        self._stack.close()

    @property
    def ui_url(self) -> str:
        """The web UI's address with the token."""
        return f"{self._ui.url}/?token={self._ui.token}"

    def folder_of(self, bucket: str) -> str:
        """Return the folder in which the embedded S3 server keeps a bucket's objects as files; empty for any other server."""
        found = (self.settings.home / "s3" / "objects").glob(f"*/{bucket}") if self.own_store else iter(())
        return next((str(folder) for folder in found), "")

    def wait(self) -> None:
        """Return at SIGINT or SIGTERM; until then, processes that die are started again.

        Raises:
            Exception: What ended the supervision.
        """
        with suppress(KeyboardInterrupt):
            self._ended.wait()
        self._raise_error()

    # --- before the start --------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        places, asked = self._places, self._asked
        last = (_state(places) or {}).get("services", {})
        # From here on it would speak of processes that are gone.
        (places.run / "state.json").unlink(missing_ok=True)
        ports = services.choose_ports(asked, {name: service["port"] for name, service in last.items()})
        token = asked.ui_token.get_secret_value() or secrets.token_urlsafe(24)
        self._ui = WebUi(asked.ui_host, ports.ui, token)
        self.own_store = services.wants_own_store(asked)
        own_dask = asked.dask_kind == "local"
        found: dict[str, Any] = {"home": places.home, "ui_port": ports.ui}
        if self.own_store:
            found |= {"s3_endpoint_url": f"http://127.0.0.1:{ports.s3}", "s3_region": services.REGION, "s3_profile": ""}
        if own_dask:
            found |= {"dask_kind": "address", "dask_address": f"tcp://127.0.0.1:{ports.dask}"}
        self.settings = load(**(asked.model_dump() | found))
        credentials = services.own_credentials(places) if self.own_store else {}
        self.environment = dagster_environment(self.settings) | credentials
        self.s3 = replace(
            self.settings.s3,
            access_key_id=credentials.get("AWS_ACCESS_KEY_ID", ""),
            secret_access_key=credentials.get("AWS_SECRET_ACCESS_KEY", ""),
        )
        write_dagster_home(self.settings)
        services.write_workspace(places)
        self._first, self._second = self._plan(ports, own_dask=own_dask)

    def _plan(self, ports: Ports, *, own_dask: bool) -> tuple[Sequence[Service], Sequence[Service]]:
        """Return what starts at once, and what starts when the code server is ready."""
        places = self._places
        environment = services.base_environment(places, self.environment, own_store=self.own_store)
        first = [services.s3(places, ports.s3, environment, self._have_buckets)] if self.own_store else []
        if own_dask:
            cluster = services.dask(places, ports, self._asked.dask_workers or os.cpu_count() or 1, environment)
            self.dashboard_url = cluster.url
            first.append(cluster)
        first.append(services.code_server(places, self._definitions, environment))
        ui = services.web_ui(places, self._ui, environment, read_only=self._asked.ui_read_only)
        return first, (ui, services.daemon(places, self._ui, environment))

    # --- in the supervisor's thread: processes end when the thread that started them does -----------------------------

    def _live(self) -> None:
        try:
            self._start()
            self._watch()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
        finally:
            for supervised in reversed(self._supervised):
                supervised.stop()
            self._ended.set()

    def _start(self) -> None:
        self._start_together(self._first)
        self._start_together(self._second)
        if not self._stopping.is_set():
            self._ready.set()

    def _start_together(self, group: Sequence[Service]) -> None:
        for service in group:
            if self._stopping.is_set():
                return
            supervised = Supervised(service, self._places.run, self._places.logs, self._tell)
            supervised.start()
            self._supervised.append(supervised)
            self._write_state()
        for supervised in self._supervised[-len(group) :]:
            supervised.wait_until_ready(self._stopping.is_set)

    def _watch(self) -> None:
        while not self._stopping.wait(_TEND_S):
            try:
                restarted = [supervised for supervised in self._supervised if supervised.tend()]
                if restarted:
                    self._write_state()
            except OSError as error:
                # A full disk must not end what still works.
                self._tell(f"Looking after the processes failed and is tried again in {_TROUBLE_S:.0f} s: {error}")
                self._stopping.wait(_TROUBLE_S)

    def _have_buckets(self) -> bool:
        """Make the buckets that are missing; return whether all are there."""
        try:
            client = self.s3.client()
            there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for name in {self.settings.input_bucket, self.settings.output_bucket} - there:
                client.create_bucket(Bucket=name)
        except (BotoCoreError, ClientError):
            return False
        return True

    def _write_state(self) -> None:
        found = {
            supervised.service.name: {"pid": supervised.pid, "port": supervised.service.port, "url": supervised.service.url}
            for supervised in self._supervised
        }
        environment = {name: value for name, value in self.environment.items() if name != POSTGRES_VARIABLE}
        state = {"pid": os.getpid(), "services": found, "environment": environment, "ui_url": self.ui_url}
        services.write_private(self._places.run / "state.json", json.dumps(state, indent=1))

    def _stop(self) -> None:
        """End the thread and with it all processes; a second Ctrl-C does not leave any behind."""
        self._stopping.set()
        with _ignored_signals():
            self._thread.join()

    def _raise_error(self) -> None:
        if self._error:
            raise self._error


def _state(places: Places) -> dict[str, Any] | None:
    try:
        return dict(json.loads((places.run / "state.json").read_text()))
    except (OSError, ValueError):
        return None


@contextmanager
def _locked(places: Places) -> Iterator[None]:
    """Hold the home's lock, which ends with this process in whatever way that ends."""
    with (places.run / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            state = _state(places) or {}
            where = f": process {state['pid']}, web UI {state['services'].get('web_ui', {}).get('url', 'starting')}" if state else ""
            raise AlreadyRunning(f"Groundtrack already runs on {places.home}{where}") from error
        yield


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Make the signals that end a process raise KeyboardInterrupt, so that everything is ended in order."""
    with _handled(signal.default_int_handler):
        yield


@contextmanager
def _ignored_signals() -> Iterator[None]:
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays ignored: `nohup` and shells ask for that.
    heeded = [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handler)) for number in heeded]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)
