"""What a task was run with, written beside the data that it made."""

import json
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platform_assets.workflows.sdk.task import TaskBase


def installed() -> dict[str, str]:
    """Return the version of every distribution that this interpreter sees, by normalised name."""
    found = {dist.metadata["Name"]: dist.version for dist in distributions() if dist.metadata["Name"]}
    return {name.lower().replace("_", "-").replace(".", "-"): version for name, version in sorted(found.items())}


def record(task: "TaskBase") -> Path:
    """Write the provenance of a task into its recipe run's folder, and return the file."""
    path = task.scratch.bookkeeping / f"provenance-{task.task_name}.json"
    document = {
        "recipeRunId": task.recipe_run_id,
        "taskName": task.task_name,
        "workflowName": task.workflow_name,
        "workflowVersion": task.workflow_version,
        "isTaskManual": task.is_task_manual,
        "attempt": task.attempt,
        "libraryVersions": installed(),
    }
    path.write_text(json.dumps(document, indent=1, sort_keys=True))
    return path
