"""Where tasks of workflows run in a deployment: its environments, its folders, and a process here or on a Dask worker."""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

import dagster as dg
from pydantic import Field, PrivateAttr

from platform_assets.common.errors import ConfigurationError, Conflict, WorkerLost
from platform_assets.common.values import Failure
from platform_assets.environments import interpreters
from platform_assets.environments.cache import EnvironmentCache
from platform_assets.environments.process import Limits, Message
from platform_assets.environments.uv import PackageIndex, Uv
from platform_assets.workflows.local import alone
from platform_assets.workflows.model import TaskSpec, WorkflowSpec
from platform_assets.workflows.runner import (
    RecipeRun,
    Shop,
    TaskRecord,
    TaskState,
    attempt_task,
    read_record,
    telemetry_variables,
    write_record,
)
from platform_assets.workflows.sdk_files import sdk_folder
from resources.dask_cluster import DaskCluster

if TYPE_CHECKING:
    from distributed import Client

_LOOK_S = 1.0
_REACH_S = 0.2
_TELL_AGAIN_S = 60.0
_UNDO_S = 45.0
"""Less than run monitoring waits for a canceled run."""

_DEFAULT = "default"

Hear = Callable[[Message], None]


class WorkflowShop(dg.ConfigurableResource[Any]):
    """The environments and folders of workflow tasks, and where their processes run."""

    folder: str = Field(description="Where environments, recipe runs and logs are.")
    placement: Literal["local", "dask"] = Field(
        default="local", description="Where tasks run: beside the run's process, or on Dask workers."
    )
    index_url: str = Field(default="", description="Package index of the tasks' environments.")
    find_links: list[str] = Field(default_factory=list, description="Folders or pages of wheels.")
    no_index: bool = Field(default=False, description="Whether only `find_links` count.")
    offline: bool = Field(default=False, description="Whether nothing is fetched.")
    python: str = Field(default="", description="Python of the environments; empty for the platform's own.")
    cache_bytes: int = Field(default=50 << 30, description="What environments may take on disk.")
    variables: list[str] = Field(default_factory=list, description="Names of variables of the platform that tasks see.")
    rollback: bool = Field(default=True, description="Whether a failed attempt is undone.")
    time_limit_s: float | None = Field(default=None, description="For tasks that name none of their own.")
    memory_mb: int | None = Field(default=None, description="For tasks that name none of their own.")
    grace_s: float = Field(default=10.0, description="Between asking a task to end and killing it.")

    _held: ExitStack = PrivateAttr(default_factory=ExitStack)
    _holds: set[Path] = PrivateAttr(default_factory=set)
    _taking: Any = PrivateAttr(default_factory=Lock)

    def recipe_run(self, workflow: WorkflowSpec, number: int, parameters: dict[str, Any], *, is_task_manual: bool) -> RecipeRun:
        """Return a recipe run, in the folder that the command line uses for it too."""
        return RecipeRun(workflow, number, Path(self.folder, "runs", workflow.dag_name, str(number)), parameters, is_task_manual)

    def take_turn(self, run: RecipeRun, tell: Callable[[str], None], meanwhile: AbstractContextManager[None]) -> None:
        """Wait until no other run works on this recipe run, and hold it until this one has ended.

        Args:
            run: The recipe run.
            tell: Gets a line now and then while it waits.
            meanwhile: Is entered when it must wait, and left when its turn has come.
        """
        if self._takes_turn(run) is None:
            return
        told_s = -_TELL_AGAIN_S
        with meanwhile:
            while conflict := self._takes_turn(run):
                if time.monotonic() - told_s >= _TELL_AGAIN_S:
                    tell(f"{conflict}; this run waits for it")
                    told_s = time.monotonic()
                time.sleep(_LOOK_S)

    def _takes_turn(self, run: RecipeRun) -> Conflict | None:
        """Return who has the turn, or None when it is this run's."""
        with self._taking:
            if run.folder not in self._holds:
                try:
                    self._held.enter_context(alone(run))
                except Conflict as error:
                    return error
                self._holds.add(run.folder)
        return None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let go of the recipe runs that this run held."""
        del context
        self._holds.clear()
        self._held.close()

    def attempt(self, run: RecipeRun, task: TaskSpec, number: int, trace: str, hear: Hear, dask: DaskCluster) -> TaskRecord:
        """Try a task once and return its record; when this is interrupted, the task is ended and undone first.

        Args:
            run: The recipe run, whose turn it is.
            task: The task.
            number: Which try this is, from 1.
            trace: W3C trace context of the task.
            hear: Gets its messages as they come.
            dask: The workers, for the placement `dask`.

        Raises:
            ConfigurationError: No Dask worker has what the task's queue stands for.
            TransientError: The Dask scheduler does not answer.
        """
        shop = self.shop()
        shop = replace(shop, variables={**shop.variables, "TRACEPARENT": trace})
        if self.placement == "local":
            return _here(shop, run, task, number, hear)
        with dask.client() as client:
            return _on_dask(client, shop, run, task, number, hear)

    def shop(self) -> Shop:
        """Return what all tasks have in common."""
        folder = Path(self.folder)
        index = PackageIndex(self.index_url, (str(folder / "wheels"), *self.find_links), self.no_index, self.offline)
        uv = Uv(_uv(), folder / "cache" / "uv", index, dict(os.environ))
        python = _interpreter(uv.find_python(self.python) if self.python else Path(sys.executable))
        environments = EnvironmentCache(folder / "cache", uv, python, self.cache_bytes)
        memory_bytes = self.memory_mb * 1_000_000 if self.memory_mb else None
        return Shop(
            environments,
            sdk_folder(folder / "cache" / "sdk"),
            {**telemetry_variables(os.environ), **{name: value for name, value in os.environ.items() if name in self.variables}},
            rollback=self.rollback,
            limits=Limits(self.time_limit_s, memory_bytes, self.grace_s),
        )


@contextmanager
def slot_given_back(context: dg.AssetExecutionContext, pool: str) -> Iterator[None]:
    """Let others have the slot of its pool that a step has, for a block.

    Who waits for another run must not keep from it what that waits for: neither would ever end.

    Args:
        context: The step's.
        pool: The pool.
    """
    storage, run_id, step = context.instance.event_log_storage, context.run.run_id, context.get_step_execution_context().step.key
    is_limited = storage.supports_global_concurrency_limits
    has_slot = is_limited and any(
        slot.step_key == step and slot.run_id == run_id for slot in storage.get_concurrency_info(pool).claimed_slots
    )
    if has_slot:
        storage.free_concurrency_slot_for_step(run_id, step)
    yield
    while has_slot and not storage.claim_concurrency_slot(pool, run_id, step).is_claimed:
        time.sleep(_LOOK_S)


def trace_of(run_id: str) -> str:
    """Return the W3C trace context that all tasks of a run have."""
    return f"00-{UUID(run_id).hex}-{sha256(run_id.encode()).hexdigest()[:16]}-01"


def _uv() -> Path:
    from uv import find_uv_bin

    return Path(find_uv_bin())


@cache
def _interpreter(path: Path) -> interpreters.Interpreter:
    return interpreters.examine(path)


def _here(shop: Shop, run: RecipeRun, task: TaskSpec, number: int, hear: Hear) -> TaskRecord:
    canceled, messages = Event(), SimpleQueue[Message | None]()

    def attempt() -> TaskRecord:
        try:
            return attempt_task(shop, run, task, number, canceled, messages.put)
        finally:
            messages.put(None)

    # Interrupts come to the main thread; in another one the task can be undone in peace.
    with ThreadPoolExecutor(1, task.name) as pool, _setting(canceled):
        future = pool.submit(attempt)
        _relay(messages, hear)
        return future.result()


def _relay(messages: SimpleQueue[Message | None], hear: Hear) -> None:
    """Hand over messages until there are no more; never long out of reach of an interrupt of this thread."""
    while True:
        with suppress(Empty):
            message = messages.get(timeout=_REACH_S)
            if message is None:
                return
            hear(message)


@contextmanager
def _setting(canceled: Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        canceled.set()
        raise


def _on_dask(client: "Client", shop: Shop, run: RecipeRun, task: TaskSpec, number: int, hear: Hear) -> TaskRecord:
    from distributed import KilledWorker

    _check_workers(client, task)
    name = f"{run.workflow.dag_name}-{run.recipe_run_id}-{task.name}-{uuid4().hex}"
    messages = SimpleQueue[Message | None]()
    client.subscribe_topic(name, lambda event: messages.put(event[1]))
    resources = {task.resource_queue: 1} if task.resource_queue != _DEFAULT else None
    future = client.submit(_attempt_on_worker, name, shop, run, task, number, key=name, pure=False, retries=0, resources=resources)
    future.add_done_callback(lambda _: messages.put(None))
    try:
        _relay(messages, hear)
        record: TaskRecord = future.result()
    except KilledWorker as error:
        return _lost(run, task, number, str(error))
    except BaseException:
        future.cancel()
        _wait_until_undone(run, task)
        raise
    finally:
        client.unsubscribe_topic(name)
    return record


def _wait_until_undone(run: RecipeRun, task: TaskSpec) -> None:
    deadline_s = time.monotonic() + _UNDO_S
    while time.monotonic() < deadline_s and (read_record(run, task.name) or {}).get("state") == TaskState.UNDER_WAY:
        time.sleep(_LOOK_S / 10)


def _check_workers(client: "Client", task: TaskSpec) -> None:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if task.resource_queue != _DEFAULT and workers and not any(task.resource_queue in worker["resources"] for worker in workers):
        raise ConfigurationError(
            f"{task.name} is for the queue {task.resource_queue}, and no Dask worker has that resource",
            remedy=f'Start workers for it: dask worker ... --resources "{task.resource_queue}=1".',
        )


def _lost(run: RecipeRun, task: TaskSpec, number: int, text: str) -> TaskRecord:
    """Return the record of an attempt whose worker died; it stays under way in the folder, so that the next one undoes it."""
    error = WorkerLost(text)
    failure = Failure("run", error.code, f"its Dask worker died: {error}", error.remedy, transient=True)
    record = TaskRecord(run.workflow.name, run.workflow.version, run.recipe_run_id, task.name, TaskState.UNDER_WAY, number, failure)
    write_record(run, record)
    return replace(record, state=TaskState.FAILED)


def _attempt_on_worker(name: str, shop: Shop, run: RecipeRun, task: TaskSpec, number: int) -> TaskRecord:
    from distributed import get_worker

    worker = get_worker()
    place = run.folder / task.name
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("a") as file:
        # One that was withdrawn, or whose worker was given up for lost, may still be undone.
        fcntl.flock(file, fcntl.LOCK_EX)
        return attempt_task(shop, run, task, number, _Withdrawn(worker, name), lambda message: worker.log_event(name, dict(message)))


class _Withdrawn(Event):
    """Set when the scheduler no longer wants a task of this worker: it was canceled, or who asked for it is gone."""

    def __init__(self, worker: Any, key: str) -> None:
        super().__init__()
        self._worker, self._key = worker, key

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for a time."""
        state = self._worker.state.tasks.get(self._key)
        if state is None or state.state == "cancelled":
            self.set()
        return super().wait(timeout)
