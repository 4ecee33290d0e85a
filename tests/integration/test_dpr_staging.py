"""Staging over a real object store, by several processes, some of which are killed."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from platform_assets.common.store import Bucket
from platform_assets.dpr import naming, sample
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.model import Source
from platform_assets.dpr.staging import Staging
from platform_assets.dpr.staging_catalogue import StagingCatalogue
from platform_assets.dpr.stations import read_stations
from resources.auxip import station_clients
from resources.object_store import S3Bucket
from resources.station_simulator import serving
from resources.station_simulator_auxip import AuxipSimulator
from tests.builders.aux_station import AuxStation, aux_item, one
from tests.builders.dpr import as_json

SPAWN = multiprocessing.get_context("spawn")
FILES = {"a.xml": b"a", "b.nc": b"b" * 100_000, "c.xml": b"c"}


def catalogue(bucket: Bucket, url: str) -> StagingCatalogue:
    station = {"name": "adgs", "source": "auxip", "protocol": "odata", "url": f"{url}/odata/v1", "retries": {"pause_s": 0.01}}
    configs = read_stations(as_json({"stations": [station]}), "stations.json")
    return StagingCatalogue(Staging(bucket, poll_s=0.1), station_clients(configs, {}), remember_s=0.0)


def search(searched: StagingCatalogue) -> list[Any]:
    return sorted(item["id"] for item in searched.search("s01-aux", Search(), "q", source=Source.AUXIP))


def stage_slowly(bucket: S3Bucket) -> None:
    station = AuxStation((aux_item("X", FILES), FILES))
    station.slow_s = 0.5
    Staging(bucket, owner="killed", lease_s=1.2).stage(station, "s01-aux", station.items)


@pytest.mark.parametrize("s3_server", ["embedded"], indirect=True)
def test_four_processes_that_want_the_same_fetch_it_once(bucket: S3Bucket) -> None:
    simulator = AuxipSimulator(sample.make_adfs())
    with serving(simulator) as url, ProcessPoolExecutor(4, mp_context=SPAWN) as pool:
        found = list(pool.map(search, [catalogue(bucket, url)] * 12))
    assert found == [sorted(adf.name for adf in sample.make_adfs())] * 12
    assert sorted(simulator.fetched) == found[0]


@pytest.mark.parametrize("s3_server", ["embedded"], indirect=True)
def test_after_a_kill_another_process_goes_on_with_what_was_fetched(bucket: S3Bucket) -> None:
    process = SPAWN.Process(target=stage_slowly, args=(bucket,))
    process.start()
    second = naming.adf_key("s01-aux", "X", "b.nc")
    until = time.monotonic() + 60
    while bucket.stat(second) is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.35)  # a renewal of the lease later, which tells what is there
    process.kill()
    process.join()
    assert bucket.stat(naming.item_key("s01-aux", "X")) is None
    station = AuxStation((aux_item("X", FILES), FILES))
    (item,) = Staging(bucket, poll_s=0.1).stage(station, "s01-aux", station.items)
    assert list(item["assets"]) == list(FILES)
    assert [href.partition("?")[0].rpartition("/")[2] for href in station.fetched] == ["c.xml"]


def test_many_threads_stage_many_items_once_on_every_server(bucket: S3Bucket) -> None:
    station = AuxStation(*(one(f"A_{number}.EOF", b"x" * number) for number in range(1, 9)))
    station.slow_s = 0.02
    staging = Staging(bucket, poll_s=0.05)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: staging.stage(station, "s01-aux", station.items), range(6)))
    assert len(station.fetched) == 8
    assert all(row == found[0] for row in found)
