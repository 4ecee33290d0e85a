"""What instrument packages are written against: tasks, and workflows of them. Standard library only.

    from platform_assets.workflows.sdk import ResourceQueue, TaskBase, Workflow

The platform hands this package to every task's environment by itself; `groundtrack workflows sdk` makes a wheel of it for
the environments in which instrument packages are developed and tested.
"""

from platform_assets.workflows.sdk.data import Scratch
from platform_assets.workflows.sdk.task import TaskBase, recipe_run_id_of
from platform_assets.workflows.sdk.workflow import (
    DuplicateTask,
    Node,
    ResourceQueue,
    UnknownTask,
    Workflow,
    dag_name,
    workflow_name_from_details,
)

__all__ = [
    "DuplicateTask",
    "Node",
    "ResourceQueue",
    "Scratch",
    "TaskBase",
    "UnknownTask",
    "Workflow",
    "dag_name",
    "recipe_run_id_of",
    "workflow_name_from_details",
]
