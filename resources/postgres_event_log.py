"""Dagster's event log on PostgreSQL: a batch of asset events in one transaction, over connections that are kept.

Dagster's own opens two connections an event, which costs more than the event.

    event_log_storage:
      module: resources.postgres_event_log
      class: BatchingPostgresEventLogStorage
      config: {postgres_url: {env: GROUNDTRACK_DAGSTER_POSTGRES_URL}}
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Self

from dagster._core.events.log import EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy.engine import Engine

from resources.event_log import BatchingEventLogStorage

_KEPT_CONNECTIONS = 2
_MORE_UNDER_LOAD = 20
_RECYCLE_S = 1800


class BatchingPostgresEventLogStorage(BatchingEventLogStorage, PostgresEventLogStorage):
    """Dagster's PostgreSQL event log with a pool of connections that all its instances in a process share."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Short-lived tokens instead of a password: the parent asks for one at every connection, so none is kept.
        if self._token_provider is None:
            self._engine = _pooled_engine(self.postgres_url)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Build the storage from its block in dagster.yaml."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        with self.index_transaction() as conn:
            self._store_with_assets(conn, events, rows)


@lru_cache
def _pooled_engine(postgres_url: str) -> Engine:
    """Return this process's engine; a forked child forgets the connections without closing its parent's."""
    engine = create_pg_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=_MORE_UNDER_LOAD,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
    )
    os.register_at_fork(after_in_child=partial(engine.dispose, close=False))
    return engine
