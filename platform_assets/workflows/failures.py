"""Which tasks of a run have failed for good, and the message about each: decided from facts alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

_TEXT_LENGTH, _SHORT_LENGTH = 10_000, 300
"""Characters of an error's text in a message, and of its sentence; all of it stands in the log."""


class Sign(StrEnum):
    """What the engine told of a step."""

    STARTED = "started"
    WILL_RETRY = "will_retry"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as far as it is known.

    Attributes:
        kind: The exception's type, such as `ValueError`.
        text: What it says.
        code: The error class, such as `task_failed` or `install_failed`; empty where there is none.
    """

    kind: str
    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class StepSign:
    """One thing that the engine told of a step.

    Attributes:
        step: The step's key.
        sign: What it told.
        problem: With which error; None where there was none.
    """

    step: str
    sign: Sign
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task in one version of a workflow; the task is empty for the run as a whole."""

    workflow: str
    version: str
    task: str


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that failed, and is not tried again.

    Attributes:
        name: The task.
        problem: Why its last attempt failed.
        attempts: How often it was tried in its last run.
        recipe_run_id: The recipe run; None where that is not known.
        run_id: The engine's run; None outside an engine.
        log_url: Where its log can be read; None where that is not known.
        failed_s: When, in seconds since the epoch.
    """

    name: TaskName
    problem: Problem
    attempts: int = 1
    recipe_run_id: int | None = None
    run_id: str | None = None
    log_url: str | None = None
    failed_s: float = 0.0


def failed_steps(signs: Sequence[StepSign], reason: Problem) -> dict[str, tuple[Problem, int]]:
    """Return the steps of a failed run that failed, each with its error and its attempts.

    A step that was under way, or waited for its next attempt, when the run ended has failed with it.

    Args:
        signs: All that the engine told of the run's steps, in order.
        reason: Why the run as a whole failed.
    """
    found: dict[str, tuple[Problem, int]] = {}
    attempts: dict[str, int] = {}
    for seen in signs:
        match seen.sign:
            case Sign.STARTED:
                attempts[seen.step] = attempts.get(seen.step, 0) + 1
                found[seen.step] = (replace(reason, code="interrupted"), attempts[seen.step])
            case Sign.ENDED:
                found.pop(seen.step, None)
            case Sign.FAILED | Sign.WILL_RETRY:
                found[seen.step] = (seen.problem or reason, attempts.get(seen.step, 1))
    return found


def message(failed: FailedTask) -> dict[str, Any]:
    """Return the message about a task, in JSON types; the same task of the same run has the same `conversationId`."""
    name, problem = failed.name, failed.problem
    return {
        "text": _clean(_sentence(failed), _TEXT_LENGTH),
        "conversationId": _conversation(failed),
        "workflowName": name.workflow,
        "workflowVersion": name.version,
        "taskName": name.task,
        "recipeRunId": failed.recipe_run_id,
        "dagRunId": failed.run_id,
        "logUrl": failed.log_url,
        "attempts": failed.attempts,
        "errorCode": problem.code,
        "errorType": problem.kind,
        "errorText": _clean(problem.text, _TEXT_LENGTH),
        "failedAt": datetime.fromtimestamp(failed.failed_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _sentence(failed: FailedTask) -> str:
    """Return the message in a sentence: what chat services show of a webhook's message."""
    name, problem = failed.name, failed.problem
    which = "" if failed.recipe_run_id is None else f", recipe run {failed.recipe_run_id}"
    who = f"{name.task} failed" + (f" after {failed.attempts} attempts" if failed.attempts > 1 else "") if name.task else "the run failed"
    error = " ".join(f"{problem.kind}: {problem.text}".split())
    return f"{name.workflow} {name.version}{which}: {who}: {_clean(error, _SHORT_LENGTH)}" + (
        f" {failed.log_url}" if failed.log_url else ""
    )


def _clean(text: str, length: int) -> str:
    """Return a text that can be encoded and has no more than some characters; a task may raise anything."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= length else f"{text[:length]}…"


def _conversation(failed: FailedTask) -> str:
    """Return what tells messages apart: of one task in one run there is one."""
    whole = [failed.run_id, asdict(failed.name)] if failed.run_id else asdict(failed)
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]
