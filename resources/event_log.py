"""Dagster's event log on SQLite, storing a batch of asset events in one transaction instead of one event in several.

Dagster hands a batch over when `DAGSTER_EVENT_BATCH_SIZE` is set; its own SQLite storage then still writes event by event,
4 ms of CPU each, and so does its PostgreSQL storage with planned events. Single events take the parent's way unchanged.

    event_log_storage:
      module: resources.event_log
      class: BatchingSqliteEventLogStorage
      config: {base_dir: /absolute/folder}
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection

_TOGETHER = frozenset(
    {DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION}
)


class BatchingEventLogStorage(SqlEventLogStorage):
    """What the storages of both databases share: how a batch becomes rows."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store planned events, materializations and observations of assets all or none, everything else one by one."""
        together = [event for event in events if event.dagster_event_type in _TOGETHER]
        if together:
            self._store_together(together)
        for event in events:
            if event.dagster_event_type not in _TOGETHER:
                self.store_event(event)

    @abstractmethod
    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        """Store asset events in one transaction of each database that holds them."""

    def _store_with_assets(self, conn: Connection, events: Sequence[EventLogEntry], rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert events, their tags, and the newest of each asset and type, in a transaction that has begun."""
        inserted = SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
        ids = list(conn.execute(inserted, rows).scalars())
        self._store_asset_event_tags(conn, events, ids)
        newest = {
            (event.get_dagster_event().asset_key, event.dagster_event_type): (event, id_) for event, id_ in zip(events, ids, strict=True)
        }
        # Rows of assets are locked in one order by everybody, so two batches wait for each other but never deadlock.
        for event, id_ in sorted(newest.values(), key=lambda pair: (str(pair[0].get_dagster_event().asset_key), pair[1])):
            self._store_asset_event(conn, event, id_)


class BatchingSqliteEventLogStorage(BatchingEventLogStorage, SqliteEventLogStorage):
    """Dagster's SQLite event log: a database a run, and an index of the asset events of all runs."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Build the storage from its block in dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        # The index first: it is what other processes contend for, and when it fails Dagster stores all events again singly.
        with self.index_transaction() as conn:
            self._store_with_assets(conn, events, rows)
        for run_id in dict.fromkeys(event.run_id for event in events):
            with self.run_connection(run_id) as conn:
                conn.execute(SqlEventLogStorageTable.insert(), [row for row in rows if row["run_id"] == run_id])
