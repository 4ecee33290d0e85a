"""How far a batch is: counts, rate and time left, from what was counted and the clock's reading that it is given."""

from dataclasses import dataclass

from platform_assets.common.values import State, Work


@dataclass
class Progress:
    """The counts of a running batch.

    Attributes:
        total: Items in the batch.
        cost_s: Their estimated cost, for an estimate of the time left that knows large items from small ones.
        done: Items done now.
        carried_over: Items found done.
        failed: Items that ended as failed.
        retries: Attempts beyond each item's first.
        spent_s: The estimated cost of the items that have ended.
    """

    total: int
    cost_s: float
    done: int = 0
    carried_over: int = 0
    failed: int = 0
    retries: int = 0
    spent_s: float = 0.0

    def count(self, state: State, work: Work | None = None) -> None:
        """Count one item that has ended; `work` is None for items that no worker saw."""
        match state:
            case State.DONE:
                self.done += 1
            case State.CARRIED_OVER:
                self.carried_over += 1
            case State.FAILED:
                self.failed += 1
        if work:
            self.spent_s += work.cost_s

    @property
    def ended(self) -> int:
        """Items that have ended in any way."""
        return self.done + self.carried_over + self.failed

    def rate_per_min(self, elapsed_s: float) -> float:
        """Items worked on per minute; those found done do not flatter it."""
        return 60.0 * (self.done + self.failed) / elapsed_s if elapsed_s > 0 else 0.0

    def left_s(self, elapsed_s: float) -> float | None:
        """Seconds until the batch ends at the pace so far; None before the first item has ended."""
        return (self.cost_s - self.spent_s) * elapsed_s / self.spent_s if self.spent_s > 0 else None

    def line(self, elapsed_s: float) -> str:
        """The log's line, such as `212 of 1000 ended (209 done, 3 failed), 41.2/min, about 19 min left`."""
        left = self.left_s(elapsed_s)
        parts = [f"{self.done} done", f"{self.failed} failed"]
        if self.carried_over:
            parts.append(f"{self.carried_over} were done before")
        if self.retries:
            parts.append(f"{self.retries} retries")
        ending = f", about {_duration(left)} left" if left is not None and self.ended < self.total else ""
        return f"{self.ended} of {self.total} ended ({', '.join(parts)}), {self.rate_per_min(elapsed_s):.1f}/min{ending}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
