"""A Dask cluster on this machine, in a process group of its own.

Why not a `LocalCluster` inside the run: a worker that dies while its nanny starts it leaves the nanny waiting for ever
(distributed 2025.7.0; seen in 3 of 4 trials that killed a worker a second), and closing such a cluster hangs (6 of 8). So
the workers have no nanny: this process starts each again when it ends. A process group can always be ended, and it ends by
itself when the process that started it is killed; and the scheduler does not share the batch loop's interpreter lock.

    python -m resources.local_dask --workers 2 --scheduler-file /tmp/scheduler.json
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from platform_assets.common.errors import TransientError

# A dead worker costs its running group one failure, which the batch engine judges; Dask must not try again by itself.
_SCHEDULER_CONFIG = {"distributed.scheduler.allowed-failures": 0}
# A worker's port executes pickles: on loopback, whatever Dask's default is.
_WORKER_OPTIONS = (
    *("--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--death-timeout", "60"),
    *("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"),
)
_RESTART_S = 1.0
# What Dask looks at by itself, the stack every 10 ms and the event loop every 20, is four fifths of what an idle cluster costs.
_DEFAULTS = {
    "DASK_LOGGING__DISTRIBUTED": "warning",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
}
_START_S = 60.0
_CLOSE_S = 5.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def local_dask(workers: int, *, log: Path | None = None) -> Iterator[str]:
    """Start a cluster, yield its scheduler's address, and end it and all its processes.

    Args:
        workers: Worker processes, of one thread each.
        log: Where its output goes; None for this process's standard error.

    Raises:
        TransientError: It did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="groundtrack-dask-") as folder:
        file = Path(folder, "scheduler.json")
        command = [sys.executable, "-m", __name__, "--workers", str(workers), "--scheduler-file", str(file)]
        with log.open("ab") if log else nullcontext() as output:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            )
        try:
            yield _address(process, file)
        finally:
            end_group(process)


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies in any way; elsewhere nothing happens."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_group(process: "subprocess.Popen[bytes]", grace_s: float = 2 * _CLOSE_S) -> None:
    """End a process that leads its own group: ask, wait, then kill the whole group."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _address(process: "subprocess.Popen[bytes]", file: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if file.exists():
            return str(json.loads(file.read_text())["address"])
        if process.poll() is not None:
            raise TransientError(f"the local Dask cluster ended with code {process.returncode} before it was ready", code="cluster_lost")
        time.sleep(0.05)
    raise TransientError(f"the local Dask cluster was not ready after {_START_S:.0f} s", code="cluster_lost")


def main(arguments: list[str] | None = None) -> None:
    """Run a cluster until SIGTERM."""
    parser = argparse.ArgumentParser(description="A Dask cluster on this machine, in a process group of its own.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dashboard-port", type=int, default=0)
    parser.add_argument("--scheduler-file", type=Path, required=True)
    parser.add_argument("--preload", action="append", default=[], help="Module that workers import before their first task.")
    asked = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    import dask
    from distributed import LocalCluster

    dask.config.set(_SCHEDULER_CONFIG)
    cluster = LocalCluster(n_workers=0, scheduler_port=asked.port, dashboard_address=f"127.0.0.1:{asked.dashboard_port}")
    ready = asked.scheduler_file.with_suffix(".new")
    ready.write_text(json.dumps({"address": cluster.scheduler_address, "dashboard": cluster.dashboard_link}))
    ready.replace(asked.scheduler_file)
    preload = [part for module in asked.preload for part in ("--preload", module)]
    workers = [_Worker(cluster.scheduler_address, f"local-{number}", preload) for number in range(asked.workers)]
    while not stop.wait(0.1):
        for worker in workers:
            worker.watch()
    for worker in workers:
        worker.process.terminate()
    with suppress(TimeoutError):
        cluster.close(timeout=_CLOSE_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


class _Worker:
    """A worker process that is started again when it ends, at most once a second."""

    def __init__(self, scheduler: str, name: str, options: list[str]) -> None:
        self._command = [sys.executable, "-m", "dask", "worker", scheduler, "--name", name, *_WORKER_OPTIONS, *options]
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(self._command)  # noqa: S603
        self._started_at = time.monotonic()

    def watch(self) -> None:
        """Start the process again if it has ended."""
        if self.process.poll() is not None and time.monotonic() - self._started_at >= _RESTART_S:
            sys.stderr.write(f"{self._command[6]} ended with code {self.process.returncode}; it is started again\n")
            self._start()


if __name__ == "__main__":
    main()
