"""The sample instrument as assets on a real Dagster instance: what a run does, records, and refuses."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from platform_assets.workflows.jobs import declare
from platform_assets.workflows.local import alone
from platform_assets.workflows.manifest import read_manifest, write_manifest
from platform_assets.workflows.runner import RecipeRun
from platform_assets.workflows.shelf import mirror, read_shelf
from resources.dask_cluster import DaskCluster
from resources.local_dask import local_dask
from resources.object_store import S3Bucket
from resources.workflow_shop import WorkflowShop
from tests.builders.commands import run as command
from tests.builders.wheels import instrument

VERSIONS = ("1.0.0", "2.0.0")
CAMERA, TROUBLE = "raw_to_l1_camera", "raw_to_trouble_camera"


class Centre:
    """A home with the instrument's manifests, and a Dagster instance.

    Args:
        folder: The user's folder.
        instance: The instance.
    """

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = folder, instance
        self.home = folder / ".groundtrack" / "workflows"
        self.declared = declare(read_shelf(self.home / "manifests"))
        assert not self.declared.problems

    def definitions(self, dask: DaskCluster | None = None, **shop: Any) -> dg.Definitions:
        links = [str(self.folder / "dist")]
        workflow_shop = WorkflowShop(folder=str(self.home), find_links=links, no_index=True, **{"grace_s": 0.5, **shop})
        resources = {"workflow_shop": workflow_shop, "dask": dask or DaskCluster()}
        return dg.Definitions(assets=self.declared.assets, jobs=self.declared.jobs, resources=resources, executor=dg.in_process_executor)

    def run(
        self, number: object, workflow: str = CAMERA, version: str = "1.0.0", config: Mapping[str, Any] | None = None, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """Run a workflow for a recipe run, with a configuration a task."""
        self.instance.add_dynamic_partitions(f"{workflow}_recipe_runs", [str(number)])
        name = f"{workflow}_{version.replace('.', '__')}"
        ops = {f"{name}___{task}": {"config": values} for task, values in (config or {}).items()}
        return (
            self.definitions(**options)
            .resolve_job_def(name)
            .execute_in_process(run_config={"ops": ops}, instance=self.instance, partition_key=str(number), raise_on_error=False)
        )

    def misbehave(self, how: str, number: int, **options: Any) -> tuple[dg.ExecuteInProcessResult, dict[str, Any]]:
        """Run the task that misbehaves, and return the metadata of its failure."""
        result = self.run(number, TROUBLE, config={"Behave": {"how": how}}, **options)
        failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        facts = failures[0].user_failure_data.metadata if failures and failures[0].user_failure_data else {}
        return result, {name: value.value for name, value in facts.items()}

    def place(self, number: int, workflow: str = CAMERA, version: str = "1.0.0") -> Path:
        return self.home / "runs" / f"{workflow}_{version}" / str(number)

    def metadata(self, task: str, number: int, version: str = "1.0.0") -> dict[str, Any]:
        """What the latest materialization of a task says."""
        key = dg.AssetKey([CAMERA, version, task])
        filters = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[str(number)])
        [record] = self.instance.fetch_materializations(filters, limit=1).records
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    folder = tmp_path_factory.mktemp("centre")
    for version in VERSIONS:
        links = ("--no-index", "--find-links", str(folder / "dist"))
        done = command(folder, "groundtrack", "workflows", "export", str(instrument(folder / "dist", version)), *links)
        assert done.code == 0, done.text
    (folder / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(folder / "dagster"), overrides={"telemetry": {"enabled": False}}) as instance:
        yield Centre(folder, instance)


def log(centre: Centre, result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(entry.user_message for entry in centre.instance.all_logs(result.run_id))


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def grandchild(place: Path) -> int:
    deadline = time.monotonic() + 30
    while not (place / "data/grandchild").exists():
        assert time.monotonic() < deadline, "the task did not start"
        time.sleep(0.05)
    return int((place / "data/grandchild").read_text())


# --- what works ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [7, 8, 9])
@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_runs_with_its_own_pins_and_a_task_that_failed_succeeds_after_its_rollback(version, number, centre):
    result = centre.run(number, version=version, config={"Combine": {"gain": 2.5}})
    assert result.success, log(centre, result)
    assert [event.step_key.rpartition("_")[2] for event in result.all_events if event.is_step_up_for_retry] == ["Flat"]
    assert (centre.place(number, version=version) / "Flat/rollback-1").is_dir()
    flat, parse = centre.metadata("Flat", number, version), centre.metadata("Parse", number, version)
    assert (flat["attempts"], parse["attempts"], parse["tables"]) == (2, 1, version)
    assert parse["packages"] == {"calibration-tables": version, "instrument": version}
    assert parse["peak_memory_mb"] > 5
    assert parse["cpu_s"] > 0
    assert len(parse["lock_hash"]) == 64
    assert centre.metadata("Combine", number, version)["gain"] == 2.5


def test_the_orchestrator_never_imports_task_code(centre):
    assert centre.run(10).success
    assert not {name for name in sys.modules if name.partition(".")[0] in ("instrument", "calibration_tables")}
    with pytest.raises(ModuleNotFoundError):
        __import__("instrument")


def test_what_the_platform_has_is_not_visible_to_a_task_unless_it_is_named(centre, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("INSTRUMENT_MODE", "dark")
    result = centre.run(11, variables=["INSTRUMENT_MODE"])
    seen = centre.metadata("Parse", 11)["variables"]
    assert seen["INSTRUMENT_MODE"] == "dark"
    assert "canary" not in json.dumps(seen)
    assert seen["TRACEPARENT"].split("-")[1] == result.run_id.replace("-", "")


def test_progress_and_output_are_in_the_runs_log(centre, capfd):
    result = centre.run(12)
    assert "100 %  parsed" in log(centre, result)
    assert "raw_to_l1_camera.Parse: complete" in capfd.readouterr().err


def test_a_person_who_drives_a_task_is_recorded(centre):
    assert centre.run(13, config={"Parse": {"is_task_manual": True}}).success
    assert centre.metadata("Parse", 13)["is_task_manual"] is True
    assert centre.metadata("Dark", 13)["is_task_manual"] is False
    records = [json.loads(path.read_text()) for path in centre.place(13).rglob("provenance-*.json")]
    assert [(record["taskName"], record["isTaskManual"]) for record in records] == [("Parse", True)]
    assert records[0]["libraryVersions"] == {"calibration-tables": "1.0.0", "instrument": "1.0.0"}


def test_a_run_from_the_failed_task_on_finds_what_was_done_before(centre):
    name = f"{CAMERA}_1__0__0"
    centre.run(14)
    done = (centre.place(14) / "Parse/record.json").stat().st_mtime_ns
    job = centre.definitions().resolve_job_def(name)
    result = job.execute_in_process(
        instance=centre.instance, partition_key="14", op_selection=None, asset_selection=[dg.AssetKey([CAMERA, "1.0.0", "Combine"])]
    )
    assert result.success
    assert (centre.place(14) / "Parse/record.json").stat().st_mtime_ns == done


def test_a_second_run_of_a_recipe_run_waits_for_the_first(centre):
    spec = read_manifest(centre.home / f"manifests/{CAMERA}_1.0.0.json")
    results = []
    thread = threading.Thread(target=lambda: results.append(centre.run(15)))
    with alone(RecipeRun(spec, 15, centre.place(15))):
        thread.start()
        time.sleep(3)
        assert not (centre.place(15) / "Parse").exists()
        assert centre.run(15, version="2.0.0").success
    thread.join()
    assert results[0].success
    assert "this run waits for it" in log(centre, results[0])


def test_a_run_that_waits_for_its_turn_keeps_no_slot_of_a_pool_from_the_run_that_has_it(centre):
    spec = read_manifest(centre.home / f"manifests/{CAMERA}_1.0.0.json")
    storage, results = centre.instance.event_log_storage, []
    storage.set_concurrency_slots("default", 1)
    thread = threading.Thread(target=lambda: results.append(centre.run(18)))
    try:
        with alone(RecipeRun(spec, 18, centre.place(18))):
            thread.start()
            deadline = time.monotonic() + 30
            while not any("waits for it" in entry.user_message for run in _runs(centre, 18) for entry in centre.instance.all_logs(run)):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert storage.get_concurrency_info("default").claimed_slots == []
        thread.join()
        assert storage.get_concurrency_info("default").claimed_slots == []
    finally:
        storage.delete_concurrency_limit("default")
    assert results[0].success


def _runs(centre: Centre, number: int) -> list[str]:
    tagged = dg.RunsFilter(tags={"dagster/partition": str(number)})
    return [run.run_id for run in centre.instance.get_runs(tagged)]


# --- what fails ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("fail", "task_failed", "ValueError: the detector is cold"),
        ("swallow", "not_completed", "ended with code 0 without completing"),
        ("exit_99", "not_completed", "ended with code 99 without completing"),
        ("exit_later", "not_completed", "ended with code 99 after it had completed"),
        ("kill", "killed", "killed by signal 9"),
    ],
)
def test_only_a_task_that_completes_is_materialized(how, code, words, centre):
    number = 100 + len(how)
    result, facts = centre.misbehave(how, number)
    assert not result.success
    assert facts["code"] == code
    assert words in facts["error"]
    assert (facts["recipe_run_id"], facts["task"], facts["attempt"]) == (number, "Behave", 1)
    key = dg.AssetKey([TROUBLE, "1.0.0", "Behave"])
    assert not [event for event in result.get_asset_materialization_events() if event.asset_key == key]
    assert not (centre.place(number, TROUBLE) / "Nothing").exists()


def test_a_failure_has_the_tasks_own_exception_and_traceback_and_that_of_its_rollback(centre):
    result, facts = centre.misbehave("cannot_roll_back", 30)
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert 'raise ValueError("the detector is cold")' in failure.error.message
    assert "Its rollback failed too: OSError: the archive is read-only" in failure.error.message
    assert facts["rollback_failure"] == "OSError: the archive is read-only"


@pytest.mark.parametrize("partition", ["$(touch pwned)", "3.9"])
def test_n13_a_partition_that_is_no_recipe_run_starts_nothing(partition, centre):
    result = centre.run(partition)
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data.metadata["code"].value == "invalid_run"
    assert not list(centre.folder.rglob("pwned"))
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_n9_a_task_whose_environment_cannot_be_made_is_never_started_nor_tried_again(centre, tmp_path):
    spec = read_manifest(centre.home / f"manifests/{CAMERA}_1.0.0.json")
    folder = tmp_path / "workflows"
    write_manifest(spec, folder / "manifests")
    other = Centre.__new__(Centre)
    other.folder, other.instance, other.home, other.declared = tmp_path, centre.instance, folder, centre.declared
    result = other.run(16)
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data.metadata["code"].value == "install_failed"
    assert "No solution found" in failure.user_failure_data.metadata["error"].value
    assert not list(folder.glob("runs/*/*/*/run-*"))


def test_what_an_earlier_run_printed_is_not_shown_for_a_task_that_was_not_started(centre, tmp_path, capfd):
    write_manifest(read_manifest(centre.home / f"manifests/{CAMERA}_1.0.0.json"), tmp_path / "workflows/manifests")
    other = Centre.__new__(Centre)
    other.folder, other.instance, other.home, other.declared = tmp_path, centre.instance, tmp_path / "workflows", centre.declared
    (other.place(17) / "Parse/run-1").mkdir(parents=True)
    (other.place(17) / "Parse/run-1/stdout.log").write_text("of yesterday")
    assert not other.run(17).success
    assert "of yesterday" not in capfd.readouterr().out


def test_a_task_that_ignores_signals_is_gone_with_its_children_after_the_grace_time(centre):
    _, facts = centre.misbehave("ignore_signals", 31, time_limit_s=1)
    assert facts["code"] == "time_limit"
    assert is_gone(grandchild(centre.place(31, TROUBLE)))


# --- on Dask ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask() -> Iterator[DaskCluster]:
    with local_dask(1) as address:
        yield DaskCluster(kind="address", address=address)


def test_tasks_run_on_dask_and_one_whose_queue_no_worker_has_is_refused(centre, dask):
    result = centre.run(40, placement="dask", dask=dask)
    assert {event.step_key.rpartition("_")[2] for event in result.all_events if event.is_step_success} == {"Parse", "Dark"}
    assert "100 %  parsed" in log(centre, result)
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "no Dask worker has that resource" in failure.error.message
    assert not (centre.place(40) / "Flat").exists()


def test_a_task_ends_with_its_dask_worker_and_is_undone_by_the_next_run(centre, dask):
    place = centre.place(41, TROUBLE)

    def kill() -> None:
        child = psutil.Process(grandchild(place)).parent()
        os.kill(child.ppid(), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result, facts = centre.misbehave("ignore_signals", 41, placement="dask", dask=dask)
    killer.join()
    assert not result.success
    assert facts["code"] == "worker_lost"
    assert is_gone(grandchild(place))
    centre.misbehave("fail", 41, placement="dask", dask=dask)
    assert (place / "data/rollback-0").exists()


_CLIENT = """
import sys
from pathlib import Path
import dagster as dg
from resources.dask_cluster import DaskCluster
from tests.integration.test_workflows_dagster import Centre
if __name__ == "__main__":
    folder, address = sys.argv[1:]
    with dg.DagsterInstance.local_temp(folder + "/dagster") as instance:
        Centre(Path(folder), instance).misbehave("ignore_signals", 42, placement="dask", dask=DaskCluster(kind="address", address=address))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_task_on_dask_ends_and_is_undone_when_its_run_ends(number, centre, dask):
    place = centre.place(42, TROUBLE)
    (place / "data/grandchild").unlink(missing_ok=True)
    (place / "data/rollback-1").unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", _CLIENT, str(centre.folder), dask.address], cwd=Path(__file__).parents[2])
    pid = grandchild(place)
    process.send_signal(number)
    process.wait(60)
    deadline = time.monotonic() + 30
    while not ((place / "data/rollback-1").exists() and is_gone(pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert is_gone(pid)
    assert (place / "data/rollback-1").exists()


# --- manifests in a bucket ----------------------------------------------------------------------------------------------


def test_a_copy_of_the_manifests_in_a_bucket_follows_them(centre, bucket: S3Bucket, tmp_path):
    texts = {path.name: path.read_bytes() for path in (centre.home / "manifests").glob("*.json")}
    for name, text in texts.items():
        bucket.write(f"workflows/{name}", text, content_type="application/json")
    mirror(bucket, "workflows/", tmp_path)
    assert len(read_shelf(tmp_path).workflows) == len(texts)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    bucket.delete(f"workflows/{CAMERA}_1.0.0.json")
    mirror(bucket, "workflows/", tmp_path)
    assert len(read_shelf(tmp_path).workflows) == len(texts) - 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items() <= times.items()
