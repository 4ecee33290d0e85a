"""Tells Dagster how every item ended, on the item's own partition, as it happens.

Events are written in batches that share a batch id: with `DAGSTER_EVENT_BATCH_SIZE` set and our event log storage, one
transaction holds a batch, at 0.2 ms of CPU an event instead of 4. Without them everything works, only slower.

A partition is FAILED in Dagster when its last planned event has no later materialization and the run failed. A run over
partitions of its own is planned by Dagster; a run that works on behalf of a manifest plans each item when it is handed to
Dask, so the grid shows what is really in progress. The planned event and the batch id are internal to Dagster 1.13: only
`_report` and `_planned` know them, and a test pins them.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence

import dagster as dg
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    DagsterEventType,
    StepMaterializationData,
    generate_event_batch_id,
)

from platform_assets.common.values import Failure, Outcome, State

_FLUSH_EVENTS = 1000
_FLUSH_S = 2.0

Metadata = dict[str, dg.MetadataValue | str | float | int | None]


class Recorder:
    """Buffers the events of one step and writes them every two seconds.

    Args:
        context: The step's context.
        assets: The assets whose partitions the items are.
        materializations: Gives the events of an item that is done.
        planned_by_dagster: Whether the run's own partitions are the items. If so, items found done are recorded again, as the
            run plans them anew; if not, items are planned when they start, and those found done keep what is recorded.
    """

    def __init__(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        assets: Sequence[dg.AssetKey],
        materializations: Callable[[Outcome], Iterable[dg.AssetMaterialization]],
        *,
        planned_by_dagster: bool,
    ) -> None:
        self._instance = context.instance
        self._run_id = context.run.run_id
        self._job_name = context.run.job_name
        self._step_key = op_context(context).get_step_execution_context().step.key
        self._assets = assets
        self._materializations = materializations
        self._planned_by_dagster = planned_by_dagster
        self._planned: set[str] = set()
        self._events: list[DagsterEvent] = []
        self._flushed_at = time.monotonic()

    def started(self, keys: Iterable[str]) -> None:
        """Show the items as in progress."""
        if self._planned_by_dagster:
            return
        new = [key for key in keys if key not in self._planned]
        self._planned.update(new)
        self._add(self._plan(asset, key) for key in new for asset in self._assets)

    def ended(self, outcome: Outcome, *, known: bool = False) -> None:
        """Record how an item ended.

        Args:
            outcome: How.
            known: Whether Dagster shows an item that was found done as materialized already.
        """
        if outcome.failure:
            self.started([outcome.key])
            self._add(self._observe(asset, outcome, outcome.failure) for asset in self._assets)
        elif self._planned_by_dagster or not known or outcome.state is State.DONE or outcome.key in self._planned:
            self.materialized(self._materializations(outcome))

    def materialized(self, events: Iterable[dg.AssetMaterialization]) -> None:
        """Record materializations of any asset."""
        self._add(self._event(DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(event)) for event in events)

    def flush(self) -> None:
        """Write what is buffered."""
        events, self._events = self._events, []
        batch = generate_event_batch_id()  # type: ignore[no-untyped-call]
        for number, event in enumerate(events, start=1):
            metadata = DagsterEventBatchMetadata(batch, number == len(events))
            self._instance.report_dagster_event(event, self._run_id, logging.INFO, batch_metadata=metadata)
        self._flushed_at = time.monotonic()

    def flush_if_due(self) -> None:
        """Write what has waited for two seconds."""
        if self._events and time.monotonic() - self._flushed_at >= _FLUSH_S:
            self.flush()

    def _add(self, events: Iterable[DagsterEvent]) -> None:
        self._events.extend(events)
        if len(self._events) >= _FLUSH_EVENTS:
            self.flush()
        self.flush_if_due()

    def _plan(self, asset: dg.AssetKey, key: str) -> DagsterEvent:
        data = AssetMaterializationPlannedData(asset, partition=key)
        return DagsterEvent.build_asset_materialization_planned_event(self._job_name, self._step_key, data)

    def _observe(self, asset: dg.AssetKey, outcome: Outcome, failure: Failure) -> DagsterEvent:
        return self._event(DagsterEventType.ASSET_OBSERVATION, AssetObservationData(failure_observation(asset, outcome, failure)))

    def _event(self, kind: DagsterEventType, data: StepMaterializationData | AssetObservationData) -> DagsterEvent:
        return DagsterEvent(event_type_value=kind.value, job_name=self._job_name, step_key=self._step_key, event_specific_data=data)


def shown_as_materialized(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    assets: Sequence[dg.AssetKey],
    partitions: dg.PartitionsDefinition[str],
    keys: Sequence[str],
) -> set[str]:
    """Return those partitions that Dagster shows as materialized for every asset."""
    found = set(keys)
    for asset in assets if keys else ():
        statuses = context.instance.get_status_by_partition(asset, list(keys), partitions) or {}
        found &= {key for key, status in statuses.items() if status and status.value == "MATERIALIZED"}
    return found


def op_context(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> dg.OpExecutionContext:
    """Return the op's context of either kind of context."""
    return context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context


def failure_observation(asset: dg.AssetKey, outcome: Outcome, failure: Failure) -> dg.AssetObservation:
    """Return what tells on an item's partition why it failed."""
    return dg.AssetObservation(
        asset_key=asset,
        partition=outcome.key,
        description=f"Failed in {failure.stage}: {failure.message}",
        metadata=failure_metadata(outcome, failure),
    )


def failure_metadata(outcome: Outcome, failure: Failure) -> Metadata:
    """Return what the partition page shows of an item that failed."""
    metadata: Metadata = {
        "outcome": "failed",
        "stage": failure.stage,
        "error_class": failure.code,
        "message": failure.message,
        "what_to_do": failure.remedy,
        "attempts": outcome.attempts,
        "seconds": outcome.seconds,
    }
    if failure.traceback:
        metadata["traceback"] = dg.MetadataValue.md(f"```\n{failure.traceback}\n```")
    return metadata
