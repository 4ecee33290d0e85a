"""kill -9 of every process in the middle of a batch: what comes out at the end is as if nothing had happened."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.builders.noise import noise_image
from tests.builders.servers import wait_for
from tests.builders.site import Site
from tests.builders.truth import Settled

_GOOD, _BAD = 14, "bad.tif"
_SIZE_PX = 1700  # two Dask tasks, one on each worker, of some seconds each
_BEGUN = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("kills") / "home", dask_workers=2, sensor_interval_s=1, manifest_grace_s=0)
    yield site
    site.end()


@dataclass(frozen=True)
class Batch:
    """A folder with some images, one of them bad, and a manifest of all of them.

    Attributes:
        site: Where it is put.
        folder: Its name.
        scratch: A folder for files.
    """

    site: Site
    folder: str
    scratch: Path

    @property
    def good(self) -> list[str]:
        return [f"{self.folder}/{number:02d}.tif" for number in range(_GOOD)]

    @property
    def bad(self) -> str:
        return f"{self.folder}/{_BAD}"

    @property
    def manifest(self) -> str:
        return f"{self.folder}/roll_raw.csv"

    def drop(self) -> None:
        self.site.drop(self.manifest, [(key, 3) for key in (*self.good[:5], self.bad, *self.good[5:])])

    def start(self) -> "Batch":
        """Put it into the bucket and wait until some, but not all, of its images are converted."""
        contents = [noise_image(_SIZE_PX, seed) for seed in (1, 2)]
        self.site.put({key: contents[number % 2] for number, key in enumerate(self.good)} | {self.bad: contents[0][:5_000_000]})
        self.drop()
        wait_for(lambda: len(self.site.items(self.folder)) >= _BEGUN, f"conversion of the first images of {self.folder}", 90)
        return self

    def is_in_work(self) -> bool:
        return _BEGUN <= len(self.site.items(self.folder)) < _GOOD

    def contradictions(self) -> str:
        """Wait for the end, and return what is not as if nothing had happened."""
        self.site.wait_until_settled(self.folder)
        return Settled(self.site, self.folder, self.manifest, frozenset(self.good), frozenset([self.bad]), self.scratch).contradictions()

    def runs(self) -> list[str]:
        """The status of each run of the batch, newest first."""
        return [run["status"] for run in self.site.runs(**{"groundtrack/manifest": self.site.report(self.folder)["manifest"]["id"]})]


@pytest.fixture
def batch(site: Site, request: pytest.FixtureRequest, tmp_path: Path) -> Batch:
    return Batch(site, request.node.name.removeprefix("test_").replace("_", "-")[:40], tmp_path).start()


def kill(process: psutil.Process) -> None:
    process.kill()
    process.wait(10)


def test_the_daemon_is_killed(site, batch):
    site.up.kill("daemon")
    assert batch.is_in_work()
    assert batch.contradictions() == ""
    assert batch.runs() == ["FAILURE"]


def test_a_dask_worker_is_killed(site, batch):
    kill(site.busy_dask_workers()[0])
    assert batch.is_in_work()
    assert batch.contradictions() == ""
    assert batch.runs() == ["FAILURE"]


def test_the_run_worker_is_killed(site, batch):
    [worker] = site.run_workers()
    kill(worker)
    assert batch.is_in_work()
    assert batch.contradictions() == ""
    assert batch.runs() == ["FAILURE", "FAILURE"]


def test_the_s3_server_is_killed(site, batch):
    assert batch.is_in_work()
    killed = site.up.pid("s3")
    site.up.kill("s3")
    assert batch.contradictions() == ""
    assert site.up.pid("s3") not in (None, killed)


def test_the_code_server_is_killed(site, batch):
    site.up.kill("code_server")
    assert batch.is_in_work()
    assert batch.contradictions() == ""
    assert batch.runs() == ["FAILURE", "FAILURE"]


def test_the_power_is_cut(site, batch):
    assert batch.is_in_work()
    site.cut_power()
    site.start()
    assert batch.is_in_work()
    assert batch.contradictions() == ""
    assert batch.runs() == ["FAILURE", "FAILURE"]


def test_no_image_is_left_in_the_scratch_folders(site):
    assert [str(path) for path in site.scratch.rglob("*") if path.suffix in (".tif", ".jpg")] == []


def test_a_run_that_a_user_terminates_is_not_started_again(site, batch):
    [run] = [run for run in site.runs() if run["status"] == "STARTED"]
    results = "... on TerminateRunsResult { terminateRunResults { __typename } }"
    answer = site.up.ask(f'mutation {{ terminateRuns(runIds: ["{run["runId"]}"]) {{ {results} }} }}')["terminateRuns"]
    assert [result["__typename"] for result in answer["terminateRunResults"]] == ["TerminateRunSuccess"]
    site.wait_until_settled(batch.folder)
    assert batch.runs() == ["CANCELED"]
    rows = {row["key"]: row for row in site.report(batch.folder)["rows"]}
    assert set(rows) == {*batch.good, batch.bad}
    done = {key for key, row in rows.items() if row["state"] == "carried_over"}
    interrupted = {key for key, row in rows.items() if row.get("failure", {}).get("error_class") == "batch_interrupted"}
    assert done | interrupted | {batch.bad} == set(rows)
    assert interrupted
    assert rows[batch.bad]["state"] == "failed"
    # Dagster calls what a canceled run left undone missing, not failed; the reason stands beside it.
    left = frozenset(set(rows) - done)
    settled = Settled(site, batch.folder, batch.manifest, frozenset(done), left, batch.scratch, bad_status="unmaterialized")
    assert all(any("its run was canceled" in reason for reason in site.reasons("image_item", key)) for key in interrupted)
    assert settled.contradictions() == ""


@pytest.fixture
def second_daemon(site: Site) -> Iterator["subprocess.Popen[bytes]"]:
    """Another Dagster daemon on the same instance, as after a supervisor that lost sight of its own."""
    first = psutil.Process(site.up.pid("daemon") or 0)
    log = site.home / "logs" / "second_daemon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            first.cmdline(), env=first.environ(), cwd=first.cwd(), stdout=output, stderr=output, start_new_session=True
        )
    try:
        # Dagster itself refuses a second one as long as it hears the first; before that it ticks.
        words = (b"Checking for new runs for sensor", b"Another SENSOR daemon")
        wait_for(lambda: any(word in log.read_bytes() for word in words), "first tick of the second daemon, or its refusal", 120)
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_daemons_and_a_manifest_that_is_dropped_twice_convert_each_image_once(site, second_daemon, batch):
    batch.drop()
    assert batch.is_in_work()
    site.wait_until_settled(batch.folder, reports=2)
    assert second_daemon.poll() is None
    made = site.materializations("cog")
    assert {key: made[key.replace("/", "~~")] for key in batch.good} == dict.fromkeys(batch.good, 1)
    states = [set(site.read_report(key).values()) for key in sorted(site.reports(batch.folder))]
    assert states == [{"done", "failed"}, {"carried_over", "failed"}]
