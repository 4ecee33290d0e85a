"""A session on its way from its station to the input bucket: what a worker does.

Each block arrives whole and verified, or not at all, so fetching a session again goes on where it ended. The document is
written first: with it, the session is visible together with what it lacks.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from platform_assets.common.errors import GroundtrackError, PermanentError
from platform_assets.common.published import SOURCE_METADATA
from platform_assets.common.stages import Stages
from platform_assets.common.store import Bucket
from platform_assets.common.values import State, Work
from platform_assets.dpr import naming
from platform_assets.dpr.odata import Row
from platform_assets.dpr.session import Block, Session, absent, session_of
from platform_assets.dpr.session_intake import Look, look, sources
from platform_assets.dpr.stations import StationConfig
from platform_assets.dpr.transfer import FileGone, Received

_STREAMS = 2
# As stations on the ground send: a guess that only orders the work.
_COST_S_PER_BYTE = 2e-8
_SHOWN = 3


class SessionStation(Protocol):
    """A CADIP station."""

    def session(self, session_id: str) -> Sequence[Row]:
        """Return the entities of a session with their files; several when it was transferred again, none when it is unknown."""

    def fetch(self, block: Block, path: Path) -> Received:
        """Write a block to a file, whole and as announced."""


@dataclass(frozen=True, slots=True)
class FetchJob:
    """A session that is fetched.

    Attributes:
        session_id: The session.
        station: The name of its station.
    """

    session_id: str
    station: str


@dataclass(frozen=True)
class FetchShop:
    """What all sessions of a run have in common; travels to the workers.

    Attributes:
        source: The input bucket.
        prefix: Where sessions lie in it.
        stations: The stations, by name.
        secrets: What references stand for, where it is looked up.
        open_station: Makes the client of a station.
    """

    source: Bucket
    prefix: str
    stations: Mapping[str, StationConfig]
    secrets: Mapping[str, str]
    open_station: Callable[[StationConfig, Mapping[str, str]], SessionStation]


def work_of(job: FetchJob, size_bytes: int) -> Work:
    """Return a session as an item of a batch.

    Args:
        job: The session.
        size_bytes: What is to be fetched of it.
    """
    return Work(job.session_id, job, 1 + _COST_S_PER_BYTE * size_bytes)


def fetch_session(shop: FetchShop, job: FetchJob, stages: Stages) -> tuple[State, dict[str, Any]]:
    """Bring what the bucket lacks of a session from its station; blocks that arrived are kept when others fail.

    Args:
        shop: What all sessions have in common.
        job: The session.
        stages: Told of `look_up`, `document` and `transfer`.

    Raises:
        FileGone: The station does not have the session, or evicted what is missing.
        PermanentError: The station refuses, or what it says contradicts itself.
        TransientError: Station or store did not answer, or what arrived is not what was announced.
    """
    with stages("look_up"):
        station = shop.open_station(shop.stations[job.station], shop.secrets)
        rows = station.session(job.session_id)
        if not rows:
            raise FileGone(f"station {job.station} has no session {job.session_id}")
        session = session_of(rows, f"station {job.station}", job.session_id)
        there = look(shop.source, shop.prefix, job.session_id)
        todo = [block for block, _ in absent(session, there.found, sources(shop.source, session, there.found))]
    if not todo and is_fetched(there, session):
        return State.CARRIED_OVER, _facts(job, session, [], {})
    with stages("document"):
        _write_document(shop, session, rows)
    with stages("transfer"):
        arrived = _transfer(shop, station, session, todo)
    return State.DONE, _facts(job, session, todo, arrived)


def is_fetched(there: Look, session: Session) -> bool:
    """Whether the bucket has a session in the state that its station has it in; its blocks apart."""
    return there.session is not None and state(there.session) == state(session)


def state(session: Session) -> str:
    """Return what tells a state of a session at its station from others."""
    canonical = json.dumps([dict(session.row), [dict(block.row) for block in session.blocks]], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _write_document(shop: FetchShop, session: Session, rows: Sequence[Row]) -> None:
    document = {"@odata.context": "$metadata#Sessions", "value": [dict(row) for row in rows]}
    key = naming.session_document_key(session.id, shop.prefix)
    shop.source.write(key, json.dumps(document, ensure_ascii=False).encode(), content_type="application/json")


def _transfer(shop: FetchShop, station: SessionStation, session: Session, todo: Sequence[Block]) -> dict[str, Received]:
    arrived: dict[str, Received] = {}
    errors: dict[str, GroundtrackError] = {}

    def one(block: Block) -> None:
        try:
            arrived[block.name] = _bring(shop, station, session, block, Path(scratch))
        except GroundtrackError as error:
            errors[block.name] = error

    with TemporaryDirectory(prefix="groundtrack-") as scratch, ThreadPoolExecutor(_STREAMS) as pool:
        list(pool.map(one, todo))
    if errors:
        # Another attempt helps as long as one of them may pass.
        worst = min(errors.values(), key=lambda error: isinstance(error, PermanentError))
        names = ", ".join(list(errors)[:_SHOWN]) + (f" and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else "")
        message = f"{len(errors)} of {len(todo)} files did not arrive: {names}; {worst}"
        raise type(worst)(message, code=worst.code, remedy=worst.remedy) from worst
    return arrived


def _bring(shop: FetchShop, station: SessionStation, session: Session, block: Block, scratch: Path) -> Received:
    if block.is_evicted(datetime.now(UTC)):
        raise FileGone(f"the station evicted {block.name} at {block.eviction}")
    path = scratch / block.name
    received = station.fetch(block, path)
    key = f"{naming.session_folder(session.id, shop.prefix)}{block.name}"
    shop.source.upload(path, key, content_type="application/octet-stream", metadata={SOURCE_METADATA: block.id})
    path.unlink()
    return received


def _facts(job: FetchJob, session: Session, todo: Sequence[Block], arrived: Mapping[str, Received]) -> dict[str, Any]:
    return {
        "station": job.station,
        "fetched": [block.name for block in todo],
        "size_bytes": sum(received.size_bytes for received in arrived.values()),
        "requests": sum(received.attempts for received in arrived.values()),
        "resumed": sum(received.resumed for received in arrived.values()),
        "retransferred": [block.name for block in todo if block.is_retransfer],
        "blocks": len(session.blocks),
    }
