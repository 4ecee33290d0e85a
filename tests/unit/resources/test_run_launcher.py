"""What the launcher says of a run's worker, by what it can see: the process, and the code server."""

import json
import os
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.dagster_run import DagsterRun, DagsterRunStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test

from resources.run_launcher import WatchfulRunLauncher
from tests.builders.events import instance_with

LAUNCHER = {"module": "resources.run_launcher", "class": "WatchfulRunLauncher", "config": {}}


@pytest.fixture
def instance(tmp_path):
    with instance_with(tmp_path / "home", run_launcher=LAUNCHER, run_monitoring={"enabled": True}) as made:
        yield made


def started_run(instance: dg.DagsterInstance, server: dict[str, object] | None, pid: int | None = None) -> DagsterRun:
    tags = {GRPC_INFO_TAG: json.dumps(server)} if server else {}
    run = create_run_for_test(instance, job_name="job", status=DagsterRunStatus.STARTED, tags=tags)
    if pid:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    return run


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_run_whose_process_lives_is_running_though_its_code_server_is_gone(instance, tmp_path):
    run = started_run(instance, {"host": "localhost", "socket": str(tmp_path / "gone.sock")}, os.getpid())
    assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_a_run_whose_process_and_code_server_are_gone_has_failed(instance, tmp_path):
    run = started_run(instance, {"host": "localhost", "socket": str(tmp_path / "gone.sock")}, dead_pid())
    health = instance.run_launcher.check_run_worker_health(run)
    assert health.status == WorkerStatus.FAILED
    assert "does not answer" in health.msg


def test_a_process_that_got_the_number_of_a_dead_worker_is_not_taken_for_it(instance, tmp_path):
    run = started_run(instance, {"host": "localhost", "socket": str(tmp_path / "gone.sock")}, os.getpid())
    (event,) = instance.all_logs(run.run_id)
    from resources import run_launcher

    assert run_launcher._lives(os.getpid(), event.timestamp)
    assert not run_launcher._lives(os.getpid(), event.timestamp - 1e6)


def test_a_run_started_from_a_terminal_is_left_alone(instance):
    run = started_run(instance, None)
    assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_a_code_server_on_another_machine_may_be_silent_for_a_while(instance):
    run = started_run(instance, {"host": "127.0.0.1", "port": 1}, os.getpid())
    launcher = instance.run_launcher
    assert [launcher.check_run_worker_health(run).status for _ in range(5)] == [WorkerStatus.RUNNING] * 4 + [WorkerStatus.FAILED]


def test_a_run_that_ended_meanwhile_is_not_failed(instance, tmp_path):
    run = started_run(instance, {"host": "localhost", "socket": str(tmp_path / "gone.sock")}, dead_pid())
    instance.report_run_failed(run)
    assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.SUCCESS


def test_run_monitoring_asks_the_launcher(instance):
    assert isinstance(instance.run_launcher, WatchfulRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
