"""One batch of images in one run, whoever asked for it: the meeting of the pipeline, the engine and Dagster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
from pydantic import Field

from platform_assets.common.errors import ConfigurationError
from platform_assets.common.values import Outcome
from platform_assets.execution.progress import Progress
from platform_assets.execution.record import Recorder, shown_as_materialized
from platform_assets.execution.run import ItemRun, batch_options
from platform_assets.imagery import checks
from platform_assets.imagery.events import image_events, raw_events
from platform_assets.imagery.model import RESAMPLINGS, Conversion, ImageJob, Product, Profile
from platform_assets.imagery.partitions import images
from platform_assets.imagery.pipeline import Workshop, convert_image, find_done, publish_catalogue, work_of
from resources.dask_cluster import DaskCluster
from resources.image_archive import ImageArchive

Context = dg.OpExecutionContext | dg.AssetExecutionContext


class ConversionConfig(dg.Config):
    """How this run converts; what is left out is as the deployment's settings say."""

    profile: str | None = Field(default=None, description=f"Compression of the COGs: {', '.join(Profile)}.")
    overview_resampling: str | None = Field(default=None, description=f"How overviews are made: {', '.join(RESAMPLINGS)}.")
    jpeg_quality: int | None = Field(default=None, description="Quality of the JPEGs, 1 to 100.")

    def over(self, conversion: Conversion) -> Conversion:
        """Return the deployment's conversion with what this run asks for instead.

        Raises:
            ConfigurationError: A value is not one of those that the field's description names.
        """
        profile: Any = _one_of("profile", self.profile, tuple(Profile))
        resampling: Any = _one_of("overview_resampling", self.overview_resampling, RESAMPLINGS)
        return replace(
            conversion,
            profile=Profile(profile or conversion.profile),
            resampling=resampling or conversion.resampling,
            jpeg_quality=self.jpeg_quality or conversion.jpeg_quality,
        )


def _one_of(name: str, value: str | None, allowed: Sequence[str]) -> str | None:
    if value is not None and value not in allowed:
        raise ConfigurationError(f"{name}: {value!r} is none of {', '.join(allowed)}", remedy="Correct the run's configuration.")
    return value


@dataclass(frozen=True)
class Order:
    """What a run is asked to do.

    Attributes:
        jobs: The images.
        refused: Images that are refused without work, as outcomes.
        assets: The assets that are asked for.
        conversion: How to convert.
        by_partition: Whether Dagster planned the run over the images' partitions.
        heartbeat: Called every few seconds; may raise to stop the batch.
    """

    jobs: Sequence[ImageJob]
    refused: Sequence[Outcome]
    assets: Sequence[dg.AssetKey]
    products: frozenset[Product]
    conversion: Conversion
    by_partition: bool
    heartbeat: Callable[[Progress, float], None] = lambda progress, elapsed_s: None  # noqa: ARG005


def run_batch(context: Context, archive: ImageArchive, dask: DaskCluster, order: Order) -> ItemRun:
    """Bring every image of an order to its end and bring the catalogue up to date; what failed is told by `ItemRun.conclude`.

    Raises:
        TransientError: Cluster or store are gone; what was done is recorded, and the order can be run again.
    """
    events = image_events(archive.output_bucket, order.products)
    recorder = Recorder(context, order.assets, events, planned_by_dagster=order.by_partition)
    run = ItemRun(
        context, recorder, len(order.jobs) + len(order.refused), order.heartbeat, kept=_without_thumbnail if order.by_partition else _whole
    )
    here = workshop(context.run.run_id, archive, order)
    done = find_done(here, order.jobs)
    known = set() if order.by_partition else shown_as_materialized(context, order.assets, images, [outcome.key for outcome in done])
    for outcome in done:
        run.settle(outcome, known=outcome.key in known)
    for outcome in order.refused:
        run.settle(outcome)
    unchanged = {outcome.key for outcome in done}
    works = [work for work in map(work_of, order.jobs) if work.key not in unchanged]
    recorder.materialized(raw_events(archive.input_bucket, [work.payload for work in works]))

    def travelling() -> Workshop:
        source, target = archive.buckets_for_workers()
        return replace(here, source=source, target=target)

    run.work(dask, works, convert_image, travelling, batch_options(archive))
    publish_catalogue(here, run.outcomes)
    for evaluation in checks.evaluations(run.outcomes, order.assets):
        context.log_event(evaluation)  # type: ignore[arg-type]  # Dagster's annotation forgets it, its code does not
    return run


def workshop(run_id: str, archive: ImageArchive, order: Order) -> Workshop:
    """Return what the images of an order have in common."""
    return Workshop(archive.source, archive.target, archive.output_prefix, order.conversion, archive.image_limits, order.products, run_id)


def _whole(outcome: Outcome) -> Outcome:
    return outcome


def _without_thumbnail(outcome: Outcome) -> Outcome:
    return replace(outcome, facts={name: value for name, value in outcome.facts.items() if name != "thumbnail"})
