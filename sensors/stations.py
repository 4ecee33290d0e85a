"""The sensor of CADIP stations: asks them for sessions, and requests runs that fetch what the input bucket lacks."""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from platform_assets.common.errors import GroundtrackError
from platform_assets.dpr.fetch import is_fetched, state
from platform_assets.dpr.fetch_job import fetch_sessions, session_fetch
from platform_assets.dpr.odata import Row
from platform_assets.dpr.partitions import sessions
from platform_assets.dpr.session import Session, absent, first_eviction, priority, session_of
from platform_assets.dpr.session_intake import look, sources
from platform_assets.dpr.specs import SESSION
from platform_assets.dpr.stations import StationConfig
from resources.cadip import CadipStation
from resources.dpr_archive import DprArchive
from sensors.alone import alone

STATION_TAG = "groundtrack/station"
PRIORITY_TAG = "dagster/priority"

_STATION_S = 20.0
_RUN_SESSIONS = 20
_MOST_NOTES = 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3600.0
_WAITING = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED]
_UNFINISHED = [*_WAITING, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session of which the bucket lacks something that its station has.

    Attributes:
        session: The session.
        size_bytes: What is missing.
        eviction: When the station removes the first of what is missing; None when it does not say.
    """

    session: Session
    size_bytes: int
    eviction: datetime | None


def station_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor of CADIP stations.

    Args:
        interval_s: Seconds between two ticks.
    """

    @dg.sensor(
        job=session_fetch,
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the CADIP stations of `stations.json` for sessions, and requests runs that fetch what is new.",
    )
    def cadip_stations(context: dg.SensorEvaluationContext, dpr_archive: DprArchive) -> dg.SensorResult:
        stations = dpr_archive.cadip_stations()
        if not stations:
            return dg.SensorResult(skip_reason="no CADIP station is configured", cursor=context.cursor)
        with alone(dpr_archive, "cadip_stations") as first:
            if not first:
                return dg.SensorResult(skip_reason="another sensor asks these stations right now", cursor=context.cursor)
            return Tick(context, dpr_archive).run(stations.values())

    return cadip_stations


class Tick:
    """One round of the stations.

    What is fetched is remembered by the state that the station had it in; what is not is asked for again, ever less often.
    A session that several stations have is fetched from the first of them.

    Args:
        context: The sensor's context.
        archive: The buckets.
    """

    def __init__(self, context: dg.SensorEvaluationContext, archive: DprArchive) -> None:
        self._context = context
        self._archive = archive
        self._notes: list[str] = []
        self._now = datetime.now(UTC)
        before: dict[str, dict[str, Any]] = json.loads(context.cursor or "{}")
        self._before = before
        self._after: dict[str, dict[str, Any]] = {}

    def run(self, stations: Iterable[StationConfig]) -> dg.SensorResult:
        """Ask every station; one that does not answer holds up nobody."""
        requests: list[dg.RunRequest] = []
        silent: list[StationConfig] = []
        for station in stations:
            try:
                requests += self._requests(station)
            except GroundtrackError as error:
                self._notes.append(f"station {station.name}: {error}")
                self._context.log.warning(f"station {station.name}: {error}")
                silent.append(station)
        for station in silent:  # not before the others were asked, who may have the same sessions
            self._keep(station)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else "; ".join(self._notes[:_MOST_NOTES]) or "no new session",
            cursor=json.dumps(self._after),
        )

    def _keep(self, station: StationConfig) -> None:
        """Remember what was known of a station's sessions."""
        self._after |= {name: row for name, row in self._before.items() if row["station"] == station.name and name not in self._after}

    def _requests(self, station: StationConfig) -> Iterator[dg.RunRequest]:
        in_work = set(self._in_work(station.name))
        wanted = sorted(self._wanted(station, in_work), key=lambda row: row.eviction or datetime.max.replace(tzinfo=UTC))
        for start in range(0, len(wanted), _RUN_SESSIONS):
            yield self._request(station.name, wanted[start : start + _RUN_SESSIONS])

    def _in_work(self, station: str) -> Iterator[str]:
        """Yield the sessions that runs are about to fetch or fetch; those of runs that wait become ever more urgent."""
        for run in self._context.instance.get_runs(RunsFilter(tags={STATION_TAG: station}, statuses=_UNFINISHED)):
            config: Any = run.run_config
            names = config["ops"][fetch_sessions.name]["config"]["sessions"]
            urgency = max((self._urgency(self._before[name].get("eviction")) for name in names if name in self._before), default=0)
            if run.status in _WAITING and urgency > int(run.tags.get(PRIORITY_TAG, 0)):
                self._context.instance.add_run_tags(run.run_id, {PRIORITY_TAG: str(urgency)})
            yield from names

    def _urgency(self, eviction: str | None) -> int:
        return priority(datetime.fromisoformat(eviction), self._now) if eviction else 0

    def _wanted(self, station: StationConfig, in_work: Collection[str]) -> Iterator[Wanted]:
        ends_s = time.monotonic() + _STATION_S
        for name, rows in self._listed(station).items():
            if name in self._after:
                continue  # another station has it, too
            if time.monotonic() > ends_s:
                self._notes.append("more at the next tick")
                self._keep(station)
                return
            try:
                session = session_of(rows, f"station {station.name}", name)
            except GroundtrackError as error:
                self._notes.append(str(error))
                continue
            if (wanted := self._missing(station, session, name in in_work)) is not None:
                yield wanted

    def _listed(self, station: StationConfig) -> Mapping[str, list[Row]]:
        """Return the station's sessions of the last hours, and those before that are not fetched whole."""
        client = CadipStation(station, self._archive.secrets(), patient=False)
        until = time.monotonic() + _STATION_S
        by_id: dict[str, list[Row]] = {}
        for row in client.sessions(self._now - timedelta(seconds=station.lookback_s), until=until):
            by_id.setdefault(str(row.get("SessionId", "")), []).append(row)
        older = [name for name, row in self._before.items() if row["station"] == station.name and not row["whole"] and name not in by_id]
        for row in client.named(older, until=until):
            by_id.setdefault(str(row.get("SessionId", "")), []).append(row)
        return by_id

    def _missing(self, station: StationConfig, session: Session, in_work: bool) -> Wanted | None:  # noqa: FBT001 - private
        """Return what the bucket lacks of a session and can still be had, unless it is fetched or was asked for just now."""
        known, current = self._before.get(session.id), state(session)
        row: dict[str, Any] = {"station": station.name, "state": current, "whole": False, "tries": 0, "next_s": 0.0}
        if known and (known["station"], known["state"]) == (station.name, current):
            row = known
        self._after[session.id] = row
        if row["whole"] or in_work or row["next_s"] > self._now.timestamp():
            return None
        there = look(self._archive.source, self._archive.session_prefix, session.id)
        lacks = [block for block, _ in absent(session, there.found, sources(self._archive.source, session, there.found))]
        if not lacks and is_fetched(there, session):
            row["whole"] = not there.lacks
            return None
        still = [block for block in lacks if not block.is_evicted(self._now)]
        if lacks and not still:
            self._tell_evicted(station, session, [block.name for block in lacks])
            row["whole"] = True  # nothing more can be had
            return None
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** row["tries"], _LONGEST_PAUSE_S)
        eviction = first_eviction(still)
        self._after[session.id] = row | {
            "tries": row["tries"] + 1,
            "next_s": self._now.timestamp() + pause_s,
            "eviction": eviction.isoformat() if eviction else None,
        }
        return Wanted(session, sum(block.size_bytes for block in still), eviction)

    def _tell_evicted(self, station: StationConfig, session: Session, names: list[str]) -> None:
        self._notes.append(f"{session.id}: {len(names)} files were evicted before they were fetched")
        self._context.instance.add_dynamic_partitions(sessions.name or "", [session.id])
        self._context.instance.report_runless_asset_event(
            dg.AssetObservation(
                SESSION,
                partition=session.id,
                description=f"{len(names)} files were evicted from station {station.name} before they were fetched",
                metadata={"outcome": "failed", "error_class": "evicted", "missing": dg.MetadataValue.json(names)},
            )
        )

    def _request(self, station: str, wanted: list[Wanted]) -> dg.RunRequest:
        names = {row.session.id: row.size_bytes for row in wanted}
        self._context.instance.add_dynamic_partitions(sessions.name or "", list(names))
        urgency = max(priority(row.eviction, self._now) for row in wanted)
        return dg.RunRequest(
            run_key=f"fetch/{station}/{self._now:%Y%m%d-%H%M%S.%f}/{wanted[0].session.id}",
            run_config={"ops": {fetch_sessions.name: {"config": {"station": station, "sessions": names}}}},
            tags={STATION_TAG: station, PRIORITY_TAG: str(urgency)},
        )
