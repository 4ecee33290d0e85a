"""What a worker does to fetch a session, with a bucket and a station in memory."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from platform_assets.common.errors import GroundtrackError
from platform_assets.common.stages import Stages
from platform_assets.common.values import State
from platform_assets.dpr.fetch import FetchJob, FetchShop, fetch_session
from platform_assets.dpr.odata import Row
from platform_assets.dpr.sample import make_session
from platform_assets.dpr.session import Block
from platform_assets.dpr.stations import StationConfig
from platform_assets.dpr.transfer import FileGone, Received, StationUnavailable
from tests.builders.bucket import MemoryBucket

SESSION = make_session(block_bytes=4096)
NAMES = sorted(SESSION.blocks)
LIVING = [{**row, "EvictionDate": None} for row in SESSION.row["Files"]]
JOB = FetchJob(SESSION.id, "ins")


class Station:
    """A station that has a session, and of some blocks only errors."""

    def __init__(self, files: Sequence[Row], errors: Mapping[str, GroundtrackError]) -> None:
        self.row = {**SESSION.row, "Files": list(files)}
        self.errors = errors
        self.fetched: list[str] = []

    def session(self, session_id: str) -> Sequence[Row]:
        return [self.row] if session_id == SESSION.id else []

    def fetch(self, block: Block, path: Path) -> Received:
        if block.name in self.errors:
            raise self.errors[block.name]
        self.fetched.append(block.name)
        path.write_bytes(SESSION.blocks[block.name])
        return Received(block.size_bytes, 1, 0)


def shop(bucket: MemoryBucket, files: Sequence[Row] = LIVING, **errors: GroundtrackError) -> tuple[FetchShop, Station]:
    station = Station(files, {NAMES[int(name[1:])]: error for name, error in errors.items()})
    config = StationConfig(name="ins", source="cadip", url="http://ins.example/odata/v1", protocol="odata")
    return FetchShop(bucket, "sessions/", {"ins": config}, {}, lambda *_: station), station


def keys(bucket: MemoryBucket) -> list[str]:
    return [ref.key.rpartition("/")[2] for ref in bucket.list(f"sessions/{SESSION.id}/")]


def test_a_session_arrives_with_its_document() -> None:
    bucket = MemoryBucket()
    here, _ = shop(bucket)
    state, facts = fetch_session(here, JOB, Stages())
    assert (state, facts["fetched"], facts["size_bytes"]) == (State.DONE, NAMES, sum(map(len, SESSION.blocks.values())))
    assert keys(bucket) == [*NAMES, f"{SESSION.id}.json"]
    assert bucket.read(f"sessions/{SESSION.id}/{NAMES[0]}", limit_bytes=1 << 20)[0] == SESSION.blocks[NAMES[0]]


def test_a_session_that_is_there_is_not_fetched_again() -> None:
    bucket = MemoryBucket()
    fetch_session(shop(bucket)[0], JOB, Stages())
    here, station = shop(bucket)
    assert fetch_session(here, JOB, Stages())[0] is State.CARRIED_OVER
    assert not station.fetched


def test_blocks_that_arrived_are_kept_when_others_fail_and_only_those_are_fetched_again() -> None:
    bucket = MemoryBucket()
    here, _ = shop(bucket, _1=StationUnavailable("down"), _4=FileGone("404"))
    with pytest.raises(StationUnavailable, match=f"2 of 6 files did not arrive: .*{NAMES[1]}"):  # a try may help
        fetch_session(here, JOB, Stages())
    assert len(keys(bucket)) == 5
    here, station = shop(bucket, _4=FileGone("404"))
    with pytest.raises(FileGone, match=NAMES[4]):
        fetch_session(here, JOB, Stages())
    assert station.fetched == [NAMES[1]]


def test_a_block_that_was_transferred_again_is_fetched_again_though_it_has_the_same_size() -> None:
    bucket = MemoryBucket()
    fetch_session(shop(bucket)[0], JOB, Stages())
    again = {"Id": "again", "Retransfer": True, "PublicationDate": "2026-05-02T00:00:00.000Z"}
    files = [row | again if row["Name"] == NAMES[2] else row for row in LIVING]
    here, station = shop(bucket, files)
    _, facts = fetch_session(here, JOB, Stages())
    assert station.fetched == facts["retransferred"] == [NAMES[2]]
    here, station = shop(bucket, files)
    assert fetch_session(here, JOB, Stages())[0] is State.CARRIED_OVER


def test_a_document_that_changed_replaces_the_old_one_without_any_block() -> None:
    bucket = MemoryBucket()
    unmarked = [row | {"FinalBlock": False} for row in LIVING]
    fetch_session(shop(bucket, unmarked)[0], JOB, Stages())
    here, station = shop(bucket)
    assert fetch_session(here, JOB, Stages())[0] is State.DONE
    document = json.loads(bucket.read(f"sessions/{SESSION.id}/{SESSION.id}.json", limit_bytes=1 << 20)[0])
    assert (station.fetched, document["value"][0]["Files"]) == ([], LIVING)


def test_what_the_station_evicted_is_not_asked_for() -> None:
    here, station = shop(MemoryBucket(), [{**row, "EvictionDate": "2026-05-02T00:00:00Z"} for row in LIVING])
    with pytest.raises(FileGone, match="evicted"):
        fetch_session(here, JOB, Stages())
    assert not station.fetched


def test_a_session_that_the_station_does_not_know_fails_as_gone() -> None:
    with pytest.raises(FileGone, match="has no session"):
        fetch_session(shop(MemoryBucket())[0], FetchJob("S1A_20260501041000000001", "ins"), Stages())
