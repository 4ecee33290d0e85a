"""The batching PostgreSQL storage against Dagster's own, on a real server, given the same events."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.test_utils import create_run_for_test
from dagster_postgres import PostgresEventLogStorage

from resources.postgres_event_log import BatchingPostgresEventLogStorage
from tests.builders.events import ASSETS, KEYS, RUN, answers, instance_with, materialized, partly_failed_run, planned, report, rows
from tests.builders.postgres import PostgresServer

OURS = ("resources.postgres_event_log", "BatchingPostgresEventLogStorage")
STOCK = ("dagster_postgres", "PostgresEventLogStorage")


@pytest.fixture(autouse=True)
def _batches(monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


def on_postgres(home: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch, storage: tuple[str, str]) -> dg.DagsterInstance:
    variable = f"DATABASE_OF_{home.name.upper()}"
    monkeypatch.setenv(variable, server.new_database())
    config = {"postgres_url": {"env": variable}}
    return instance_with(
        home,
        run_storage={"module": "dagster_postgres", "class": "PostgresRunStorage", "config": config},
        schedule_storage={"module": "dagster_postgres", "class": "PostgresScheduleStorage", "config": config},
        event_log_storage={"module": storage[0], "class": storage[1], "config": config},
    )


def test_a_batch_leaves_the_same_rows_and_answers_as_single_events(tmp_path, postgres_server, monkeypatch):
    with (
        on_postgres(tmp_path / "stock", postgres_server, monkeypatch, STOCK) as stock,
        on_postgres(tmp_path / "ours", postgres_server, monkeypatch, OURS) as ours,
    ):
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
        partly_failed_run(stock)
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
        partly_failed_run(ours)
        assert rows(ours) == rows(stock)
        assert answers(ours) == answers(stock)
        assert answers(ours)[f"{ASSETS[0]} status"]["k4"] == "FAILED"


def test_without_a_batch_size_events_take_the_way_of_the_parent(tmp_path, postgres_server, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
    assert BatchingPostgresEventLogStorage.store_event is PostgresEventLogStorage.store_event
    with on_postgres(tmp_path / "ours", postgres_server, monkeypatch, OURS) as ours:
        partly_failed_run(ours)
        assert answers(ours)[f"{ASSETS[0]} status"]["k5"] == "FAILED"


def test_batches_of_many_threads_do_not_deadlock_and_lose_nothing(tmp_path, postgres_server, monkeypatch, capsys):
    with on_postgres(tmp_path / "ours", postgres_server, monkeypatch, OURS) as ours:
        create_run_for_test(ours, job_name="job", run_id=RUN)
        assets = [dg.AssetKey(name) for name in ("a", "b", "c", "d")]

        def batch(number: int) -> None:
            turned = assets[number % 4 :] + assets[: number % 4]
            report(ours, [materialized(asset, f"{number}-{repeat}") for repeat in range(20) for asset in turned])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(batch, range(24)))
        assert capsys.readouterr().err == ""
        for asset in assets:
            assert len(ours.get_materialized_partitions(asset)) == 24 * 20


def test_the_instances_of_a_process_share_two_connections(tmp_path, postgres_server, monkeypatch):
    with on_postgres(tmp_path / "ours", postgres_server, monkeypatch, OURS) as ours:
        create_run_for_test(ours, job_name="job", run_id=RUN)
        with dg.DagsterInstance.from_ref(ours.get_ref()) as other:
            for number in range(10):
                for instance in (ours, other):
                    report(instance, [planned(asset, f"{number}") for asset in ASSETS])
        with ours.event_log_storage.index_connection() as conn:
            backends = conn.execute(db.text("select count(*) from pg_stat_activity where datname = current_database()")).scalar()
        assert backends <= 2


def backend(instance: dg.DagsterInstance) -> int:
    with instance.event_log_storage.index_connection() as conn:
        return int(conn.execute(db.text("select pg_backend_pid()")).scalar())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_connects_anew_and_leaves_its_parents_connection_alone(tmp_path, postgres_server, monkeypatch):
    with on_postgres(tmp_path / "ours", postgres_server, monkeypatch, OURS) as ours:
        before = backend(ours)
        child = os.fork()
        if child == 0:
            os._exit(0 if backend(ours) != before else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert backend(ours) == before


def test_a_database_that_dropped_its_connections_is_connected_to_again(tmp_path, postgres_server, monkeypatch, capsys):
    with on_postgres(tmp_path / "ours", postgres_server, monkeypatch, OURS) as ours:
        create_run_for_test(ours, job_name="job", run_id=RUN)
        report(ours, [planned(ASSETS[0], key) for key in KEYS])
        administrator = db.create_engine(os.environ["DATABASE_OF_OURS"], isolation_level="AUTOCOMMIT")
        with administrator.connect() as conn:
            conn.execute(
                db.text(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        administrator.dispose()
        report(ours, [materialized(ASSETS[0], key) for key in KEYS])
        assert capsys.readouterr().err == ""
        with ours.event_log_storage.index_connection() as conn:
            assert conn.execute(db.select(db.func.count()).select_from(SqlEventLogStorageTable)).scalar() == 2 * len(KEYS)
