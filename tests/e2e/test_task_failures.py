"""Tasks fail, processes are killed, the receiver is away: it ends truthfully, and who is to be told is told, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.builders.commands import Done
from tests.builders.commands import run as command
from tests.builders.receivers import Webhook, webhook
from tests.builders.servers import free_port, wait_for
from tests.builders.site import Site
from tests.builders.wheels import instrument

_WORKFLOW, _JOB = "raw_to_trouble_camera", "raw_to_trouble_camera_1__0__0"
_GRACE_S = 2.0
_LAUNCH = """mutation {{ launchRun(executionParams: {{
  mode: "default",
  selector: {{repositoryLocationName: "groundtrack", repositoryName: "__repository__", jobName: "{job}"}},
  runConfigData: {{ops: {{{job}___Behave: {{config: {{how: "{how}"}}}}}}}},
  executionMetadata: {{tags: [{{key: "dagster/partition", value: "{number}"}}, {{key: "dagster/max_retries", value: "{retries}"}}]}}
}}) {{ __typename ... on LaunchRunSuccess {{ run {{ runId }} }} }} }}"""


class Observatory(Site):
    """A platform with the workflow that misbehaves, and with a receiver of failures that is away."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        wheel = instrument(folder / "dist", "1.0.0")
        self.receiver = f"http://127.0.0.1:{self.port}/hooks/canary"
        self.folder = folder
        self.index = ("--no-index", "--find-links", str(wheel.parent))
        for arguments in (("export", str(wheel), *self.index), ("recipe-runs", _WORKFLOW, *"1234567")):
            done = self("workflows", *arguments)
            assert done.code == 0, done.text
        super().__init__(
            folder / ".groundtrack",
            sensor_interval_s=1,
            workflows_no_index=True,
            workflows_find_links=wheel.parent,
            workflows_grace_s=_GRACE_S,
            failure_receivers=self.receiver,
        )

    def __call__(self, *arguments: str) -> Done:
        return command(self.folder, "groundtrack", *arguments, GROUNDTRACK_FAILURE_RECEIVERS=self.receiver)

    def launch(self, number: int, how: str, retries: int = 0) -> str:
        answer = self.up.ask(_LAUNCH.format(job=_JOB, how=how, number=number, retries=retries))["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess"
        return str(answer["run"]["runId"])

    def states(self, number: int) -> list[str]:
        """The states of the runs of a recipe run, newest first."""
        return [run["status"] for run in self.runs(**{"dagster/partition": str(number)})]

    def failed(self, task: str) -> list[str]:
        """The recipe runs in which a task shows as failed."""
        fields = "assetPartitionStatuses { ... on DefaultPartitionStatuses { failedPartitions } }"
        query = f'{{ assetNodeOrError(assetKey: {{path: ["{_WORKFLOW}", "1.0.0", "{task}"]}}) {{ ... on AssetNode {{ {fields} }} }} }}'
        return list(self.up.ask(query)["assetNodeOrError"]["assetPartitionStatuses"]["failedPartitions"])

    def data(self, number: int) -> Path:
        return self.home / f"workflows/runs/{_WORKFLOW}_1.0.0/{number}/data"

    def underway(self, number: int) -> tuple[psutil.Process, psutil.Process]:
        """Wait for a task that ignores signals, and return its process and the one that it started."""
        note = self.data(number) / "grandchild"
        wait_for(note.exists, "start of the task", 90)
        grandchild = psutil.Process(int(note.read_text()))
        child = grandchild.parent()
        assert child
        return child, grandchild

    @property
    def pending(self) -> list[Path]:
        return list((self.home / "workflows/outbox/pending").glob("*.json"))


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    observatory = Observatory(tmp_path_factory.mktemp("observatory"))
    yield observatory
    observatory.end()


def the_message(hook: Webhook, number: int) -> dict[str, Any]:
    """Wait for the one message about a recipe run."""
    wait_for(lambda: number in {message["recipeRunId"] for message in hook.got}, f"message about recipe run {number}", 120)
    [message] = [message for message in hook.got if message["recipeRunId"] == number]
    assert (message["workflowName"], message["taskName"]) == (_WORKFLOW, "Behave")
    return message


def wait_until_gone(*processes: psutil.Process, timeout_s: float = 20.0) -> None:
    assert psutil.wait_procs(processes, timeout_s)[1] == []


def test_f3_f7_a_receiver_that_was_away_is_told_when_it_is_back_and_once(observatory):
    observatory.launch(1, "fail")
    wait_for(lambda: bool(observatory.pending), "a message that waits", 90)
    wait_for(lambda: "did not answer" in observatory("doctor").text, "a look at the outbox", 30)
    told = observatory("doctor").text
    assert f"failure messages 1 wait: http://127.0.0.1:{observatory.port}/… did not answer" in told
    assert "canary" not in told
    with webhook(observatory.port) as hook:
        message = the_message(hook, 1)
        assert (message["errorType"], message["errorText"]) == ("ValueError", "the detector is cold")
        assert message["logUrl"] == f"{observatory.up.url}/runs/{message['dagRunId']}"
        wait_for(lambda: not observatory.pending, "an empty outbox", 30)
        assert len(hook.got) == 1


def test_f6_the_tasks_process_is_killed(observatory):
    with webhook(observatory.port) as hook:
        observatory.launch(2, "ignore_signals")
        child, grandchild = observatory.underway(2)
        child.kill()
        assert the_message(hook, 2)["errorCode"] == "killed"
    wait_until_gone(grandchild)
    assert observatory.states(2) == ["FAILURE"]
    assert (observatory.data(2) / "rollback-1").exists()


def test_f4_f6_the_run_worker_is_killed_and_that_of_the_retry_too(observatory):
    with webhook(observatory.port) as hook:
        observatory.launch(3, "ignore_signals", retries=1)
        first = observatory.underway(3)
        for process in observatory.run_workers():
            process.kill()
        wait_until_gone(*first)
        note = observatory.data(3) / "grandchild"
        wait_for(lambda: note.exists() and int(note.read_text()) != first[1].pid, "start of the retry", 120)
        assert hook.got == []
        assert (observatory.data(3) / "rollback-0").exists()
        second = observatory.underway(3)
        for process in observatory.run_workers():
            process.kill()
        assert the_message(hook, 3)["errorCode"] == "interrupted"
    wait_until_gone(*second)
    assert observatory.states(3) == ["FAILURE", "FAILURE"]


def test_the_daemon_is_killed_while_a_task_is_under_way(observatory):
    with webhook(observatory.port) as hook:
        observatory.launch(4, "ignore_signals")
        child, _ = observatory.underway(4)
        daemon = observatory.up.pid("daemon")
        observatory.up.kill("daemon")
        child.kill()
        assert the_message(hook, 4)["errorCode"] == "killed"
    assert observatory.up.pid("daemon") != daemon
    assert observatory.states(4) == ["FAILURE"]


def test_a_task_that_ignores_signals_is_gone_after_the_grace_time_when_its_run_is_canceled(observatory):
    with webhook(observatory.port) as hook:
        run_id = observatory.launch(5, "ignore_signals")
        processes = observatory.underway(5)
        answer = observatory.up.ask(f'mutation {{ terminateRun(runId: "{run_id}") {{ __typename }} }}')
        assert answer["terminateRun"]["__typename"] == "TerminateRunSuccess"
        wait_until_gone(*processes, timeout_s=_GRACE_S + 5)
        wait_for(lambda: observatory.states(5) == ["CANCELED"], "end of the run", 60)
        assert (observatory.data(5) / "rollback-1").exists()
        assert hook.got == []


def test_after_all_that_the_failures_show_and_the_environments_are_whole(observatory):
    assert observatory.failed("Behave") == ["1", "2", "3", "4"]
    done = observatory("workflows", "prewarm", _WORKFLOW, *observatory.index)
    assert done.code == 0, done.text
    assert "was there" in done.text
    assert "made in" not in done.text
    cache = observatory.home / "workflows/cache/environments"
    assert not list(cache.glob(".*"))


def test_the_address_of_a_receiver_is_in_no_database_and_no_log(observatory):
    files = [path for path in observatory.home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".db" for path in files)
    assert [path for path in files if b"hooks/canary" in _content(path)] == []


def _content(path: Path) -> bytes:
    """Return what is in a file of a platform that runs: SQLite's journals come and go."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
