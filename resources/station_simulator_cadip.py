"""A simulated CADIP station: sessions and their blocks over OData."""

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from platform_assets.dpr.odata import Row
from platform_assets.dpr.sample import SampleSession, block_row
from resources.station_faults import Fault, FaultSchedule, FaultyStation
from resources.station_simulator import FileContent, Question
from resources.station_simulator_odata import addressed, page, shown

_FILES = "Files"
_WEEK = timedelta(days=7)


class CadipSimulator:
    """A station with some sessions.

    Args:
        sessions: What it has.
        schedule: What goes wrong.
        page_rows: Entities of one page at most.
    """

    def __init__(self, sessions: Iterable[SampleSession], schedule: FaultSchedule = FaultSchedule(), page_rows: int = 20) -> None:  # noqa: B008 - frozen
        self.faults = FaultyStation(schedule)
        self._page_rows = page_rows
        self._lock = threading.Lock()
        self._sessions = {session.id: session for session in sessions}
        self._contents = {row["Id"]: session.blocks[row["Name"]] for session in self._sessions.values() for row in session.row[_FILES]}
        self._files: dict[str, dict[str, dict[str, Any]]] = {
            session.id: {row["Name"]: dict(row) for row in session.row[_FILES]} for session in self._sessions.values()
        }

    def add(self, session: SampleSession) -> None:
        """Publish one more session."""
        with self._lock:
            self._sessions[session.id] = session
            self._contents |= {row["Id"]: session.blocks[row["Name"]] for row in session.row[_FILES]}
            self._files[session.id] = {row["Name"]: dict(row) for row in session.row[_FILES]}

    def retransfer(self, name: str) -> None:
        """Replace a block by another content of the same size: a new entity, published now; the old one is gone."""
        with self._lock:
            rows = next(rows for rows in self._files.values() if name in rows)
            old = rows[name]
            content = bytes(byte ^ 0x55 for byte in self._contents.pop(old["Id"]))
            now = datetime.now(UTC)
            rows[name] = {**old, **block_row(name, content, now, now + _WEEK), "Retransfer": True}
            self._contents[rows[name]["Id"]] = content

    def evict(self, name: str) -> None:
        """Remove a block, as stations do with what is old."""
        with self._lock:
            rows = next(rows for rows in self._files.values() if name in rows)
            self._contents.pop(rows.pop(name)["Id"])

    def answer(self, question: Question) -> dict[str, Any] | FileContent | None:
        """Return what OData says to a request."""
        asked = addressed(question.path)
        match asked:
            case "Sessions", "", False:
                return page(question, self._all_sessions(), self._page_rows, _FILES)
            case "Files", "", False:
                rows = [row for session in self._sessions for row in self._listed(session)]
                return page(question, rows, self._page_rows, "")
            case "Sessions", key, False:
                hidden = "" if question.query.get("$expand") == _FILES else _FILES
                return next((shown(row, hidden) for row in self._all_sessions() if key in (row["Id"], row["SessionId"])), None)
            case "Files", key, True:
                return self._content(key)
            case _:
                return None

    def _all_sessions(self) -> Sequence[Row]:
        return [dict(session.row) | {_FILES: self._listed(session.id)} for session in list(self._sessions.values())]

    def _listed(self, session: str) -> list[dict[str, Any]]:
        with self._lock:
            rows = list(self._files[session].values())
        return [row for row in rows if self.faults.is_listed(row["Name"])]

    def _content(self, key: str) -> FileContent | None:
        with self._lock:
            content = self._contents.get(key)
            found = next((row for rows in self._files.values() for row in rows.values() if row["Id"] == key), None)
        if content is None or found is None:
            return None
        name = str(found["Name"])

        def fetched() -> None:
            if self.faults.schedule.has(Fault.RETRANSFER, name) and not found["Retransfer"]:
                self.faults.happened[Fault.RETRANSFER] += 1
                self.retransfer(name)

        return FileContent(name, content, fetched)
