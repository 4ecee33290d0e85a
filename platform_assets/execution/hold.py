"""A run's hold on its batch: a lease that is renewed while it works, with a note of how far it is."""

import time
from typing import Any

import dagster as dg

from platform_assets.common import lease
from platform_assets.common.lease import Lease
from platform_assets.common.store import Bucket
from platform_assets.execution.progress import Progress

LEASE_S = 120.0
_RENEW_S = 2.0


class Hold:
    """A batch that this run alone works on.

    Args:
        lease: The lease that was taken.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._renewed_s = 0.0

    def heartbeat(self, progress: Progress, elapsed_s: float) -> None:
        """Renew the lease every two seconds; its note is what others read of the progress.

        Raises:
            LeaseLost: Another run has the batch.
        """
        now_s = time.time()
        if now_s - self._renewed_s >= _RENEW_S:
            self._lease.renew(now_s, note_of(progress, elapsed_s))
            self._renewed_s = now_s

    def release(self, note: dict[str, Any] | None = None) -> None:
        """Give the batch up."""
        self._lease.release(note or {})


def take(context: dg.OpExecutionContext, bucket: Bucket, key: str) -> Hold | None:
    """Take a batch for this run, at once from a run that is over; None when another run works on it."""

    def is_dead(run_id: str) -> bool:
        run = context.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    held = lease.acquire(bucket, key, context.run.run_id, ttl_s=LEASE_S, now_s=time.time(), is_dead=is_dead)
    return Hold(held) if held else None


def note_of(progress: Progress, elapsed_s: float) -> dict[str, Any]:
    """Return what the lease of a batch says of its progress, for those who wait for it outside of Dagster."""
    return {
        "done": progress.done,
        "carried_over": progress.carried_over,
        "failed": progress.failed,
        "total": progress.total,
        "left_s": progress.left_s(elapsed_s),
        "line": progress.line(elapsed_s),
    }
