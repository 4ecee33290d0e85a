"""The batch loop: keeps every worker busy, and brings every item to exactly one end.

Submission is windowed, so a batch of 100,000 items holds a few futures at a time. A future carries a group of items; when
its worker dies, the items of the group are submitted again one by one, so that only the one that kills workers is charged
an attempt. Items that exhausted their memory wait until nothing else of the batch runs and then get a bigger share, alone.
"""

import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from distributed import CancelledError, Client, Future
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from platform_assets.common.errors import TransientError, WorkerLost
from platform_assets.common.stages import NoLongerWanted
from platform_assets.common.values import Failure, Outcome, State, Work
from platform_assets.execution.plan import Groups, RetryPolicy
from platform_assets.execution.progress import Progress
from platform_assets.execution.worker import ItemResult, ItemTask, Limits, failure_of, give_up, run_group

_log = logging.getLogger(__name__)
_GATHER_S = 30.0
_LOOK_S = 5.0
_STOP_S = 15.0


class ClusterLost(TransientError):
    """The Dask scheduler is gone, or has had no worker for too long; the batch stops and can be resumed."""

    code = "cluster_lost"
    remedy = "Look at the Dask scheduler and its workers; the batch resumes by itself when it is submitted again."


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch runs.

    Attributes:
        retry: When a failed item is tried again.
        limits: What each item may use.
        alone_memory_bytes: The bigger share of an item that exhausted its memory and then runs alone; 0 for no second try.
        group_s: Seconds of work in one Dask task, as far as items are small enough.
        group_items: Items in one Dask task at most.
        tick_s: Seconds between two reports of progress.
        no_worker_s: How long the batch waits for a first or another worker.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: Limits = field(default_factory=lambda: Limits(time_s=3600.0))
    alone_memory_bytes: int = 0
    group_s: float = 1.0
    group_items: int = 64
    tick_s: float = 1.0
    no_worker_s: float = 300.0


@dataclass(frozen=True, slots=True)
class _Try:
    """An item with its history.

    Attributes:
        work: The item.
        attempts: How often it was tried.
        failed_at: When it first failed, on the monotonic clock.
    """

    work: Work
    attempts: int = 0
    failed_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Flight:
    """One future and the items of its group."""

    future: Future
    tries: tuple[_Try, ...]


@dataclass(frozen=True, slots=True)
class Reporting:
    """Where a batch tells what happens; each is called in the thread that runs the batch.

    Attributes:
        started: With the keys of a group that was handed to Dask.
        ended: With each outcome, once an item.
        tick: With the progress and the seconds since the start, every `tick_s`; may raise to stop the batch.
    """

    started: Callable[[Sequence[str]], None]
    ended: Callable[[Outcome], None]
    tick: Callable[[Progress, float], None]


class Batch:
    """One batch on one Dask client.

    Args:
        client: A connected client; the workers must be processes under a nanny, with one thread each.
        task: The item function `(shared, payload, stages) -> (state, facts)`, with the state done or carried over.
        shared: Called for each submission, so that credentials are fresh: what all items get.
        options: How to run.
        reporting: Whom to tell.
    """

    def __init__(self, client: Client, task: ItemTask, shared: Callable[[], Any], options: BatchOptions, reporting: Reporting) -> None:
        self._client = client
        self._task = task
        self._shared = shared
        self._options = options
        self._reporting = reporting
        self._topic = f"groundtrack-{uuid4().hex}"
        self._numbers = count()
        self._fresh = Groups((), target_s=0, most_items=0)
        self._waiting: deque[tuple[_Try, ...]] = deque()
        self._delayed: list[tuple[float, int, _Try]] = []
        self._alone: deque[_Try] = deque()
        self._flying: dict[int, _Flight] = {}
        self._landed: SimpleQueue[int] = SimpleQueue()
        self._last_words: dict[str, Failure] = {}
        self._threads = 0
        self._threads_known_at = float("-inf")

    def run(self, works: Sequence[Work], progress: Progress) -> None:
        """Bring every item to its end; `progress` is counted up as they end.

        Raises:
            ClusterLost: The scheduler is gone or no worker comes; the items that had not ended are reported nowhere.
            Exception: What `reporting` raises; items in work then begin no other stage, and those that have not ended are reported nowhere.
        """
        self._fresh = Groups(works, target_s=self._options.group_s, most_items=self._options.group_items)
        began = last_tick = time.monotonic()
        self._client.subscribe_topic(self._topic, self._hear)
        try:
            while self._fresh or self._waiting or self._delayed or self._alone or self._flying:
                self._submit()
                self._land_next(progress)
                if time.monotonic() - last_tick >= self._options.tick_s:
                    last_tick = time.monotonic()
                    self._reporting.tick(progress, last_tick - began)
        finally:
            if self._flying:
                self._stop(progress)
            self._client.unsubscribe_topic(self._topic)

    def _stop(self, progress: Progress) -> None:
        """Let no worker begin another stage, take home what has ended, and cancel the rest: what is published belongs to this batch."""
        deadline = time.monotonic() + _STOP_S
        try:
            with suppress(OSError, TimeoutError, CommClosedError, ClusterLost):
                told = self._client.status == "running" and self._client.run(give_up, self._topic, on_error="ignore")
                while told and self._flying and time.monotonic() < deadline:
                    self._land_next(progress)
        finally:
            if self._flying:
                self._client.cancel([flight.future for flight in self._flying.values()], force=True)
                _log.warning("%d groups of items were still in the middle of a stage; they begin no other", len(self._flying))

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, words = event
        self._last_words[words["key"]] = Failure(**words["failure"])

    # --- out ---------------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            self._waiting.appendleft((heapq.heappop(self._delayed)[2],))
        while (self._waiting or self._fresh) and len(self._flying) < self._window():
            again = self._waiting.popleft() if self._waiting else ()
            self._fly(again or tuple(_Try(work) for work in self._fresh.next()), self._options.limits)
        if self._alone and not self._waiting and not self._fresh and not self._flying:
            self._fly((self._alone.popleft(),), Limits(self._options.limits.time_s, self._options.alone_memory_bytes))

    def _window(self) -> int:
        """One group a thread: a group that waits on a worker would die with it, without having run.

        The next group arrives within milliseconds of the last one's end, and carries seconds of work.
        """
        if time.monotonic() - self._threads_known_at > _LOOK_S:
            self._threads = self._count_threads()
            self._threads_known_at = time.monotonic()
        return self._threads

    def _count_threads(self) -> int:
        deadline = time.monotonic() + self._options.no_worker_s
        while not (threads := int(sum(self._client.nthreads().values()))):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise ClusterLost(f"no Dask worker came to {self._client} within {self._options.no_worker_s:,.0f} s")
            try:
                self._client.wait_for_workers(1, timeout=min(left_s, 2 * _LOOK_S))
            except TimeoutError:
                _log.warning("waiting for a Dask worker to come to %s", self._client)
        return threads

    def _fly(self, tries: tuple[_Try, ...], limits: Limits) -> None:
        items = tuple((attempt.work.key, attempt.work.payload) for attempt in tries)
        number = next(self._numbers)
        name = f"{self._task.__name__}-{self._topic}-{number}"
        self._reporting.started([key for key, _ in items])
        future = self._client.submit(run_group, self._task, self._shared(), items, limits, self._topic, name, key=name, pure=False)
        self._flying[number] = _Flight(future, tries)
        future.add_done_callback(lambda _: self._landed.put(number))

    # --- home --------------------------------------------------------------------------------------------------------

    def _land_next(self, progress: Progress) -> None:
        pause = self._options.tick_s
        if self._delayed:
            pause = min(pause, self._delayed[0][0] - time.monotonic())
        try:
            flight = self._flying.pop(self._landed.get(timeout=max(0.01, pause)))
        except Empty:
            if self._client.status != "running":
                raise ClusterLost(f"the connection to the Dask scheduler is {self._client.status}") from None
            return
        try:
            results = flight.future.result(timeout=_GATHER_S)
        except (CancelledError, FutureCancelledError) as error:
            raise ClusterLost(f"the Dask scheduler dropped a task: it was restarted, or somebody cancelled it ({error})") from error
        except TimeoutError:
            # The worker died with the result: Dask computes it again, we do it ourselves, as its items may be the cause.
            self._client.cancel([flight.future], force=True)
            self._crash(flight, WorkerLost("the Dask worker died before its result was fetched"), progress)
        except Exception as error:  # noqa: BLE001 - a dead worker, or a worker that cannot import our code
            self._crash(flight, error, progress)
        else:
            self._land(flight, results, progress)

    def _land(self, flight: _Flight, results: Sequence[ItemResult], progress: Progress) -> None:
        self._fresh.learn([attempt.work for attempt in flight.tries], sum(result.seconds for result in results))
        for attempt, result in zip(flight.tries, results, strict=True):
            self._last_words.pop(result.key, None)
            if result.failure and result.failure.code == NoLongerWanted.code:
                continue
            if result.failure:
                self._failed(attempt, result.failure, result.seconds, progress)
            else:
                tries = attempt.attempts + (result.state is State.DONE)
                outcome = Outcome(result.key, result.state, result.facts, None, tries, result.seconds, result.peak_memory_mb)
                self._end(attempt, outcome, progress)

    def _crash(self, flight: _Flight, error: Exception, progress: Progress) -> None:
        """A group's worker died, or could not even run the group."""
        self._threads_known_at = float("-inf")
        _log.warning("a Dask task of %d items failed: %s: %s", len(flight.tries), type(error).__name__, error)
        killer = next((attempt for attempt in flight.tries if attempt.work.key in self._last_words), None)
        if killer:
            others = tuple(attempt for attempt in flight.tries if attempt is not killer)
            self._failed(killer, self._last_words.pop(killer.work.key), 0.0, progress)
            if others:
                self._waiting.appendleft(others)
        elif len(flight.tries) > 1:
            self._waiting.extendleft((attempt,) for attempt in flight.tries)
        else:
            lost = WorkerLost("the Dask worker died while it held the item") if isinstance(error, KilledWorker) else error
            self._failed(flight.tries[0], failure_of(lost, "worker"), 0.0, progress)

    def _failed(self, attempt: _Try, failure: Failure, seconds: float, progress: Progress) -> None:
        now = time.monotonic()
        tried = _Try(attempt.work, attempt.attempts + 1, attempt.failed_at or now)
        if failure.exhausts_memory:
            again = self._options.alone_memory_bytes > self._options.limits.memory_bytes and tried.attempts < 2
            if again:
                progress.retries += 1
                self._alone.append(tried)
                return
        else:
            delay = self._options.retry.delay_s(failure, tried.attempts, now - (tried.failed_at or now), random.random())  # noqa: S311
            if delay is not None:
                progress.retries += 1
                _log.info(
                    "%s: attempt %d failed in %s (%s: %s); again in %.1f s",
                    tried.work.key,
                    tried.attempts,
                    failure.stage,
                    failure.code,
                    failure.message,
                    delay,
                )
                heapq.heappush(self._delayed, (now + delay, next(self._numbers), tried))
                return
        self._end(tried, Outcome(tried.work.key, State.FAILED, {}, failure, tried.attempts, seconds), progress)

    def _end(self, attempt: _Try, outcome: Outcome, progress: Progress) -> None:
        progress.count(outcome.state, attempt.work)
        self._reporting.ended(outcome)
