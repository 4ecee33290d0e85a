"""What the platform consists of: five processes, how each is started, and how one sees that it can be used."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import socket
import stat
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platform_assets
from platform_assets.cli.process import HOME_VARIABLE, Service
from platform_assets.common.errors import ConfigurationError
from resources.settings import Settings

LOCATION = "groundtrack"
"""The name of the code location in Dagster's UI; workspace.yaml has the same."""

UI_TOKEN_VARIABLE = "GROUNDTRACK_UI_TOKEN"  # noqa: S105 - the variable's name
REGION = "us-east-1"

_WORK = "platform_assets.imagery.pipeline"
_S3_PORT, _DASK_PORT, _DASHBOARD_PORT = 9000, 8786, 8787
_PORTS_TRIED = 100
_ANY_PORTS = range(20_000, 32_000)
_SOCKET_PATH_BYTES = 100
_ANSWER_S = 2.0
# What an outer AWS configuration would otherwise mix into the embedded server's.
_OUTER_AWS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@dataclass(frozen=True)
class Places:
    """Where the platform keeps what it needs to run, all under its home.

    Attributes:
        home: The home, absolute.
    """

    home: Path

    @property
    def run(self) -> Path:
        """Lock, state and sockets; for this user only."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """The log of each process."""
        return self.home / "logs"

    @property
    def credentials(self) -> Path:
        """The embedded S3 server's key pair, as an AWS credentials file."""
        return self.home / "s3-credentials"

    @property
    def workspace(self) -> Path:
        """Dagster's workspace file: one code server for daemon and web UI."""
        return self.run / "workspace.json"

    @property
    def dask(self) -> Path:
        """Dask's scheduler file: written when the cluster is up."""
        return self.run / "dask.json"

    def make(self) -> None:
        """Create the folders."""
        self.run.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o700)
        self.logs.mkdir(exist_ok=True)

    def code_socket(self) -> Path:
        """Return the code server's socket: the same at every start, and short enough for a Unix socket.

        Raises:
            ConfigurationError: The short place belongs to somebody else.
        """
        path = self.run / "code.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
            return path
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir(), f"groundtrack-{os.getuid()}-{name}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700 or not stat.S_ISDIR(found.st_mode):
            raise ConfigurationError(f"{folder} must be a folder of yours that nobody else can enter", remedy="Remove it, or set TMPDIR.")
        return folder / "code.sock"


@dataclass(frozen=True)
class Ports:
    """The ports that the platform listens on."""

    ui: int
    s3: int
    dask: int
    dashboard: int


@contextmanager
def choosing_ports() -> Iterator[None]:
    """Let no other platform of this user choose ports meanwhile: a port is free until what it was chosen for listens on it."""
    # Not $TMPDIR: sessions may have one each, and the ports are the machine's.
    with Path(f"/tmp/groundtrack-{os.getuid()}.starting").open("ab") as file:  # noqa: S108
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def choose_ports(settings: Settings, last: Mapping[str, int]) -> Ports:
    """Return free ports: the configured one, that of last time, or the usual one, else the next free one.

    Args:
        settings: The settings.
        last: The ports of the platform's last life by service, so that links to it go on working.

    Raises:
        ConfigurationError: There is no free port, or the configured address is not one of this machine.
    """
    taken: set[int] = set()

    def choose(host: str, preferred: int) -> int:
        port = _free_port(host, preferred, taken)
        taken.add(port)
        return port

    return Ports(
        ui=choose(settings.ui_host, settings.ui_port),
        s3=choose("127.0.0.1", last.get("s3", _S3_PORT)),
        dask=choose("127.0.0.1", _DASK_PORT),
        dashboard=choose("127.0.0.1", _DASHBOARD_PORT),
    )


def _free_port(host: str, preferred: int, taken: set[int]) -> int:
    # Below the ports that the system gives to connections: one of those could be taken before it is listened on.
    first = preferred or secrets.choice(_ANY_PORTS)
    for port in range(first, min(first + _PORTS_TRIED, 65536)):
        if port not in taken and _is_free(host, port):
            return port
    raise ConfigurationError(f"no free port on {host} from {first} on", remedy="Choose another port with --port or GROUNDTRACK_UI_PORT.")


def _is_free(host: str, port: int) -> bool:
    """Whether a port can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise ConfigurationError(
                    f"{host} is not an address of this machine: {error}", remedy="Correct --host or GROUNDTRACK_UI_HOST."
                ) from error
            return False
    return True


def wants_own_store(settings: Settings) -> bool:
    """Whether the platform starts an S3 server of its own: when nobody says where another one is."""
    return not settings.s3_endpoint_url and not any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))


def own_credentials(places: Places) -> dict[str, str]:
    """Return the embedded S3 server's key pair as environment variables; made once, readable by this user only."""
    if not places.credentials.exists():
        # The key's id is as secret as the secret: ministack checks the id only.
        text = f"[default]\naws_access_key_id = GT{secrets.token_hex(16)}\naws_secret_access_key = {secrets.token_urlsafe(30)}\n"
        write_private(places.credentials, text)
    lines = (line.partition("=") for line in places.credentials.read_text().splitlines())
    return {name.strip().upper(): value.strip() for name, equals, value in lines if equals}


def write_private(path: Path, text: str) -> None:
    """Write a file at once that only this user can read."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def base_environment(places: Places, environment: Mapping[str, str], *, own_store: bool) -> dict[str, str]:
    """Return the environment of every process: this one's, without what must not leak into it, and the platform's."""
    dropped = {UI_TOKEN_VARIABLE, *(_OUTER_AWS if own_store else ())}
    outer = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**outer, **environment, HOME_VARIABLE: str(places.home), "PYTHONUNBUFFERED": "1"}


def s3(places: Places, port: int, environment: Mapping[str, str], have_buckets: Callable[[], bool]) -> Service:
    """The embedded S3 server.

    Args:
        places: Where the platform keeps its files.
        port: Its port.
        environment: Its environment, with the key pair.
        have_buckets: Makes the buckets that are missing; asked at every start, as ministack forgets empty ones when it is killed.
    """
    url = f"http://127.0.0.1:{port}"
    command = _python("platform_assets.cli.s3_server", "--port", str(port), "--data", str(places.home / "s3"))
    return Service(
        "s3", "S3 server", command, environment, ready=lambda _: _answers(f"{url}/_ministack/health") and have_buckets(),
        port=port, url=url, grace_s=10.0,
    )  # fmt: skip


def dask(places: Places, ports: Ports, workers: int, environment: Mapping[str, str]) -> Service:
    """A Dask cluster on this machine."""
    numbers = ("--workers", str(workers), "--port", str(ports.dask), "--dashboard-port", str(ports.dashboard))
    command = _python("resources.local_dask", *numbers, "--scheduler-file", str(places.dask), "--preload", _WORK)
    return Service(
        "dask", "Dask cluster", command, environment, ready=lambda _: places.dask.exists(), port=ports.dask,
        url=f"http://127.0.0.1:{ports.dashboard}/status", stale=(places.dask,), grace_s=10.0,
    )  # fmt: skip


def code_server(places: Places, definitions: str, environment: Mapping[str, str]) -> Service:
    """Dagster's code server: holds the definitions for daemon and web UI, and starts the runs.

    Not `dagster code-server start`: that is a proxy which goes on running, useless, when the server behind it is killed.
    """
    path = places.code_socket()
    root = str(Path(platform_assets.__file__).parents[1])
    # A thread a tick that runs: as many as there are cores plus four, the default, would let slow sensors block the UI.
    names = ("--max-workers", "32", "--module-name", definitions, "--working-directory", root, "--location-name", LOCATION)
    return Service(
        "code_server", "code server", _python("platform_assets.cli.code_server", "--socket", str(path), *names), environment,
        ready=lambda _: _listens(path), stale=(path,), grace_s=2.0,
    )  # fmt: skip


def write_workspace(places: Places) -> None:
    """Write the workspace file that names the code server."""
    server = {"socket": str(places.code_socket()), "location_name": LOCATION}
    places.workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))


@dataclass(frozen=True)
class WebUi:
    """Where the web UI is, and how to ask it."""

    host: str
    port: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """The address without the token."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - translated, not bound to
        return f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"

    def ask(self, query: str) -> dict[str, Any]:
        """Return the data of a GraphQL query; empty while the UI does not answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", json.dumps({"query": query}).encode(), headers)  # noqa: S310 - our own address
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5 * _ANSWER_S) as answer:
                return dict(json.load(answer)["data"] or {})
        except (OSError, ValueError):
            return {}

    def answers(self) -> bool:
        """Whether it answers."""
        return bool(self.ask("{ version }"))

    def daemon_beats(self, since: float) -> bool:
        """Whether every part of the daemon has given a sign of life since a time."""
        health = self.ask("{ instance { daemonHealth { allDaemonStatuses { required lastHeartbeatTime } } } }")
        statuses = health["instance"]["daemonHealth"]["allDaemonStatuses"] if health else []
        required = [status for status in statuses if status["required"]]
        return bool(required) and all((status["lastHeartbeatTime"] or 0.0) >= since for status in required)


def web_ui(places: Places, ui: WebUi, environment: Mapping[str, str], *, read_only: bool) -> Service:
    """Dagster's web UI behind the guard."""
    command = _python("platform_assets.cli.ui", "--host", ui.host, "--port", str(ui.port), "--workspace", str(places.workspace))
    return Service(
        "web_ui", "web UI", (*command, "--read-only") if read_only else command, {**environment, UI_TOKEN_VARIABLE: ui.token},
        ready=lambda _: ui.answers(), port=ui.port, url=ui.url,
    )  # fmt: skip


def daemon(places: Places, ui: WebUi, environment: Mapping[str, str]) -> Service:
    """Dagster's daemon: sensors, schedules, the queue of runs, backfills and run monitoring."""
    command = _python("dagster._daemon", "run", "--workspace", str(places.workspace))
    return Service("daemon", "Dagster daemon", command, environment, ready=ui.daemon_beats, grace_s=10.0)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return sys.executable, "-m", module, *arguments


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=_ANSWER_S) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True
