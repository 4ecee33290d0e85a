"""The batching SQLite storage against Dagster's own, given the same events."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.test_utils import create_run_for_test

from resources.event_log import BatchingSqliteEventLogStorage
from tests.builders.events import (
    ASSETS,
    KEYS,
    RUN,
    answers,
    instance_with,
    materialized,
    partly_failed_run,
    planned,
    planned_check,
    report,
    rows,
)


def batching(home: Path) -> dg.DagsterInstance:
    block = {"module": "resources.event_log", "class": "BatchingSqliteEventLogStorage", "config": {"base_dir": f"{home}/history/runs"}}
    return instance_with(home, event_log_storage=block)


@pytest.fixture
def _batches(monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


@pytest.mark.usefixtures("_batches")
def test_a_batch_leaves_the_same_rows_and_answers_as_single_events(tmp_path):
    with instance_with(tmp_path / "stock") as stock, batching(tmp_path / "ours") as ours:
        partly_failed_run(stock)
        partly_failed_run(ours)
        assert isinstance(ours.event_log_storage, BatchingSqliteEventLogStorage)
        assert rows(ours) == rows(stock)
        assert answers(ours) == answers(stock)
        status = answers(ours)[f"{ASSETS[0]} status"]
        assert status == {
            "k0": "MATERIALIZED",
            "k1": "MATERIALIZED",
            "k2": "MATERIALIZED",
            "k3": "MATERIALIZED",
            "late": "MATERIALIZED",
        } | {
            "k4": "FAILED",
            "k5": "FAILED",
        }


def test_without_a_batch_size_events_take_the_way_of_the_parent(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    called = []
    monkeypatch.setattr(BatchingSqliteEventLogStorage, "_store_together", lambda *_: called.append(1))
    with instance_with(tmp_path / "stock") as stock, batching(tmp_path / "ours") as ours:
        partly_failed_run(stock)
        partly_failed_run(ours)
        assert not called
        assert BatchingSqliteEventLogStorage.store_event is SqliteEventLogStorage.store_event
        assert rows(ours) == rows(stock)


@pytest.mark.usefixtures("_batches")
def test_a_batch_that_fails_in_the_index_is_stored_once_all_the_same(tmp_path, monkeypatch, capsys):
    with batching(tmp_path / "ours") as ours:
        create_run_for_test(ours, job_name="job", run_id=RUN)
        real = BatchingSqliteEventLogStorage._store_asset_event
        broken = iter([True])

        def fail_once(self, *arguments):
            if next(broken, False):
                raise OSError("disk full")
            real(self, *arguments)

        monkeypatch.setattr(BatchingSqliteEventLogStorage, "_store_asset_event", fail_once)
        report(ours, [planned(asset, key) for asset in ASSETS for key in KEYS])
        assert "disk full" in capsys.readouterr().err
        stored = [entry for entry in ours.all_logs(RUN) if entry.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED]
        assert len(stored) == len(ASSETS) * len(KEYS)
        assert len(rows(ours)["index"]) == len(ASSETS) * len(KEYS)


@pytest.mark.usefixtures("_batches")
def test_planned_checks_in_a_batch_are_stored(tmp_path):
    with batching(tmp_path / "ours") as ours:
        create_run_for_test(ours, job_name="job", run_id=RUN)
        report(ours, [planned_check(ASSETS[0], "valid"), planned(ASSETS[0], "k0"), planned_check(ASSETS[1], "valid")])
        for asset in ASSETS:
            (record,) = ours.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(asset, "valid"), limit=5)
            assert record.status.value == "PLANNED"
        assert len(rows(ours)["index"]) == 1


@pytest.mark.usefixtures("_batches")
def test_a_thousand_events_cost_one_transaction_in_each_database(tmp_path, monkeypatch):
    with batching(tmp_path / "ours") as ours:
        create_run_for_test(ours, job_name="job", run_id=RUN)
        opened = []
        real = BatchingSqliteEventLogStorage._connect
        monkeypatch.setattr(BatchingSqliteEventLogStorage, "_connect", lambda self, shard: opened.append(shard) or real(self, shard))
        report(ours, [materialized(ASSETS[0], f"p{number}") for number in range(1000)])
        assert opened == ["index", RUN]
