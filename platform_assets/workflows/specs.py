"""The asset graph of a workflow version, as the web UI shows it: an asset a task, in a group of its own."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from platform_assets.workflows.manifest import content_hash
from platform_assets.workflows.model import TaskSpec, WorkflowSpec
from platform_assets.workflows.naming import dagster_name
from platform_assets.workflows.partitions import recipe_runs

MANUAL = "is_task_manual"
"""The field of a task's run configuration that says that a person drives it."""

_TAG = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_SCALARS: Mapping[str, Any] = {"integer": dg.Int, "number": dg.Float, "string": dg.String, "boolean": dg.Bool}


def task_key(workflow: WorkflowSpec, task: str) -> dg.AssetKey:
    """Return the asset of a task."""
    return dg.AssetKey([workflow.name, workflow.version, task])


def op_name(workflow: WorkflowSpec, task: TaskSpec) -> str:
    """Return the name of a task's step."""
    return dagster_name(workflow.dag_name, task.name)


def job_name(workflow: WorkflowSpec) -> str:
    """Return the name of the job that runs a workflow version."""
    return dagster_name(workflow.dag_name)


def task_spec(workflow: WorkflowSpec, task: TaskSpec) -> dg.AssetSpec:
    """Return what Dagster knows of a task."""
    limits = {"time_limit_s": task.time_limit_seconds, "memory_limit_mb": task.memory_limit_mb}
    return dg.AssetSpec(
        task_key(workflow, task.name),
        deps=[task_key(workflow, upstream) for upstream in task.upstreams],
        group_name=f"{dagster_name(workflow.name)}/{dagster_name(workflow.version)}",
        owners=[f"team:{dagster_name(workflow.category)}"],
        kinds={"python", task.resource_queue} if task.resource_queue == "gpu" else {"python"},
        tags=dict(_tags(workflow, task)),
        partitions_def=recipe_runs(workflow.name),
        code_version=content_hash(workflow)[:16],
        description=task.description or None,
        metadata={
            "requirement": workflow.requirement(task),
            "class": f"{task.module}.{task.name}",
            "resource_queue": task.resource_queue,
            "retries": task.retries,
            **{name: value for name, value in limits.items() if value is not None},
            **({"parameters": dg.MetadataValue.json(task.parameters)} if task.parameters else {}),
        },
    )


def task_config(workflow: WorkflowSpec, task: TaskSpec) -> dict[str, dg.Field]:
    """Return the form of a task's run configuration, which Dagster checks before anything is started."""
    schema = task.parameters or {"properties": {}, "required": []}
    name = op_name(workflow, task)
    return {
        MANUAL: dg.Field(dg.Bool, default_value=False, description="Whether a person drives the task; recorded in the provenance."),
        **{
            field: _field(f"{name}_{dagster_name(field)}", described, is_required=field in schema["required"])
            for field, described in schema["properties"].items()
        },
    }


def _field(name: str, described: Mapping[str, Any], *, is_required: bool) -> dg.Field:
    allowed = f"One of {described['enum']}." if "enum" in described else None
    if is_required:
        return dg.Field(_type(name, described), is_required=True, description=allowed)
    return dg.Field(_type(name, described), default_value=described["default"], description=allowed)


def _type(name: str, described: Mapping[str, Any]) -> Any:
    if "anyOf" in described:
        return dg.Noneable(_type(name, described["anyOf"][0]))
    if "enum" in described:
        values = described["enum"]
        if all(isinstance(value, str) for value in values):
            return dg.Enum(name, [dg.EnumValue(value) for value in values])
        # Dagster's enumerations are of texts; what else may be chosen from, the task checks.
        return dg.Int if all(type(value) is int for value in values) else dg.Any
    if described["type"] == "array":
        return dg.Array(_type(name, described["items"]))
    return _SCALARS[described["type"]]


def _tags(workflow: WorkflowSpec, task: TaskSpec) -> Iterator[tuple[str, str]]:
    for tag in workflow.tags:
        if _TAG.fullmatch(tag):
            yield tag, ""
    for name, value in (("workflow", workflow.name), ("version", workflow.version), ("queue", task.resource_queue)):
        if _TAG.fullmatch(value):
            yield f"groundtrack/{name}", value
