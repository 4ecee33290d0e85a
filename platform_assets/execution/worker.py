"""What runs on a Dask worker: one group of items, each under a guard, every exception turned into a value.

GDAL and xsar cannot be interrupted from Python, so an item that exceeds its time or memory takes its worker process with
it: the guard reports who and why over Dask's event channel, then ends the process, and the nanny starts a new one. The
batch charges the culprit and submits its neighbours again.
"""

import errno
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from distributed import Worker, get_worker

from platform_assets.common.errors import GroundtrackError, MemoryLimitExceeded, TimeLimitExceeded, TransientError
from platform_assets.common.stages import Stages
from platform_assets.common.values import Failure, State
from platform_assets.execution.plan import UNEXPECTED

ItemTask = Callable[[Any, Any, Stages], tuple[State, dict[str, Any]]]

_POLL_S = 0.1
_FAREWELL_S = 0.5
_EXIT_CODE = 87

_given_up: set[str] = set()
"""The topics of batches that were stopped while they had work in this process."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one item may use.

    Attributes:
        time_s: Wall time of one attempt.
        memory_bytes: Resident memory of the worker process while it works on the item; 0 for no limit.
    """

    time_s: float
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How one attempt at one item ended.

    Attributes:
        key: The item's partition key.
        state: Done, found done (carried over), or failed.
        facts: What was made or found, in JSON types; empty for a failure.
        failure: Why it failed, or None.
        seconds: Wall time of the attempt.
        peak_memory_mb: The most that the process had resident meanwhile.
    """

    key: str
    state: State
    facts: dict[str, Any]
    failure: Failure | None
    seconds: float
    peak_memory_mb: int = 0


def run_group(task: ItemTask, shared: Any, items: tuple[tuple[str, Any], ...], limits: Limits, topic: str, name: str) -> list[ItemResult]:
    """Run the items of one group one after the other; never raises because of an item.

    When its batch is given up, the group is cancelled, or its client is gone, no other stage is begun.

    Args:
        task: The item function: `(shared, payload, stages) -> (state, facts)`; a module-level function.
        shared: What all items of the batch get, such as connections and options.
        items: Partition key and payload of each item.
        limits: What each item may use.
        topic: Dask's event topic for the guard's last words.
        name: The group's key in Dask.
    """
    # Dask removes the folder of a worker that was killed when the next one starts beside it; nobody does so for /tmp.
    worker = get_worker()
    tempfile.tempdir = worker.local_directory
    return [_run_item(task, shared, key, payload, limits, topic, lambda: _is_wanted(worker, topic, name)) for key, payload in items]


def give_up(topic: str) -> None:
    """Let the groups of a batch begin no other stage in this process; what they have done comes home as ever.

    Args:
        topic: The batch's topic.
    """
    _given_up.add(topic)


def _is_wanted(worker: Worker, topic: str, name: str) -> bool:
    """Whether anybody waits for a task that this worker executes; Dask stops no thread, it only notes that it is cancelled."""
    task = worker.state.tasks.get(name)
    return topic not in _given_up and task is not None and task.state != "cancelled"


def _run_item(task: ItemTask, shared: Any, key: str, payload: Any, limits: Limits, topic: str, is_wanted: Callable[[], bool]) -> ItemResult:
    stages = Stages(is_wanted)
    began = time.perf_counter()
    state, facts, failure = State.FAILED, dict[str, Any](), None
    with _guarded(key, stages, limits, topic) as guard:
        try:
            state, facts = task(shared, payload, stages)
        except Exception as error:  # noqa: BLE001 - every exception of an item is that item's outcome
            failure = failure_of(error, stages.current)
    return ItemResult(key, state, facts, failure, round(time.perf_counter() - began, 3), guard.peak_bytes // 1_000_000)


def failure_of(error: BaseException, stage: str) -> Failure:
    """Return the record of an exception: its class decides what happens next."""
    if isinstance(error, GroundtrackError):
        return Failure(
            stage, error.code, str(error), error.remedy,
            transient=isinstance(error, TransientError), exhausts_memory=isinstance(error, MemoryLimitExceeded),
        )  # fmt: skip
    text = "".join(traceback.format_exception(error))
    if isinstance(error, MemoryError):
        return Failure(
            stage,
            MemoryLimitExceeded.code,
            f"out of memory: {error}",
            MemoryLimitExceeded.remedy,
            text,
            transient=True,
            exhausts_memory=True,
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(
            stage,
            "disk_full",
            f"no space left for scratch files: {error}",
            "Free space on the worker, or give Dask another local directory.",
            text,
            transient=True,
        )
    return Failure(stage, UNEXPECTED, f"{type(error).__name__}: {error}", "Report it together with the traceback.", text, transient=True)


@contextmanager
def _guarded(key: str, stages: Stages, limits: Limits, topic: str) -> Iterator["_Guard"]:
    guard = _Guard(get_worker(), key, stages, limits, topic)
    threading.Thread(target=guard.watch, daemon=True, name="groundtrack-guard").start()
    try:
        yield guard
    finally:
        guard.ended.set()


class _Guard:
    """Watches one attempt at one item, and ends the process when the item takes more than its share."""

    def __init__(self, worker: Worker, key: str, stages: Stages, limits: Limits, topic: str) -> None:
        self.ended = threading.Event()
        self._process = psutil.Process()
        self.peak_bytes = self._process.memory_info().rss
        self._worker, self._key, self._stages, self._limits, self._topic = worker, key, stages, limits, topic

    def watch(self) -> None:
        deadline = time.monotonic() + self._limits.time_s
        while not self.ended.wait(_POLL_S):
            if error := self._excess(deadline):
                words = {"key": self._key, "failure": asdict(failure_of(error, self._stages.current))}
                self._worker.log_event(self._topic, words)
                self.ended.wait(_FAREWELL_S)  # the report leaves in the background
                if not self.ended.is_set():
                    os._exit(_EXIT_CODE)
                return

    def _excess(self, deadline: float) -> GroundtrackError | None:
        used, limits, stage = self._process.memory_info().rss, self._limits, self._stages.current
        self.peak_bytes = max(self.peak_bytes, used)
        if limits.memory_bytes and used > limits.memory_bytes:
            return MemoryLimitExceeded(
                f"the item used {used / 1e6:,.0f} MB in stage {stage}; its share is {limits.memory_bytes / 1e6:,.0f} MB"
            )
        if time.monotonic() > deadline:
            return TimeLimitExceeded(f"the item was still in stage {stage} after {limits.time_s:,.0f} s; its worker was stopped")
        return None
