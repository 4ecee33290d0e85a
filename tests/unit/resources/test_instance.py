"""The dagster.yaml that is written, as Dagster itself reads it, and the environment of the processes."""

import dagster as dg
import pytest
from dagster._core.run_coordinator import QueuedRunCoordinator

from resources.event_log import BatchingSqliteEventLogStorage
from resources.instance import BATCH_TAG, POSTGRES_VARIABLE, dagster_environment, write_dagster_home
from resources.run_launcher import WatchfulRunLauncher
from resources.settings import Settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_dagster_reads_what_was_written(tmp_path, monkeypatch):
    settings = Settings(home="relative/home")
    folder = write_dagster_home(settings)
    assert folder == tmp_path / "relative/home/dagster"
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        assert isinstance(instance.run_launcher, WatchfulRunLauncher)
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert {limit["key"] for limit in instance.get_concurrency_config().run_queue_config.tag_concurrency_limits} == {BATCH_TAG}
    assert not (tmp_path / "relative/home/dagster/dagster.yaml.new").exists()


def test_the_environment_gives_back_the_same_settings_in_another_folder(tmp_path, monkeypatch):
    settings = Settings(
        home=tmp_path / "home", input_prefix="scans/", output_bucket="out", dask_options={"queue": "eo"}, ui_read_only=True, profile="zstd"
    )
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Settings() == settings


def test_secrets_are_neither_in_the_file_nor_where_they_are_not_needed(tmp_path):
    settings = Settings(home=tmp_path, postgres_url="postgresql://user:hunter2@db/dagster", ui_token="sesame")
    text = (write_dagster_home(settings) / "dagster.yaml").read_text()
    environment = dagster_environment(settings)
    assert "hunter2" not in text
    assert "sesame" not in text + str(environment)
    assert POSTGRES_VARIABLE in text
    assert environment[POSTGRES_VARIABLE] == "postgresql+psycopg2://user:hunter2@db/dagster"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgres://h/d", "postgresql+psycopg2://h/d"),
        ("postgresql+psycopg2://h/d?options=-c", "postgresql+psycopg2://h/d?options=-c"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
    ],
)
def test_the_database_driver_is_the_one_that_is_installed(tmp_path, given, taken):
    assert dagster_environment(Settings(home=tmp_path, postgres_url=given))[POSTGRES_VARIABLE] == taken
