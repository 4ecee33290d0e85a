"""A whole workflow on this machine, without an engine: each task in its own process, what can go on beside goes on beside."""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from threading import Event
from typing import Any

from platform_assets.common.errors import Conflict
from platform_assets.environments.process import Message
from platform_assets.workflows.errors import InvalidRun
from platform_assets.workflows.model import WorkflowSpec
from platform_assets.workflows.runner import RecipeRun, Shop, TaskRecord, TaskState, read_record, run_task, write_record

_DONE = (TaskState.SUCCEEDED, TaskState.CARRIED_OVER)


def run_workflow(
    shop: Shop,
    run: RecipeRun,
    canceled: Event,
    *,
    workers: int = 1,
    again: bool = False,
    ended: Callable[[TaskRecord], None] = lambda _: None,
    heard: Callable[[str, Message], None] = lambda *_: None,
) -> list[TaskRecord]:
    """Run the tasks of a workflow, and return their records in the workflow's order.

    Tasks that an earlier run of this recipe completed with the same manifest and parameters are carried over; what is behind
    a failed task is not run.

    Args:
        shop: What all tasks have in common.
        run: The recipe run.
        canceled: Ends what runs when it is set.
        workers: How many tasks may run at once.
        again: Whether tasks that were completed are run again.
        ended: Gets every record as its task ends.
        heard: Gets the name of a task and its message, as that comes.

    Raises:
        InvalidRun: A parameter is no task's, or a task's has no value.
        Conflict: This recipe run is under way already.
    """
    check_parameters(run.workflow, run.parameters)
    records: dict[str, TaskRecord] = {}
    sorter = TopologicalSorter({task.name: task.upstreams for task in run.workflow.tasks})
    sorter.prepare()
    with alone(run), ThreadPoolExecutor(workers, "task") as pool:
        underway: dict[Future[TaskRecord], str] = {}
        try:
            while sorter.is_active():
                for name in sorter.get_ready():
                    underway[pool.submit(_one, shop, run, name, records, canceled, heard, again=again)] = name
                for future in wait(underway, return_when=FIRST_COMPLETED).done:
                    name = underway.pop(future)
                    records[name] = future.result()
                    ended(records[name])
                    sorter.done(name)
        except BaseException:
            canceled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [records[task.name] for task in run.workflow.tasks]


def check_parameters(workflow: WorkflowSpec, parameters: Mapping[str, Any]) -> None:
    """Check the names of the parameters of a run; their values are checked by the tasks that take them.

    Raises:
        InvalidRun: A parameter is no task's, or a task's has no value.
    """
    schemas = {task.name: task.parameters for task in workflow.tasks if task.parameters is not None}
    known = {name for schema in schemas.values() for name in schema["properties"]}
    if unknown := sorted(set(parameters) - known):
        there = f"there are {', '.join(sorted(known))}" if known else "it has none"
        raise InvalidRun(f"{workflow.name} has no parameter {', '.join(unknown)}; {there}")
    for task, schema in schemas.items():
        if lacking := sorted(set(schema["required"]) - set(parameters)):
            raise InvalidRun(f"{task} needs the parameter {', '.join(lacking)}", remedy="Give it: --parameter NAME=VALUE.")


def _one(
    shop: Shop,
    run: RecipeRun,
    name: str,
    records: Mapping[str, TaskRecord],
    canceled: Event,
    heard: Callable[[str, Message], None],
    *,
    again: bool,
) -> TaskRecord:
    task = run.workflow.task(name)
    blank = TaskRecord(run.workflow.name, run.workflow.version, run.recipe_run_id, name, TaskState.UPSTREAM_FAILED, digest=run.digest)
    if any(records[upstream].state not in _DONE for upstream in task.upstreams):
        write_record(run, blank)
        return blank
    before = read_record(run, name)
    inputs_are_old = all(records[upstream].state is TaskState.CARRIED_OVER for upstream in task.upstreams)
    if before and not again and inputs_are_old and before["state"] == TaskState.SUCCEEDED and before["digest"] == run.digest:
        return TaskRecord(**{**before, "state": TaskState.CARRIED_OVER})
    return run_task(shop, run, task, canceled, lambda message: heard(name, message))


@contextmanager
def alone(run: RecipeRun) -> Iterator[None]:
    """Hold a recipe run for a block; the lock ends with this process in whatever way that ends.

    Raises:
        Conflict: Somebody else holds it.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"recipe run {run.recipe_run_id} of {run.workflow.dag_name} is under way", remedy="Wait until it has ended, or end it."
            ) from error
        yield
