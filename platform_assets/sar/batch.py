"""One batch of products in one run, whoever asked for it: the meeting of the pipeline, the engine and Dagster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import dagster as dg
from pydantic import Field

from platform_assets.common.errors import ConfigurationError
from platform_assets.common.values import Outcome
from platform_assets.execution.progress import Progress
from platform_assets.execution.record import Recorder, shown_as_materialized
from platform_assets.execution.run import ItemRun, batch_options
from platform_assets.sar import checks
from platform_assets.sar.events import product_events, safe_event
from platform_assets.sar.model import ClaimedSafe
from platform_assets.sar.options import L1bOptions, Processing
from platform_assets.sar.partitions import safes
from platform_assets.sar.pipeline import Workshop, find_done, process_safe, publish_catalogue, refused, work_of
from resources.dask_cluster import DaskCluster
from resources.safe_archive import SafeArchive

Context = dg.OpExecutionContext | dg.AssetExecutionContext


class L1bConfig(dg.Config):
    """How this run processes; what is left out is as the deployment's settings say."""

    resolution_m: float | None = Field(default=None, description="Cell size of the grid in metres, about.")
    variables: list[str] | None = Field(default=None, description="Variables to write.")
    polarisations: list[str] | None = Field(default=None, description="Polarisations to write, such as VV; all when left out.")

    def over(self, processing: Processing) -> Processing:
        """Return how the deployment processes with what this run asks for instead.

        Raises:
            ConfigurationError: It asks for what is not to be had, or for anything of a function of the user's own.
        """
        asked = [name for name in ("resolution_m", "variables", "polarisations") if getattr(self, name)]
        if not asked:
            return processing
        if not isinstance(processing, L1bOptions):
            raise ConfigurationError(
                f"{', '.join(asked)}: the deployment processes with {processing.function}, which takes its own options",
                remedy="Leave them out; set GROUNDTRACK_SAR_OPTIONS instead.",
            )
        return replace(
            processing,
            resolution_m=self.resolution_m or processing.resolution_m,
            variables=tuple(self.variables or processing.variables),
            polarisations=tuple(self.polarisations or processing.polarisations),
        )


@dataclass(frozen=True)
class Order:
    """What a run is asked to do.

    Attributes:
        safes: The products.
        assets: The assets that are asked for.
        processing: How to process.
        by_partition: Whether Dagster planned the run over the products' partitions.
        heartbeat: Called every few seconds; may raise to stop the batch.
    """

    safes: Sequence[ClaimedSafe]
    assets: Sequence[dg.AssetKey]
    processing: Processing
    by_partition: bool
    heartbeat: Callable[[Progress, float], None] = lambda progress, elapsed_s: None  # noqa: ARG005


def run_batch(context: Context, archive: SafeArchive, dask: DaskCluster, order: Order) -> ItemRun:
    """Bring every product of an order to its end and bring the catalogue up to date; what failed is told by `ItemRun.conclude`.

    Raises:
        TransientError: Cluster or store are gone; what was done is recorded, and the order can be run again.
    """
    jobs = [safe.job for safe in order.safes if safe.job]
    here = Workshop(archive.source, archive.target, archive.output_prefix, order.processing, context.run.run_id, archive.institution)
    recorder = Recorder(context, order.assets, product_events(archive.output_bucket, order.assets), planned_by_dagster=order.by_partition)
    run = ItemRun(context, recorder, len(order.safes), order.heartbeat, kept=_without_picture if order.by_partition else _whole)
    # The sensor takes a product for claimed when its `safe` is materialized: also one that is refused.
    recorder.materialized(safe_event(archive.input_bucket, safe) for safe in order.safes)
    done = find_done(here, jobs)
    known = set() if order.by_partition else shown_as_materialized(context, order.assets, safes, [outcome.key for outcome in done])
    for outcome in done:
        run.settle(outcome, known=outcome.key in known)
    for safe in order.safes:
        if safe.problem:
            run.settle(refused(safe))
    unchanged = {outcome.key for outcome in done}
    works = [work_of(job) for job in jobs if job.name not in unchanged]

    def travelling() -> Workshop:
        source, target = archive.buckets_for_workers()
        return replace(here, source=source, target=target)

    run.work(dask, works, process_safe, travelling, batch_options(archive, group_items=1))
    publish_catalogue(here, run.outcomes)
    for evaluation in checks.evaluations(run.outcomes, order.assets):
        context.log_event(evaluation)  # type: ignore[arg-type]  # Dagster's annotation forgets it, its code does not
    return run


def _whole(outcome: Outcome) -> Outcome:
    return outcome


def _without_picture(outcome: Outcome) -> Outcome:
    return replace(outcome, facts={name: value for name, value in outcome.facts.items() if name != "picture"})
