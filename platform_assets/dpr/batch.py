"""One batch of requests in one run, whoever asked for it: the meeting of the pipeline, the engine and Dagster."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import dagster as dg

from platform_assets.common.errors import ConfigurationError, MissingInput, PermanentError
from platform_assets.common.values import Failure, Outcome, State
from platform_assets.dpr import checks, naming
from platform_assets.dpr.claim import ClaimedRequest
from platform_assets.dpr.events import reached_events, request_event, step_events
from platform_assets.dpr.partitions import requests
from platform_assets.dpr.pipeline import clean_up, find_done, process_request, publish_catalogue, work_of
from platform_assets.dpr.workshop import Workshop
from platform_assets.execution.progress import Progress
from platform_assets.execution.record import Recorder, shown_as_materialized
from platform_assets.execution.run import ItemRun, batch_options
from resources.dask_cluster import DaskCluster
from resources.dpr_archive import Configuration, DprArchive

Context = dg.OpExecutionContext | dg.AssetExecutionContext

_FACTS_BYTES = 8 << 20
_KEPT = frozenset({"items", "auxiliary", "processor", "seconds_by_stage", "log_key", "run_id"})


@dataclass(frozen=True)
class Order:
    """What a run is asked to do.

    Attributes:
        requests: The requests, those that go first at the front.
        assets: The assets that are asked for.
        by_partition: Whether Dagster planned the run over the requests' partitions.
        heartbeat: Called every few seconds; may raise to stop the batch.
    """

    requests: Sequence[ClaimedRequest]
    assets: Sequence[dg.AssetKey]
    by_partition: bool
    heartbeat: Callable[[Progress, float], None] = lambda progress, elapsed_s: None  # noqa: ARG005


def run_batch(context: Context, archive: DprArchive, dask: DaskCluster, order: Order) -> ItemRun:
    """Bring every request of an order to its end and bring the catalogue up to date; what failed is told by `ItemRun.conclude`.

    Raises:
        TransientError: Cluster or store are gone; what was done is recorded, and the order can be run again.
    """
    configuration, order = _configured(archive, order)
    jobs = [claim.job for claim in order.requests if claim.job]
    here = archive.workshop(configuration, context.run.run_id)
    makers = step_events(archive.input_bucket, archive.output_bucket, order.assets)
    recorder = Recorder(context, order.assets, makers, planned_by_dagster=order.by_partition)
    run = ItemRun(context, recorder, len(order.requests), order.heartbeat, kept=_in_short)
    # The sensor takes a request for claimed when its `request` is materialized: also one that is refused.
    recorder.materialized(request_event(archive.input_bucket, claim) for claim in order.requests)
    done = find_done(here, jobs)
    known = set() if order.by_partition else shown_as_materialized(context, order.assets, requests, [outcome.key for outcome in done])
    for outcome in done:
        run.settle(outcome, known=outcome.key in known)
    for claim in order.requests:
        if claim.problem:
            run.settle(refused(claim))
    unchanged = {outcome.key for outcome in done}
    works = [work_of(job) for job in jobs if job.id not in unchanged]

    @lru_cache(maxsize=1)
    def travelling(minute: int) -> Workshop:
        """Return the workshop with credentials that are not older than a minute; to find them costs 5 ms."""
        del minute
        return archive.workshop(configuration, context.run.run_id)

    options = batch_options(archive, group_items=1)
    run.work(dask, works, process_request, lambda: travelling(int(time.monotonic() // 60)), options)
    failed = {outcome.key for outcome in run.outcomes if outcome.failure}
    clean_up(here, [job for job in jobs if job.id in failed])  # of what the guard of a worker ended, nothing else does
    _tell_what_was_reached(recorder, archive, order, run.outcomes)
    publish_catalogue(here, run.outcomes)
    for evaluation in checks.evaluations(run.outcomes, order.assets):
        context.log_event(evaluation)  # type: ignore[arg-type]  # Dagster's annotation forgets it, its code does not
    return run


def _configured(archive: DprArchive, order: Order) -> tuple[Configuration, Order]:
    """Return the deployment's configuration; when it breaks a rule, all requests are refused for that, and say so."""
    try:
        return archive.configuration(), order
    except (ConfigurationError, PermanentError) as error:
        problem = Failure("configure", error.code, str(error), error.remedy)
        claims = [replace(claim, job=None, problem=claim.problem or problem) for claim in order.requests]
        return archive.defaults(), replace(order, requests=claims)


def refused(claim: ClaimedRequest) -> Outcome:
    """Return the outcome of a request that was refused when it was claimed."""
    return Outcome(claim.partition, State.FAILED, {}, claim.problem)


def _in_short(outcome: Outcome) -> Outcome:
    """Return an outcome with what is needed after it was told: 1,000 requests have 20 MB of units, searches and payloads."""
    return replace(outcome, facts={name: value for name, value in outcome.facts.items() if name in _KEPT})


def _tell_what_was_reached(recorder: Recorder, archive: DprArchive, order: Order, outcomes: Sequence[Outcome]) -> None:
    """Show task table, searches and payload of requests that failed after those were made: they are what tells why."""
    for outcome in outcomes:
        if outcome.failure and outcome.attempts and (facts := _facts_of(archive, outcome.key)):
            recorder.materialized(reached_events(archive.input_bucket, archive.output_bucket, order.assets, outcome.key, facts))
    recorder.flush()


def _facts_of(archive: DprArchive, partition: str) -> dict[str, Any]:
    try:
        data, _ = archive.target.read(naming.record_key(partition, "facts.json", archive.output_prefix), limit_bytes=_FACTS_BYTES)
    except MissingInput:
        return {}
    return dict(json.loads(data))
