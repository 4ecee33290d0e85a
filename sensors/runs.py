"""What Dagster knows of the runs that were requested for a batch."""

from collections.abc import Mapping

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from resources.instance import BATCH_TAG
from sensors.decisions import BatchRun

ATTEMPT_TAG = "groundtrack/attempt"

_FINISHED = frozenset({DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED})


def batch_runs(instance: DagsterInstance, tags: Mapping[str, str]) -> list[BatchRun]:
    """Return the runs that have these tags, each with the number of the batch it works on."""
    return [
        BatchRun(int(run.tags[BATCH_TAG].rpartition("/")[2]), run.status in _FINISHED, run.status is DagsterRunStatus.CANCELED)
        for run in instance.get_runs(RunsFilter(tags=dict(tags)))
    ]
