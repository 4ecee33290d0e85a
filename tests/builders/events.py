"""Dagster instances on chosen storages, runs whose events are given, and what the storages then answer."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db
import yaml
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.partitions.definition import StaticPartitionsDefinition
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    DagsterEventType,
    StepMaterializationData,
    generate_event_batch_id,
)
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetEventTagsTable, AssetKeyTable, SqlEventLogStorageTable
from dagster._core.test_utils import create_run_for_test

KEYS = tuple(f"k{number}" for number in range(6))
ASSETS = (dg.AssetKey("cog"), dg.AssetKey("jpeg"))
RUN = "11111111-1111-4111-8111-111111111111"
_BEGAN = 1_700_000_000.0


def instance_with(home: Path, **storages: Any) -> dg.DagsterInstance:
    """Open an instance as its processes do: from a dagster.yaml."""
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump({"telemetry": {"enabled": False}, **storages}))
    return dg.DagsterInstance.from_config(str(home))


def planned(asset: dg.AssetKey, key: str) -> DagsterEvent:
    return DagsterEvent.build_asset_materialization_planned_event("job", "step", AssetMaterializationPlannedData(asset, partition=key))


def materialized(asset: dg.AssetKey, key: str, tags: Mapping[str, str] | None = None) -> DagsterEvent:
    made = dg.AssetMaterialization(asset, partition=key, metadata={"bytes": 12, "key": key}, tags=tags)
    return _event(DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(made))


def observed(asset: dg.AssetKey, key: str) -> DagsterEvent:
    return _event(
        DagsterEventType.ASSET_OBSERVATION, AssetObservationData(dg.AssetObservation(asset, partition=key, metadata={"error": "bad"}))
    )


def planned_check(asset: dg.AssetKey, name: str) -> DagsterEvent:
    return _event(DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, AssetCheckEvaluationPlanned(asset_key=asset, check_name=name))


def _event(kind: DagsterEventType, data: Any) -> DagsterEvent:
    return DagsterEvent(event_type_value=kind.value, job_name="job", step_key="step", event_specific_data=data)


def partly_failed_run(instance: dg.DagsterInstance) -> None:
    """Report a run that planned six partitions of two assets, made some, observed some, and failed."""
    run = create_run_for_test(instance, job_name="job", run_id=RUN)
    report(instance, [planned(asset, key) for asset in ASSETS for key in KEYS])
    version = {"dagster/data_version": "v1", "not/indexed": "x"}
    report(instance, [materialized(ASSETS[0], key, version) for key in KEYS[:3]])
    report(
        instance,
        [
            materialized(ASSETS[1], "k1"),
            planned(ASSETS[0], "late"),
            observed(ASSETS[0], "k4"),
            materialized(ASSETS[0], "late", version),
            materialized(ASSETS[1], "k0"),
            observed(ASSETS[1], "k5"),
        ],
    )
    report(instance, [materialized(ASSETS[0], "k3")])
    instance.report_run_failed(run)


def report(instance: dg.DagsterInstance, events: Sequence[DagsterEvent], run_id: str = RUN) -> None:
    """Report events as one batch, at times that tests can compare."""
    batch = generate_event_batch_id()
    for number, event in enumerate(events, start=1):
        metadata = DagsterEventBatchMetadata(batch, number == len(events))
        instance.report_dagster_event(event, run_id, logging.INFO, batch_metadata=metadata, timestamp=_BEGAN + number)


def rows(instance: dg.DagsterInstance) -> dict[str, list[tuple[Any, ...]]]:
    """Return what the event log's tables hold about the run's asset events."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    event, asset, tag = SqlEventLogStorageTable.c, AssetKeyTable.c, AssetEventTagsTable.c
    asset_events = db.select(event).where(event.asset_key.is_not(None)).order_by(event.id)
    assets = db.select(asset.asset_key, asset.last_materialization, asset.last_run_id, asset.last_materialization_timestamp)
    tags = db.select(tag.event_id, tag.asset_key, tag.key, tag.value, tag.event_timestamp).order_by(tag.event_id, tag.key)
    found: dict[str, list[tuple[Any, ...]]] = {}
    with storage.index_connection() as conn:
        found["assets"] = [tuple(row) for row in conn.execute(assets.order_by(asset.asset_key))]
        found["tags"] = [tuple(row) for row in conn.execute(tags)]
        found["index"] = [tuple(row) for row in conn.execute(asset_events)]
    with storage.run_connection(RUN) as conn:
        found["run"] = [tuple(row) for row in conn.execute(asset_events)]
    return found


def answers(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Return what Dagster's own queries say after the run."""
    partitions = StaticPartitionsDefinition([*KEYS, "late"])
    found: dict[str, Any] = {}
    for asset in ASSETS:
        status = instance.get_status_by_partition(asset, [*KEYS, "late"], partitions)
        found[f"{asset} status"] = {key: value and value.value for key, value in (status or {}).items()}
        records = instance.fetch_materializations(asset, limit=100).records
        found[f"{asset} records"] = [(record.storage_id, record.partition_key, record.timestamp) for record in records]
        latest = instance.get_latest_materialization_event(asset)
        found[f"{asset} latest"] = latest and latest.asset_materialization
        found[f"{asset} observations"] = [record.partition_key for record in instance.fetch_observations(asset, limit=100).records]
        found[f"{asset} planned run"] = instance.get_latest_planned_materialization_info(asset)
        found[f"{asset} partitions"] = instance.get_materialized_partitions(asset)
    found["log"] = [entry.dagster_event_type for entry in instance.all_logs(RUN)]
    found["stats"] = instance.get_run_stats(RUN).materializations
    return found
