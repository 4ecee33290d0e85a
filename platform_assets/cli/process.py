"""One process of the platform: started, watched, started again when it dies, and ended with everything that it started."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from platform_assets.common.errors import PermanentError
from resources.local_dask import die_with_parent, end_group

HOME_VARIABLE = "GROUNDTRACK_SUPERVISED"
"""The variable in the environment of every process of a platform, and of all their children: whose home it works for."""

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_STABLE_S = 60.0
_LOG_BYTES = 20 << 20
_TAIL_LINES = 12
_TAIL_BYTES = 64 << 10
_POLL_S = 0.05
_FAREWELL_S = 5.0


class ServiceFailed(PermanentError):
    """A process of the platform did not come up."""

    code = "service_failed"
    remedy = "Read the lines of its log above; `groundtrack doctor` checks the settings."


@dataclass(frozen=True)
class Service:
    """A process to run.

    Attributes:
        name: Its name in files, such as `s3`.
        title: Its name in messages, such as `S3 server`.
        command: Program and arguments.
        environment: All of its environment.
        ready: Whether it can be used, given when it was started (seconds since 1970); asked again and again while it starts,
            and must not raise.
        port: Where it listens; 0 for none.
        url: Where users find it; empty for none.
        stale: Files of its last life that would be mistaken for signs of the new one.
        start_s: How long it may take to be ready.
        grace_s: How long it may take to end when it is asked to.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready: Callable[[float], bool]
    port: int = 0
    url: str = ""
    stale: tuple[Path, ...] = ()
    start_s: float = 120.0
    grace_s: float = 5.0


class Supervised:
    """A service and its process. All methods are called from one thread: the process ends when that thread does.

    Args:
        service: What to run.
        folder: Its working directory: not the user's, where a `resources` package would be taken for ours.
        logs: Folder of the log files.
        tell: Gets one line when the process dies and when it is back.
    """

    def __init__(self, service: Service, folder: Path, logs: Path, tell: Callable[[str], None]) -> None:
        self.service = service
        self._folder = folder
        self.log = logs / f"{service.name}.log"
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._wall_started_at = 0.0
        self._log_starts_at = 0
        self._deaths = 0
        self._due_at: float | None = None
        self._returning = False

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def start(self) -> None:
        """Start the process in a group of its own."""
        self._started_at, self._wall_started_at = time.monotonic(), time.time()
        for path in self.service.stale:
            path.unlink(missing_ok=True)
        _cap(self.log)
        with self.log.open("ab") as log:
            self._log_starts_at = log.tell()
            self._process = subprocess.Popen(  # noqa: S603
                self.service.command,
                cwd=self._folder,
                env=dict(self.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
            )
        self._due_at = None

    def wait_until_ready(self, stopping: Callable[[], bool]) -> None:
        """Wait for a process that was started, or until the platform is stopped.

        Raises:
            ServiceFailed: It ended, or is not ready in time; with the last lines of its log.
        """
        while not stopping():
            if self._code() is not None:
                raise ServiceFailed(f"the {self.service.title} {self._end()} while it started{self._tail()}")
            if self._ready():
                return
            if time.monotonic() - self._started_at > self.service.start_s:
                raise ServiceFailed(f"the {self.service.title} was not ready after {self.service.start_s:.0f} s{self._tail()}")
            time.sleep(_POLL_S)

    def tend(self) -> bool:
        """Start the process again if it died and its delay is over; return whether it was."""
        if self._code() is None:
            _cap(self.log)
            self._greet()
            return False
        if self._due_at is None:
            self._bury()
        if time.monotonic() < (self._due_at or 0.0):
            return False
        self.start()
        self._returning = True
        return True

    def stop(self) -> None:
        """End the process and everything in its group."""
        if self._process:
            end_group(self._process, self.service.grace_s)

    def _greet(self) -> None:
        """Tell that a process is back; one that does not become ready is ended, and so started again."""
        if not self._returning:
            return
        if self._ready():
            self._returning = False
            self._tell(f"The {self.service.title} is back.")
        elif time.monotonic() - self._started_at > self.service.start_s:
            self.stop()

    def _ready(self) -> bool:
        return self.service.ready(self._wall_started_at)

    def _bury(self) -> None:
        """End what the dead process left behind, and decide when to start it again."""
        self.stop()
        lived_s = time.monotonic() - self._started_at
        self._deaths = 1 if lived_s > _STABLE_S else self._deaths + 1
        delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (self._deaths - 1))
        self._due_at = time.monotonic() + delay_s
        self._tell(f"The {self.service.title} {self._end()} and is started again in {delay_s:.1f} s; its log is {self.log}.")

    def _code(self) -> int | None:
        return self._process.poll() if self._process else 0

    def _end(self) -> str:
        code = self._code() or 0
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def _tail(self) -> str:
        """The last lines that this start of the process wrote, ready to be put behind a message; of tracebacks only the errors."""
        with self.log.open("rb") as log:
            log.seek(max(self._log_starts_at, self.log.stat().st_size - _TAIL_BYTES))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line[:1].strip()]
        return ":\n" + "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]) + f"\n  (all of it in {self.log})"


def end_left_overs(home: Path) -> int:
    """End what is left of a platform on this home whose supervisor was killed; return how many processes that were.

    The caller holds the home's lock, so whatever works for this home is an orphan.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + _FAREWELL_S
    # Again until there is none: a dying process may have started another.
    while (orphans := list(_left_overs(home))) and time.monotonic() < deadline:
        for process in orphans:
            ended.add(process.pid)
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(_POLL_S)
    return len(ended)


def _left_overs(home: Path) -> Iterator[psutil.Process]:
    me = psutil.Process()
    family = {me.pid, *(parent.pid for parent in me.parents())}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in family and process.environ().get(HOME_VARIABLE) == str(home):
                yield process


def _cap(log: Path) -> None:
    """Move a large log aside by copying: the process that writes it holds the file open, in append mode."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
