"""A pipeline that was written for dkist-processing-core and -common, ported by changing its imports and nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.builders import wheels
from tests.builders.commands import Done, run

_MODULES = {
    "dkist_processing_core": "platform_assets.workflows.sdk",
    "dkist_processing_common.tasks": "platform_assets.workflows.sdk.teardown",
}
_EXTRAS = 'optional-dependencies = {frozen = ["calibration-tables==1.0.0"], asdf = [], quality = []}'


class Ported:
    """The pipeline as a wheel, with its workflows exported.

    Attributes:
        changed: The lines that the port changed, as they were.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed: list[str] = []
        sources = folder / "sources"
        shutil.copytree(Path(wheels.__file__).parent / "trial_pipeline", sources / "trial_pipeline")
        for path in sources.rglob("*.py"):
            path.write_text("".join(map(self._ported, path.read_text().splitlines(keepends=True))))
        wheels.wheel(folder / "dist", "calibration-tables", "1.0.0")
        self.wheel = wheels.wheel(folder / "dist", "trial-pipeline", "1.0.0", _EXTRAS, sources)

    def _ported(self, line: str) -> str:
        new = line
        for old, ours in _MODULES.items():
            new = new.replace(old, ours)
        if new != line:
            self.changed.append(line)
        return new

    def __call__(self, *arguments: str) -> Done:
        return run(self.folder, "groundtrack", "workflows", *arguments, "--no-index", "--find-links", str(self.folder / "dist"))

    def manifest(self, detail: str) -> dict[str, Any]:
        path = self.folder / f".groundtrack/workflows/manifests/input_to_output_trial_{detail}_1.0.0.json"
        return dict(json.loads(path.read_text())["workflow"])


@pytest.fixture(scope="module")
def ported(tmp_path_factory: pytest.TempPathFactory) -> Ported:
    ported = Ported(tmp_path_factory.mktemp("port"))
    done = ported("export", str(ported.wheel))
    assert done.code == 0, done.text
    return ported


def test_the_port_changes_imports_only(ported):
    assert ported.changed
    assert all(line.startswith(tuple(f"from {module} import " for module in _MODULES)) for line in ported.changed)


def test_the_ported_workflow_has_the_graph_the_queues_and_the_extras_that_were_written(ported):
    tasks = {task["name"]: task for task in ported.manifest("management-processes-e2e")["tasks"]}
    assert len(tasks) == 13
    assert tasks["AssembleQuality"]["upstreams"] == ["QualityL0", "QualityL1"]
    assert tasks["TransferOutput"]["upstreams"] == ["WriteL1", "AssembleMovie"]
    queues = {name: task["resource_queue"] for name, task in tasks.items() if task["resource_queue"] != "default"}
    assert queues == {"Calibrate": "high_memory", "WriteL1": "multi_core", "MakeMovieFrames": "gpu"}
    assert tasks["AssembleQuality"]["extras"] == ["frozen", "quality", "asdf"]
    assert (tasks["TransferInput"]["retries"], tasks["TransferInput"]["retry_delay_seconds"]) == (2, 1)


def test_the_ported_workflow_runs_to_its_end(ported):
    done = ported("run", "input_to_output_trial_management-processes-e2e", "--recipe-run-id", "3", "--workers", "2")
    assert done.code == 0, done.text
    assert "13 tasks, 0 failed" in done.text
    place = ported.folder / ".groundtrack/workflows/runs/input_to_output_trial_management-processes-e2e_1.0.0/3"
    torn_down = json.loads((place / "Teardown/record.json").read_text())
    assert torn_down["metadata"] == {"recipe_run_status": "COMPLETEDSUCCESSFULLY"}
    assert not list((place / "data").glob("[!.]*"))


def test_the_ported_failure_is_a_failure(ported):
    done = ported("run", "input_to_output_trial_fail", "--recipe-run-id", "3")
    assert done.code == 1
    assert "Fail failed task_failed in run: RuntimeError: Failure is guaranteed" in done.text
