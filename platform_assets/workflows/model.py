"""What the platform knows of a workflow: all that running it takes, and no code of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from platform_assets.workflows.sdk.workflow import FROZEN, dag_name


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of a workflow.

    Attributes:
        name: Its class, and its name.
        module: Where the class is.
        description: First line of the class's documentation.
        upstreams: Names of the tasks that come before.
        extras: Of the package, for its environment.
        resource_queue: Where it runs: `default`, `high_memory`, `multi_core` or `gpu`.
        retries: How often it is tried again.
        retry_delay_seconds: How long to wait before each.
        time_limit_seconds: After how long it is ended; None for never.
        memory_limit_mb: What it may have resident, with its children; None for no limit.
        parameters: JSON schema of what a run may choose; None for nothing.
    """

    name: str
    module: str
    description: str
    upstreams: tuple[str, ...]
    extras: tuple[str, ...]
    resource_queue: str
    retries: int
    retry_delay_seconds: float
    time_limit_seconds: float | None
    memory_limit_mb: int | None
    parameters: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """One version of a workflow.

    Attributes:
        name: Its name.
        version: Its version, which is its distribution's.
        input_data: What it takes.
        output_data: What it makes.
        category: Such as the instrument.
        detail: Tells apart workflows that agree in all these; may be empty.
        tags: To find it by; sorted.
        distribution: The package that has its tasks.
        tasks: Each behind its upstreams.
    """

    name: str
    version: str
    input_data: str
    output_data: str
    category: str
    detail: str
    tags: tuple[str, ...]
    distribution: str
    tasks: tuple[TaskSpec, ...]

    @property
    def dag_name(self) -> str:
        """Name and version in one."""
        return f"{self.name}_{self.version}"

    def requirement(self, task: TaskSpec) -> str:
        """Return what a task's environment is made from, as PEP 508 has it."""
        extras = f"[{','.join(task.extras)}]" if task.extras else ""
        return f"{self.distribution}{extras}=={self.version}"

    def task(self, name: str) -> TaskSpec:
        """Return a task by its name."""
        return next(task for task in self.tasks if task.name == name)

    def unfrozen(self) -> "WorkflowSpec":
        """Return the workflow with environments that are not pinned by its package."""
        tasks = tuple(replace(task, extras=tuple(extra for extra in task.extras if extra != FROZEN)) for task in self.tasks)
        return replace(self, tasks=tasks)

    def document(self) -> dict[str, Any]:
        """Return the workflow in JSON types."""
        return asdict(self)


def workflow_from(document: Mapping[str, Any]) -> WorkflowSpec:
    """Return the workflow that a document describes.

    Raises:
        ValueError: It describes none; the message says why.
        TypeError: It is of another JSON type.
    """
    given = _checked("a workflow", document, WorkflowSpec)
    # They are names of files and folders too.
    dag_name(given["name"], given["version"])
    tasks = tuple(_task_from(task) for task in given["tasks"])
    before: set[str] = set()
    for task in tasks:
        if unknown := set(task.upstreams) - before:
            raise ValueError(f"{task.name} comes before its upstreams {', '.join(sorted(unknown))}")
        if task.name in before:
            raise ValueError(f"there are two tasks {task.name}")
        before.add(task.name)
    if not tasks:
        raise ValueError("it has no tasks")
    return WorkflowSpec(**{**given, "tags": tuple(given["tags"]), "tasks": tasks})


def _task_from(document: Mapping[str, Any]) -> TaskSpec:
    given = _checked("a task", document, TaskSpec)
    return TaskSpec(**{**given, "upstreams": tuple(given["upstreams"]), "extras": tuple(given["extras"])})


def _checked(what: str, document: Mapping[str, Any], kind: type[WorkflowSpec | TaskSpec]) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise TypeError(f"{what} is a JSON object, not {document!r}")
    names = {field.name for field in fields(kind)}
    if wrong := names ^ set(document):
        raise ValueError(f"{what} has these fields too many or too few: {', '.join(sorted(wrong))}")
    if wrong := {field.name for field in fields(kind) if field.type is str and not isinstance(document[field.name], str)}:
        raise TypeError(f"{what} has fields that are no texts: {', '.join(sorted(wrong))}")
    return dict(document)
