"""Tells a task on a Dask worker that it was canceled: Dask cannot interrupt one that runs."""

from typing import Any


class Abort:
    """Whether the task that makes this was canceled since, or its worker closes; never so outside of a worker.

    Made in the task's own thread, it may be asked from any.
    """

    def __init__(self) -> None:
        from distributed import get_worker

        try:
            self._worker: Any = get_worker()
            self._key = self._worker.get_current_task()
        except (ValueError, AttributeError):
            self._worker = None

    def __call__(self) -> bool:
        """Return whether it was."""
        if self._worker is None:
            return False
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state == "cancelled" or self._worker.status.name in ("closing", "closed", "failed")
