"""Build utilities: the workflows of a package, found, checked and described in JSON types."""

import importlib
import pkgutil
from collections.abc import Iterator
from itertools import pairwise
from math import isfinite
from types import ModuleType
from typing import Any

from platform_assets.workflows.sdk.workflow import Node, Workflow

_MANUAL = "is_task_manual"


def find_workflows(package: str) -> list[Workflow]:
    """Return the workflows of a package, each once: module variables of the package and of its public modules.

    Args:
        package: Importable; where it has a `workflows` inside, only that is searched.

    Raises:
        ModuleNotFoundError: There is no such package.
        ValueError: It has no workflows, or two of one name and version.
    """
    found = {id(value): value for module in _modules(package) for value in vars(module).values() if isinstance(value, Workflow)}
    workflows = sorted(found.values(), key=lambda workflow: workflow.dag_name)
    if not workflows:
        raise ValueError(f"{package} has no workflows: no Workflow is a variable of one of its modules")
    for one, other in pairwise(workflows):
        if one.dag_name == other.dag_name:
            raise ValueError(f"{package} has two workflows {one.workflow_name} of version {one.workflow_version}")
    return workflows


def validate_workflows(package: str) -> list[Workflow]:
    """Return the workflows of a package, all of which can be run.

    Raises:
        ValueError: As `find_workflows`, or a workflow has no tasks, a cycle, a task that no other process can import, or numbers that
            make no sense.
        TypeError: The parameters of a task are no dataclass of JSON types, or what should be a number is none.
    """
    workflows = find_workflows(package)
    for workflow in workflows:
        describe(workflow)
    return workflows


def describe(workflow: Workflow) -> dict[str, Any]:
    """Return all that running a workflow takes, in JSON types; the same for every hash seed.

    Raises:
        ValueError: As `validate_workflows`.
        TypeError: As `validate_workflows`.
    """
    nodes = workflow.topological_sort()
    if not nodes:
        raise ValueError(f"{workflow.workflow_name} has no tasks")
    return {
        "name": workflow.workflow_name,
        "version": workflow.workflow_version,
        "input_data": workflow.input_data,
        "output_data": workflow.output_data,
        "category": workflow.category,
        "detail": workflow.detail or "",
        "tags": workflow.tags,
        "distribution": nodes[0].distribution,
        "tasks": [_task(node) for node in nodes],
    }


def _task(node: Node) -> dict[str, Any]:
    task = node.task
    if task.__qualname__ != task.__name__ or getattr(importlib.import_module(task.__module__), task.__name__, None) is not task:
        raise ValueError(f"{task.__module__}.{task.__qualname__} is not importable by its name; define it at the top of its module")
    return {
        "name": node.name,
        "module": task.__module__,
        "description": (task.__doc__ or "").strip().partition("\n")[0],
        "upstreams": [upstream.__name__ for upstream in node.upstreams],
        "extras": node.extras,
        "resource_queue": node.resource_queue.value,
        "retries": _number(node, "retries", task.retries, int),
        "retry_delay_seconds": float(_number(node, "retry_delay_seconds", task.retry_delay_seconds, int | float)),
        "time_limit_seconds": _limit(node, "time_limit_seconds", task.time_limit_seconds, int | float),
        "memory_limit_mb": _limit(node, "memory_limit_mb", task.memory_limit_mb, int),
        "parameters": _schema(task.Parameters),
    }


def _number(node: Node, name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{node.name}.{name} is {value!r}")
    if value < 0 or not isfinite(value):
        raise ValueError(f"{node.name}.{name} is {value}")
    return value


def _limit(node: Node, name: str, value: Any, kind: Any) -> Any:
    if value == 0:
        raise ValueError(f"{node.name}.{name} is {value}; None stands for no limit")
    return None if value is None else _number(node, name, value, kind)


def _schema(kind: type | None) -> dict[str, Any] | None:
    if kind is None:
        return None
    from platform_assets.workflows.sdk.parameters import schema

    found = schema(kind)
    if _MANUAL in found["properties"]:
        raise ValueError(f"{kind.__qualname__}.{_MANUAL} cannot be chosen: whether a person drives a task is asked for every task")
    return found


def _modules(package: str) -> Iterator[ModuleType]:
    try:
        top = importlib.import_module(f"{package}.workflows")
    except ModuleNotFoundError as error:
        if error.name not in (f"{package}.workflows", package):
            raise
        top = importlib.import_module(package)
    yield top
    for info in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{top.__name__}."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            yield importlib.import_module(info.name)
