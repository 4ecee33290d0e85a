"""What a deployment's workflows are in Dagster: assets, and a job a workflow version, which is launched for a recipe run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterError

from platform_assets.workflows.assets import workflow_assets
from platform_assets.workflows.errors import InvalidManifest
from platform_assets.workflows.model import WorkflowSpec
from platform_assets.workflows.partitions import recipe_runs
from platform_assets.workflows.shelf import Problem, Shelf
from platform_assets.workflows.specs import job_name, task_key
from resources.instance import BATCH_TAG
from resources.thread_executor import thread_executor


@dataclass(frozen=True, slots=True)
class Declared:
    """Workflows as Dagster has them.

    Attributes:
        assets: A task each.
        jobs: A workflow version each.
        problems: Manifests of which there are neither.
    """

    assets: Sequence[dg.AssetsDefinition]
    jobs: Sequence[Any]
    problems: Sequence[Problem]


def declare(shelf: Shelf) -> Declared:
    """Return the assets and jobs of all workflows; one that Dagster does not take is a problem, and does not hinder others."""
    assets: list[dg.AssetsDefinition] = []
    jobs, problems = [], list(shelf.problems)
    for workflow in shelf.workflows:
        try:
            tasks = workflow_assets(workflow)
            job = _job(workflow)
        except (DagsterError, KeyError, TypeError, ValueError) as error:
            problems.append(Problem(workflow.dag_name, InvalidManifest(f"Dagster does not take {workflow.dag_name}: {error}")))
            continue
        assets += tasks
        jobs.append(job)
    return Declared(assets, jobs, problems)


def _job(workflow: WorkflowSpec) -> Any:
    """Return the job of a workflow version; of two runs of one recipe run, the second waits in the queue."""
    config = dg.PartitionedConfig(
        recipe_runs(workflow.name),
        run_config_for_partition_key_fn=lambda _: {},
        tags_for_partition_key_fn=lambda key: {BATCH_TAG: f"{workflow.dag_name}/{key}"},
    )
    return dg.define_asset_job(
        job_name(workflow),
        selection=dg.AssetSelection.assets(*(task_key(workflow, task.name) for task in workflow.tasks)),
        config=config,
        description=f"{workflow.name} {workflow.version}: {workflow.input_data} to {workflow.output_data} of {workflow.category}.",
        executor_def=thread_executor,
    )
