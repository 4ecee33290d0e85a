"""A task: one step of a workflow, written by scientists, run by whatever engine there is."""

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from platform_assets.workflows.sdk import context as contexts
from platform_assets.workflows.sdk.data import Scratch
from platform_assets.workflows.sdk.telemetry import Counter, Span, Telemetry

_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")


def recipe_run_id_of(value: Any) -> int:
    """Return a recipe run id that was given as an integer or its decimal digits.

    Raises:
        TypeError: The value is neither; a fraction is never cut off.
        ValueError: The text is no integer.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"recipe_run_id is an integer, not {value!r}")
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError(f"recipe_run_id is an integer, not {value!r}")
    return int(value)


class TaskBase(ABC):
    """One step of a workflow; a subclass defines `run`.

        class Calibrate(TaskBase):
            retries = 2

            def run(self) -> None:
                for path in self.scratch.find(["RAW"]):
                    self.scratch.write(calibrated(path), tags=["CALIBRATED"])

    It is used as `with Calibrate(...) as task: task()`, which calls `pre_run`, `run` and `post_run`; an exception in one of
    them ends the task and propagates. Class attributes are read when the workflow is exported.

    Args:
        recipe_run_id: The run of the recipe; an integer, or its digits.
        workflow_name: The workflow's name.
        workflow_version: Its version, which is the package's.

    Attributes:
        retries: How often a failed task is tried again.
        retry_delay_seconds: How long to wait before each.
        time_limit_seconds: After how long it is ended; None for never.
        memory_limit_mb: What it and its children may have resident together, in MB (10^6 bytes); None for no limit.
        record_provenance: Whether `pre_run` writes what is installed into the scratch folder; always so for manual tasks.
        Parameters: A dataclass of what a run may choose; `parameters` is then an instance of it.
        is_task_manual: Whether a person drives it.
        task_name: The class's name.
        attempt: Which try this is, from 1.
    """

    retries: ClassVar[int] = 0
    retry_delay_seconds: ClassVar[float] = 60.0
    time_limit_seconds: ClassVar[float | None] = None
    memory_limit_mb: ClassVar[int | None] = None
    record_provenance: ClassVar[bool] = False
    Parameters: ClassVar[type | None] = None
    is_task_manual: bool = False

    def __init__(self, recipe_run_id: int | str, workflow_name: str, workflow_version: str) -> None:
        self.recipe_run_id = recipe_run_id_of(recipe_run_id)
        self.workflow_name = workflow_name
        self.workflow_version = workflow_version
        self.task_name = type(self).__name__
        self._context = contexts.current()
        self.attempt = self._context.attempt
        self.is_task_manual = self.is_task_manual or self._context.is_task_manual
        self.base_telemetry_attributes: dict[str, str | int] = {
            "recipe.run.id": self.recipe_run_id,
            "workflow.name": workflow_name,
            "workflow.version": workflow_version,
            "task.name": self.task_name,
        }
        self._telemetry = Telemetry(self.base_telemetry_attributes, os.environ)
        self.task_execution_counter: Counter = self._telemetry.counter("tasks.executed")
        self.logger = logging.getLogger(f"{workflow_name}.{self.task_name}")
        self.logger.debug("initialized")

    @cached_property
    def parameters(self) -> Any:
        """What the run chose: an instance of `Parameters`, or None for a task without.

        Raises:
            TypeError: A value has another type than its field.
            ValueError: A field without a default has no value, or one is not allowed.
        """
        if self.Parameters is None:
            return None
        from platform_assets.workflows.sdk.parameters import parse

        return parse(self.Parameters, self._context.parameters)

    @cached_property
    def scratch(self) -> Scratch:
        """The files and constants that the tasks of this recipe run share."""
        return Scratch(self._context.scratch or Path("scratch", str(self.recipe_run_id)), self.task_name)

    def pre_run(self) -> None:
        """Prepare; nothing unless overridden."""

    @abstractmethod
    def run(self) -> None:
        """Do the work."""

    def post_run(self) -> None:
        """Finish; nothing unless overridden. An error here fails the task."""

    def rollback(self) -> None:
        """Undo what a failed attempt did, in a process of its own: before each retry, and when the task has failed.

        Unless overridden, the files, tags and constants that this task left in the scratch folder are removed.
        """
        self.scratch.rollback()

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far the task is, from 0 to 1."""
        self._context.tell({"kind": "progress", "fraction": min(1.0, max(0.0, float(fraction))), "text": text})

    def add_metadata(self, values: Mapping[str, Any]) -> None:
        """Add facts in JSON types to the record of this task."""
        self._context.tell({"kind": "metadata", "values": dict(values)})

    @contextmanager
    def telemetry_span(self, name: str, attributes: Mapping[str, str | int | float | bool] | None = None) -> Iterator[Span | None]:
        """Measure a part of the task as a span of its trace; nothing happens where no telemetry is configured."""
        self.logger.debug("Span started: %s", name)
        with self._telemetry.span(name, attributes or {}) as span:
            yield span
        self.logger.debug("Span ended: %s", name)

    def __enter__(self) -> Self:
        return self

    def __call__(self) -> None:
        """Run the task: `pre_run`, `run`, `post_run`."""
        self.logger.info("started")
        self.task_execution_counter.add(1)
        try:
            with self.telemetry_span(f"{self.workflow_name}.{self.task_name}", {"dkist.root": "True"}):
                with self.telemetry_span("Pre Run"):
                    self._record_provenance()
                    self.pre_run()
                with self.telemetry_span("Run"):
                    self.run()
                with self.telemetry_span("Post Run"):
                    self.post_run()
        finally:
            self._telemetry.flush()
        self.logger.info("complete")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Release what `__init__` took; an override calls this one, and does not raise."""

    def _record_provenance(self) -> None:
        if self.record_provenance or self.is_task_manual:
            from platform_assets.workflows.sdk.provenance import record

            record(self)

    def __repr__(self) -> str:
        name = type(self).__name__
        return (
            f"{name}(recipe_run_id={self.recipe_run_id}, workflow_name={self.workflow_name!r}, workflow_version={self.workflow_version!r})"
        )
