"""A Dask cluster on this machine, in a process group of its own.

Why not a `LocalCluster` inside the run: closing one while a nanny restarts its worker hangs for ever (distributed 2025.7.0;
seen in 6 of 8 trials that ended right after a worker's death), and the scheduler would share the interpreter lock with the
batch loop. A group can always be ended, and it ends by itself when the process that started it is killed.

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
from typing import Any

from platform_assets.common.errors import TransientError

DASK_CONFIG: dict[str, Any] = {
    # A dead worker costs its running group one failure, which the batch engine judges; Dask must not try again by itself.
    "distributed.scheduler.allowed-failures": 0,
    # Queue on the scheduler, not on the workers: a dying worker then takes only what it was really running.
    "distributed.scheduler.worker-saturation": 1.0,
    # The engine's guard watches every item's memory, and results are facts, not data: there is nothing to spill.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
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
    asked = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    import dask
    from distributed import LocalCluster

    dask.config.set(DASK_CONFIG)
    cluster = LocalCluster(
        n_workers=asked.workers,
        threads_per_worker=1,
        memory_limit=0,
        scheduler_port=asked.port,
        dashboard_address=f"127.0.0.1:{asked.dashboard_port}",
    )
    ready = asked.scheduler_file.with_suffix(".new")
    ready.write_text(json.dumps({"address": cluster.scheduler_address, "dashboard": cluster.dashboard_link}))
    ready.replace(asked.scheduler_file)
    stop.wait()
    with suppress(TimeoutError):
        cluster.close(timeout=_CLOSE_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
