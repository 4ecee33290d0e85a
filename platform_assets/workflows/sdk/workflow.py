"""A workflow: a named, versioned graph of tasks, checked as it is written down."""

import os
import re
from collections.abc import Iterable
from enum import Enum
from graphlib import TopologicalSorter
from inspect import isabstract

from platform_assets.workflows.sdk.configuration import variables
from platform_assets.workflows.sdk.task import TaskBase

_NAME_LENGTH = 100
_KEY_LENGTH = 250
_KEY = re.compile(r"[A-Za-z0-9._-]+")
FROZEN = "frozen"
"""The extra of a package that pins everything it runs with."""


class ResourceQueue(str, Enum):  # noqa: UP042 - as the reference has it: its text is that of the enum, its value that of the string
    """Where a task runs: what its worker has."""

    DEFAULT = "default"
    HIGH_MEMORY = "high_memory"
    MULTI_CORE = "multi_core"
    GPU = "gpu"


class DuplicateTask(ValueError):
    """A workflow has a task of that name already; tasks are known by the names of their classes."""


class UnknownTask(ValueError):
    """An upstream is no task of the workflow; upstreams are added first."""


Upstreams = type[TaskBase] | Iterable[type[TaskBase]] | None


class Node:
    """A task in a workflow.

    Args:
        workflow_name: The workflow's name.
        workflow_version: Its version.
        workflow_package: The package it is in; of a dotted name, the first part is the distribution's.
        task: The class.
        upstreams: The classes whose tasks come before; one, several, or None.
        resource_queue: Where it runs; None for the default.
        pip_extras: Extras of the package that it needs besides `frozen`.
    """

    def __init__(
        self,
        workflow_name: str,
        workflow_version: str,
        workflow_package: str,
        task: type[TaskBase],
        upstreams: Upstreams = None,
        resource_queue: ResourceQueue | None = None,
        pip_extras: Iterable[str] | None = None,
    ) -> None:
        self.workflow_name, self.workflow_version, self.workflow_package = workflow_name, workflow_version, workflow_package
        self.task = _checked_task(task)
        self.upstreams = _listed(upstreams)
        self.resource_queue = ResourceQueue(resource_queue or ResourceQueue.DEFAULT)
        if isinstance(pip_extras, str):
            raise TypeError(f"pip_extras is a list of extras, not the text {pip_extras!r}")
        self.pip_extras = list(pip_extras or ())

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.__name__

    @property
    def distribution(self) -> str:
        """The name of the distribution that has the task."""
        return self.workflow_package.partition(".")[0].replace("_", "-")

    @property
    def extras(self) -> list[str]:
        """All extras of its environment, `frozen` first."""
        return [FROZEN, *self.pip_extras]

    @property
    def requirement(self) -> str:
        """What its environment is made from."""
        return f"{self.distribution}[{','.join(self.extras)}]=={self.workflow_version}"

    def __repr__(self) -> str:
        return f"Node({self.name}, upstreams={[task.__name__ for task in self.upstreams]}, {self.requirement})"


class Workflow:
    """A named, versioned graph of tasks.

        l0_to_l1 = Workflow(input_data="l0", output_data="l1", category="visp", workflow_package=__package__)
        l0_to_l1.add_node(task=Parse)
        l0_to_l1.add_node(task=Calibrate, upstreams=Parse, resource_queue=ResourceQueue.HIGH_MEMORY)

    Args:
        input_data: What it takes, such as `l0`.
        output_data: What it makes.
        category: Such as the instrument.
        workflow_package: The package it is in: `__package__`.
        detail: Tells apart workflows that agree in all these.
        tags: To find it by.
        workflow_version: Its version; the environment variable BUILD_VERSION when left out, else `dev`.

    Raises:
        ValueError: A part of the name is empty, or the name is too long or has characters that it must not.
    """

    def __init__(
        self,
        *,
        input_data: str,
        output_data: str,
        category: str,
        workflow_package: str,
        detail: str | None = None,
        tags: Iterable[str] | None = None,
        workflow_version: str | None = None,
    ) -> None:
        self.input_data, self.output_data, self.category, self.detail = input_data, output_data, category, detail
        if not workflow_package:
            raise ValueError("workflow_package is empty; it is the package that the workflow is in: __package__")
        self.workflow_package = workflow_package
        self.workflow_version = workflow_version or variables(os.environ).get("BUILD_VERSION") or "dev"
        self.workflow_name = workflow_name_from_details(input_data, output_data, category, detail)
        self.dag_name = dag_name(self.workflow_name, self.workflow_version)
        given = [tags] if isinstance(tags, str) else list(tags or ())
        self.tags = sorted({*given, self.workflow_version, input_data, output_data, category})
        self._nodes: dict[str, Node] = {}

    @property
    def nodes(self) -> list[Node]:
        """The nodes in the order in which they were added."""
        return list(self._nodes.values())

    def add_node(
        self,
        task: type[TaskBase],
        upstreams: Upstreams = None,
        resource_queue: ResourceQueue | None = None,
        pip_extras: Iterable[str] | None = None,
    ) -> None:
        """Add a task behind others; the workflow is unchanged when that is refused.

        Raises:
            TypeError: Task or upstream is no subclass of TaskBase.
            ValueError: The task leads to itself, or there is no such resource queue.
            DuplicateTask: The workflow has a task of that name.
            UnknownTask: An upstream was not added before.
        """
        node = Node(self.workflow_name, self.workflow_version, self.workflow_package, task, upstreams, resource_queue, pip_extras)
        if task in node.upstreams:
            raise ValueError(f"{node.name} is its own upstream")
        if node.name in self._nodes:
            raise DuplicateTask(f"{self.workflow_name} has a task {node.name} already")
        for upstream in node.upstreams:
            known = self._nodes.get(upstream.__name__)
            if known is None or known.task is not upstream:
                raise UnknownTask(f"{node.name}: its upstream {upstream.__name__} is not in {self.workflow_name}; add it first")
        self._nodes[node.name] = node

    def topological_sort(self) -> list[Node]:
        """Return the nodes so that each comes behind its upstreams; otherwise in the order in which they were added.

        Raises:
            graphlib.CycleError: A task leads to itself.
        """
        sorter = TopologicalSorter({name: [task.__name__ for task in node.upstreams] for name, node in self._nodes.items()})
        sorter.prepare()
        order = {name: number for number, name in enumerate(self._nodes)}
        found: list[Node] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=order.__getitem__)
            found += [self._nodes[name] for name in ready]
            sorter.done(*ready)
        return found

    def __repr__(self) -> str:
        return f"Workflow({self.dag_name}, {len(self._nodes)} tasks)"


def workflow_name_from_details(input_data: str, output_data: str, category: str, detail: str | None = None) -> str:
    """Return the name of the workflow with these properties.

    Raises:
        ValueError: One is empty, or the name has more than 100 characters.
    """
    for what, text in {"input_data": input_data, "output_data": output_data, "category": category}.items():
        if not text:
            raise ValueError(f"{what} is empty")
    name = f"{input_data}_to_{output_data}_{category}" + (f"_{detail}" if detail else "")
    if len(name) > _NAME_LENGTH:
        raise ValueError(f"the workflow name {name} has {len(name)} of at most {_NAME_LENGTH} characters")
    return name


def dag_name(workflow_name: str, workflow_version: str) -> str:
    """Return the name of one version of a workflow.

    Raises:
        ValueError: It has other characters than `A-Z a-z 0-9 . _ -`, or more than 250.
    """
    name = f"{workflow_name}_{workflow_version}"
    if not _KEY.fullmatch(name):
        raise ValueError(f"the name {name!r} may have only letters, digits, dots, dashes and underscores")
    if len(name) > _KEY_LENGTH:
        raise ValueError(f"the name {name} has {len(name)} of at most {_KEY_LENGTH} characters")
    return name


def _listed(upstreams: Upstreams) -> list[type[TaskBase]]:
    if upstreams is None:
        return []
    given: Iterable[object] = [upstreams] if isinstance(upstreams, type) else upstreams
    return list(dict.fromkeys(_checked_task(task) for task in given))


def _checked_task(task: object) -> type[TaskBase]:
    if not isinstance(task, type) or not issubclass(task, TaskBase):
        raise TypeError(f"{task!r} is no subclass of TaskBase")
    if isabstract(task):
        raise TypeError(f"{task.__name__} has no run method")
    return task
