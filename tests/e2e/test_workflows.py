"""An instrument package on a platform that runs: exported, picked up, launched from the web UI and a terminal, interrupted."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from platform_assets.workflows.manifest import read_manifest, write_manifest
from tests.builders.browser import browser, complaints, origin, profile
from tests.builders.commands import Done
from tests.builders.commands import run as command
from tests.builders.platform import TOKEN
from tests.builders.servers import wait_for
from tests.builders.site import Site
from tests.builders.wheels import instrument

CAMERA, TROUBLE = "raw_to_l1_camera", "raw_to_trouble_camera"
TASKS = ("Parse", "Flat", "Dark", "Combine")
NUMBERS = ("1", "2", "3")
_LOCATION = 'repositoryLocationName: "groundtrack", repositoryName: "__repository__"'


class Observatory(Site):
    """A platform that knows no workflow yet, and the wheels of an instrument.

    Args:
        folder: The user's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = [instrument(folder / "dist", version) for version in ("1.0.0", "2.0.0")]
        self.settings = {"workflows_no_index": "true", "workflows_find_links": str(folder / "dist"), "workflows_grace_s": "1"}
        super().__init__(folder / ".groundtrack", sensor_interval_s=1, **self.settings)

    def __call__(self, *arguments: str) -> Done:
        return command(self.folder, *arguments, **{f"GROUNDTRACK_{name.upper()}": value for name, value in self.settings.items()})

    def export(self, wheel: Path) -> None:
        done = self("groundtrack", "workflows", "export", str(wheel))
        assert done.code == 0, done.text

    def add(self, workflow: str, *numbers: str) -> None:
        """Add recipe runs."""
        assert self("groundtrack", "workflows", "recipe-runs", workflow, *numbers).code == 0

    def jobs(self) -> set[str]:
        found = self.up.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }")["repositoriesOrError"]
        return {job["name"] for node in found.get("nodes", ()) for job in node["jobs"]}

    def materialized(self, version: str, task: str) -> set[str]:
        query = f"""{{ assetNodeOrError(assetKey: {{path: ["{CAMERA}", "{version}", "{task}"]}}) {{ ... on AssetNode {{
            assetPartitionStatuses {{ ... on DefaultPartitionStatuses {{ materializedPartitions }} }} }} }} }}"""
        return set(self.up.ask(query)["assetNodeOrError"]["assetPartitionStatuses"]["materializedPartitions"])

    def tables(self, version: str, number: str) -> str:
        """The version of the tables that a task of a recipe run found."""
        path = self.home / f"workflows/runs/{CAMERA}_{version}/{number}/data/tables.txt"
        return path.read_text()

    def misbehave(self, how: str, number: str) -> psutil.Process:
        """Launch the task that misbehaves and return what it started, once that runs."""
        note = self.place(number) / "data/grandchild"
        self.launch(TROUBLE, number, f'ops: {{{TROUBLE}_1__0__0___Behave: {{config: {{how: "{how}"}}}}}}')
        wait_for(note.exists, "start of the task", 60)
        return psutil.Process(int(note.read_text()))

    def launch(self, workflow: str, number: str, config: str = "") -> None:
        self.add(workflow, number)
        tags = f'{{key: "dagster/partition", value: "{number}"}}'
        answer = self.up.ask(
            f"""mutation {{ launchRun(executionParams: {{mode: "default", selector: {{{_LOCATION}, jobName: "{workflow}_1__0__0"}},
            runConfigData: {{{config}}}, executionMetadata: {{tags: [{tags}]}}}}) {{ __typename }} }}"""
        )
        assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer

    def end_of(self, number: str) -> str:
        """Wait for the end of the newest run of a recipe run."""
        wait_for(lambda: self.of(number)[0]["status"] in ("SUCCESS", "FAILURE"), f"end of recipe run {number}", 120)
        return str(self.of(number)[0]["status"])

    def place(self, number: str) -> Path:
        return self.home / f"workflows/runs/{TROUBLE}_1.0.0/{number}"

    def of(self, number: str) -> list[dict[str, Any]]:
        """The runs of a recipe run, newest first."""
        return self.runs(**{"dagster/partition": number})

    def cancel(self, number: str) -> None:
        run_id = self.of(number)[0]["runId"]
        assert (
            self.up.ask(f'mutation {{ terminateRun(runId: "{run_id}") {{ __typename }} }}')["terminateRun"]["__typename"]
            == "TerminateRunSuccess"
        )
        wait_for(lambda: self.of(number)[0]["status"] == "CANCELED", "end of the run", 60)


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    observatory = Observatory(tmp_path_factory.mktemp("observatory"))
    yield observatory
    observatory.end()


@pytest.fixture(scope="module")
def exported(observatory: Observatory) -> Observatory:
    for wheel in observatory.wheels:
        observatory.export(wheel)
    wait_for(lambda: {f"{CAMERA}_1__0__0", f"{CAMERA}_2__0__0"} <= observatory.jobs(), "the workflows", 30)
    return observatory


@pytest.fixture
def page(exported: Observatory) -> Iterator[Page]:
    with browser() as chromium, profile(chromium) as context:
        found = complaints(context)
        page = context.new_page()
        page.goto(f"{exported.up.url}/?token={TOKEN}")
        yield page
        assert found == []


def choose_all(page: Page, job: str, number: int) -> None:
    """Open the dialogue that launches a job, and choose all of its so many partitions."""
    page.goto(f"{origin(page.url)}/locations/__repository__@groundtrack/jobs/{job}")
    page.get_by_text("Materialize all").click()
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.get_by_text(re.compile(rf"^{number} partitions?$"))).to_be_visible()


def test_three_recipe_runs_in_two_versions_from_the_web_ui_and_from_a_terminal(exported, page):
    exported.add(CAMERA, *NUMBERS)
    choose_all(page, f"{CAMERA}_2__0__0", len(NUMBERS))
    page.get_by_role("button", name="Launch backfill").click()
    lines = command(exported.folder, "groundtrack", "env").out.splitlines()
    exports = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    for number in NUMBERS:
        selection = f'key:"{CAMERA}/1.0.0/*"'
        done = command(exported.folder, "dagster", "asset", "materialize", "--select", selection, "--partition", number, **exports)
        assert done.code == 0, done.text
    for task in TASKS:
        assert exported.materialized("1.0.0", task) == set(NUMBERS)
        wait_for(lambda task=task: exported.materialized("2.0.0", task) == set(NUMBERS), f"end of {task} of the backfill", 120)
    for version in ("1.0.0", "2.0.0"):
        assert {exported.tables(version, number) for number in NUMBERS} == {version}
    assert (exported.home / f"workflows/runs/{CAMERA}_2.0.0/1/Flat/rollback-1").is_dir()


def test_what_does_not_fit_the_form_is_refused_in_the_web_ui(exported, page):
    exported.add(TROUBLE, "70")
    choose_all(page, f"{TROUBLE}_1__0__0", 1)
    page.get_by_role("button", name="Launch 1 run").click()
    expect(page.get_by_text("Missing required config entry")).to_be_visible()
    assert exported.of("70") == []


def test_a_broken_manifest_costs_only_itself_and_a_new_one_does_not_disturb_what_runs(exported):
    grandchild = exported.misbehave("ignore_signals", "10")
    folder = exported.home / "workflows/manifests"
    shutil.copy(next(folder.glob("*_1.0.0.json")), folder / "broken.json")
    spec = read_manifest(folder / f"{CAMERA}_1.0.0.json")
    write_manifest(type(spec)(**{**{name: getattr(spec, name) for name in spec.__slots__}, "version": "1.0.1"}), folder)
    wait_for(lambda: f"{CAMERA}_1__0__1" in exported.jobs(), "the new version", 30)
    assert exported.of("10")[0]["status"] == "STARTED"
    assert grandchild.is_running()
    assert "is another manifest of" in exported("groundtrack", "doctor").text
    (folder / "broken.json").unlink()
    exported.cancel("10")


def test_a_canceled_task_that_ignores_signals_is_gone_and_undone(exported):
    grandchild = exported.misbehave("ignore_signals", "11")
    exported.cancel("11")
    wait_for(lambda: not grandchild.is_running(), "end of what the task started", 10)
    assert (exported.place("11") / "data/rollback-1").exists()


def test_a_run_whose_worker_was_killed_is_started_again_and_undoes_first(exported):
    grandchild = exported.misbehave("ignore_signals", "12")
    note = exported.place("12") / "data/grandchild"
    [worker] = exported.run_workers()
    note.unlink()
    worker.kill()
    wait_for(lambda: not grandchild.is_running(), "end of what the task started", 10)
    wait_for(note.exists, "the run that Dagster starts instead", 90)
    assert [run["status"] for run in exported.of("12")] == ["STARTED", "FAILURE"]
    assert (exported.place("12") / "data/rollback-0").exists()
    exported.cancel("12")


def test_a_run_that_is_executed_again_from_failure_goes_on_at_the_failed_task(exported):
    folder = exported.home / f"workflows/runs/{CAMERA}_1.0.0/20"
    folder.mkdir(parents=True)
    (folder / "Combine").write_text("in the way")
    exported.launch(CAMERA, "20")
    assert exported.end_of("20") == "FAILURE"
    before = {task: (folder / task / "record.json").stat().st_mtime_ns for task in ("Parse", "Flat", "Dark")}
    (folder / "Combine").unlink()
    parent = exported.of("20")[0]["runId"]
    answer = exported.up.ask(
        f'mutation {{ launchRunReexecution(reexecutionParams: {{parentRunId: "{parent}", strategy: FROM_FAILURE}}) {{ __typename }} }}'
    )
    assert answer["launchRunReexecution"]["__typename"] == "LaunchRunSuccess", answer
    assert exported.end_of("20") == "SUCCESS"
    assert {task: (folder / task / "record.json").stat().st_mtime_ns for task in before} == before
    assert (folder / "Combine/record.json").exists()
