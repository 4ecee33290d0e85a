"""Auxiliary files come from simulated stations, over STAC and OData, whatever fails on the way."""

import hashlib
import json
import pickle
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr import sample
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.errors import InvalidQuery, MissingSecret
from platform_assets.dpr.model import Source
from platform_assets.dpr.staging import Staging
from platform_assets.dpr.staging_catalogue import StagingCatalogue
from platform_assets.dpr.stations import authorization, read_stations
from platform_assets.dpr.transfer import Checksum, CorruptTransfer, Expected, FileGone, StationRefused, StationTimeout, StationUnavailable
from resources.auxip import station_client, station_clients
from resources.station_faults import Fault, FaultSchedule
from resources.station_simulator import serving
from resources.station_simulator_auxip import AuxipSimulator
from tests.builders.bucket import MemoryBucket
from tests.builders.cql2_cases import VALIDITY, interval, of, op
from tests.builders.stac_server import serving as serving_stac

ADFS = sample.make_adfs()
ORBITS = sorted(adf.name for adf in ADFS if adf.product_type == "MPL_ORBSCT")
NEWEST = ({"field": "created", "direction": "desc"},)
DAY = interval(op("-", sample.START.isoformat(), 60), op("+", (sample.START + timedelta(hours=1)).isoformat(), 60))
ORBIT = op("=", of("product:type"), "MPL_ORBSCT")
COVERING = op("and", ORBIT, op("t_contains", VALIDITY, DAY))
SECRETS = {"USER": "ana", "PASSWORD": "s3cret"}


def client(url: str, protocol: str = "odata", secrets: Mapping[str, str] = SECRETS, **changes: Any) -> Any:
    return station_client(config(url, protocol, **changes), secrets)


def config(url: str, protocol: str, **changes: Any) -> Any:
    paths = {"odata": "/odata/v1", "stac": "/stac"}
    quick = {"attempts": 3, "pause_s": 0.01}
    station = {"name": "adgs", "source": "auxip", "protocol": protocol, "url": url + paths[protocol], "retries": quick, **changes}
    return read_stations(json.dumps({"stations": [station]}).encode(), "stations.json")[0]


@contextmanager
def station(*kinds: Fault, page_rows: int = 20, needs: str = "", **schedule: Any) -> Iterator[tuple[AuxipSimulator, str]]:
    simulator = AuxipSimulator(ADFS, FaultSchedule(rate=1.0, kinds=kinds, retry_after_s=0, **schedule), page_rows=page_rows)
    with serving(simulator, authorization=needs) as url:
        yield simulator, url


def names(found: Any) -> list[str]:
    return [item["id"] for item in found]


both = pytest.mark.parametrize("protocol", ["odata", "stac"])


@both
def test_the_filter_of_a_task_table_finds_the_same_over_both_protocols(protocol: str) -> None:
    with station() as (_, url):
        asked = client(url, protocol)
        assert names(asked.search(Search(COVERING, NEWEST), "q", timeout_s=None)) == ORBITS[::-1]
        assert names(asked.search(Search(COVERING, NEWEST, 1), "q", timeout_s=30)) == ORBITS[-1:]
        assert names(asked.search(Search(op("=", of("id"), ORBITS[0])), "q", timeout_s=None)) == ORBITS[:1]
        assert asked.search(Search(op("=", of("product:type"), "AUX_POEORB")), "q", timeout_s=None) == []
        assert len(asked.search(Search(), "q", timeout_s=None)) == len(ADFS)


@both
def test_all_pages_are_read(protocol: str) -> None:
    with station(page_rows=1) as (_, url):
        assert len(client(url, protocol).search(Search(), "q", timeout_s=None)) == len(ADFS)


@both
def test_what_is_found_is_staged_whatever_fails_once(protocol: str) -> None:
    bucket = MemoryBucket("out")
    with station(Fault.THROTTLE, Fault.ERROR, Fault.TRUNCATE, Fault.CORRUPT) as (simulator, url):
        configs = (config(url, protocol, retries={"attempts": 6, "pause_s": 0.01}),)
        catalogue = pickle.loads(pickle.dumps(station_clients(configs, SECRETS)))
        found = StagingCatalogue(Staging(bucket, owner="run"), catalogue).search("s01-aux", Search(ORBIT), "q", source=Source.AUXIP)
    assert sorted(names(found)) == ORBITS
    assert simulator.faults.happened[Fault.CORRUPT] == simulator.faults.happened[Fault.TRUNCATE] == 2
    by_name = {adf.name: adf.content for adf in ADFS}
    for item in found:
        (asset,) = item["assets"].values()
        content, _ = bucket.read(asset["href"].removeprefix("s3://out/"), limit_bytes=1 << 20)
        assert content == by_name[item["id"]]
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()


def test_many_that_want_the_same_fetch_it_once() -> None:
    bucket = MemoryBucket("out")
    with station() as (simulator, url):
        catalogue = StagingCatalogue(Staging(bucket, poll_s=0.05), station_clients([config(url, "odata")], {}), remember_s=0)
        search = Search(ORBIT)
        threads = [
            threading.Thread(target=catalogue.search, args=("s01-aux", search, "q"), kwargs={"source": Source.AUXIP}) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(simulator.fetched) == ORBITS


def staged(url: str, **changes: Any) -> Any:
    stations = station_clients([config(url, "odata", **changes)], {})
    return StagingCatalogue(Staging(MemoryBucket("out")), stations).search("s01-aux", Search(ORBIT), "q", source=Source.AUXIP)


def test_a_file_that_vanished_is_named_and_not_tried_again() -> None:
    with station(Fault.VANISH, only=ORBITS[0]) as (simulator, url), pytest.raises(FileGone, match=ORBITS[0]):
        staged(url)
    assert simulator.faults.happened[Fault.VANISH] == 1
    assert simulator.fetched == ORBITS[1:]


def test_a_file_that_is_always_corrupt_is_named() -> None:
    with (
        station(Fault.CORRUPT, only=ORBITS[0]) as (_, url),
        pytest.raises(CorruptTransfer, match=f"{ORBITS[0]} of {ORBITS[0]}, from adgs, .*announced is"),
    ):
        staged(url, retries={"attempts": 1})


def test_a_file_that_is_listed_late_is_found_when_it_is() -> None:
    with station(Fault.LATE, only=ORBITS[0]) as (_, url):
        found = [names(client(url).search(Search(ORBIT), "q", timeout_s=None)) for _ in range(3)]
    assert [len(row) for row in found] == [1, 1, 2]


@both
def test_a_search_that_takes_too_long_is_ended(protocol: str) -> None:
    with station(Fault.ERROR) as (_, url), pytest.raises(StationTimeout, match="did not answer in time"):
        client(url, protocol, retries={"attempts": 3, "pause_s": 60}).search(Search(ORBIT), "q", timeout_s=0.5)


@both
def test_a_station_that_is_down_is_unavailable(protocol: str) -> None:
    with pytest.raises(StationUnavailable, match=r"127\.0\.0\.1"):
        client("http://127.0.0.1:9", protocol).search(Search(ORBIT), "q", timeout_s=None)


@both
def test_credentials_are_sent_and_never_told(protocol: str, tmp_path: Path) -> None:
    auth = {"kind": "basic", "username": "${USER}", "password": "${PASSWORD}"}
    needs = authorization(config("http://station", protocol, auth=auth), SECRETS)
    with station(needs=needs) as (_, url):
        asked = client(url, protocol, auth=auth)
        (found,) = asked.search(Search(COVERING, NEWEST, 1), "q", timeout_s=None)
        asset = found["assets"][found["id"]]
        asked.fetch(asset["href"], tmp_path / "file", expected(asset))
        with pytest.raises(StationRefused) as refused:
            client(url, protocol).search(Search(ORBIT), "q", timeout_s=None)
        with pytest.raises(MissingSecret):
            client(url, protocol, {}, auth=auth).search(Search(ORBIT), "q", timeout_s=None)
    for told in (str(refused.value), repr(asked), json.dumps(found)):
        assert "s3cret" not in told
        assert needs not in told
    assert b"s3cret" not in pickle.dumps(asked.config)


def test_credentials_are_sent_to_servers_of_files_only_when_they_are_the_stations(tmp_path: Path) -> None:
    auth = {"kind": "bearer", "token": "${PASSWORD}"}
    with station(needs="Bearer s3cret") as (_, url):
        (found,) = client(url, auth=auth).search(Search(COVERING, NEWEST, 1), "q", timeout_s=None)
        asset = found["assets"][found["id"]]
        elsewhere = client("http://127.0.0.1:9", auth=auth)
        with pytest.raises(StationRefused, match="401"):
            elsewhere.fetch(asset["href"], tmp_path / "file", expected(asset))
        client("http://127.0.0.1:9", auth=auth, file_urls=[url]).fetch(asset["href"], tmp_path / "file", expected(asset))


def expected(asset: Mapping[str, Any]) -> Any:
    return Expected(asset["file:size"], Checksum.of_multihash(asset["file:checksum"]))


def test_what_cannot_be_said_in_odata_is_refused_before_the_station_is_asked() -> None:
    with pytest.raises(InvalidQuery, match="cannot search for the property 'eo:cloud_cover'"):
        client("http://127.0.0.1:9").search(Search(op("<", of("eo:cloud_cover"), 5)), "q", timeout_s=None)


def test_a_stac_api_that_does_not_filter_or_is_none_is_refused() -> None:
    with serving_stac([]) as api:
        api.filters = False
        asked = stac_at(api.url)
        with pytest.raises(ConfigurationError, match="adgs does not filter"):
            asked.search(Search(ORBIT), "q", timeout_s=None)
    with station() as (_, url), pytest.raises((StationRefused, FileGone)):
        stac_at(f"{url}/odata/v1/Products").search(Search(ORBIT), "q", timeout_s=None)


def stac_at(url: str) -> Any:
    return station_client(config("http://station", "stac").model_copy(update={"url": url}), {})


def test_only_the_collections_of_the_station_that_are_configured_are_searched() -> None:
    with station() as (_, url):
        assert client(url, "stac", collections=["s01-aux"]).search(Search(ORBIT), "q", timeout_s=None)
        assert not client(url, "stac", collections=["s02-aux"]).search(Search(ORBIT), "q", timeout_s=None)


def test_cadip_stations_are_for_sessions_and_not_asked_for_auxiliary_files() -> None:
    configs = [config("http://station", "odata", name="a", source=source) for source in ("cadip", "auxip", "prip", "auxip")]
    found = station_clients(configs, {})
    assert {source: len(row) for source, row in found.items()} == {Source.AUXIP: 2, Source.PRIP: 1}
