"""One batch in one Dagster run: the engine, the recorder and the log, put together for the domains."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import dagster as dg

from platform_assets.common.values import Outcome, State, Work
from platform_assets.execution.batch import Batch, BatchOptions, Reporting
from platform_assets.execution.plan import RetryPolicy
from platform_assets.execution.progress import Progress
from platform_assets.execution.record import Recorder
from platform_assets.execution.worker import ItemTask, Limits

PROGRESS_TAG = "groundtrack/progress"
DASHBOARD_TAG = "groundtrack/dask_dashboard"

_LOGGED_FAILURES = 50
_LINE_S = 5.0


class ClientSource(Protocol):
    """What opens a Dask client: `resources.dask_cluster.DaskCluster`."""

    def client(self) -> Any:
        """Return a context manager that yields a connected client."""


class ItemShare(Protocol):
    """What a deployment grants each item: `resources.archive.Archive`."""

    @property
    def item_time_limit_s(self) -> float:
        """Longest one item may take."""

    @property
    def item_memory_mb(self) -> int:
        """Memory of a worker while it works on one item; 0 for no limit."""

    @property
    def item_alone_memory_mb(self) -> int:
        """The same for an item that is tried again, alone."""

    @property
    def item_attempts(self) -> int:
        """How often an item is tried when what failed may pass."""


def batch_options(share: ItemShare, *, group_items: int = 64) -> BatchOptions:
    """Return how a batch runs.

    Args:
        share: What each item may use.
        group_items: Items in one Dask task at most.
    """
    return BatchOptions(
        retry=RetryPolicy(attempts=share.item_attempts),
        limits=Limits(share.item_time_limit_s, share.item_memory_mb * 1_000_000),
        alone_memory_bytes=share.item_alone_memory_mb * 1_000_000,
        group_items=group_items,
    )


class ItemRun:
    """Runs the items of one batch and keeps count, log, run tags and event log up to date.

    Args:
        context: The step's context.
        recorder: Where outcomes are recorded.
        total: Items in the batch, those included that are found done or refused before any work.
        heartbeat: Called every second with the progress and the elapsed seconds; may raise to stop the batch.
        kept: What `outcomes` keeps of an outcome; a run over 50,000 partitions cannot keep everything.
    """

    def __init__(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        recorder: Recorder,
        total: int,
        heartbeat: Callable[[Progress, float], None] = lambda progress, elapsed_s: None,  # noqa: ARG005
        *,
        kept: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    ) -> None:
        self._context = context
        self._recorder = recorder
        self._heartbeat = heartbeat
        self._kept = kept
        self._line_at_s = 0.0
        self.progress = Progress(total, 0.0)
        self.outcomes: list[Outcome] = []

    def settle(self, outcome: Outcome, *, known: bool = False) -> None:
        """Take an item that ended without a worker: refused, or found done (`known` when Dagster shows it so already)."""
        self.progress.count(outcome.state)
        self._take(outcome, known=known)

    def work(self, dask: ClientSource, works: Sequence[Work], task: ItemTask, shared: Callable[[], Any], options: BatchOptions) -> None:
        """Bring every item to its end on Dask; no cluster is opened for no items.

        Raises:
            ClusterLost: The cluster is gone; outcomes so far are recorded.
        """
        if not works:
            self._recorder.flush()
            return
        self.progress.cost_s = sum(work.cost_s for work in works)
        reporting = Reporting(started=self._recorder.started, ended=self._take, tick=self._tick)
        try:
            with dask.client() as client:
                self._tag(DASHBOARD_TAG, client.dashboard_link)
                self._context.log.info(f"{len(works)} of {self.progress.total} items go to Dask; dashboard {client.dashboard_link}")
                Batch(client, task, shared, options, reporting).run(works, self.progress)
        finally:
            self._recorder.flush()
            self._tag(PROGRESS_TAG, self._counts())

    def conclude(self, what: str) -> None:
        """Log the totals and, if any item failed, end the step as failed: Dagster then shows exactly those as failed.

        Raises:
            dagster.Failure: Some items failed; never retried by Dagster, as the engine has retried what can help.
        """
        self._recorder.flush()
        failed = {outcome.key: outcome.failure for outcome in self.outcomes if outcome.failure}
        classes = Counter(failure.code for failure in failed.values())
        self._context.log.info(f"{what}: {self._counts()}")
        if failed:
            first = {key: f"{failure.stage}: {failure.code}: {failure.message}" for key, failure in list(failed.items())[:200]}
            why = ", ".join(f"{number} {code}" for code, number in classes.most_common())
            raise dg.Failure(
                description=f"{what}: {len(failed)} of {self.progress.total} items failed ({why})",
                metadata={"failed": dg.MetadataValue.json(first), "by_error_class": dg.MetadataValue.json(dict(classes))},
                allow_retries=False,
            )

    def _take(self, outcome: Outcome, *, known: bool = False) -> None:
        self.outcomes.append(self._kept(outcome))
        self._recorder.ended(outcome, known=known)
        if outcome.failure and self.progress.failed <= _LOGGED_FAILURES:
            failure = outcome.failure
            more = "" if self.progress.failed < _LOGGED_FAILURES else " (further failures of this run are only in the report)"
            self._context.log.error(f"{outcome.key} failed in {failure.stage}: {failure.code}: {failure.message}. {failure.remedy}{more}")

    def _tick(self, progress: Progress, elapsed_s: float) -> None:
        self._recorder.flush_if_due()
        self._heartbeat(progress, elapsed_s)
        if elapsed_s - self._line_at_s >= _LINE_S:
            self._line_at_s = elapsed_s
            line = progress.line(elapsed_s)
            self._context.log.info(line)
            self._tag(PROGRESS_TAG, line)

    def _counts(self) -> str:
        counts = Counter(outcome.state for outcome in self.outcomes)
        done, before, failed = counts[State.DONE], counts[State.CARRIED_OVER], counts[State.FAILED]
        return f"{done} done, {before} were done before, {failed} failed of {self.progress.total}"

    def _tag(self, name: str, value: str) -> None:
        self._context.instance.add_run_tags(self._context.run.run_id, {name: value[:255]})
