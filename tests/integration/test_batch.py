"""The batch engine on a real Dask cluster whose workers die, hang and run out of memory."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from platform_assets.common.errors import ConfigurationError
from platform_assets.common.values import Outcome, State, Work
from platform_assets.execution.batch import Batch, BatchOptions, ClusterLost, Reporting
from platform_assets.execution.plan import RetryPolicy
from platform_assets.execution.progress import Progress
from platform_assets.execution.worker import Limits
from resources.dask_cluster import DaskCluster
from tests.builders.servers import wait_for
from tests.builders.tasks import behave, nothing, staged

OPTIONS = BatchOptions(
    retry=RetryPolicy(first_delay_s=0.1), limits=Limits(time_s=5.0, memory_bytes=500_000_000), alone_memory_bytes=2_000_000_000, tick_s=0.2
)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with DaskCluster(kind="local", workers=2).client() as client:
        yield client


def run(
    client: Client, folder: Path, items: Sequence[str], *, cost_s: float = 0.05, tick: Callable[[], None] = lambda: None
) -> dict[str, Outcome]:
    """Run items that behave as their names say; assert that each ends once."""
    works = [Work(f"{number}-{how}", (f"{number}-{how}", how), cost_s) for number, how in enumerate(items)]
    ended: list[Outcome] = []
    started: list[str] = []
    reporting = Reporting(started.extend, ended.append, lambda progress, elapsed_s: tick())
    Batch(client, behave, lambda: folder, OPTIONS, reporting).run(works, Progress(len(works), 1.0))
    assert Counter(outcome.key for outcome in ended) == Counter(work.key for work in works)
    assert set(started) == {work.key for work in works}
    return {outcome.key.partition("-")[2]: outcome for outcome in ended}


def test_each_item_ends_as_it_should_beside_neighbours_that_kill_their_worker(client: Client, tmp_path: Path) -> None:
    ends = run(
        client,
        tmp_path,
        ["done"] * 60 + ["bad", "passing", "lasting", "bug", "crash", "crash_once", "hang", "hungry", "found"] + ["done"] * 60,
    )
    # A try in a group whose worker died is not charged, but the item counts it.
    assert ends["passing"].state is State.DONE
    assert {how: (end.state, end.attempts) for how, end in ends.items() if how != "passing"} == {
        "done": (State.DONE, 1),
        "found": (State.CARRIED_OVER, 0),
        "bad": (State.FAILED, 1),
        "lasting": (State.FAILED, 4),
        "bug": (State.FAILED, 2),
        "crash": (State.FAILED, 4),
        "crash_once": (State.DONE, 2),
        "hang": (State.FAILED, 1),
        "hungry": (State.DONE, 2),
    }


def test_a_failure_names_stage_class_reason_and_remedy(client: Client, tmp_path: Path) -> None:
    ends = run(client, tmp_path, ["bad", "bug", "hang", "crash"])
    failures = {how: end.failure for how, end in ends.items() if end.failure}
    assert {how: (failure.stage, failure.code) for how, failure in failures.items()} == {
        "bad": ("bad", "bad_input"),
        "bug": ("bug", "unexpected_error"),
        "hang": ("hang", "time_limit"),
        "crash": ("worker", "worker_lost"),
    }
    assert failures["bad"].message == "the input is bad"
    assert failures["bad"].traceback == ""
    assert "ZeroDivisionError" in failures["bug"].traceback
    assert "after 5 s" in failures["hang"].message
    assert all(failure.remedy for failure in failures.values())


def test_an_item_that_kills_workers_costs_its_neighbours_no_attempt(client: Client, tmp_path: Path) -> None:
    items = ["slow", "slow", "crash", "slow", "slow", "slow"]
    works = [Work(f"{number}-{how}", (f"{number}-{how}", how), 0.05) for number, how in enumerate(items)]
    ended: list[Outcome] = []
    reporting = Reporting(lambda keys: None, ended.append, lambda progress, elapsed_s: None)
    Batch(client, behave, lambda: tmp_path, OPTIONS, reporting).run(works, Progress(len(works), 1.0))
    assert {outcome.attempts for outcome in ended if outcome.state is State.DONE} == {1}


def test_memory_is_exhausted_only_once_when_the_bigger_share_does_not_help(client: Client, tmp_path: Path) -> None:
    works = [Work("0-hungry", ("0-hungry", "hungry"), 1.0)]
    ended: list[Outcome] = []
    options = BatchOptions(limits=Limits(30.0, 500_000_000), alone_memory_bytes=550_000_000, tick_s=0.2)
    Batch(client, behave, lambda: tmp_path, options, Reporting(lambda keys: None, ended.append, lambda *_: None)).run(
        works, Progress(1, 1.0)
    )
    [outcome] = ended
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.attempts) == ("memory_limit", 2)
    assert "its share is 550 MB" in outcome.failure.message


def test_killed_workers_cost_no_outcome(client: Client, tmp_path: Path) -> None:
    done = threading.Event()

    def kill() -> None:
        while not done.wait(1.0):
            pids = list(client.run(os.getpid).values())
            if pids:
                os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        ends = run(client, tmp_path, ["slow"] * 12, cost_s=0.5)
    finally:
        done.set()
        killer.join()
    assert ends["slow"].state is State.DONE


def test_a_raise_in_the_report_stops_the_batch_and_its_tasks(client: Client, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(client, tmp_path, ["slow"] * 40, tick=stop)
    wait_for(lambda: not any(client.processing().values()), "the end of running tasks")
    assert len(list(tmp_path.iterdir())) < 40


def test_a_batch_that_is_stopped_reports_what_ended_and_begins_nothing_else(client: Client, tmp_path: Path) -> None:
    def written() -> dict[str, int]:
        return {path.name: path.stat().st_size for path in tmp_path.iterdir()}

    def stop(progress: Progress, elapsed_s: float) -> None:
        if "long" in written():
            raise KeyboardInterrupt

    payloads = [("short", 1), ("longer", 3), ("long", 200), ("late", 1)]
    works = [Work(name, (name, stages), 0.001) for name, stages in payloads]  # one group
    ended: list[Outcome] = []
    options = replace(OPTIONS, limits=Limits(time_s=60.0))
    batch = Batch(client, staged, lambda: tmp_path, options, Reporting(lambda keys: None, ended.append, stop))
    with pytest.raises(KeyboardInterrupt):
        batch.run(works, Progress(len(works), 1.0))
    at_the_end = written()
    time.sleep(0.5)
    assert written() == at_the_end
    assert [(outcome.key, outcome.state) for outcome in ended] == [("short", State.DONE), ("longer", State.DONE)]
    assert at_the_end["long"] < 200
    assert "late" not in at_the_end


def test_a_scheduler_that_dies_stops_the_batch_as_transient(tmp_path: Path) -> None:
    with DaskCluster(kind="local", workers=1).client() as client:
        pid = client.run_on_scheduler(os.getpid)
        with pytest.raises(ClusterLost):
            run(client, tmp_path, ["slow"] * 10, cost_s=3.0, tick=lambda: os.kill(pid, signal.SIGKILL))


def test_no_worker_at_all_is_an_error_and_not_a_wait_for_ever() -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster,
        DaskCluster(kind="address", address=cluster.scheduler_address).client() as client,
    ):
        batch = Batch(
            client,
            nothing,
            lambda: None,
            BatchOptions(no_worker_s=1.0),
            Reporting(lambda keys: None, lambda outcome: None, lambda *_: None),
        )
        with pytest.raises(ClusterLost, match="no Dask worker"):
            batch.run([Work("a", 1)], Progress(1, 1.0))


def test_a_window_of_futures_carries_ten_thousand_items(client: Client) -> None:
    ended: list[Outcome] = []
    most = 0

    def watch(keys: Sequence[str]) -> None:
        nonlocal most
        most = max(most, len(batch._flying))

    batch = Batch(client, nothing, lambda: None, BatchOptions(), Reporting(watch, ended.append, lambda *_: None))
    batch.run([Work(str(number), number, 0.001) for number in range(10_000)], Progress(10_000, 10.0))
    assert sorted(outcome.facts["number"] for outcome in ended) == list(range(10_000))
    assert most <= 2


def test_a_local_cluster_ends_with_the_block_that_opened_it() -> None:
    with DaskCluster(kind="local", workers=1).client() as client:
        pids = [*client.run(os.getpid).values(), client.run_on_scheduler(os.getpid)]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of the cluster's processes")


@pytest.mark.parametrize("kind", ["address", "gateway", "jobqueue"])
def test_a_cluster_without_what_its_kind_needs_names_the_setting(kind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs the setting|is not installed"), DaskCluster(kind=kind).client():
        pass
