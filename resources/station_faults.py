"""What goes wrong at a simulated station: decided by a seed and the name of what is asked for, whoever asks for what first."""

import random
import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """A way in which stations fail."""

    THROTTLE = "throttle"
    """429 with Retry-After."""
    ERROR = "error"
    """500."""
    TRUNCATE = "truncate"
    """The body breaks off."""
    CORRUPT = "corrupt"
    """The body has the right size and a wrong content."""
    LATE = "late"
    """A file is not listed at the first looks."""
    RETRANSFER = "retransfer"
    """A file is replaced by another content after it was fetched."""
    VANISH = "vanish"
    """A file is listed, and there is none."""


OF_REQUESTS = (Fault.THROTTLE, Fault.ERROR, Fault.TRUNCATE, Fault.CORRUPT)
"""Faults of single answers; each happens once for each file or address."""

OF_LISTINGS = (Fault.THROTTLE, Fault.ERROR)
"""Those that happen to listings and searches, too: to requests by their number, as queries have the time in them."""


@dataclass(frozen=True, slots=True)
class FaultSchedule:
    """Which faults happen to what.

    Attributes:
        seed: The same seed brings the same faults.
        rate: The share of files and addresses that each kind of fault happens to.
        kinds: The kinds.
        only: Only files of which the name has this in it; listings have faults regardless.
        retry_after_s: What a station that throttles asks for.
        late_looks: Listings without a file that is late.
    """

    seed: int = 0
    rate: float = 0.0
    kinds: tuple[Fault, ...] = tuple(Fault)
    only: str = ""
    retry_after_s: int = 1
    late_looks: int = 2

    def has(self, kind: Fault, name: str) -> bool:
        """Whether a fault happens to a file or address."""
        drawn = random.Random(f"{self.seed}/{kind}/{name}").random()  # noqa: S311 - no secret
        return kind in self.kinds and self.only in name and drawn < self.rate

    def of_file(self, name: str, number: int) -> Fault | None:
        """Return the fault of one request for a file: at first one of each kind that happens to it, then none."""
        found = [kind for kind in OF_REQUESTS if self.has(kind, name)]
        random.Random(f"{self.seed}/{name}").shuffle(found)  # noqa: S311 - no secret
        return found[number] if number < len(found) else None

    def of_listing(self, path: str, number: int) -> Fault | None:
        """Return the fault of one request for a listing; every other one has none, so that trying again helps."""
        every = FaultSchedule(self.seed, self.rate, self.kinds)
        return next((kind for kind in OF_LISTINGS if number % 2 == 0 and every.has(kind, f"{path} {number}")), None)


class FaultyStation:
    """Counts what a station was asked for, and tells what goes wrong with it.

    Args:
        schedule: Which faults happen.
    """

    def __init__(self, schedule: FaultSchedule) -> None:
        self.schedule = schedule
        self.happened: Counter[Fault] = Counter()
        self._requests: Counter[str] = Counter()
        self._looks: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next_fault(self, name: str, *, listing: bool = False) -> Fault | None:
        """Return what goes wrong with this request for a file, or for a listing at this path; None for nothing."""
        with self._lock:
            number = self._requests[name]
            self._requests[name] += 1
            fault = (self.schedule.of_listing if listing else self.schedule.of_file)(name, number)
            if fault:
                self.happened[fault] += 1
        return fault

    def is_listed(self, name: str) -> bool:
        """Count a look at a listing that should have a file, and return whether it has it."""
        if not self.schedule.has(Fault.LATE, name):
            return True
        with self._lock:
            self._looks[name] += 1
            if self._looks[name] > self.schedule.late_looks:
                return True
            self.happened[Fault.LATE] += 1
        return False

    def is_gone(self, name: str) -> bool:
        """Whether a file is listed and not there."""
        gone = self.schedule.has(Fault.VANISH, name)
        if gone:
            with self._lock:
                self.happened[Fault.VANISH] += 1
        return gone
