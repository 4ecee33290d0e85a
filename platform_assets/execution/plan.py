"""What to run together and what to try again: decided purely, so that it can be tested without a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from platform_assets.common.values import Failure, Work

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


def grouped(works: Sequence[Work], *, target_s: float, most_items: int) -> Iterator[tuple[Work, ...]]:
    """Yield every item in exactly one group: the expensive alone and first, the cheap together and last.

    Large items first keep all workers busy until the end; a Dask task costs 3 ms, so small items share one.

    Args:
        works: The items.
        target_s: A group is closed when its estimated cost reaches this.
        most_items: A group never has more.
    """
    group: list[Work] = []
    cost_s = 0.0
    for work in sorted(works, key=lambda work: -work.cost_s):
        group.append(work)
        cost_s += work.cost_s
        if cost_s >= target_s or len(group) >= most_items:
            yield tuple(group)
            group, cost_s = [], 0.0
    if group:
        yield tuple(group)
