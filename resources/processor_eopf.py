"""EOPF CPM as a processor: each payload in a process of an environment of its own, which is made once and shared.

CPM pins Dask, Zarr and rasterio to other versions than ours, so nothing of it is imported here. The payload with its
secrets is in memory only: the process reads it from a file without a name, which ends with it.
"""

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from threading import Event
from typing import Any, Self

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from platform_assets.common.errors import MemoryLimitExceeded
from platform_assets.dpr.cpm2 import for_cpm2, glob_of
from platform_assets.dpr.errors import PayloadError, quoted
from platform_assets.dpr.payload import to_yaml
from platform_assets.dpr.places import Buckets, names_in
from platform_assets.dpr.processors import EOPF, Order, Processed, ProcessorCrashed, ProcessorFailed, ProcessorTimeout, spellings
from platform_assets.dpr.workflow import read_workflow
from platform_assets.environments.cache import Environment, EnvironmentCache
from platform_assets.environments.interpreters import Interpreter, examine
from platform_assets.environments.process import STDERR, STDOUT, Ended, Limits, Program, Stop, carry_out
from platform_assets.environments.uv import PackageIndex, Uv
from resources.clusters import GatewayAccess, find_cluster
from resources.task_abort import Abort

_FOLDER = Path(__file__).parent / "eopf"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DASHBOARD = re.compile(r"Dask dashboard can be reached at : (\S+)")
_LOOK_S = 0.5


@dataclass(frozen=True)
class EopfProcessor:
    """EOPF CPM in an environment of its own.

    Attributes:
        folder: Where environments are kept, on a local disk of whatever machine this runs on.
        buckets: Where buckets are.
        requirements: The distributions with the units, as PEP 508 has them. CPM with all that it needs comes besides, in the
            versions that it was tried with, unless `eopf` is among them.
        index: Where distributions come from.
        python: An interpreter that has CPM and the units already; None to make environments.
        dask_context: CPM's own section of this name; empty for its threads.
        gateway: The Dask Gateway that has the cluster that a request names; None for `dask_context`.
        secrets: What references stand for; looked up where this runs.
        variables: What CPM has in its environment besides what a process needs; nothing secret.
        limits: What a payload may take.
    """

    folder: Path
    buckets: Buckets
    requirements: tuple[str, ...] = ()
    index: PackageIndex = field(default_factory=PackageIndex)
    python: Path | None = None
    dask_context: Mapping[str, Any] = field(default_factory=dict)
    gateway: GatewayAccess | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def run(self, order: Order) -> Processed:
        """Run a payload; see `Processor`.

        Raises:
            InstallFailed: The environment cannot be made.
            IndexUnreachable: The package index did not answer.
            ProcessorFailed: CPM ended with an error; the message is the innermost one.
            ProcessorCrashed: It was killed or canceled, or met an error of the network.
            ProcessorTimeout: It took too long.
            MemoryLimitExceeded: It took too much memory.
            NoCluster: There is no such Dask cluster as the request names.
        """
        with self._environment() as environment:
            order.log(f"environment {environment.key or environment.folder}")
            context, order = self._context(order)
            payload = self._payload(order, environment.packages.get("eopf", "2"))
            payload = {**payload, "dask_context": context} if context else payload
            canceled = Event()
            with _nameless_file(to_yaml(payload).encode()) as descriptor, _Tail(order, canceled) as tail:
                ended = self._carry_out(order, environment, descriptor, canceled)
            _refuse(order, ended)
            log = tail.text()
        return Processed(log, self._facts(ended, environment, log))

    def prepare(self) -> Environment:
        """Make the environment before it is needed, and return it; it may be removed again when others need the room."""
        with self._environment() as environment:
            return environment

    @contextmanager
    def _environment(self) -> Iterator[Environment]:
        if self.python:
            folder = self.python.parent.parent
            yield Environment("", folder, _packages(folder), "", -1, is_new=False)
            return
        program = Uv(Path(_uv()), self.folder / "uv", self.index, dict(os.environ))
        # Of the rasterio that CPM asks for there are no wheels for later versions.
        python = Path(sys.executable) if sys.version_info < (3, 13) else program.find_python("3.12")
        cache = EnvironmentCache(self.folder, program, _interpreter(python))
        with cache.lease(self._wanted()) as environment:
            yield environment

    def _wanted(self) -> list[str]:
        lines = () if EOPF in self._own() else (_FOLDER / "requirements.txt").read_text().splitlines()
        return [*(line for line in lines if not line.startswith("#")), *self.requirements]

    def _own(self) -> set[str]:
        return {canonicalize_name(Requirement(asked).name) for asked in self.requirements}

    def _payload(self, order: Order, version: str) -> Mapping[str, Any]:
        if not version.startswith("2"):
            return order.payload
        for step in read_workflow(order.payload):
            for name, entry in step.inputs.items():
                if entry.regex:
                    self._refuse_neighbours(name, entry.path, entry.regex)
        return for_cpm2(order.payload)

    def _context(self, order: Order) -> tuple[Mapping[str, Any], Order]:
        """Return where CPM has its Dask, and the order with what is secret in that."""
        if self.gateway is None:
            return self.dask_context, order
        with self.gateway.gateway(self.secrets) as gateway:
            found = find_cluster(gateway, order.request.dask_cluster_label, order.request.dask_cluster_instance or "")
        order.log(f"Dask cluster {found} of {found.workers} workers: {found.dashboard}")
        context, secret = self.gateway.context(found, self.secrets)
        return context, replace(order, secrets=order.secrets | {secret})

    def _refuse_neighbours(self, name: str, path: str, regex: str) -> None:
        """Refuse inputs of which CPM 2 cannot be told without it taking others too."""
        pattern = glob_of(regex)
        others = [inner for inner in names_in(self.buckets, path) if fnmatchcase(inner, pattern) and not re.fullmatch(regex, inner)]
        if others:
            raise PayloadError(
                f"input {quoted(name)}: for {quoted(regex)} CPM 2 takes {quoted(pattern)}, which {quoted(others[0])} matches, too",
                code="unsupported_regex",
                remedy="Put the inputs into a folder of their own.",
            )

    def _carry_out(self, order: Order, environment: Environment, payload: int, canceled: Event) -> Ended:
        folder = order.scratch / EOPF
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        proxy = self.gateway.proxy_address if self.gateway else ""
        needed = {
            "PATH": f"{environment.folder / 'bin'}{os.pathsep}{_PATH}",
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
        }
        needed |= {"DASK_GATEWAY__PROXY_ADDRESS": proxy} if proxy else {}
        kept = (payload, environment.lease) if environment.lease >= 0 else (payload,)
        python = self.python or environment.python
        program = Program(python, (str(_FOLDER / "trigger.py"),), folder, needed | dict(self.variables), kept)
        words = {"payload": f"/dev/fd/{payload}", "folder": str(folder), "spellings": spellings(order.secrets)}
        return carry_out(program, words, self.limits, canceled)

    def _facts(self, ended: Ended, environment: Environment, log: str) -> dict[str, Any]:
        dashboards = _DASHBOARD.findall(log)
        return {
            "processor": EOPF,
            "versions": {name: environment.packages[name] for name in sorted({EOPF, *self._own()} & environment.packages.keys())},
            "environment": environment.key,
            "lock": environment.lock_hash,
            "seconds": ended.seconds,
            "cpu_s": ended.cpu_s,
            "peak_memory_mb": ended.peak_memory_mb,
            "dashboard": dashboards[0] if dashboards else "",
        }


def _refuse(order: Order, ended: Ended) -> None:
    """Raise why a process failed, unless it told that it completed, and then ended well."""
    match ended.stopped:
        case Stop.CANCELED:
            raise ProcessorCrashed("the run was canceled", code="canceled")
        case Stop.TIME:
            raise ProcessorTimeout(f"{order.request_id}: CPM was ended after {ended.seconds:,.0f} s")
        case Stop.MEMORY:
            raise MemoryLimitExceeded(f"{order.request_id}: CPM had {ended.peak_memory_mb:,} MB resident, and was ended")
    if told := ended.message("failed"):
        text = order.shown(f"{order.request_id}: CPM failed: {told['type']}: {told['message']}")
        if told["type"] == "MemoryError":
            raise MemoryLimitExceeded(text)
        raise ProcessorCrashed(text) if told["transient"] else ProcessorFailed(text)
    if ended.code or not ended.message("completed"):
        how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with code {ended.code}"
        raise ProcessorCrashed(order.shown(f"{order.request_id}: CPM {how} without saying why:\n{ended.stderr}"))


@contextmanager
def _nameless_file(data: bytes) -> Iterator[int]:
    """Yield the descriptor of a file in memory that no other process can open by a name."""
    descriptor = os.memfd_create("payload", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield descriptor
    finally:
        os.close(descriptor)


class _Tail:
    """Tells an order what a process prints, as it comes, from the files that it prints to; and the process that it is canceled."""

    def __init__(self, order: Order, canceled: Event) -> None:
        self._order, self._canceled, self._is_aborted = order, canceled, Abort()
        self._offsets = {order.scratch / EOPF / name: 0 for name in (STDOUT, STDERR)}
        self._lines: list[str] = []
        self._ended = Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="groundtrack-eopf-log")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._read(is_last=True)

    def text(self) -> str:
        """Return all that was printed."""
        return "".join(f"{line}\n" for line in self._lines)

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self._read()
            if self._is_aborted():
                self._canceled.set()

    def _read(self, *, is_last: bool = False) -> None:
        for path, offset in self._offsets.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            whole = data if is_last else data[: data.rfind(b"\n") + 1]
            self._offsets[path] = offset + len(whole)
            for line in self._order.shown(whole.decode(errors="replace")).splitlines():
                self._lines.append(line)
                self._order.log(line)


@lru_cache(maxsize=4)
def _packages(folder: Path) -> dict[str, str]:
    """Return the version of every distribution of an environment that others made."""
    places = [str(path) for path in folder.glob("lib*/python*/site-packages")]
    return {canonicalize_name(dist.metadata["Name"]): dist.version for dist in distributions(path=places)}


@lru_cache(maxsize=1)
def _interpreter(path: Path) -> Interpreter:
    return examine(path)


@lru_cache(maxsize=1)
def _uv() -> str:
    from uv import find_uv_bin

    return find_uv_bin()
