"""What Dagster is told of a task that was tried: what a successful one took, and why a failed one failed."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster import MetadataValue

from platform_assets.common.errors import GroundtrackError, TransientError
from platform_assets.workflows.runner import RecipeRun, TaskRecord

_TEXT_LENGTH = 20_000


def record_metadata(run: RecipeRun, record: TaskRecord) -> dict[str, Any]:
    """Return the metadata of a task that succeeded: what it told itself, and beside it what we measured."""
    return {
        **{name: _value(value) for name, value in record.metadata.items()},
        "recipe_run_id": record.recipe_run_id,
        "attempts": record.attempts,
        "seconds": record.seconds,
        "cpu_s": record.cpu_s,
        "peak_memory_mb": record.peak_memory_mb,
        "environment": record.environment,
        "lock_hash": record.lock_hash,
        "packages": MetadataValue.json(dict(record.packages)),
        "is_task_manual": record.is_task_manual,
        "data": MetadataValue.path(run.folder / "data"),
        "logs": MetadataValue.path(run.folder / record.task),
        **({"parameters": MetadataValue.json(dict(run.parameters))} if run.parameters else {}),
    }


def failure_of(run: RecipeRun, record: TaskRecord) -> dg.Failure:
    """Return the error of a task that failed; Dagster tries again only what another attempt may help."""
    failure = record.failure
    if failure is None:
        raise ValueError(f"{record.task} has not failed")
    text = f"{failure.message}\n\n{failure.traceback}" if failure.traceback else f"{failure.message}\n\n→ {failure.remedy}"
    metadata: dict[str, Any] = {
        "workflow": record.workflow,
        "version": record.version,
        "recipe_run_id": record.recipe_run_id,
        "task": record.task,
        "attempt": record.attempts,
        "code": failure.code,
        "stage": failure.stage,
        "error": failure.message,
        "what_to_do": failure.remedy,
        "traceback": failure.traceback,
        "logs": MetadataValue.path(run.folder / record.task),
    }
    if record.rollback_failure:
        text += f"\n\nIts rollback failed too: {record.rollback_failure.message}"
        metadata["rollback_failure"] = record.rollback_failure.message
    return dg.Failure(text, metadata=_present(metadata), allow_retries=failure.transient)


def failure_before(error: GroundtrackError) -> dg.Failure:
    """Return the error of a task that was not started."""
    metadata = {"code": error.code, "error": str(error), "what_to_do": error.remedy}
    return dg.Failure(f"{error}\n\n→ {error.remedy}", metadata=metadata, allow_retries=isinstance(error, TransientError))


def _present(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value != ""}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_TEXT_LENGTH]
    if isinstance(value, bool | int | float):
        return value
    return MetadataValue.json(value) if len(json.dumps(value)) <= _TEXT_LENGTH else f"{json.dumps(value)[:_TEXT_LENGTH]} ..."
