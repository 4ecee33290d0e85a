"""Tasks: the conformance cases T of the reference, and what their data and parameters promise."""

import ast
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field, make_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest

from platform_assets.workflows.sdk import Scratch, TaskBase, context, recipe_run_id_of
from platform_assets.workflows.sdk.parameters import parse, schema
from platform_assets.workflows.sdk.telemetry import Telemetry

ROOT = Path(__file__).parents[3]
RUN = {"recipe_run_id": 1, "workflow_name": "raw_to_l1_camera", "workflow_version": "1.0.0"}


class Recording(TaskBase):
    """Writes down what was called."""

    retries = 3
    breaks_in = ""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.breaks_in:
            raise RuntimeError(f"{name} is broken")

    def pre_run(self) -> None:
        self._call("pre_run")

    def run(self) -> None:
        self._call("run")

    def post_run(self) -> None:
        self._call("post_run")

    def rollback(self) -> None:
        self._call("rollback")

    def __exit__(self, *arguments) -> None:
        self._call("exit")
        super().__exit__(*arguments)


def called(breaks_in: str) -> Recording:
    """Use a task as it is to be used; it breaks in that hook."""
    task = Recording(**RUN)
    task.breaks_in = breaks_in
    with pytest.raises(RuntimeError, match=f"^{breaks_in} is broken"):
        _use(task)
    return task


def _use(task: TaskBase) -> None:
    with task as entered:
        entered()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    yield
    context.enter(context.Context())


def test_t1_the_hooks_are_called_in_order():
    with Recording(**RUN) as task:
        task()
    assert task.calls == ["pre_run", "run", "post_run", "exit"]


def test_t2_an_error_in_post_run_fails_the_task():
    task = called("post_run")
    assert task.calls == ["pre_run", "run", "post_run", "exit"]


def test_t3_neither_the_base_class_nor_a_task_without_run_can_be_instantiated():
    with pytest.raises(TypeError):
        TaskBase(**RUN)
    with pytest.raises(TypeError):
        type("Empty", (TaskBase,), {})(**RUN)


def test_t4_a_task_knows_its_run_its_name_and_its_retries():
    task = Recording(**RUN)
    assert (task.recipe_run_id, task.workflow_name, task.workflow_version) == (1, "raw_to_l1_camera", "1.0.0")
    assert (task.task_name, Recording.retries, TaskBase.retries, TaskBase.retry_delay_seconds) == ("Recording", 3, 0, 60)
    assert task.base_telemetry_attributes == {
        "recipe.run.id": 1,
        "workflow.name": "raw_to_l1_camera",
        "workflow.version": "1.0.0",
        "task.name": "Recording",
    }


def test_t5_a_task_shows_what_it_is():
    for text in (str(Recording(**RUN)), repr(Recording(**RUN))):
        assert "Recording" in text
        assert "recipe_run_id=1" in text


def test_t6_a_telemetry_endpoint_that_does_not_answer_costs_a_warning_and_not_the_task(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING), Recording(**RUN) as task:
        task()
    assert "run" in task.calls
    assert "telemetry was not sent to http://127.0.0.1:9/v1/traces" in caplog.text


def test_t7_an_error_in_run_ends_the_task_without_post_run_or_rollback():
    task = called("run")
    assert task.calls == ["pre_run", "run", "exit"]


def test_t8_digits_are_a_recipe_run_id_and_other_texts_are_not():
    assert recipe_run_id_of("12") == 12
    with pytest.raises(TypeError):
        recipe_run_id_of(None)
    for text in ("x", "", "1.0", "$(touch it)", "1 ", "٣"):
        with pytest.raises(ValueError, match="recipe_run_id"):
            recipe_run_id_of(text)


@pytest.mark.parametrize("value", [3.9, 3.0, True])
def test_t9_a_fraction_is_no_recipe_run_id(value):
    with pytest.raises(TypeError):
        recipe_run_id_of(value)


def test_c1_without_configuration_nothing_of_telemetry_is_recorded():
    telemetry = Telemetry({}, {})
    with telemetry.span("Run", {}) as span:
        assert span is None
    telemetry.flush()


def test_c1_the_sdk_takes_less_than_50_ms_and_imports_the_standard_library_only():
    code = (
        "import json, sys, time; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); began = time.process_time()\n"
        "from platform_assets.workflows.sdk import TaskBase\n"
        "spent = time.process_time() - began\n"
        "print(json.dumps([spent, sorted(set(sys.modules) - before)]))"
    )
    runs = [subprocess.run([sys.executable, "-I", "-c", code, str(ROOT)], capture_output=True, check=True).stdout for _ in range(3)]
    spent_s, modules = min(json.loads(run) for run in runs)
    assert spent_s < 0.05
    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names == {"platform_assets"}
    assert not {"urllib.request", "http.client", "ssl", "json", "dataclasses"} & set(modules)


def test_the_sdk_needs_nothing_but_itself_and_the_standard_library_also_later():
    files = [ROOT / "platform_assets/workflows/child.py", *(ROOT / "platform_assets/workflows/sdk").glob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in others if not f"{name}.".startswith("platform_assets.workflows.sdk.")} == set()


# --- provenance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_manual", "records", "written"), [(False, False, False), (True, False, True), (False, True, True)])
def test_m1_provenance_is_written_when_either_flag_is_on(is_manual, records, written, tmp_path):
    kind = type("Flagged", (Recording,), {"record_provenance": records, "is_task_manual": is_manual})
    with kind(**RUN) as task:
        task()
    assert (tmp_path / "scratch/1/.groundtrack/provenance-Flagged.json").exists() is written


def test_m2_library_versions_are_those_installed(tmp_path):
    context.enter(context.Context(scratch=tmp_path / "data", is_task_manual=True))
    with Recording(**RUN) as task:
        task()
    document = json.loads((tmp_path / "data/.groundtrack/provenance-Recording.json").read_text())
    assert document["libraryVersions"]["pytest"] == pytest.__version__
    assert (document["recipeRunId"], document["taskName"], document["isTaskManual"]) == (1, "Recording", True)


# --- scratch ------------------------------------------------------------------------------------------------------------


def test_m3_a_rollback_removes_this_tasks_files_tags_and_constants_and_no_others(tmp_path):
    first, second = Scratch(tmp_path, "First"), Scratch(tmp_path, "Second")
    raw = first.write(b"raw", "raw.dat", tags=["RAW"])
    first.constants["gain"] = 2
    second.write(b"flat", "deep/flat.dat", tags=["FLAT"])
    half = second.new("half.dat", tags=["FLAT"])
    half.write_bytes(b"ha")
    second.tag(raw, ["RAW", "CHECKED"])
    second.constants["mean"] = 1.5
    assert first.tags(raw) == {"RAW", "First", "CHECKED"}

    second.rollback()

    assert [path.name for path in tmp_path.rglob("*.dat")] == ["raw.dat"]
    assert first.tags(raw) == {"RAW", "First"}
    assert dict(first.constants) == {"gain": 2}


def test_files_are_found_by_all_their_tags(tmp_path):
    scratch = Scratch(tmp_path, "Task")
    one, _ = scratch.write("1", "b", tags=["X", "Y"]), scratch.write("2", "a", tags=["X"])
    assert scratch.find(["X", "Y"]) == [one]
    assert [path.name for path in scratch.find("X")] == ["a", "b"]
    assert scratch.find(["Task", "Z"]) == []


def test_a_file_that_was_announced_and_never_written_is_not_found(tmp_path):
    scratch = Scratch(tmp_path, "Task")
    scratch.new("later", tags=["X"])
    assert scratch.find(["X"]) == []


def test_data_of_a_recipe_run_are_never_overwritten(tmp_path):
    first, second = Scratch(tmp_path, "First"), Scratch(tmp_path, "Second")
    first.write("1", "a")
    first.constants["gain"] = 1
    with pytest.raises(FileExistsError):
        second.write("2", "a")
    with pytest.raises(ValueError, match="has a value already"):
        second.constants["gain"] = 2
    second.rollback()
    assert (tmp_path / "a").read_text() == "1"


def test_a_rollback_leaves_what_another_task_wrote_under_a_name_that_was_only_announced(tmp_path):
    one, other = Scratch(tmp_path, "One"), Scratch(tmp_path, "Other")
    one.new("report.txt")
    path = other.write("by the other", "report.txt")
    one.rollback()
    assert path.read_text() == "by the other"
    other.rollback()
    assert not path.exists()


def test_of_tasks_that_write_one_name_at_once_one_has_written_it(tmp_path):
    start, written = threading.Barrier(8), []

    def write(number: int) -> None:
        scratch = Scratch(tmp_path, f"Task{number}")
        start.wait()
        for name in map(str, range(40)):
            with suppress(FileExistsError):
                scratch.write(f"{number}", name)
                written.append((name, str(number)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == sorted((name, (tmp_path / name).read_text()) for name in map(str, range(40)))


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "", ".groundtrack/First.jsonl", "."])
def test_a_name_that_leads_out_of_the_scratch_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="not a path in the scratch folder"):
        Scratch(tmp_path, "Task").new(name)


def test_a_journal_that_a_kill_cut_off_is_read_up_to_there(tmp_path):
    scratch = Scratch(tmp_path, "Task")
    path = scratch.write("1", "a", tags=["X"])
    with (tmp_path / ".groundtrack/Task.jsonl").open("a") as journal:
        journal.write('{"new": "b", "ta')
    assert scratch.find(["X"]) == [path]
    scratch.rollback()
    assert not path.exists()


# --- parameters ---------------------------------------------------------------------------------------------------------


class Mode(StrEnum):
    FAST = "fast"
    GOOD = "good"


@dataclass
class Choice:
    frames: int
    gain: float = 1.0
    mode: Mode = Mode.FAST
    side: Literal["left", "right"] = "left"
    note: str | None = None
    masks: list[int] = field(default_factory=list)


def test_parameters_have_a_json_schema():
    assert schema(Choice) == {
        "type": "object",
        "required": ["frames"],
        "properties": {
            "frames": {"type": "integer"},
            "gain": {"type": "number", "default": 1.0},
            "mode": {"enum": ["fast", "good"], "default": "fast"},
            "side": {"enum": ["left", "right"], "default": "left"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "masks": {"type": "array", "items": {"type": "integer"}, "default": []},
        },
    }


def test_parameters_are_an_instance_of_the_tasks_dataclass():
    context.enter(context.Context(parameters={"frames": 3, "gain": 2, "mode": "good", "masks": [1], "of_another_task": 1}))
    task = type("Chosen", (Recording,), {"Parameters": Choice})(**RUN)
    assert task.parameters == Choice(3, 2.0, Mode.GOOD, "left", None, [1])
    assert Recording(**RUN).parameters is None


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, "frames has no value"),
        ({"frames": "3"}, "frames is a integer"),
        ({"frames": True}, "frames is a integer"),
        ({"frames": 1, "mode": "slow"}, "mode is one of"),
        ({"frames": 1, "masks": [1.5]}, "masks is a integer"),
        ({"frames": 1, "masks": 1}, "masks is a list"),
        ({"frames": 1, "note": 2}, "note is a string"),
    ],
)
def test_a_parameter_of_another_type_is_refused(values, error):
    with pytest.raises((TypeError, ValueError), match=error):
        parse(Choice, values)


def test_parameters_that_json_has_not_are_refused():
    with pytest.raises(TypeError, match=r"Strange\.path has the type"):
        schema(dataclass(type("Strange", (), {"__annotations__": {"path": Path}})))
    with pytest.raises(TypeError, match="must be a dataclass"):
        schema(int)


@pytest.mark.parametrize(
    ("hint", "default"), [(float, float("nan")), (float | None, float("inf")), (int, "3"), (list[int], ["a"]), (Mode, "none")]
)
def test_a_default_that_is_no_value_of_its_parameter_is_refused(hint, default):
    value = field(default_factory=lambda: default)
    with pytest.raises((TypeError, ValueError), match="the parameter gain is "):
        schema(make_dataclass("Wrong", [("gain", hint, value)]))


def test_defaults_are_in_json_types():
    kind = make_dataclass("Modes", [("modes", list[Mode], field(default_factory=lambda: list(Mode)))])
    assert schema(kind)["properties"]["modes"]["default"] == [mode.value for mode in Mode]


def test_progress_and_metadata_are_told():
    told: list[dict] = []
    context.enter(context.Context(tell=told.append))
    task = Recording(**RUN)
    task.progress(1.5, "frames")
    task.add_metadata({"frames": 3})
    assert told == [{"kind": "progress", "fraction": 1.0, "text": "frames"}, {"kind": "metadata", "values": {"frames": 3}}]


def test_c4_a_dot_env_file_in_the_working_directory_is_not_read(tmp_path):
    (tmp_path / ".env").write_text("UNKNOWN_KEY=1\nBUILD_VERSION=9\n")
    Recording(**RUN)
    assert "UNKNOWN_KEY" not in os.environ
