"""The sensor of Sentinel-1 products: claims those that are whole, requests a run for them, finds again what was interrupted."""

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import dagster as dg

from platform_assets.common.values import Outcome
from platform_assets.sar.claim import SafeBatch, SafeRecords, digest
from platform_assets.sar.events import product_events, safe_event
from platform_assets.sar.intake import Arrival, Waiting, arrivals, examine
from platform_assets.sar.jobs import l1b_batch, process_safe_batch
from platform_assets.sar.model import ClaimedSafe
from platform_assets.sar.partitions import safes
from platform_assets.sar.pipeline import Workshop, find_done, publish_catalogue, refused
from platform_assets.sar.report import settle
from platform_assets.sar.specs import ITEM, PRODUCT_KEYS, SAFE
from resources.safe_archive import SafeArchive
from sensors.alone import alone
from sensors.batches import BatchTick, given_up

_BUDGET_S = 45.0
_LOOKS = 16
"""Products looked at together: each costs a listing and, the first time, its manifest."""


def safe_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor of Sentinel-1 products.

    Args:
        interval_s: Seconds between two ticks.
    """

    @dg.sensor(
        job=l1b_batch,
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Claims Sentinel-1 products under the SAFE prefix as soon as they are whole, and requests a run for them.",
    )
    def sentinel_1_safes(context: dg.SensorEvaluationContext, safe_archive: SafeArchive) -> dg.SensorResult:
        with alone(safe_archive, "sentinel_1_safes") as first:
            if not first:
                return dg.SensorResult(skip_reason="another sensor looks at this bucket right now", cursor=context.cursor)
            return Tick(context, safe_archive).run()

    return sentinel_1_safes


class Tick(BatchTick[SafeBatch]):
    """One look at the SAFE prefix.

    Args:
        context: The sensor's context.
        archive: The buckets.
    """

    tag: ClassVar[str] = "groundtrack/safes"
    op: ClassVar[str] = process_safe_batch.name
    asset: ClassVar[str] = SAFE
    partitions: ClassVar[dg.DynamicPartitionsDefinition] = safes

    def __init__(self, context: dg.SensorEvaluationContext, archive: SafeArchive) -> None:
        self._archive = archive
        self._own_records = SafeRecords(archive.target, archive.output_prefix)
        super().__init__(context, self._own_records, archive.batch_attempts)

    def take(self, in_work: Collection[str]) -> None:
        """Claim the products that are new and whole."""
        found = {row.partition: row for row in arrivals(self._archive.source, self._archive.safe_prefix) if row.partition not in in_work}
        new = self.new(found)
        whole = list(self._whole([row for key, row in found.items() if key in new]))
        if whole:
            batch = SafeBatch.of(whole, time.time())
            self._own_records.put_claim(batch)
            self.claimed(batch, batch.id)

    def _whole(self, new: Sequence[Arrival]) -> Iterator[ClaimedSafe]:
        """Yield what can be claimed; those that waited or failed come last, so that they hold up nobody."""
        queue = sorted(new, key=lambda arrival: arrival.partition in self._before or arrival.partition in self._failed)
        ends_s, whole = time.monotonic() + _BUDGET_S, 0
        with ThreadPoolExecutor(_LOOKS) as pool:
            for start in range(0, len(queue), _LOOKS):
                some = queue[start : start + _LOOKS]
                if time.monotonic() > ends_s or whole >= self._archive.batch_rows:
                    self.later([arrival.partition for arrival in queue[start:]])
                    return
                for seen in pool.map(lambda arrival: examine(self._archive.source, arrival), some):
                    if isinstance(seen, Waiting):
                        self.wait(seen.partition, seen.reason, seen.missing)
                    elif self._failed.get(seen.partition) != digest(seen):
                        whole += 1
                        yield seen

    def read(self, batch_id: str) -> SafeBatch | None:
        """Return a batch that was claimed."""
        return self._own_records.claim(batch_id)

    def keys(self, batch: SafeBatch) -> list[str]:
        """Return the partitions of a batch."""
        return [safe.partition for safe in batch.safes]

    def settle(self, batch: SafeBatch) -> None:
        """Write the report of a batch that is over."""
        settle(self._own_records, batch)

    def give_up(self, batch: SafeBatch, reason: str) -> Sequence[Outcome]:
        """Tell what was made, and why the rest will not be."""
        archive = self._archive
        here = Workshop(archive.source, archive.target, archive.output_prefix, archive.processing, "")
        done = {outcome.key: outcome for outcome in find_done(here, [safe.job for safe in batch.safes if safe.job])}
        outcomes = [
            done.get(safe.partition) or (refused(safe) if safe.problem else given_up(safe.partition, reason)) for safe in batch.safes
        ]
        publish_catalogue(here, outcomes)
        claimed = [safe_event(archive.input_bucket, safe) for safe in batch.safes]
        self.tell(ITEM, outcomes, claimed, product_events(archive.output_bucket, PRODUCT_KEYS))
        return outcomes
