"""Sessions that arrive in the bucket, block by block, or are fetched from simulated stations: sensors, job and Dask for real."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from platform_assets.dpr import naming
from platform_assets.dpr.partitions import sessions
from platform_assets.dpr.sample import SampleSession, make_session
from platform_assets.dpr.session_stac import collection
from resources.settings import load
from resources.station_faults import Fault, FaultSchedule
from resources.station_simulator import serving
from resources.station_simulator_cadip import CadipSimulator
from tests.builders.centre import Centre
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server

SESSION = make_session(block_bytes=200 << 10)
NAMES = sorted(SESSION.blocks)
CANARY = "canary-of-the-station"


@pytest.fixture
def centre(
    embedded_server: S3Server, dask_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Centre]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    name = f"{abs(hash(request.node.nodeid)):x}"
    settings = load(
        home=tmp_path,
        s3_endpoint_url=embedded_server.connection.endpoint_url,
        input_bucket=f"in-{name}",
        output_bucket=f"out-{name}",
    )
    for bucket in (settings.input_bucket, settings.output_bucket):
        embedded_server.connection.client().create_bucket(Bucket=bucket)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Centre(embedded_server, settings, instance, dask_address, sensor="downlink_sessions")


def put(centre: Centre, names: Sequence[str] = (), document: Any = None, session: SampleSession = SESSION) -> None:
    centre.put({f"sessions/{session.id}/{name}": session.blocks[name] for name in names})
    if document is not None:
        centre.put({f"sessions/{session.id}/{session.id}.json": json.dumps(document).encode()})


def status(centre: Centre, session_id: str = SESSION.id) -> str:
    found = centre.instance.get_status_by_partition(dg.AssetKey("session"), [session_id], sessions) or {}
    return status.value if (status := found.get(session_id)) else "MISSING"


def told(centre: Centre, session_id: str = SESSION.id) -> list[str]:
    filter_ = dg.AssetRecordsFilter(dg.AssetKey("session"), asset_partitions=[session_id])
    records = centre.instance.fetch_observations(filter_, limit=50, ascending=True).records
    return [record.asset_observation.description or "" for record in records if record.asset_observation]


def made(centre: Centre, session_id: str = SESSION.id) -> list[dict[str, Any]]:
    filter_ = dg.AssetRecordsFilter(dg.AssetKey("session"), asset_partitions=[session_id])
    records = centre.instance.fetch_materializations(filter_, limit=50, ascending=True).records
    return [
        {key: value.value for key, value in record.asset_materialization.metadata.items()}
        for record in records
        if record.asset_materialization
    ]


def item(centre: Centre, session_id: str = SESSION.id) -> dict[str, Any]:
    key = naming.item_key(naming.session_collection(session_id), session_id)
    return dict(json.loads(centre.target.read(key, limit_bytes=1 << 20)[0]))


# --- sessions that are dropped ---------------------------------------------------------------------------------------


def test_a_session_shows_what_it_lacks_until_it_is_complete_and_is_then_an_item(centre: Centre) -> None:
    put(centre, NAMES[:1])
    centre.tick()
    assert told(centre) == [f"waiting: {SESSION.id}.json is missing"]
    put(centre, NAMES[:4], SESSION.document)
    centre.tick()
    centre.tick()
    assert told(centre)[1:] == [f"waiting: {NAMES[4]} is missing, {NAMES[5]} is missing"]
    assert status(centre) == "MISSING"
    put(centre, NAMES)
    centre.tick()
    [event] = made(centre)
    assert (event["channels"], event["blocks"], event["collection"]) == (2, NAMES, "s01-cadip-session")
    assert sorted(item(centre)["assets"]) == NAMES
    assert item(centre)["assets"][NAMES[0]]["href"] == f"s3://{centre.source.name}/sessions/{SESSION.id}/{NAMES[0]}"
    info = collection(SESSION.id)
    catalog = json.loads(centre.target.read(f"_stac/{info.id}/items/catalog.json", limit_bytes=1 << 20)[0])
    assert [link["href"] for link in catalog["links"] if link["rel"] == "item"] == [f"./{SESSION.id}.json"]


def test_a_session_that_is_complete_is_not_looked_at_again_but_for_another_document(centre: Centre) -> None:
    fresh = make_session(start=datetime.now(UTC) - timedelta(hours=1))
    put(centre, list(fresh.blocks), fresh.document, fresh)
    centre.tick()
    centre.tick()
    assert len(made(centre, fresh.id)) == 1
    [first, *_] = fresh.row["Files"]
    again = first | {"Id": "again", "Retransfer": True, "Size": 3, "PublicationDate": datetime.now(UTC).isoformat()}
    put(centre, [], {"value": [{**fresh.row, "Files": [*fresh.row["Files"], again]}]}, fresh)
    centre.tick()
    assert told(centre, fresh.id) == [f"waiting: {first['Name']} has {first['Size']:,} of 3 bytes"]
    centre.put({f"sessions/{fresh.id}/{first['Name']}": b"new"})
    centre.tick()
    assert len(made(centre, fresh.id)) == 2
    assert item(centre, fresh.id)["assets"][first["Name"]]["cadip:id"] == "again"


def test_a_session_that_stays_incomplete_is_reported_once_and_taken_when_the_rest_arrives(centre: Centre) -> None:
    late = centre.with_settings(session_deadline_s=0.2)
    put(late, NAMES[:5], SESSION.document)
    late.tick()
    time.sleep(0.3)
    late.tick()
    late.tick()
    [waiting, failed] = told(late)
    assert waiting == f"waiting: {NAMES[5]} is missing"
    assert "still not complete" in failed
    put(late, NAMES)
    late.tick()
    assert (status(late), len(made(late))) == ("MATERIALIZED", 1)


def test_a_document_that_is_none_holds_up_no_other_session(centre: Centre) -> None:
    other = make_session(orbit=56553)
    put(centre, NAMES, {"value": "nonsense"})
    put(centre, list(other.blocks), other.document, other)
    centre.tick()
    assert (status(centre), status(centre, other.id)) == ("MISSING", "MATERIALIZED")
    assert "no list of one session" in told(centre)[0]


# --- sessions that are fetched ---------------------------------------------------------------------------------------


def configure(centre: Centre, url: str, **station: Any) -> Centre:
    """Return the centre whose sensor asks a station."""
    config = {"name": "ins", "source": "cadip", "protocol": "odata", "url": f"{url}/odata/v1", "retries": {"attempts": 5, "pause_s": 0.05}}
    centre.put({"dpr/stations.json": json.dumps({"stations": [config | {"lookback_s": 1e9} | station]}).encode()})
    asking = centre.with_settings()
    asking.sensor = "cadip_stations"
    return asking


def fetch(asking: Centre) -> list[bool]:
    asking.tick()
    return [run.success for run in asking.run_requested()]


def blocks(centre: Centre, session: SampleSession) -> dict[str, bytes]:
    folder = f"sessions/{session.id}/"
    keys = [ref.key for ref in centre.source.list(folder) if ref.key.endswith(".raw")]
    return {key.removeprefix(folder): centre.source.read(key, limit_bytes=1 << 24)[0] for key in keys}


def fresh(number: int = 0, **options: Any) -> SampleSession:
    return make_session(start=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1), orbit=100 + number, **options)


def test_sessions_are_fetched_over_pages_once_and_then_complete(centre: Centre) -> None:
    some = [fresh(number, block_bytes=8192) for number in range(5)]
    with serving(CadipSimulator(some, page_rows=2)) as url:
        asking = configure(centre, url)
        assert fetch(asking) == [True]
        assert fetch(asking) == []
    centre.tick()
    assert {status(centre, session.id) for session in some} == {"MATERIALIZED"}
    assert all(blocks(centre, session) == session.blocks for session in some)
    assert told(centre, some[0].id) == ["6 of 6 files fetched from ins"]


def test_every_fault_of_a_station_costs_time_and_no_block(centre: Centre) -> None:
    session = fresh()
    kinds = tuple(kind for kind in Fault if kind is not Fault.VANISH)
    station = CadipSimulator([session], FaultSchedule(seed=3, rate=0.7, kinds=kinds, retry_after_s=0))
    with serving(station) as url:
        asking = configure(centre, url)
        for _ in range(6):
            asking.cursor = None  # the pause between two tries is a minute
            fetch(asking)
        assert set(station.faults.happened) == set(kinds)
        there = {row["Name"]: (row["Size"], row["Checksum"][0]["Value"]) for row in station._files[session.id].values()}
    found = {name: (len(data), hashlib.md5(data).hexdigest()) for name, data in blocks(centre, session).items()}
    assert found == there
    centre.tick()
    assert status(centre, session.id) == "MATERIALIZED"
    assert (
        sum(asset["cadip:retransfer"] for asset in item(centre, session.id)["assets"].values()) == station.faults.happened[Fault.RETRANSFER]
    )


def test_a_file_that_vanished_fails_its_session_by_name_and_keeps_what_arrived(centre: Centre) -> None:
    session = fresh()
    gone = sorted(session.blocks)[2]
    station = CadipSimulator([session], FaultSchedule(rate=1.0, kinds=(Fault.VANISH,), only=gone))
    with serving(station) as url:
        asking = configure(centre, url)
        assert fetch(asking) == [False]
        assert fetch(asking) == []  # not asked for again at once
    centre.tick()
    assert sorted(blocks(centre, session)) == [name for name in sorted(session.blocks) if name != gone]
    failed, waiting = told(centre, session.id)
    assert f"1 of 6 files did not arrive: {gone}" in failed
    assert waiting == f"waiting: {gone} is missing"


def test_a_run_that_was_killed_is_made_up_for(centre: Centre) -> None:
    session = fresh(block_bytes=8192)
    with serving(CadipSimulator([session])) as url:
        asking = configure(centre, url)
        asking.tick()
        asking.lose(asking.requested[0])
        asking.cursor = None  # the pause between two tries is a minute
        assert fetch(asking) == [True]
    assert blocks(centre, session) == session.blocks


def test_what_was_evicted_is_told_and_not_asked_for(centre: Centre) -> None:
    session = fresh(eviction=datetime.now(UTC) - timedelta(minutes=1))
    with serving(CadipSimulator([session])) as url:
        asking = configure(centre, url)
        assert fetch(asking) == []
        assert fetch(asking) == []
    assert told(centre, session.id) == ["6 files were evicted from station ins before they were fetched"]


def test_the_session_that_is_evicted_first_is_the_most_urgent(centre: Centre) -> None:
    soon, later = fresh(1, eviction=datetime.now(UTC) + timedelta(hours=2)), fresh(2)
    with serving(CadipSimulator([later, soon])) as url:
        asking = configure(centre, url)
        asking.tick()
    [request] = asking.requested
    assert request.tags["dagster/priority"] == "22"
    assert list(request.run_config["ops"]["fetch_sessions"]["config"]["sessions"]) == [soon.id, later.id]


def test_a_run_that_waits_rises_as_eviction_nears(centre: Centre) -> None:
    session = fresh(eviction=datetime.now(UTC) + timedelta(hours=2))
    with serving(CadipSimulator([session])) as url:
        asking = configure(centre, url)
        asking.tick()
        [request] = asking.requested
        job = asking.definitions.resolve_job_def("session_fetch")
        tags = {**request.tags, "dagster/priority": "3"}  # as it was a day before
        queued = centre.instance.create_run_for_job(job, run_config=request.run_config, tags=tags)
        asking.tick()
        assert len(asking.requested) == 1  # it is not requested again
    run = centre.instance.get_run_by_id(queued.run_id)
    assert run
    assert run.tags["dagster/priority"] == "22"


def test_a_station_is_logged_in_to_without_a_trace_of_the_secret(centre: Centre, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    session = fresh(block_bytes=8192)
    with serving(CadipSimulator([session]), authorization=f"Bearer {CANARY}") as url:
        asking = configure(centre, url, auth={"kind": "bearer", "token": "${STATION_TOKEN}"})
        assert "secret STATION_TOKEN is not defined" in str(asking.tick())
        monkeypatch.setenv("STATION_TOKEN", "wrong")
        assert "401" in str(asking.tick())
        monkeypatch.setenv("STATION_TOKEN", CANARY)
        asking.tick()
        assert len(asking.requested) == 1
    traces = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert not traces


def test_a_station_that_is_down_holds_up_no_other(centre: Centre) -> None:
    session = fresh(block_bytes=8192)
    with serving(CadipSimulator([session])) as url:
        asking = configure(centre, url)
        up = json.loads(centre.source.read("dpr/stations.json", limit_bytes=1 << 16)[0])["stations"][0]
        down = up | {"name": "sgs", "url": "http://127.0.0.1:1/odata/v1"}
        centre.put({"dpr/stations.json": json.dumps({"stations": [down, up]}).encode()})
        assert fetch(asking) == [True]
    assert blocks(centre, session) == session.blocks


def test_a_session_that_two_stations_have_is_fetched_from_the_first(centre: Centre) -> None:
    session, again = fresh(block_bytes=8192), fresh(block_bytes=8192, seed=1)
    with serving(CadipSimulator([session])) as url, serving(CadipSimulator([again])) as other:
        asking = configure(centre, url)
        first = json.loads(centre.source.read("dpr/stations.json", limit_bytes=1 << 16)[0])["stations"][0]
        second = first | {"name": "sgs", "url": f"{other}/odata/v1"}
        centre.put({"dpr/stations.json": json.dumps({"stations": [first, second]}).encode()})
        assert session.id == again.id
        assert fetch(asking) == [True]
        assert fetch(asking) == []
    assert blocks(centre, session) == session.blocks


def test_a_session_is_fetched_from_the_second_station_while_the_first_is_down(centre: Centre) -> None:
    session = fresh(block_bytes=8192)
    with serving(CadipSimulator([session])) as url:
        asking = configure(centre, url)
        up = json.loads(centre.source.read("dpr/stations.json", limit_bytes=1 << 16)[0])["stations"][0]
        down, other = up | {"url": "http://127.0.0.1:1/odata/v1"}, up | {"name": "sgs"}
        centre.put({"dpr/stations.json": json.dumps({"stations": [up, other]}).encode()})
        asking.tick()
        asking.requested.clear()  # nobody ran what the first was asked for
        centre.put({"dpr/stations.json": json.dumps({"stations": [down, other]}).encode()})
        assert fetch(asking) == [True]
    assert blocks(centre, session) == session.blocks


def test_only_sessions_of_the_satellites_that_are_asked_for_are_fetched(centre: Centre) -> None:
    mine, other = fresh(block_bytes=8192), fresh(satellite="S2B", block_bytes=8192)
    with serving(CadipSimulator([mine, other])) as url:
        assert fetch(configure(centre, url, satellites=["S1A"])) == [True]
    assert (bool(blocks(centre, mine)), bool(blocks(centre, other))) == (True, False)
