"""A request whose auxiliary files come from a station that fails in every way it knows: complete, or failed with its reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.common.errors import GroundtrackError
from platform_assets.common.values import State
from platform_assets.dpr.errors import AuxiliaryNotFound
from platform_assets.dpr.sample import SampleAdf
from platform_assets.dpr.staging import Staging
from platform_assets.dpr.staging_catalogue import StagingCatalogue
from platform_assets.dpr.stations import read_stations
from platform_assets.dpr.transfer import CorruptTransfer, FileGone, StationUnavailable
from resources.auxip import station_clients
from resources.station_faults import Fault, FaultSchedule
from resources.station_simulator import serving
from resources.station_simulator_auxip import AuxipSimulator
from tests.builders.dpr import as_json
from tests.builders.dpr_centre import SECRETS, Centre

CANARY = "canary-token-9c"
DAY = datetime(2026, 5, 1, tzinfo=UTC)
PASSING = (Fault.THROTTLE, Fault.ERROR, Fault.TRUNCATE, Fault.CORRUPT)


def adf(name: str, product_type: str) -> SampleAdf:
    return SampleAdf(name, product_type, DAY, DAY + timedelta(days=1), DAY, name.encode() * 10_000, "sentinel-1c")


ADFS = [adf("ORBIT.EOF", "ORB_PRE"), adf("GAIN.EOF", "AUX_GAIN")]


@contextmanager
def station(*kinds: Fault, **schedule: Any) -> Iterator[tuple[AuxipSimulator, str]]:
    simulator = AuxipSimulator(ADFS, FaultSchedule(rate=1.0, kinds=kinds, retry_after_s=0, **schedule))
    with serving(simulator, authorization=f"Bearer {CANARY}") as url:
        yield simulator, url


def process(centre: Centre, url: str, attempts: int = 6) -> Any:
    auth = {"kind": "bearer", "token": "${STATION_TOKEN}"}
    described = {"name": "adgs", "source": "auxip", "protocol": "odata", "url": f"{url}/odata/v1", "auth": auth}
    configs = read_stations(as_json({"stations": [described | {"retries": {"attempts": attempts, "pause_s": 0.01}}]}), "stations.json")
    secrets = {**SECRETS, "STATION_TOKEN": CANARY}
    catalogue = StagingCatalogue(Staging(centre.target, owner="run-1"), station_clients(configs, secrets))
    mappings = [{"product_type": "*", "collection_name": "s01-aux"}]
    job = centre.job(auxiliary_product_to_collection_identifier=mappings)
    return centre.process(job, centre.shop(catalogue=catalogue, secrets=secrets))


def everything(centre: Centre) -> bytes:
    stores = (centre.source, centre.target, centre.products)
    return b"".join(store.read(ref.key, limit_bytes=1 << 30)[0] for store in stores for ref in store.list())


@pytest.mark.parametrize("kinds", [*((kind,) for kind in PASSING), PASSING], ids="-".join)
def test_faults_that_pass_cost_time_and_nothing_else(kinds: tuple[Fault, ...], tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    with station(*kinds) as (simulator, url):
        state, facts = process(centre, url)
    assert all(simulator.faults.happened[kind] for kind in kinds)
    assert state is State.DONE
    assert [row["id"] for row in facts["auxiliary"]] == ["ORBIT.EOF", "GAIN.EOF"]
    assert all(row["href"].startswith("s3://output/auxiliary/s01-aux/") for row in facts["auxiliary"])
    assert CANARY.encode() not in everything(centre)


@pytest.mark.parametrize(
    ("kind", "error", "attempts"),
    [
        (Fault.VANISH, FileGone, 6),
        (Fault.CORRUPT, CorruptTransfer, 1),
        (Fault.TRUNCATE, StationUnavailable, 1),
    ],
)
def test_a_file_that_is_not_had_fails_the_request_by_name_and_it_is_complete_when_it_is(
    kind: Fault, error: type[GroundtrackError], attempts: int, tmp_path: Path
) -> None:
    centre = Centre(tmp_path)
    with station(kind, only="ORBIT") as (_, url), pytest.raises(error, match=r"ORBIT\.EOF of ORBIT\.EOF, from adgs") as failed:
        process(centre, url, attempts)
    assert centre.stored() == []
    assert CANARY not in str(failed.value)
    with station() as (simulator, url):
        state, _ = process(centre, url)
    assert state is State.DONE
    assert "ORBIT.EOF" in simulator.fetched
    assert CANARY.encode() not in everything(centre)


def test_a_file_that_is_listed_late_fails_the_request_with_where_it_was_searched_until_it_is(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    with station(Fault.LATE, only="ORBIT", late_looks=2) as (_, url):
        with pytest.raises(AuxiliaryNotFound, match="needs the auxiliary file 'ORB'; nothing was found; searched were: s01-aux"):
            process(centre, url)
        assert process(centre, url)[0] is State.DONE


def test_a_second_request_for_the_same_fetches_nothing(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    with station() as (simulator, url):
        process(centre, url)
        fetched = list(simulator.fetched)
        process(centre, url)
    assert sorted(fetched) == ["GAIN.EOF", "ORBIT.EOF"]
    assert simulator.fetched == fetched
