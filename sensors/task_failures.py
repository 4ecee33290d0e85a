"""The sensor of failed tasks: one message a task that failed for good, kept in the outbox until every receiver has it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterEventType as Event

from platform_assets.workflows.failures import FailedTask, Problem, Sign, StepSign, TaskName, failed_steps, message
from resources.outbox import Outbox

_BUDGET_S = 40.0
_FIRST_LOOK = timedelta(days=1)
_OVERLAP = timedelta(minutes=5)
"""Runs that were updated so long before the newest one are looked at again: databases show changes out of order."""

_DECIDED = timedelta(minutes=1)
"""So long after a run has failed, Dagster has said whether it runs again, if it ever will."""

_FIRST_PLANNED = 50
"""Planned assets by which a run of workflow tasks is told from a batch, which may have 50,000."""

_WILL_RETRY, _PARTITION = "dagster/will_retry", "dagster/partition"
_SIGNS = {
    Event.STEP_START: Sign.STARTED,
    Event.STEP_RESTARTED: Sign.STARTED,
    Event.STEP_UP_FOR_RETRY: Sign.WILL_RETRY,
    Event.STEP_SUCCESS: Sign.ENDED,
    Event.STEP_SKIPPED: Sign.ENDED,
    Event.STEP_FAILURE: Sign.FAILED,
}


def task_failure_sensor(interval_s: int, outbox: Outbox, ui_url: str) -> dg.SensorDefinition:
    """Return the sensor of failed tasks.

    Args:
        interval_s: Seconds between two ticks.
        outbox: Where messages wait.
        ui_url: Address of the web UI; empty where that is not known.
    """

    @dg.sensor(
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the receivers of failures of each workflow task that failed and is not tried again.",
    )
    def task_failures(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        since = datetime.fromisoformat(context.cursor) if context.cursor else datetime.now(UTC) - _FIRST_LOOK
        failed_runs = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since - _OVERLAP)
        new = 0
        for record in context.instance.get_run_records(failed_runs, order_by="update_timestamp", ascending=True):
            since = max(since, record.update_timestamp)
            new += sum(outbox.put(message(failed)) for failed in _failed_tasks(context.instance, record, ui_url))
        for problem in outbox.deliver(_BUDGET_S):
            context.log.warning(problem)
        told = f"{new} tasks have failed, {len(list(outbox.waiting()))} messages wait"
        return dg.SensorResult(skip_reason=told, cursor=since.isoformat())

    return task_failures


def _failed_tasks(instance: dg.DagsterInstance, record: dg.RunRecord, ui_url: str) -> Iterator[FailedTask]:
    """Yield the tasks that failed with a run that is not run again; the run itself where it ended before any task began."""
    run = record.dagster_run
    tasks = _tasks(instance, run.run_id)
    if not tasks or _runs_again(instance, record):
        return
    reason = _reason(instance, run.run_id)
    failed = failed_steps(list(_signs(instance, run.run_id)), reason)
    wholes = dict.fromkeys(TaskName(task.workflow, task.version, "") for task in tasks.values())
    partition = run.tags.get(_PARTITION, "")
    ends = {tasks[step]: how for step, how in failed.items() if step in tasks} if failed else dict.fromkeys(wholes, (reason, 0))
    for name, (problem, attempts) in ends.items():
        yield FailedTask(
            name,
            problem,
            attempts,
            int(partition) if partition.isdecimal() else None,
            run.run_id,
            f"{ui_url}/runs/{run.run_id}" if ui_url else None,
            record.end_time or record.update_timestamp.timestamp(),
        )


def _tasks(instance: dg.DagsterInstance, run_id: str) -> dict[str, TaskName]:
    """Return the workflow tasks of a run by step; none for runs of other domains, however many items those have."""
    planned = Event.ASSET_MATERIALIZATION_PLANNED
    first = instance.get_records_for_run(run_id, of_type=planned, limit=_FIRST_PLANNED).records
    if not any(_task(entry.event_log_entry) for entry in first):
        return {}
    return {entry.step_key or "": name for entry in instance.all_logs(run_id, of_type=planned) if (name := _task(entry))}


def _task(entry: dg.EventLogEntry) -> TaskName | None:
    key = entry.get_dagster_event().asset_key
    return TaskName(*key.path) if key and len(key.path) == 3 else None


def _runs_again(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether Dagster itself runs a failed run again, or has not said yet."""
    told = record.dagster_run.tags.get(_WILL_RETRY)
    if told is not None or not instance.run_retries_enabled:
        return told == "true"
    return datetime.now(UTC) - record.update_timestamp < _DECIDED


def _signs(instance: dg.DagsterInstance, run_id: str) -> Iterator[StepSign]:
    for entry in instance.all_logs(run_id, of_type=set(_SIGNS)):
        event = entry.get_dagster_event()
        yield StepSign(event.step_key or "", _SIGNS[event.event_type], _problem(event))


def _problem(event: dg.DagsterEvent) -> Problem | None:
    """Return the error of a step's event: what the task's process told where it told it, else what Dagster saw."""
    data = event.event_specific_data
    told = getattr(data, "user_failure_data", None)
    facts = {name: value.value for name, value in told.metadata.items()} if told else {}
    if "code" in facts:
        code, text = str(facts["code"]), str(facts.get("error", ""))
        kind, colon, rest = text.partition(": ")
        return Problem(kind, rest, code) if code == "task_failed" and colon else Problem(code, text, code)
    error = getattr(data, "error", None)
    while error and error.cause:
        error = error.cause
    return Problem(error.cls_name or "", error.message.strip().removeprefix(f"{error.cls_name}: ")) if error else None


def _reason(instance: dg.DagsterInstance, run_id: str) -> Problem:
    """Return why a run as a whole failed."""
    ended = instance.all_logs(run_id, of_type=Event.RUN_FAILURE)
    return Problem("RunFailed", ended[-1].get_dagster_event().message or "" if ended else "")
