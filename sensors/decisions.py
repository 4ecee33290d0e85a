"""What to do about a claimed manifest that is not settled: decided from facts alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A run that was requested for a batch.

    Attributes:
        batch: The batch's number.
        finished: Whether the run is over, in whatever way.
        canceled: Whether somebody ended it on purpose.
    """

    batch: int
    finished: bool
    canceled: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a manifest now.

    Attributes:
        request: Batches to request a run for, each with the number of the attempt.
        give_up: Batches that are not run again, each with the reason.
        settle: Whether all batches are over and only the results are missing.
    """

    request: tuple[tuple[int, int], ...] = ()
    give_up: tuple[tuple[int, str], ...] = ()
    settle: bool = False


def next_steps(batches: int, ended: Collection[int], runs: Sequence[BatchRun], most_attempts: int) -> Plan:
    """Return what to do about a manifest: a batch that is not over and that nobody works on is run again.

    Args:
        batches: How many batches the manifest has.
        ended: Numbers of those that are over.
        runs: All runs that were requested for it.
        most_attempts: How often a batch is tried.
    """
    request, give_up = [], []
    for number in range(1, batches + 1):
        mine = [run for run in runs if run.batch == number]
        if number in ended or any(not run.finished for run in mine):
            continue
        if any(run.canceled for run in mine):
            give_up.append((number, "its run was canceled"))
        elif len(mine) >= most_attempts:
            give_up.append((number, f"{len(mine)} runs of its batch were interrupted before it ended"))
        else:
            request.append((number, len(mine) + 1))
    return Plan(tuple(request), tuple(give_up), settle=len(ended) == batches)
