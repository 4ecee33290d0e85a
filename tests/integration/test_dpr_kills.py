"""kill -9 of the worker between any two steps of a request: afterwards it is as if nothing had happened."""

import json
from collections.abc import Iterator

import pytest
from distributed import Client

from platform_assets.common.values import Outcome, State
from platform_assets.definitions import dpr_archive
from platform_assets.dpr import naming
from platform_assets.dpr.intake import arrivals, examine_all, task_tables
from platform_assets.dpr.pipeline import find_done, work_of
from platform_assets.execution.batch import Batch, BatchOptions, Reporting
from platform_assets.execution.plan import RetryPolicy
from platform_assets.execution.progress import Progress
from tests.builders.centre import Centre
from tests.builders.kills import DeadlyShop, process_under_fire
from tests.integration.test_dpr_flow import SESSION, centre, drop, empty

__all__ = ["centre", "empty"]

STAGES = ("look_up", "plan", "payload", "process", "check", "publish", "catalogue")
PLACES = [f"{when} {stage}" for stage in STAGES for when in ("before", "after")]


@pytest.fixture(scope="module")
def client(dask_address: str) -> Iterator[Client]:
    with Client(dask_address, set_as_default=False) as client:
        yield client


def process(centre: Centre, client: Client, place: str) -> Outcome:
    """Bring the one request to its end on workers of which the first is killed at a place."""
    archive = dpr_archive(centre.settings)
    shop = archive.workshop(archive.configuration(), "run")
    [claim] = examine_all(archive.source, list(arrivals(archive.source, "requests/")), task_tables(archive.source, "dpr/"))
    assert claim.job, claim.problem
    ended: list[Outcome] = []
    works = [work_of(claim.job)]
    options = BatchOptions(retry=RetryPolicy(first_delay_s=0.1), tick_s=0.2)
    reporting = Reporting(lambda _: None, ended.append, lambda progress, elapsed_s: None)
    Batch(client, process_under_fire, lambda: DeadlyShop(shop, place), options, reporting).run(works, Progress(1, 1.0))
    [found] = find_done(shop, [claim.job])
    assert found.state is State.CARRIED_OVER
    return ended[0]


@pytest.mark.parametrize("place", PLACES)
def test_a_request_whose_worker_is_killed_is_published_whole_and_once(centre, client, place):
    name = drop(centre)
    outcome = process(centre, client, place)
    killed = centre.target.stat(f"_kills/{name}") is not None
    assert killed, f"no worker came by {place}"
    assert outcome.failure is None, outcome
    [item] = outcome.facts["items"]
    assert [ref.key for ref in centre.target.list(naming.items_prefix("s01siwraw"))] == [item["key"]]
    document = json.loads(centre.target.read(item["key"], limit_bytes=1 << 24)[0])
    [asset] = document["assets"].values()
    folders = {ref.key.split("/")[2] for ref in centre.target.list("groundtrack/s01siwraw/")}
    assert len(folders) == 1, f"products that no item names: {folders}"
    assert folders.pop() in asset["href"]
    assert SESSION.id in str(document["links"])
