"""The sensor of downlink sessions: shows what each lacks, and publishes those that are complete."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import dagster as dg

from platform_assets.common.values import Failure, Outcome, State
from platform_assets.dpr import naming
from platform_assets.dpr.partitions import sessions
from platform_assets.dpr.session import began
from platform_assets.dpr.session_intake import Look, look, publish_sessions, session_ids
from platform_assets.dpr.session_stac import digest
from platform_assets.dpr.specs import SESSION
from platform_assets.execution.record import failure_observation
from platform_assets.execution.versions import version_tags
from resources.dpr_archive import DprArchive
from sensors.alone import alone

_BUDGET_S = 30.0
_FOLLOWED = timedelta(days=14)
"""CADIP stations keep sessions for a week."""
_MOST_NOTES = 20
_LOOKS = 16
"""Sessions looked at together: each costs a listing and, the first time, its document."""
_CODE_VERSION = "1"


def session_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor of downlink sessions.

    Args:
        interval_s: Seconds between two ticks.
    """

    @dg.sensor(
        minimum_interval_seconds=max(1, interval_s - 1),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at the downlink sessions under the session prefix, shows what they lack, and publishes those that are complete.",
    )
    def downlink_sessions(context: dg.SensorEvaluationContext, dpr_archive: DprArchive) -> dg.SensorResult:
        with alone(dpr_archive, "downlink_sessions") as first:
            if not first:
                return dg.SensorResult(skip_reason="another sensor looks at this bucket right now", cursor=context.cursor)
            return Tick(context, dpr_archive).run()

    return downlink_sessions


class Tick:
    """One look at the session prefix.

    A session that is complete is shown as materialized, and looked at again when its document is replaced within some days:
    stations transfer again what arrived badly.

    Args:
        context: The sensor's context.
        archive: The buckets.
    """

    def __init__(self, context: dg.SensorEvaluationContext, archive: DprArchive) -> None:
        self._context = context
        self._archive = archive
        self._notes: list[str] = []
        self._complete = 0
        self._shown = context.instance.get_materialized_partitions(dg.AssetKey(SESSION))
        before: dict[str, Any] = json.loads(context.cursor or "{}")
        self._before: dict[str, dict[str, Any]] = before.get("waiting", {})
        self._waiting: dict[str, dict[str, Any]] = {}
        self._followed: dict[str, tuple[str, str]] = before.get("followed", {})

    def run(self) -> dg.SensorResult:
        """Look at what is new, waits or has changed, some at a time, until the time is up; the next tick goes on."""
        queue, ends_s = self._candidates(), time.monotonic() + _BUDGET_S
        for start in range(0, len(queue), _LOOKS):
            if time.monotonic() > ends_s:
                self._waiting |= {name: self._before[name] for name in queue[start:] if name in self._before}
                self._notes.append("more at the next tick")
                break
            self._take(queue[start : start + _LOOKS])
        if self._complete:
            self._notes.insert(0, f"{self._complete} complete")
        cursor = json.dumps({"waiting": self._waiting, "followed": self._followed})
        return dg.SensorResult(skip_reason="; ".join(self._notes[:_MOST_NOTES]) or "no new session", cursor=cursor)

    def _candidates(self) -> list[str]:
        """Return the sessions to look at; those that waited come last, so that they hold up nobody."""
        there = set(session_ids(self._archive.source, self._archive.session_prefix))
        recent = {name for name in there if (moment := began(name)) and datetime.now(UTC) - moment < _FOLLOWED}
        self._followed = {name: row for name, row in self._followed.items() if name in recent}
        candidates = (there - self._shown) | (there & set(self._before)) | (recent - set(self._followed)) | self._changed()
        return sorted(candidates, key=lambda name: (name in self._before, name))

    def _changed(self) -> set[str]:
        """Return the sessions whose documents were replaced since they were complete."""
        there = self._archive.source.stat_many(key for key, _ in self._followed.values())
        return {name for name, (key, etag) in self._followed.items() if key in there and there[key].etag != etag}

    def _take(self, names: Sequence[str]) -> None:
        """Look at some sessions, publish those that are complete, and tell of all."""
        archive = self._archive
        with ThreadPoolExecutor(_LOOKS) as pool:
            seen = list(pool.map(lambda name: look(archive.source, archive.session_prefix, name), names))
        complete = [one for one in seen if not one.lacks]
        new = publish_sessions(archive.input_bucket, archive.target, archive.output_prefix, complete)
        self._complete += len(complete)
        for one in seen:
            if one.lacks:
                self._wait(one)
                continue
            if one.document:
                self._followed[one.session_id] = (one.document.key, one.document.etag)
            if one.session_id in new or one.session_id not in self._shown:
                self._materialize(one)

    # --- what is told ------------------------------------------------------------------------------------------------

    def _wait(self, seen: Look) -> None:
        name, now_s = seen.session_id, time.time()
        before = self._before.get(name, {"reason": "", "since_s": now_s, "late": False})
        late = now_s - before["since_s"] >= self._archive.session_deadline_s
        self._waiting[name] = {"reason": seen.reason, "since_s": before["since_s"], "late": late}
        self._notes.append(f"{name} waits: {seen.reason}")
        if before["reason"] != seen.reason:
            self._report(
                dg.AssetObservation(
                    SESSION, partition=name, description=f"waiting: {seen.reason}", metadata=_lacking(seen) | {"outcome": "waiting"}
                )
            )
        if late and not before["late"]:
            self._report(failure_observation(dg.AssetKey(SESSION), Outcome(name, State.FAILED), self._late(seen, before["since_s"])))
            self._context.log.error(f"session {name} is late: {seen.reason}")

    def _late(self, seen: Look, since_s: float) -> Failure:
        since = f"{datetime.fromtimestamp(since_s, UTC):%Y-%m-%d %H:%M} UTC"
        message = f"the session was first seen {since} and is still not complete: {seen.reason}"
        return Failure("arrival", "late_session", message, "Ask the station for what is missing; the session is taken when it arrives.")

    def _materialize(self, seen: Look) -> None:
        archive, session = self._archive, seen.session
        if session is None:
            return
        collection = naming.session_collection(session.id)
        key = naming.item_key(collection, session.id, archive.output_prefix)
        waited = self._before.get(session.id)
        metadata: dict[str, Any] = {
            "uri": f"s3://{archive.input_bucket}/{naming.session_folder(session.id, archive.session_prefix)}",
            "item": dg.MetadataValue.url(f"/objects/{archive.output_bucket}/{quote(key)}"),
            "collection": collection,
            "channels": session.channels,
            "blocks": dg.MetadataValue.json([block.name for block in session.blocks]),
            "dagster/size_bytes": session.size_bytes,
            "downlink": f"{session.row.get('DownlinkStart', '?')} to {session.row.get('DownlinkStop', '?')}",
            "seconds_waited": round(time.time() - waited["since_s"]) if waited else 0,
        }
        if seen.first_eviction:
            metadata["first_eviction"] = seen.first_eviction.isoformat()
        tags = version_tags(_CODE_VERSION, digest(session, seen.found), {})
        self._report(dg.AssetMaterialization(SESSION, partition=session.id, metadata=metadata, tags=tags))

    def _report(self, event: dg.AssetMaterialization | dg.AssetObservation) -> None:
        self._context.instance.add_dynamic_partitions(sessions.name or "", [str(event.partition)])
        self._context.instance.report_runless_asset_event(event)


def _lacking(seen: Look) -> dict[str, Any]:
    blocks = {"blocks": len(seen.session.blocks)} if seen.session else {}
    return {"lacks": len(seen.lacks), "missing": dg.MetadataValue.json(list(seen.lacks)), **blocks}
