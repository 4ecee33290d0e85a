"""One task of a recipe run: its environment, its attempts, what is undone between them, and the record of it all."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from math import isfinite
from pathlib import Path
from threading import Event
from typing import Any

from platform_assets.common.errors import GroundtrackError, TransientError
from platform_assets.common.values import Failure
from platform_assets.environments.cache import Environment, EnvironmentCache
from platform_assets.environments.process import Ended, Limits, Message, Program, Stop, carry_out
from platform_assets.workflows.manifest import content_hash
from platform_assets.workflows.model import TaskSpec, WorkflowSpec

RECORD = "record.json"
"""The record of a task, in its folder."""

_TELEMETRY = ("OTEL_", "TRACEPARENT", "TRACESTATE", "MESH_CONFIG")
_LOGS = "Read stdout.log and stderr.log of the attempt; correct the task or its input, and run again."
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from platform_assets.workflows.child import main; sys.exit(main())"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def telemetry_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that every task sees: where its telemetry goes."""
    return {name: value for name, value in environment.items() if name.upper().startswith(_TELEMETRY)}


class TaskState(StrEnum):
    """How far a task of a recipe run is; whoever finds one under way that nobody works on knows that its runner was killed."""

    UNDER_WAY = "under_way"
    SUCCEEDED = "succeeded"
    CARRIED_OVER = "carried_over"
    FAILED = "failed"
    UPSTREAM_FAILED = "upstream_failed"


@dataclass(frozen=True, slots=True)
class RecipeRun:
    """A run of a workflow.

    Attributes:
        workflow: The workflow in one version.
        recipe_run_id: Which recipe run.
        folder: Its own: data in `data`, and a folder a task with records and logs.
        parameters: What the run chose, in JSON types.
        is_task_manual: Whether a person drives the tasks.
    """

    workflow: WorkflowSpec
    recipe_run_id: int
    folder: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_task_manual: bool = False

    @property
    def digest(self) -> str:
        """What a task must have been run with, to be carried over."""
        return f"{content_hash(self.workflow)}-{json.dumps(self.parameters, sort_keys=True)}"


@dataclass(frozen=True, slots=True)
class Shop:
    """What all tasks have in common.

    Attributes:
        environments: Where their environments come from.
        sdk: The folder that has the SDK and nothing else.
        variables: What they have in their environment besides what a process needs.
        python: An interpreter that has the package already; None to make environments.
        rollback: Whether `rollback` is called before a retry and on the final failure.
        limits: For tasks that name none of their own.
        log_level: Of the tasks' logs, such as `INFO`.
    """

    environments: EnvironmentCache
    sdk: Path
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    python: Path | None = None
    rollback: bool = True
    limits: Limits = field(default_factory=Limits)
    log_level: str = "INFO"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What is known of a task of a recipe run.

    Attributes:
        workflow: The workflow's name.
        version: Its version.
        recipe_run_id: The recipe run.
        task: The task's name.
        state: How far it is.
        attempts: How often it was tried; 0 when its environment could not be made.
        failure: Of the last attempt; None unless it failed.
        rollback_failure: Of the last rollback; None when that worked or there was none.
        seconds: Wall time of the last attempt.
        cpu_s: CPU time of the last attempt.
        peak_memory_mb: The most memory of the last attempt.
        environment: Key of its environment; empty for one that was given.
        lock_hash: SHA-256 of what was installed.
        packages: What was installed.
        metadata: What the task told.
        is_task_manual: Whether a person drove it.
        digest: What it was run with; see `RecipeRun`.
    """

    workflow: str
    version: str
    recipe_run_id: int
    task: str
    state: TaskState
    attempts: int = 0
    failure: Failure | None = None
    rollback_failure: Failure | None = None
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: int = 0
    environment: str = ""
    lock_hash: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_task_manual: bool = False
    digest: str = ""


def run_task(shop: Shop, run: RecipeRun, task: TaskSpec, canceled: Event, heard: Callable[[Message], None] = lambda _: None) -> TaskRecord:
    """Run a task to its end, all attempts, and return the record, which is also written into the task's folder.

    Args:
        shop: What all tasks have in common.
        run: The recipe run.
        task: The task.
        canceled: Ends it when it is set.
        heard: Gets the task's messages as they come.
    """
    return _recorded(shop, run, task, range(1, task.retries + 2), canceled, heard)


def attempt_task(
    shop: Shop, run: RecipeRun, task: TaskSpec, attempt: int, canceled: Event, heard: Callable[[Message], None] = lambda _: None
) -> TaskRecord:
    """Try a task once, for an engine that tries again by itself; otherwise as `run_task`.

    Args:
        shop: What all tasks have in common.
        run: The recipe run.
        task: The task.
        attempt: Which try this is, from 1.
        canceled: Ends it when it is set.
        heard: Gets the task's messages as they come.
    """
    return _recorded(shop, run, task, range(attempt, attempt + 1), canceled, heard)


def _recorded(shop: Shop, run: RecipeRun, task: TaskSpec, numbers: range, canceled: Event, heard: Callable[[Message], None]) -> TaskRecord:
    before = read_record(run, task.name)
    # A later attempt finds undone what the one before it did, unless that was killed.
    is_left_over = any((run.folder / task.name).glob("run-*")) and (
        numbers[0] == 1 or (before is not None and before["state"] == TaskState.UNDER_WAY)
    )
    record = TaskRecord(
        run.workflow.name,
        run.workflow.version,
        run.recipe_run_id,
        task.name,
        TaskState.UNDER_WAY,
        is_task_manual=run.is_task_manual,
        digest=run.digest,
    )
    write_record(run, record)
    try:
        with leased(shop, run.workflow.requirement(task)) as environment:
            record = _attempts(_Attempts(shop, run, task, environment, canceled, heard), record, numbers, is_left_over=is_left_over)
    except GroundtrackError as error:
        failure = Failure("install", error.code, str(error), error.remedy, transient=isinstance(error, TransientError))
        record = replace(record, state=TaskState.FAILED, failure=failure)
    write_record(run, record)
    return record


@contextmanager
def leased(shop: Shop, requirement: str) -> Iterator[Environment]:
    """Yield the environment for a requirement: the one that was given, else one of the cache.

    Raises:
        InstallFailed: It cannot be made.
        IndexUnreachable: The package index did not answer.
    """
    if shop.python is not None:
        yield Environment("", shop.python.parent.parent, {}, "", -1, is_new=False)
        return
    with shop.environments.lease((requirement,)) as environment:
        yield environment


def program(shop: Shop, environment: Environment, folder: Path, home: Path) -> Program:
    """Return the process of an environment: it sees its own packages, and nothing of ours.

    Args:
        shop: What all tasks have in common.
        environment: The environment.
        folder: Where it works.
        home: What it takes for its home directory.
    """
    variables = {
        "PATH": f"{environment.folder / 'bin'}{os.pathsep}{_PATH}",
        "HOME": str(home),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        **shop.variables,
    }
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    python = shop.python or environment.python
    return Program(python, ("-c", _CHILD, str(shop.sdk)), folder, variables, (environment.lease,) if environment.lease >= 0 else ())


def read_record(run: RecipeRun, task: str) -> dict[str, Any] | None:
    """Return the record of a task as it was written, or None."""
    try:
        record: dict[str, Any] = json.loads((run.folder / task / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record


def write_record(run: RecipeRun, record: TaskRecord) -> None:
    """Write the record of a task into its folder."""
    path = run.folder / record.task / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(record), indent=1, sort_keys=True))
    part.replace(path)


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The attempts of one task."""

    shop: Shop
    run: RecipeRun
    task: TaskSpec
    environment: Environment
    canceled: Event
    heard: Callable[[Message], None]

    def carry_out(self, action: str, attempt: int) -> Ended:
        """Have a process of the task's environment run the task, or undo it."""
        folder = self.run.folder / self.task.name / f"{action}-{attempt}"
        order = {
            "action": action,
            "module": self.task.module,
            "task": self.task.name,
            "recipe_run_id": self.run.recipe_run_id,
            "workflow_name": self.run.workflow.name,
            "workflow_version": self.run.workflow.version,
            "parameters": dict(self.run.parameters),
            "scratch": str(self.run.folder / "data"),
            "attempt": attempt,
            "is_task_manual": self.run.is_task_manual,
            "log_level": self.shop.log_level,
        }
        memory_mb = self.task.memory_limit_mb
        limits = Limits(
            self.task.time_limit_seconds or self.shop.limits.time_s,
            memory_mb * 1_000_000 if memory_mb else self.shop.limits.memory_bytes,
            self.shop.limits.grace_s,
        )
        process = program(self.shop, self.environment, folder, self.run.folder)
        if action == "run":
            return carry_out(process, order, limits, self.canceled, self.heard)
        # A canceled run is still undone.
        return carry_out(process, order, limits, Event())

    def undo(self, attempt: int) -> Failure | None:
        """Call the task's rollback where that is wanted, and return its own failure."""
        if not self.shop.rollback:
            return None
        return failure_of(self.carry_out("rollback", attempt), "rollback")


def _attempts(attempts: _Attempts, record: TaskRecord, numbers: range, *, is_left_over: bool) -> TaskRecord:
    task, environment = attempts.task, attempts.environment
    record = replace(record, environment=environment.key, lock_hash=environment.lock_hash, packages=environment.packages)
    if is_left_over:
        # An earlier run of this recipe failed, or was killed before it could undo anything.
        record = replace(record, rollback_failure=attempts.undo(0))
    for attempt in numbers:
        ended = attempts.carry_out("run", attempt)
        record = _with(record, ended, attempt)
        if record.failure is None:
            return replace(record, state=TaskState.SUCCEEDED, rollback_failure=None)
        is_over = not record.failure.transient
        record = replace(record, rollback_failure=attempts.undo(attempt))
        if is_over or (attempt != numbers[-1] and attempts.canceled.wait(task.retry_delay_seconds)):
            break
    return replace(record, state=TaskState.FAILED)


def _with(record: TaskRecord, ended: Ended, attempt: int) -> TaskRecord:
    told = [message["values"].items() for message in ended.messages if message["kind"] == "metadata"]
    metadata = {name: _finite(value) for values in told for name, value in values}
    return replace(
        record,
        attempts=attempt,
        failure=failure_of(ended, "run"),
        seconds=ended.seconds,
        cpu_s=ended.cpu_s,
        peak_memory_mb=ended.peak_memory_mb,
        metadata=metadata,
    )


def _finite(value: Any) -> Any:
    """Return a value without the numbers that JSON has not, such as the mean of nothing: those become texts."""
    match value:
        case float() if not isfinite(value):
            return str(value)
        case list():
            return [_finite(item) for item in value]
        case dict():
            return {name: _finite(item) for name, item in value.items()}
    return value


def failure_of(ended: Ended, stage: str) -> Failure | None:
    """Return why a process failed; None only when it told that it completed, and then ended well.

    Args:
        ended: How it ended.
        stage: What it did.
    """
    match ended.stopped:
        case Stop.CANCELED:
            return Failure(stage, "canceled", "it was canceled", "Run it again.")
        case Stop.TIME:
            return Failure(
                stage, "time_limit", f"it was ended after {ended.seconds:.0f} s", "Raise its time limit if it is slow for a reason."
            )
        case Stop.MEMORY:
            message = f"it had {ended.peak_memory_mb} MB resident, and was ended"
            return Failure(stage, "memory_limit", message, "Raise its memory limit, or split its input.", transient=True)
    if told := ended.message("failed"):
        return Failure(stage, "task_failed", f"{told['type']}: {told['message']}", _LOGS, told["traceback"], transient=True)
    completed = ended.message("completed") is not None
    if completed and ended.code == 0:
        return None
    how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with code {ended.code}"
    when = "after it had completed" if completed else "without completing"
    code = "killed" if ended.code < 0 else "not_completed"
    return Failure(stage, code, f"its process {how} {when}" + (f":\n{ended.stderr}" if ended.stderr else ""), _LOGS, transient=True)
