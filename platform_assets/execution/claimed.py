"""A batch that a sensor claimed, carried out by one run: held, recorded, settled, and only then told of as failed."""

import time
from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from platform_assets.common.records import OpenRecords
from platform_assets.execution import hold
from platform_assets.execution.progress import Progress
from platform_assets.execution.run import ItemRun

Heartbeat = Callable[[Progress, float], None]


def carry_out(
    context: dg.OpExecutionContext,
    records: OpenRecords,
    batch_id: str,
    keys: Sequence[str],
    work: Callable[[Heartbeat], ItemRun],
    settle: Callable[[], Mapping[str, str]],
) -> None:
    """Bring a claimed batch to its end, unless another run works on it or it is over; a re-execution does it again.

    Args:
        context: The step's context.
        records: Where the claim lies.
        batch_id: The batch.
        keys: The partition keys of its items, in the order of the claim.
        work: Brings every item to its end; calls the heartbeat meanwhile.
        settle: Writes the report of a batch that is over, and returns the keys of what it wrote; `csv` among them.

    Raises:
        dagster.Failure: Some items failed; recorded and settled before.
        TransientError: Cluster or store are gone; the sensor has the batch run again.
    """
    held = hold.take(context, records.bucket, records.lease_key(batch_id))
    if held is None:
        context.log.info(f"another run works on batch {batch_id}; nothing to do here")
        return
    if records.ended(batch_id) and not context.run.parent_run_id:
        context.log.info(f"batch {batch_id} is over already")
        settle()
        held.release()
        return
    began_s = time.time()
    run = work(held.heartbeat)
    ended_s = time.time()
    ends = {outcome.key: outcome for outcome in run.outcomes}
    about = {"id": context.run.run_id, "url": f"/runs/{context.run.run_id}", "started_s": began_s, "ended_s": ended_s}
    records.put_outcomes(batch_id, 1, [ends[key] for key in keys], about)
    context.log.info(f"batch {batch_id} is settled; report {settle()['csv']}")
    held.release(hold.note_of(run.progress, ended_s - began_s))
    run.conclude(f"batch {batch_id}")
