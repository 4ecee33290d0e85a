"""What a run tells its tasks beyond their three arguments; in a notebook or a test, the defaults."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Tell = Callable[[dict[str, Any]], None]
"""Takes a message for whoever runs the task: a `kind` and facts in JSON types."""


def _tell_nobody(_: dict[str, Any]) -> None:
    pass


class Context(NamedTuple):
    """The run that a task is part of.

    Attributes:
        scratch: The folder that all tasks of the recipe run share; None for `scratch/<recipe_run_id>` where the process started.
        parameters: Values by name; a task takes those that its `Parameters` has.
        attempt: Which try this is, from 1.
        is_task_manual: Whether a person drives the task; recorded in the provenance.
        tell: Where progress and metadata go.
    """

    scratch: Path | None = None
    parameters: Mapping[str, Any] = {}
    attempt: int = 1
    is_task_manual: bool = False
    tell: Tell = _tell_nobody


_current = [Context()]


def current() -> Context:
    """Return the context of this process."""
    return _current[0]


def enter(context: Context) -> None:
    """Make a context the one that tasks of this process find."""
    _current[0] = context
