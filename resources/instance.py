"""The folder that Dagster calls home, and what every process of the platform has in its environment."""

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from resources.settings import Settings

POSTGRES_VARIABLE = "GROUNDTRACK_DAGSTER_POSTGRES_URL"
"""The environment variable that dagster.yaml names instead of the database's URL."""

BATCH_TAG = "groundtrack/batch"
"""The tag of a run that works on a batch; of two runs with the same value, one waits for the other."""

_EVENTS_A_BATCH = 1000
_SENSOR_S = 120
_CONCURRENT_RUNS = 4
_RUN_RETRIES = 2
_TICK_DAYS = {"skipped": 1, "success": 14, "failure": 30}


def write_dagster_home(settings: Settings) -> Path:
    """Write `<home>/dagster/dagster.yaml` anew and return the folder, absolute; no secret is in the file."""
    home = settings.home.resolve()
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_instance(home, postgres=bool(settings.postgres_url.get_secret_value())), indent=2)
    written = folder / "dagster.yaml.new"
    written.write_text(f"# Written at every start; JSON is YAML.\n{text}\n")
    written.replace(folder / "dagster.yaml")
    return folder


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Return what each process needs to find the instance and the settings, wherever it is started from."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    environment = {f"GROUNDTRACK_{name.upper()}": _text(value) for name, value in values.items() if not isinstance(value, SecretStr)}
    environment |= {
        "GROUNDTRACK_HOME": str(settings.home.resolve()),
        "DAGSTER_HOME": str(settings.home.resolve() / "dagster"),
        "DAGSTER_EVENT_BATCH_SIZE": str(_EVENTS_A_BATCH),
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(_SENSOR_S),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    if url := settings.postgres_url.get_secret_value():
        environment[POSTGRES_VARIABLE] = _with_driver(url)
    return environment


def _instance(home: Path, *, postgres: bool) -> dict[str, Any]:
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        **(_postgres_storages() if postgres else _sqlite_storages(home)),
        "compute_logs": _class("dagster._core.storage.local_compute_log_manager", "LocalComputeLogManager", base_dir=f"{home}/logs/runs"),
        "run_launcher": _class("resources.run_launcher", "WatchfulRunLauncher"),
        "run_queue": {
            "max_concurrent_runs": _CONCURRENT_RUNS,
            "dequeue_interval_seconds": 2,
            "tag_concurrency_limits": [{"key": BATCH_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}],
        },
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 5,
            "start_timeout_seconds": 180,
            "cancel_timeout_seconds": 60,
            "free_slots_after_run_end_seconds": 60,
        },
        # A run that ended with failed items is not run again; one whose worker died is, and finds done what was done.
        "run_retries": {"enabled": True, "max_retries": _RUN_RETRIES, "retry_on_asset_or_op_failure": False},
        # What our own modules log while an item is tried again stands in the run's log too.
        "python_logs": {"managed_python_loggers": ["platform_assets"], "python_log_level": "INFO"},
        "sensors": {"use_threads": True, "num_workers": 4},
        "schedules": {"use_threads": True, "num_workers": 2},
        "retention": {"sensor": {"purge_after_days": _TICK_DAYS}, "schedule": {"purge_after_days": _TICK_DAYS}},
    }


def _sqlite_storages(home: Path) -> dict[str, Any]:
    # Dagster's own places, so that the history can be read without our classes.
    return {
        "event_log_storage": _class("resources.event_log", "BatchingSqliteEventLogStorage", base_dir=f"{home}/dagster/history/runs"),
    }


def _postgres_storages() -> dict[str, Any]:
    url = {"env": POSTGRES_VARIABLE}
    return {
        "run_storage": _class("dagster_postgres", "PostgresRunStorage", postgres_url=url),
        "schedule_storage": _class("dagster_postgres", "PostgresScheduleStorage", postgres_url=url),
        "event_log_storage": _class("resources.postgres_event_log", "BatchingPostgresEventLogStorage", postgres_url=url),
    }


def _class(module: str, name: str, **config: Any) -> dict[str, Any]:
    return {"module": module, "class": name, "config": config}


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _with_driver(url: str) -> str:
    """Name the driver: SQLAlchemy 2.1 takes another one, which is not installed, for a bare `postgresql://`."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg2{separator}{rest}" if scheme in ("postgres", "postgresql") else url
