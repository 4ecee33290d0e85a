"""What to run together and what to try again: decided purely, so that it can be tested without a cluster."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from platform_assets.common.values import Failure, Work

_FIRST_PACE = 10.0
_LEARNING = 0.3

UNEXPECTED = "unexpected_error"
"""The error class of exceptions that nobody foresaw."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed item is tried again.

    Attributes:
        attempts: How often an item is tried at most.
        unexpected_attempts: The same for exceptions that nobody foresaw: most of them are bugs and will come again.
        first_delay_s: The longest wait before the second attempt; doubles with every further one.
        longest_delay_s: Where the doubling ends.
        window_s: No attempt begins later than this after the item's first failure.
    """

    attempts: int = 4
    unexpected_attempts: int = 2
    first_delay_s: float = 2.0
    longest_delay_s: float = 120.0
    window_s: float = 3600.0

    def delay_s(self, failure: Failure, attempts: int, since_first_failure_s: float, luck: float) -> float | None:
        """Return the wait before the next attempt, or None when there is none.

        Args:
            failure: How the last attempt failed.
            attempts: How many attempts there were.
            since_first_failure_s: Time since the first of them failed.
            luck: A random number in [0, 1): waits are spread over their second half, so that items that failed together do not
                come back together.
        """
        allowed = self.unexpected_attempts if failure.code == UNEXPECTED else self.attempts
        delay: float = min(self.longest_delay_s, self.first_delay_s * 2 ** (attempts - 1)) * (0.5 + luck / 2)
        if not failure.transient or attempts >= allowed or since_first_failure_s + delay > self.window_s:
            return None
        return delay


class Groups:
    """The items of a batch, in groups: the expensive alone and first, the cheap together and last.

    Large items first keep all workers busy until the end; a Dask task costs 4 ms, so small items share one. Estimates are
    only proportional to the truth, so the first groups are small and what they took tells how large the next may be.

    Args:
        works: The items.
        target_s: A group is closed when it should take this long.
        most_items: A group never has more.
    """

    def __init__(self, works: Sequence[Work], *, target_s: float, most_items: int) -> None:
        self._left = deque(sorted(works, key=lambda work: -work.cost_s))
        self._target_s = target_s
        self._most_items = most_items
        self._pace = _FIRST_PACE
        self._learned = False

    def __bool__(self) -> bool:
        """Whether there are items left."""
        return bool(self._left)

    def next(self) -> tuple[Work, ...]:
        """Return the next group; every item is in exactly one."""
        group: list[Work] = []
        takes_s = 0.0
        while self._left and len(group) < self._most_items and takes_s < self._target_s:
            group.append(self._left.popleft())
            takes_s += group[-1].cost_s * self._pace
        return tuple(group)

    def learn(self, works: Sequence[Work], seconds: float) -> None:
        """Take into account how long the items of a group really took."""
        cost_s = sum(work.cost_s for work in works)
        if cost_s > 0:
            pace = seconds / cost_s
            self._pace = self._pace + (pace - self._pace) * _LEARNING if self._learned else pace
            self._learned = True
