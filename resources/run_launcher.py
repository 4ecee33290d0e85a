"""Dagster's own run launcher, with an answer to run monitoring: does the run's worker still live?

Dagster's launcher has none, so a run whose worker was killed together with its code server, as in a power cut, stays
STARTED for ever. With this one it is failed at the next look of the monitoring daemon, and then retried.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import psutil
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEventType
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData, deserialize_value

_ANSWER_S = 5
_SILENCES = 5
_CLOCK_S = 2.0


class WatchfulRunLauncher(DefaultRunLauncher):
    """Launches runs in the code server's process, as Dagster does by default, and knows which of them still run."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._silences: Counter[str] = Counter()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Build the launcher from its block in dagster.yaml; it takes no options."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Tell run monitoring to ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Tell whether a started run's worker lives.

        Two witnesses, because each is wrong at times: a code server forgets its runs when it reloads or restarts, and the
        worker's process can only be looked up on its own machine.
        """
        if GRPC_INFO_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "started from a terminal, so the launcher cannot tell")
        local = "socket" in json.loads(run.tags[GRPC_INFO_TAG])
        if local and self._process_lives(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        health = self._ask(run)
        if health.status is not WorkerStatus.UNKNOWN:
            del self._silences[run.run_id]
            return health
        self._silences[run.run_id] += 1
        # On this machine silence settles it, since the process is gone; elsewhere the network may be to blame.
        gone = local or self._silences[run.run_id] >= _SILENCES
        return health._replace(status=WorkerStatus.FAILED if gone else WorkerStatus.RUNNING)

    def _process_lives(self, run: DagsterRun) -> bool:
        for entry in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            metadata = entry.get_dagster_event().engine_event_data.metadata
            if "pid" in metadata and _lives(int(str(metadata["pid"].value)), entry.timestamp):
                return True
        return False

    def _ask(self, run: DagsterRun) -> CheckRunHealthResult:
        from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.SUCCESS, "the run has ended meanwhile")
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_ANSWER_S)
        except DagsterUserCodeUnreachableError as error:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"the code server that started the run does not answer: {error}")
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the worker is gone: its code server no longer runs it")


def _lives(pid: int, since: float) -> bool:
    """Whether a process lives and is the one that had this number at that time."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since + _CLOCK_S
    except psutil.NoSuchProcess:
        return False
