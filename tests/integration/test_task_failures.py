"""A failed task's way to those who are told: real Dagster runs, a real outbox, a real HTTP server and a real mail server."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from platform_assets.workflows.assets import workflow_assets
from platform_assets.workflows.manifest import read_manifest
from platform_assets.workflows.model import WorkflowSpec
from platform_assets.workflows.specs import op_name
from resources.dask_cluster import DaskCluster
from resources.outbox import Outbox
from resources.receivers import Undelivered, Unreachable, parse_receivers
from resources.workflow_shop import WorkflowShop
from sensors.task_failures import task_failure_sensor
from tests.builders.commands import run as command
from tests.builders.receivers import mail_server, webhook
from tests.builders.servers import free_port
from tests.builders.wheels import instrument

RECIPE_RUNS = dg.DynamicPartitionsDefinition(name="raw_to_l1_camera_recipe_runs")
UI = "http://127.0.0.1:3000"


def told(code: str, error: str, *, again: bool = True) -> dg.Failure:
    """The failure of an attempt, as a workflow's step raises it."""
    return dg.Failure(f"{error}\n\nTraceback", metadata={"code": code, "error": error}, allow_retries=again)


def task(name: str, *upstreams: dg.AssetsDefinition, retries: int = 0) -> dg.AssetsDefinition:
    """A task that fails as many times as the run's tag of its name says."""

    @dg.asset(
        key=["raw_to_l1_camera", "1.0.0", name],
        deps=upstreams,
        partitions_def=RECIPE_RUNS,
        retry_policy=dg.RetryPolicy(max_retries=retries),
    )
    def body(context: dg.AssetExecutionContext) -> None:
        if context.retry_number < int(context.run.tags.get(name, 0)):
            raise told("task_failed", f"RuntimeError: the lamp was off at attempt {context.retry_number + 1}")

    return body


PARSE = task("Parse")
FLAT, DARK = task("Flat", PARSE, retries=1), task("Dark", PARSE)


@dg.asset
def image() -> None:
    raise ValueError("no task")


class Centre:
    """A Dagster instance with the sensor, as the daemon evaluates it."""

    def __init__(self, instance: DagsterInstance, folder: Path) -> None:
        self.instance, self.folder = instance, folder
        self.receivers = ""
        self.cursor: str | None = None
        instance.add_dynamic_partitions(RECIPE_RUNS.name or "", ["7"])

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.folder / "outbox", parse_receivers(self.receivers))

    @property
    def waiting(self) -> list[dict[str, Any]]:
        return [entry["message"] for entry in self.outbox.waiting()]

    def run(self, **failing: int) -> str:
        tags = {name: str(times) for name, times in failing.items()}
        return dg.materialize([PARSE, FLAT, DARK], partition_key="7", instance=self.instance, tags=tags, raise_on_error=False).run_id

    def start(self, *events: dg.DagsterEventType, **tags: str) -> dg.DagsterRun:
        """Leave a run in the state that a killed run worker leaves it in: some events of `Flat`, and no end."""
        job = dg.Definitions([PARSE, FLAT, DARK]).resolve_implicit_global_asset_job_def()
        run = self.instance.create_run_for_job(job, tags={"dagster/partition": "7", **tags})
        for event in events:
            step = "raw_to_l1_camera__1_0_0__Flat"
            self.instance.report_dagster_event(dg.DagsterEvent(event.value, job.name, step_key=step), run.run_id)
        return run

    def tick(self) -> str:
        sensor = task_failure_sensor(10, self.outbox, UI)
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        return data.skip_message or ""


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    retries = {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    with DagsterInstance.local_temp(str(tmp_path), overrides={"run_retries": retries}) as instance:
        yield Centre(instance, tmp_path)


def test_f1_f2_f7_a_failed_task_is_told_of_once_with_its_error_its_recipe_run_and_its_log(centre):
    with webhook() as hook:
        centre.receivers = hook.url
        run_id = centre.run(Dark=1)
        for _ in range(3):
            centre.tick()
    [message] = hook.got
    assert hook.headers["Idempotency-Key"] == message["conversationId"]
    assert (message["workflowName"], message["workflowVersion"], message["taskName"]) == ("raw_to_l1_camera", "1.0.0", "Dark")
    assert (message["recipeRunId"], message["dagRunId"], message["logUrl"]) == (7, run_id, f"{UI}/runs/{run_id}")
    assert (message["errorType"], message["errorText"]) == ("RuntimeError", "the lamp was off at attempt 1")
    assert (message["errorCode"], message["attempts"]) == ("task_failed", 1)
    assert datetime.now(UTC).strftime("%Y-%m") in message["failedAt"]


def test_f4_a_task_that_is_tried_again_is_told_of_after_its_last_attempt_only(centre):
    centre.run(Flat=1)
    centre.tick()
    assert centre.waiting == []
    assert not (centre.folder / "outbox/sent").exists()
    centre.receivers = "http://127.0.0.1:9/"
    centre.run(Flat=2)
    centre.tick()
    assert [(message["taskName"], message["attempts"], message["errorText"]) for message in centre.waiting] == [
        ("Flat", 2, "the lamp was off at attempt 2")
    ]


def test_f5_two_failed_tasks_of_a_run_are_two_messages(centre):
    with webhook() as hook:
        centre.receivers = hook.url
        centre.run(Flat=2, Dark=1)
        centre.tick()
    assert {message["taskName"] for message in hook.got} == {"Flat", "Dark"}
    assert len({message["conversationId"] for message in hook.got}) == 2


def test_a_second_run_that_fails_is_told_of_again(centre):
    with webhook() as hook:
        centre.receivers = hook.url
        for _ in range(2):
            centre.run(Dark=1)
            centre.tick()
    assert len({message["dagRunId"] for message in hook.got}) == 2


def test_f3_a_receiver_that_is_down_gets_the_message_when_it_is_back(centre):
    port = free_port()
    centre.receivers = f"http://127.0.0.1:{port}/hooks/canary"
    centre.run(Dark=1)
    assert "1 messages wait" in centre.tick()
    [path] = (centre.folder / "outbox/pending").glob("*.json")
    entry = json.loads(path.read_text())
    assert f"http://127.0.0.1:{port}/… did not answer" in entry["problem"]
    assert "canary" not in path.read_text()
    path.write_text(json.dumps(entry | {"tried_s": 0.0}))
    with webhook(port) as hook:
        assert "0 messages wait" in centre.tick()
    assert [message["taskName"] for message in hook.got] == ["Dark"]


def test_a_run_that_the_database_shows_late_is_told_of(centre):
    centre.receivers = "http://127.0.0.1:9/"
    centre.cursor = (datetime.now(UTC) + timedelta(minutes=3)).isoformat()
    centre.run(Dark=1)
    centre.tick()
    assert len(centre.waiting) == 1


def test_a_failure_that_could_not_be_kept_is_kept_at_the_next_look(centre):
    centre.run(Dark=1)
    (centre.folder / "outbox").write_text("in the way")
    before = centre.cursor
    with pytest.raises(NotADirectoryError):
        centre.tick()
    assert centre.cursor == before
    (centre.folder / "outbox").unlink()
    centre.receivers = "http://127.0.0.1:9/"
    centre.tick()
    assert len(centre.waiting) == 1


def test_f6_a_task_whose_run_was_killed_is_told_of_unless_dagster_runs_it_again(centre):
    centre.receivers = "http://127.0.0.1:9/"
    run = centre.start(dg.DagsterEventType.STEP_START)
    centre.instance.report_run_failed(run, message="its worker is gone")
    assert centre.instance.get_run_by_id(run.run_id).tags["dagster/will_retry"] == "true"
    centre.tick()
    assert centre.waiting == []
    last = centre.start(dg.DagsterEventType.STEP_START, **{"dagster/max_retries": "0"})
    centre.instance.report_run_failed(last, message="its worker is gone")
    centre.tick()
    [message] = centre.waiting
    assert (message["taskName"], message["errorCode"], message["errorText"]) == ("Flat", "interrupted", "its worker is gone")
    assert message["recipeRunId"] == 7


def test_a_run_that_failed_before_any_task_began_is_told_of(centre):
    centre.receivers = "http://127.0.0.1:9/"
    centre.instance.report_run_failed(centre.start(**{"dagster/max_retries": "0"}))
    centre.tick()
    assert [(message["taskName"], message["attempts"]) for message in centre.waiting] == [("", 0)]


def test_failures_of_other_domains_and_ends_that_somebody_wanted_are_not_told_of(centre):
    dg.materialize([image], instance=centre.instance, raise_on_error=False)
    run = centre.start(dg.DagsterEventType.STEP_START)
    centre.instance.report_run_canceled(run)
    assert "0 tasks have failed" in centre.tick()


def test_of_a_run_that_has_other_assets_too_only_tasks_are_told_of(centre):
    centre.receivers = "http://127.0.0.1:9/"
    run = dg.materialize([image, PARSE], partition_key="7", instance=centre.instance, tags={"Parse": "1"}, raise_on_error=False)
    assert not run.success
    centre.tick()
    assert [message["taskName"] for message in centre.waiting] == ["Parse"]


def test_an_error_that_no_task_told_is_named_as_dagster_saw_it(centre):
    @dg.asset(key=["raw_to_l1_camera", "1.0.0", "Parse"])
    def parse() -> None:
        raise OSError("the disk is full")

    centre.receivers = "http://127.0.0.1:9/"
    dg.materialize([parse], instance=centre.instance, raise_on_error=False)
    centre.tick()
    [message] = centre.waiting
    assert (message["errorType"], message["errorText"], message["recipeRunId"]) == ("OSError", "the disk is full", None)


def test_a_failure_is_told_of_once_with_a_postgresql_of_another_time_zone(postgres_server, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE", postgres_server.new_database())
    monkeypatch.setenv("PGTZ", "Pacific/Auckland")
    database = {"postgres_url": {"env": "DATABASE"}}
    storages = {
        "run_storage": "PostgresRunStorage",
        "event_log_storage": "PostgresEventLogStorage",
        "schedule_storage": "PostgresScheduleStorage",
    }
    overrides = {name: {"module": "dagster_postgres", "class": kind, "config": database} for name, kind in storages.items()}
    with DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance, webhook() as hook:
        centre = Centre(instance, tmp_path)
        centre.receivers = hook.url
        centre.tick()
        centre.run(Dark=1)
        for _ in range(2):
            centre.tick()
    assert [message["taskName"] for message in hook.got] == ["Dark"]


# --- real tasks ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> tuple[WorkflowSpec, dict[str, Any]]:
    """The workflow that misbehaves as its parameter says, and what it runs with."""
    folder = tmp_path_factory.mktemp("instrument")
    wheel = instrument(folder / "dist", "1.0.0")
    done = command(folder, "groundtrack", "workflows", "export", str(wheel), "--no-index", "--find-links", str(wheel.parent))
    assert done.code == 0, done.text
    spec = read_manifest(folder / ".groundtrack/workflows/manifests/raw_to_trouble_camera_1.0.0.json")
    shop = WorkflowShop(folder=str(folder / ".groundtrack/workflows"), find_links=[str(wheel.parent)], no_index=True)
    return spec, {"workflow_shop": shop, "dask": DaskCluster(kind="local")}


def misbehave(centre: Centre, trouble: tuple[WorkflowSpec, dict[str, Any]], how: str, **changes: Any) -> dict[str, Any]:
    """Run the workflow, and return the one message that waits then."""
    spec, resources = trouble
    spec = replace(spec, **changes)
    assets = workflow_assets(spec)
    config = {"ops": {op_name(spec, spec.task("Behave")): {"config": {"how": how}}}}
    centre.instance.add_dynamic_partitions("raw_to_trouble_camera_recipe_runs", ["7"])
    run = dg.materialize(assets, partition_key="7", instance=centre.instance, resources=resources, run_config=config, raise_on_error=False)
    assert not run.success
    centre.receivers = "http://127.0.0.1:9/"
    centre.tick()
    [message] = centre.waiting
    assert (message["workflowName"], message["taskName"], message["recipeRunId"]) == ("raw_to_trouble_camera", "Behave", 7)
    return message


def test_f7_a_task_that_raised_is_told_of_with_its_own_exception(centre, trouble):
    message = misbehave(centre, trouble, "fail")
    assert (message["errorCode"], message["errorType"], message["errorText"]) == ("task_failed", "ValueError", "the detector is cold")


def test_f6_a_task_whose_process_was_killed_is_told_of(centre, trouble):
    message = misbehave(centre, trouble, "kill")
    assert message["errorCode"] == message["errorType"] == "killed"
    assert message["errorText"].startswith("its process was killed by signal 9 without completing")


def test_n9_n11_a_task_that_did_not_install_or_complete_is_told_of_as_that(centre, trouble):
    assert misbehave(centre, trouble, "exit_99")["errorCode"] == "not_completed"
    with pytest.raises(ValueError, match="expected 1"):
        misbehave(centre, trouble, "fail", distribution="nothing-of-the-kind")
    assert [message["errorCode"] for message in centre.waiting] == ["not_completed", "install_failed"]


# --- receivers ----------------------------------------------------------------------------------------------------------

MESSAGE = {
    "text": "Flat failed",
    "conversationId": "c1",
    "workflowName": "raw_to_l1_camera",
    "workflowVersion": "1.0.0",
    "taskName": "Flat",
    "recipeRunId": 7,
    "errorText": "ä\n.\nb",
}


@pytest.mark.parametrize(("answer", "kind"), [(404, Undelivered), (302, Undelivered), (503, Unreachable), (429, Unreachable)])
def test_an_answer_other_than_yes_is_no_delivery(answer, kind):
    with webhook() as hook:
        hook.answer = answer
        [receiver] = parse_receivers(hook.url)
        with pytest.raises(Undelivered, match=f"answered {answer}") as caught:
            receiver.deliver(MESSAGE)
    assert type(caught.value) is kind
    assert "canary" not in str(caught.value)


def test_a_user_of_a_webhook_logs_in():
    with webhook() as hook:
        [receiver] = parse_receivers(hook.url.replace("//", "//user:p%40ss@"))
        receiver.deliver(MESSAGE)
    assert hook.got == [MESSAGE]
    assert hook.headers["Authorization"] == "Basic dXNlcjpwQHNz"


def test_a_mail_goes_to_each_address_and_a_refused_one_holds_up_no_other(centre):
    with mail_server() as box:
        box.refused = {"old@centre.example"}
        centre.receivers = f"smtp://127.0.0.1:{box.port}?to=old@centre.example,new@centre.example&from=me@centre.example"
        centre.run(Dark=1)
        assert "1 messages wait" in centre.tick()
    [mail] = box.got
    assert (mail["X-Recipient"], mail["From"]) == ("new@centre.example", "me@centre.example")
    assert mail["Subject"] == "raw_to_l1_camera 1.0.0: Dark failed (recipe run 7)"
    assert "errorText: the lamp was off at attempt 1" in mail.get_content()
    assert mail["Message-ID"] == f"<{centre.waiting[0]['conversationId']}@groundtrack>"


def test_a_mail_holds_whatever_an_error_says():
    with mail_server() as box:
        [receiver] = parse_receivers(f"smtp://127.0.0.1:{box.port}?to=a@b.example")
        receiver.deliver(MESSAGE)
    assert "errorText: ä\n.\nb" in box.got[0].get_content()


def test_a_mail_server_that_is_down_is_unreachable():
    [receiver] = parse_receivers(f"smtp://127.0.0.1:{free_port()}?to=a@b.example")
    with pytest.raises(Unreachable, match=r"a@b\.example by 127\.0\.0\.1"):
        receiver.deliver(MESSAGE)


def test_a_password_is_sent_behind_tls_only():
    with mail_server() as box:
        [receiver] = parse_receivers(f"smtp://user:secret@127.0.0.1:{box.port}?to=a@b.example")
        with pytest.raises(Unreachable, match="offers no TLS"):
            receiver.deliver(MESSAGE)
    assert box.login == ""


def test_a_user_logs_in_where_the_servers_certificate_is_trusted(tmp_path, monkeypatch):
    certificate = tmp_path / "server.pem"
    options = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-nodes"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        *options,
        "-keyout",
        str(certificate),
        "-out",
        str(tmp_path / "public.pem"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + (tmp_path / "public.pem").read_text())
    with mail_server(str(certificate)) as box:
        [receiver] = parse_receivers(f"smtp://user:p%40ss@localhost:{box.port}?to=a@b.example")
        with pytest.raises(Unreachable, match="certificate verify failed"):
            receiver.deliver(MESSAGE)
        assert box.login == ""
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
        receiver.deliver(MESSAGE)
    assert box.login == "user:p@ss"
    assert box.got[0]["X-Recipient"] == "a@b.example"
