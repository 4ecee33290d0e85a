"""Messages that wait until all receivers have them: a file each, so that none is lost with a process or a power supply.

    pending/    not all receivers have it
    sent/       all have it; kept for some time, so that nobody is told twice

A receiver may get a message again when the platform is killed between handing it over and noting that: never less often.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.receivers import Receiver, Undelivered, Unreachable, parse_receivers
from resources.settings import Settings

_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 300.0
_KEPT_S = 90 * 86_400.0


@dataclass(frozen=True)
class Outbox:
    """The messages of a platform.

    Attributes:
        folder: Where they are.
        receivers: Who gets them; a message that waits goes to those of now.
    """

    folder: Path
    receivers: Sequence[Receiver]

    def put(self, message: Mapping[str, Any]) -> bool:
        """Keep a message until it is delivered; return whether it is new.

        Args:
            message: In JSON types; its `conversationId` tells it from others.
        """
        name = f"{message['conversationId']}.json"
        if (self._sent / name).exists() or (self._pending / name).exists():
            return False
        _write(self._pending / name, {"message": message, "created_s": time.time(), "tried_s": 0.0, "delivered": [], "problem": ""})
        return True

    def waiting(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that not all receivers have, oldest first, each with what was tried."""
        entries = []
        for path in self._pending.glob("*.json"):
            # Somebody who only looks may come too late: it has just been delivered.
            with suppress(FileNotFoundError):
                entries.append(json.loads(path.read_text()))
        yield from sorted(entries, key=lambda entry: float(entry["created_s"]))

    def deliver(self, budget_s: float) -> list[str]:
        """Hand over what is due, and return what went wrong.

        Args:
            budget_s: After that time the rest waits for the next call.
        """
        ends_s, down = time.monotonic() + budget_s, set[str]()
        problems: list[str] = []
        for entry in self.waiting():
            if time.monotonic() > ends_s:
                break
            if _is_due(entry):
                problems += self._hand_over(entry, down)
        self._forget()
        return problems

    def _hand_over(self, entry: dict[str, Any], down: set[str]) -> Iterator[str]:
        path = self._pending / f"{entry['message']['conversationId']}.json"
        due = [receiver for receiver in self.receivers if receiver.id not in entry["delivered"]]
        for receiver in due:
            if receiver.id in down:
                continue
            try:
                receiver.deliver(entry["message"])
            except Undelivered as error:
                if isinstance(error, Unreachable):
                    down.add(receiver.id)
                entry |= {"tried_s": time.time(), "problem": str(error)}
                yield str(error)
            else:
                entry["delivered"].append(receiver.id)
            _write(path, entry)
        if {receiver.id for receiver in self.receivers} <= set(entry["delivered"]):
            self._sent.mkdir(parents=True, exist_ok=True)
            path.replace(self._sent / path.name)

    def _forget(self) -> None:
        """Remove old messages that were sent."""
        for path in self._sent.glob("*.json"):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                with suppress(FileNotFoundError):
                    path.unlink()

    @property
    def _pending(self) -> Path:
        return self.folder / "pending"

    @property
    def _sent(self) -> Path:
        return self.folder / "sent"


def outbox_of(settings: Settings) -> Outbox:
    """Return where messages about failed workflow tasks of a deployment wait."""
    return Outbox(settings.home.resolve() / "workflows" / "outbox", parse_receivers(settings.failure_receivers.get_secret_value()))


def _is_due(entry: Mapping[str, Any]) -> bool:
    """Whether to try now: first at once, then each time the message's age has doubled."""
    wait_s = min(_LONGEST_WAIT_S, max(_FIRST_WAIT_S, entry["tried_s"] - entry["created_s"]))
    return bool(not entry["tried_s"] or time.time() >= entry["tried_s"] + wait_s)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file that is there, whole, also after the power has failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
