"""The job that the sensor of CADIP stations requests: some sessions are fetched into the input bucket, on Dask."""

from typing import Any

import dagster as dg
from pydantic import Field

from platform_assets.common.values import Outcome
from platform_assets.dpr.fetch import FetchJob, fetch_session, work_of
from platform_assets.dpr.specs import SESSION
from platform_assets.execution.record import Recorder, failure_observation
from platform_assets.execution.run import ItemRun, batch_options
from resources.dask_cluster import DaskCluster
from resources.dpr_archive import DprArchive


class FetchConfig(dg.Config):
    """What is fetched."""

    station: str = Field(description="The station's name in the document of stations.")
    sessions: dict[str, int] = Field(description="The sessions, by SessionId, each with the bytes that are missing, about.")


@dg.op
def fetch_sessions(context: dg.OpExecutionContext, config: FetchConfig, dpr_archive: DprArchive, dask: DaskCluster) -> None:
    """Bring what the input bucket lacks of some sessions from their station, and tell on each session's partition how it went."""
    shop = dpr_archive.fetch_shop()
    if config.station not in shop.stations:
        known = ", ".join(shop.stations) or "none"
        raise dg.Failure(f"there is no CADIP station {config.station}; there are: {known}", allow_retries=False)
    # No asset: a session is materialized by the sensor that finds it complete.
    run = ItemRun(context, Recorder(context, [], lambda _: (), planned_by_dagster=False), len(config.sessions))
    works = [work_of(FetchJob(name, config.station), size_bytes) for name, size_bytes in config.sessions.items()]
    run.work(dask, works, fetch_session, dpr_archive.fetch_shop, batch_options(dpr_archive, group_items=1))
    for outcome in run.outcomes:
        context.log_event(_observed(outcome))
    run.conclude(f"sessions of station {config.station}")


def _observed(outcome: Outcome) -> dg.AssetObservation:
    if outcome.failure:
        return failure_observation(dg.AssetKey(SESSION), outcome, outcome.failure)
    facts = outcome.facts
    metadata: dict[str, Any] = {name: value for name, value in facts.items() if not isinstance(value, list)}
    metadata |= {name: dg.MetadataValue.json(value) for name, value in facts.items() if isinstance(value, list)}
    said = f"{len(facts['fetched'])} of {facts['blocks']} files fetched from {facts['station']}"
    return dg.AssetObservation(SESSION, partition=outcome.key, description=said, metadata=metadata | {"seconds": outcome.seconds})


@dg.job(
    description="Fetches sessions from a CADIP station into the input bucket; requested by the sensor of the stations.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_retries": "0"},  # the sensor asks again for what is missing
)
def session_fetch() -> None:
    """Some sessions of one station."""
    fetch_sessions()
