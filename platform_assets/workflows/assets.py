"""Tasks of a workflow version as assets: each attempt is one process of the task's own environment."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from platform_assets.common.errors import GroundtrackError
from platform_assets.environments.process import STDERR, STDOUT
from platform_assets.workflows.events import failure_before, failure_of, record_metadata
from platform_assets.workflows.model import TaskSpec, WorkflowSpec
from platform_assets.workflows.partitions import recipe_run_of
from platform_assets.workflows.specs import MANUAL, op_name, task_config, task_spec
from resources.dask_cluster import DaskCluster
from resources.pipes import ProcessPipes
from resources.workflow_shop import WorkflowShop, slot_given_back, trace_of


def workflow_assets(workflow: WorkflowSpec) -> list[dg.AssetsDefinition]:
    """Return the assets of a workflow version."""
    return [_task_asset(workflow, task) for task in workflow.tasks]


def _task_asset(workflow: WorkflowSpec, task: TaskSpec) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=op_name(workflow, task),
        specs=[task_spec(workflow, task)],
        config_schema=task_config(workflow, task),
        retry_policy=dg.RetryPolicy(max_retries=task.retries, delay=task.retry_delay_seconds) if task.retries else None,
        pool=task.resource_queue,
    )
    def run_task(context: dg.AssetExecutionContext, workflow_shop: WorkflowShop, dask: DaskCluster) -> Iterator[Any]:
        config = dict(context.op_execution_context.op_config)
        is_manual = config.pop(MANUAL)
        attempt = context.retry_number + 1
        with _failures(), ProcessPipes(context) as pipes:
            run = workflow_shop.recipe_run(workflow, recipe_run_of(context.partition_key), config, is_task_manual=is_manual)
            workflow_shop.take_turn(run, context.log.info, slot_given_back(context, task.resource_queue))
            record = workflow_shop.attempt(run, task, attempt, trace_of(context.run.run_id), pipes.hear, dask)
            if record.attempts:
                _show_output(run.folder / task.name / f"run-{attempt}")
            if record.failure:
                raise failure_of(run, record)
            yield from pipes.results(record_metadata(run, record))

    return run_task


@contextmanager
def _failures() -> Iterator[None]:
    """Have Dagster try again only what another attempt may help."""
    try:
        yield
    except GroundtrackError as error:
        raise failure_before(error) from error


def _show_output(folder: Path) -> None:
    """Bring what a process printed into the run's own logs."""
    for name, stream in ((STDOUT, sys.stdout), (STDERR, sys.stderr)):
        if (folder / name).exists():
            with (folder / name).open(errors="replace") as file:
                shutil.copyfileobj(file, stream)
            stream.flush()
