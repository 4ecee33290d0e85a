"""The sample instrument, exported and run with the command as a user types it; and how its processes end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from uv import find_uv_bin

from platform_assets.common.errors import Conflict
from platform_assets.environments import interpreters
from platform_assets.environments.cache import EnvironmentCache
from platform_assets.environments.process import Limits
from platform_assets.environments.uv import PackageIndex, Uv
from platform_assets.workflows.local import run_workflow
from platform_assets.workflows.manifest import read_manifest
from platform_assets.workflows.runner import RecipeRun, Shop, TaskRecord
from platform_assets.workflows.sdk_files import sdk_folder
from tests.builders.commands import Done
from tests.builders.commands import run as command
from tests.builders.otlp import otlp_receiver
from tests.builders.wheels import instrument

VERSIONS = ("1.0.0", "2.0.0")


class Centre:
    """A folder in which a user has the wheels of the instrument.

    Args:
        folder: The user's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.links = ("--no-index", "--find-links", str(folder / "dist"))

    def __call__(self, *arguments: str, **variables: str) -> Done:
        return command(self.folder, "groundtrack", "workflows", *arguments, **variables)

    def run(self, workflow: str, number: int, *options: str, version: str = "1.0.0", **variables: str) -> Done:
        return self("run", workflow, "--version", version, "--recipe-run-id", str(number), *options, *self.links, **variables)

    def misbehave(self, how: str, number: int, *, rollback: bool = True, limits: Limits | None = None) -> TaskRecord:
        """Run the task that misbehaves in this process, which saves the command's start, and return its record."""
        spec = read_manifest(self.folder / ".groundtrack/workflows/manifests/raw_to_trouble_camera_1.0.0.json")
        cache = self.folder / ".groundtrack/workflows/cache"
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        uv = Uv(Path(find_uv_bin()), cache / "uv", PackageIndex(find_links=(self.links[2],), no_index=True), variables)
        environments = EnvironmentCache(cache, uv, interpreters.this())
        shop = Shop(environments, sdk_folder(cache / "sdk"), rollback=rollback, limits=limits or Limits())
        return run_workflow(shop, RecipeRun(spec, number, self.place(number), {"how": how}), threading.Event())[0]

    def place(self, number: int, workflow: str = "raw_to_trouble_camera", version: str = "1.0.0") -> Path:
        return self.folder / ".groundtrack/workflows/runs" / f"{workflow}_{version}" / str(number)

    def record(self, number: int, task: str = "Behave", **which: str) -> dict:
        return json.loads((self.place(number, **which) / task / "record.json").read_text())


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Centre:
    centre = Centre(tmp_path_factory.mktemp("centre"))
    for version in VERSIONS:
        wheel = instrument(centre.folder / "dist", version)
        done = centre("export", str(wheel), *centre.links)
        assert done.code == 0, done.text
    return centre


def eventually(holds: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# --- the life of a package ----------------------------------------------------------------------------------------------


def test_b1_a_valid_package_validates_and_writes_nothing(centre):
    before = sorted(centre.folder.rglob("manifests/*"))
    done = centre("validate", "dist/instrument-1.0.0-py3-none-any.whl", *centre.links)
    assert "raw_to_l1_camera 1.0.0: 4 tasks: Parse, Flat, Dark, Combine" in done.text
    assert "2 workflows can be run." in done.text
    assert sorted(centre.folder.rglob("manifests/*")) == before


def test_b7_an_export_gives_the_same_bytes_every_time(centre, tmp_path):
    texts = set()
    for number in range(2):
        centre("export", "instrument==1.0.0", "--to", str(tmp_path / str(number)), *centre.links)
        texts.add((tmp_path / str(number) / "raw_to_l1_camera_1.0.0.json").read_text())
    assert texts == {(centre.folder / ".groundtrack/workflows/manifests/raw_to_l1_camera_1.0.0.json").read_text()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_workflow_runs_each_version_with_its_own_pins(version, centre):
    which = {"workflow": "raw_to_l1_camera", "version": version}
    done = centre.run("raw_to_l1_camera", 7, "--workers", "2", "--parameter", "gain=2.5", version=version)
    assert done.code == 0, done.text
    assert "Parse 100 % parsed" in done.text
    assert centre.record(7, "Parse", **which)["metadata"]["tables"] == version
    flat = centre.record(7, "Flat", **which)
    assert (flat["state"], flat["attempts"], flat["failure"]) == ("succeeded", 2, None)
    combined = centre.record(7, "Combine", **which)
    assert combined["metadata"] == {"names": ["flat.txt", "dark.txt", "tables.txt"], "gain": 2.5, "note": None}
    assert combined["packages"] == {"instrument": version, "calibration-tables": version}
    assert combined["peak_memory_mb"] > 5


def test_a_second_run_of_a_recipe_carries_over_what_the_first_completed(centre):
    again = centre.run("raw_to_l1_camera", 7, "--parameter", "gain=2.5")
    assert again.text.count("carried over") == 4
    anew = centre.run("raw_to_l1_camera", 7, "--parameter", "gain=2.5", "--again")
    assert anew.code == 0, anew.text
    assert "carried over" not in anew.text


def test_the_orchestrators_packages_paths_and_secrets_are_not_visible_to_a_task(centre):
    secrets = {"AWS_SECRET_ACCESS_KEY": "canary", "PYTHONPATH": "/canary", "GROUNDTRACK_UI_TOKEN": "canary"}
    done = centre.run("raw_to_l1_camera", 8, "--env", "INSTRUMENT_MODE=dark", **secrets)
    assert done.code == 0, done.text
    seen = centre.record(8, "Parse", workflow="raw_to_l1_camera")["metadata"]
    assert seen["modules"] == []
    assert "canary" not in json.dumps(seen)
    assert seen["variables"]["INSTRUMENT_MODE"] == "dark"
    assert not [path for path in seen["path"] if str(Path(__file__).parents[2]) in path or sys.prefix in path]
    assert str(Path.home()) != seen["variables"]["HOME"]


def test_b4_the_notebook_runs_once_the_id_is_filled_in(centre, tmp_path):
    assert centre("notebook", "instrument==1.0.0", "--to", str(tmp_path), *centre.links).code == 0
    cells = json.loads((tmp_path / "raw_to_l1_camera_1.0.0.ipynb").read_text())["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    script = "\n".join(["recipe_run_id: int = 5", *("".join(lines) for lines in (code[1], code[3], code[4]))])
    environment = next(path for path in centre.folder.glob(".groundtrack/workflows/cache/environments/*") if tables(path) == "1.0.0")
    sdk = next(centre.folder.glob(".groundtrack/workflows/cache/sdk/*"))
    done = subprocess.run(
        [environment / "bin/python", "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(sdk)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "scratch/5").glob("*.txt")) == ["dark.txt", "tables.txt"]


def tables(environment: Path) -> str:
    packages: dict[str, str] = json.loads((environment / "groundtrack-environment.json").read_text())["packages"]
    return packages.get("calibration-tables", "")


def test_the_wheel_of_the_sdk_installs_and_a_prebuilt_environment_is_used_as_it_is(centre, tmp_path):
    assert centre("sdk", "--to", str(tmp_path)).code == 0
    python = tmp_path / "venv/bin/python"
    subprocess.run([find_uv_bin(), "venv", "-q", "--no-project", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    wheels = [next(tmp_path.glob("groundtrack_sdk-*.whl")), *(centre.folder / "dist").glob("*-2.0.0-*.whl")]
    subprocess.run([find_uv_bin(), "pip", "install", "-q", "--offline", "--no-deps", "--no-cache", "--python", python, *wheels], check=True)
    done = centre("validate", "instrument", "--prebuilt", str(python))
    assert "raw_to_l1_camera dev: 4 tasks" in done.text
    assert centre.run("raw_to_l1_camera", 9, "--prebuilt", str(python)).code == 0


def test_prewarm_makes_what_a_run_needs_and_checks_what_is_there(centre):
    done = centre("prewarm", "raw_to_l1_camera", "--version", "2.0.0", *centre.links)
    assert done.code == 0, done.text
    assert "instrument[frozen,fast]==2.0.0" in done.text


@pytest.mark.parametrize("number", ["$(touch pwned)", "3.9"])
def test_n13_what_is_no_recipe_run_id_is_refused_before_anything_is_started(number, centre):
    done = centre("run", "raw_to_l1_camera", "--version", "1.0.0", "--recipe-run-id", number, *centre.links)
    assert done.code == 2
    assert "not a valid integer" in done.text
    assert not list(centre.folder.rglob("pwned"))


def test_parameters_are_data_and_never_code(centre):
    centre.misbehave("$(touch pwned); __import__('os').system('touch pwned')", 30)
    assert "AttributeError" in centre.record(30)["failure"]["message"]
    assert not list(centre.folder.rglob("pwned"))


def test_a_parameter_that_lacks_or_is_unknown_is_refused_before_anything_is_started(centre):
    assert "Behave needs the parameter how" in centre.run("raw_to_trouble_camera", 31).text
    assert not centre.place(31).exists()


def test_n9_a_task_whose_environment_cannot_be_made_is_never_started(centre):
    arguments = ("run", "raw_to_l1_camera", "--version", "1.0.0", "--recipe-run-id", "32")
    done = centre(*arguments, "--no-index", "--find-links", str(centre.folder))
    assert done.code == 1
    failure = centre.record(32, "Parse", workflow="raw_to_l1_camera")["failure"]
    assert (failure["code"], failure["stage"]) == ("install_failed", "install")
    assert "calibration-tables was not found" in " ".join(failure["message"].split())
    assert not list(centre.place(32, "raw_to_l1_camera").glob("*/run-*"))


# --- how a task ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("fail", "task_failed", "ValueError: the detector is cold"),
        ("swallow", "not_completed", "ended with code 0 without completing"),
        ("exit_0", "task_failed", "SystemExit: 0"),
        ("exit_99", "not_completed", "ended with code 99 without completing"),
        ("exit_later", "not_completed", "ended with code 99 after it had completed"),
        ("kill", "killed", "killed by signal 9 without completing"),
    ],
)
def test_n4_n11_only_a_task_that_completes_has_succeeded(how, code, words, centre):
    number = 100 + len(how)
    record = centre.misbehave(how, number)
    assert record.failure is not None
    assert (record.state, record.failure.code) == ("failed", code)
    assert words in record.failure.message
    assert centre.record(number)["recipe_run_id"] == number
    assert centre.record(number, "Nothing")["state"] == "upstream_failed"
    assert (centre.place(number) / "data/rollback-1").exists()


def test_f7_the_record_of_a_failure_has_the_tasks_own_traceback_and_none_of_our_frames(centre):
    done = centre.run("raw_to_trouble_camera", 33, "--parameter", "how=fail")
    assert done.code == 1
    assert "Behave failed task_failed in run: ValueError: the detector is cold" in done.text
    traceback = centre.record(33)["failure"]["traceback"]
    assert 'raise ValueError("the detector is cold")' in traceback
    assert "child.py" not in traceback


def test_what_json_has_not_is_text_in_the_record(centre):
    record = centre.misbehave("tell_oddly", 24)
    assert record.metadata == {"mean": "nan", "range": {"most": [0.5, "inf"]}}
    assert record.failure.message == "ValueError: no such frame: ?"


def test_a_failure_of_the_rollback_stands_beside_the_first(centre):
    record = centre.misbehave("cannot_roll_back", 34)
    assert record.failure.message == "ValueError: the detector is cold"
    assert record.rollback_failure.message == "OSError: the archive is read-only"
    assert record.rollback_failure.stage == "rollback"


def test_rollback_can_be_left_out(centre):
    centre.misbehave("fail", 35, rollback=False)
    assert not list((centre.place(35) / "data").glob("rollback-*"))


def test_a_task_that_ignores_signals_is_gone_with_its_children_after_the_grace_time(centre):
    began = time.monotonic()
    centre.misbehave("ignore_signals", 36, limits=Limits(time_s=1, grace_s=0.5))
    assert time.monotonic() - began < 8
    assert centre.record(36)["failure"]["code"] == "time_limit"
    assert is_gone(int((centre.place(36) / "data/grandchild").read_text()))


def test_a_process_that_a_task_leaves_behind_is_ended(centre):
    assert centre.misbehave("leave_grandchild", 37).failure is None
    assert is_gone(int((centre.place(37) / "data/grandchild").read_text()))


def test_a_task_that_takes_too_much_memory_is_ended(centre):
    centre.misbehave("hungry", 38, limits=Limits(memory_bytes=150_000_000, grace_s=1))
    record = centre.record(38)
    assert record["failure"]["code"] == "memory_limit"
    assert record["peak_memory_mb"] > 150


@contextmanager
def underway(centre: Centre, number: int) -> Iterator[subprocess.Popen]:
    """A run whose task and grandchild sleep."""
    program = Path(sys.executable).parent / "groundtrack"
    arguments = ["run", "raw_to_trouble_camera", "--version", "1.0.0", "--recipe-run-id", str(number), "--parameter", "how=ignore_signals"]
    command_line = [str(program), "workflows", *arguments, "--grace-s", "0.5", *centre.links]
    process = subprocess.Popen(command_line, cwd=centre.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert eventually((centre.place(number) / "data/grandchild").exists, 20)
        yield process
    finally:
        process.kill()
        process.wait()


def test_f6_a_runner_that_is_killed_takes_its_task_with_it_and_the_next_rolls_back_and_runs(centre):
    with underway(centre, 40) as process:
        grandchild = int((centre.place(40) / "data/grandchild").read_text())
        process.kill()
        assert eventually(lambda: is_gone(grandchild))
    assert centre.record(40)["state"] == "under_way"
    centre.misbehave("fail", 40)
    assert (centre.place(40) / "data/rollback-0").exists()


def test_ctrl_c_ends_the_task_and_rolls_it_back(centre):
    with underway(centre, 41) as process:
        grandchild = int((centre.place(41) / "data/grandchild").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert is_gone(grandchild)
    assert centre.record(41)["failure"]["code"] == "canceled"
    assert (centre.place(41) / "data/rollback-1").exists()


def test_a_recipe_run_that_is_under_way_is_not_run_beside_itself(centre):
    with underway(centre, 42), pytest.raises(Conflict, match=r"recipe run 42 of raw_to_trouble_camera_1\.0\.0 is under way"):
        centre.misbehave("fail", 42)


# --- telemetry ----------------------------------------------------------------------------------------------------------


def test_t10_spans_are_nested_and_named_as_the_references(centre):
    trace, parent = os.urandom(16).hex(), os.urandom(8).hex()
    with otlp_receiver() as received:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url, "TRACEPARENT": f"00-{trace}-{parent}-01"}
        done = centre.run("raw_to_l1_camera", 50, "--env", "NOMAD_ALLOC_ID=a1", OTEL_RESOURCE_ATTRIBUTES="site=maui", **variables)
    assert done.code == 0, done.text
    assert received.refused == []
    roots = [span for span in received.spans if span["parentSpanId"] == parent]
    assert {span["name"] for span in roots} == {f"raw_to_l1_camera.{task}" for task in ("Parse", "Flat", "Dark", "Combine")}
    assert {span["traceId"] for span in received.spans} == {trace}
    root = received.named("raw_to_l1_camera.Parse")
    assert [span["name"] for span in received.children(root)] == ["Pre Run", "Run", "Post Run"]
    base = {"recipe.run.id": 50, "workflow.name": "raw_to_l1_camera", "workflow.version": "1.0.0", "nomad.allocation.id": "a1"}
    assert root["attributes"] == {**base, "task.name": "Parse", "dkist.root": "True"}
    assert all(base.items() <= span["attributes"].items() for span in received.spans)
    assert received.resources[0] == {"site": "maui", "service.name": "groundtrack-workflows"}


def test_t10_the_span_of_what_failed_says_why_and_every_attempt_is_counted(centre):
    with otlp_receiver() as received:
        assert centre.run("raw_to_l1_camera", 51, otel_exporter_otlp_endpoint=received.url).code == 0
    failed = [span for span in received.spans if span["name"] == "Run" and span["status"]["code"] == 2]
    assert [span["status"]["message"] for span in failed] == ["RuntimeError: the lamp was off"]
    assert [span["events"][0]["name"] for span in failed] == ["exception"]
    assert {metric["name"] for metric in received.metrics} == {"dkist.processing.tasks.executed"}
    assert len(received.metrics) == 5


def test_a_run_without_a_trace_of_its_own_is_one_trace(centre):
    with otlp_receiver() as received:
        mesh = json.dumps({"otlp-traces-endpoint": {"mesh_address": "127.0.0.1", "mesh_port": int(received.url.rpartition(":")[2])}})
        assert centre.run("raw_to_l1_camera", 52, MESH_CONFIG=mesh).code == 0
    assert len({span["traceId"] for span in received.spans}) == 1
    assert len([span for span in received.spans if "dkist.root" in span["attributes"]]) == 5
    assert received.metrics == []


# --- by hand ------------------------------------------------------------------------------------------------------------


def test_m4_a_manual_run_writes_its_records_to_disk(centre):
    done = centre.run("raw_to_l1_camera", 60, "--manual")
    assert done.code == 0, done.text
    which = {"workflow": "raw_to_l1_camera"}
    assert centre.record(60, "Parse", **which)["is_task_manual"] is True
    document = json.loads((centre.place(60, **which) / "data/.groundtrack/provenance-Parse.json").read_text())
    assert (document["isTaskManual"], document["recipeRunId"], document["taskName"]) == (True, 60, "Parse")
    assert document["libraryVersions"] == {"instrument": "1.0.0", "calibration-tables": "1.0.0"}


def test_b8_a_folder_of_the_users_survives_validation(centre):
    kept = [centre.folder / name / "kept.txt" for name in ("export", "dags", "notebooks")]
    for path in kept:
        path.parent.mkdir()
        path.write_text("mine")
    assert centre("validate", "instrument==1.0.0", *centre.links).code == 0
    assert [path.read_text() for path in kept] == ["mine"] * 3
