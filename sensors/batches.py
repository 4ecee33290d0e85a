"""What sensors have in common that take items in batches: they follow up on open batches, and remember what waits."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import dagster as dg

from platform_assets.common.records import OpenRecords
from platform_assets.common.values import Failure, Outcome, State
from platform_assets.execution.record import failure_observation
from resources.instance import BATCH_TAG
from sensors.decisions import next_steps
from sensors.runs import ATTEMPT_TAG, batch_runs

Batch = TypeVar("Batch")


class BatchTick(ABC, Generic[Batch]):
    """One look at what lies under a prefix.

    An item is claimed when an open batch has it, or when Dagster shows its asset as materialized: the run of its batch
    records that first of all. One that failed is looked at again, and claimed when another version of it is there.

    Args:
        context: The sensor's context.
        records: Where claims lie.
        attempts: How often an interrupted run of a batch is started again.
    """

    tag: ClassVar[str]
    """The tag of a batch's runs."""
    op: ClassVar[str]
    """What processes a batch."""
    asset: ClassVar[str]
    """The asset whose partitions the items are."""
    partitions: ClassVar[dg.DynamicPartitionsDefinition]

    def __init__(self, context: dg.SensorEvaluationContext, records: OpenRecords, attempts: int) -> None:
        self._context = context
        self._records = records
        self._attempts = attempts
        self._requests: list[dg.RunRequest] = []
        self._notes: list[str] = []
        self._before: dict[str, str] = json.loads(context.cursor or "{}")
        self._waiting: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def run(self) -> dg.SensorResult:
        """Follow up on open batches, then take what is new; the next tick goes on where the time is up."""
        self.take(set(self._follow_up()))
        cursor = json.dumps(self._waiting)
        if self._requests:
            return dg.SensorResult(run_requests=self._requests, cursor=cursor)
        return dg.SensorResult(skip_reason="; ".join(self._notes) or "nothing new", cursor=cursor)

    @abstractmethod
    def take(self, in_work: Collection[str]) -> None:
        """Claim what is new; `in_work` are partitions of open batches."""

    @abstractmethod
    def read(self, batch_id: str) -> Batch | None:
        """Return a batch that was claimed."""

    @abstractmethod
    def keys(self, batch: Batch) -> list[str]:
        """Return the partitions of a batch."""

    @abstractmethod
    def settle(self, batch: Batch) -> None:
        """Write the report of a batch that is over."""

    @abstractmethod
    def give_up(self, batch: Batch, reason: str) -> Sequence[Outcome]:
        """Tell what the interrupted runs of a batch could not, and return the outcomes of all of it."""

    def claimed(self, batch: Batch, batch_id: str, tags: dict[str, str] | None = None) -> None:
        """Go on with a batch that was claimed: its partitions are added, and its run is requested."""
        self._context.log.info(f"claimed {len(self.keys(batch))} as batch {batch_id}")
        self._register(batch)
        self._requests.append(self._request(batch_id, 1, tags))

    def new(self, found: Collection[str]) -> set[str]:
        """Return those partitions that were not taken; those that failed among them."""
        if not found:
            return set()
        self._failed = self._records.failed()
        return set(found) - (self._context.instance.get_materialized_partitions(dg.AssetKey(self.asset)) - set(self._failed))

    def wait(self, partition: str, reason: str, missing: Sequence[str]) -> None:
        """Remember that something waits, and tell what it lacks when that is news."""
        self._notes.append(f"{partition} waits: {reason}")
        self._waiting[partition] = reason
        if self._before.get(partition) != reason:
            self._context.instance.add_dynamic_partitions(self.partitions.name or "", [partition])
            self._context.instance.report_runless_asset_event(
                dg.AssetObservation(
                    self.asset,
                    partition=partition,
                    description=f"waiting: {reason}",
                    metadata={"outcome": "waiting", "lacks": len(missing), "missing": dg.MetadataValue.json(list(missing))},
                )
            )

    def later(self, partitions: Collection[str]) -> None:
        """Leave items to the next tick."""
        self._waiting |= {partition: self._before.get(partition, "") for partition in partitions}
        self._notes.append("more at the next tick")

    def tell(
        self,
        asset: str,
        outcomes: Sequence[Outcome],
        claimed: Iterable[dg.AssetMaterialization],
        made: Callable[[Outcome], Iterable[dg.AssetMaterialization]],
    ) -> None:
        """Tell Dagster of the items of a batch that is given up, outside of any run.

        Args:
            asset: What is made last of an item.
            outcomes: How each ended.
            claimed: That they were claimed.
            made: Gives the events of an item that is done.
        """
        instance = self._context.instance
        shown = instance.get_materialized_partitions(dg.AssetKey(asset))
        for event in claimed:
            instance.report_runless_asset_event(event)
        for outcome in outcomes:
            if outcome.failure:
                instance.report_runless_asset_event(failure_observation(dg.AssetKey(asset), outcome, outcome.failure))
            elif outcome.key not in shown:
                for event in made(outcome):
                    instance.report_runless_asset_event(event)

    def _register(self, batch: Batch) -> None:
        self._context.instance.add_dynamic_partitions(self.partitions.name or "", self.keys(batch))

    def _follow_up(self) -> Iterator[str]:
        """Bring every open batch further, and yield the partitions of their items."""
        for batch_id in self._records.open():
            batch = self.read(batch_id)
            if batch is None:
                self._records.close(batch_id)
                continue
            yield from self.keys(batch)
            runs = batch_runs(self._context.instance, {self.tag: batch_id})
            if not runs:
                self._register(batch)
            plan = next_steps(1, self._records.ended(batch_id), runs, self._attempts)
            self._requests += [self._request(batch_id, attempt) for _, attempt in plan.request]
            for _, reason in plan.give_up:
                outcomes = self.give_up(batch, reason)
                about: dict[str, Any] = {"id": "", "url": "", "started_s": time.time(), "ended_s": time.time()}
                self._records.put_outcomes(batch_id, 1, outcomes, about)
                self._context.log.error(f"gave up on batch {batch_id}: {reason}")
            if plan.settle or plan.give_up:
                self.settle(batch)
                self._notes.append(f"settled batch {batch_id}")

    def _request(self, batch_id: str, attempt: int, tags: dict[str, str] | None = None) -> dg.RunRequest:
        return dg.RunRequest(
            run_key=f"{batch_id}/{attempt}",
            run_config={"ops": {self.op: {"config": {"batch": batch_id}}}},
            tags={self.tag: batch_id, BATCH_TAG: f"{batch_id}/1", ATTEMPT_TAG: str(attempt)} | (tags or {}),
        )


def given_up(partition: str, reason: str) -> Outcome:
    """Return the outcome of an item whose batch is not run again."""
    remedy = "If nobody canceled it, look at why runs end (memory of the machine, Dask, the store); then materialize its partition."
    return Outcome(partition, State.FAILED, {}, Failure("run", "batch_interrupted", reason, remedy))
