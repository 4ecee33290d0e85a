"""Reading many bytes with all workers of the Dask cluster that a task runs on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from platform_assets.dpr.places import Content, File
from platform_assets.dpr.simulator import Read, one_by_one


@dataclass(frozen=True, slots=True)
class DaskReading:
    """Reads files as Dask tasks, some together; those of few bytes, or outside of a worker, in this process.

    Meanwhile the worker's thread is free for these tasks, so that a cluster of one thread does not wait for itself.

    Attributes:
        group_bytes: What one task reads, about; a task costs some 0.1 s of CPU, which is what reading so much takes.
    """

    group_bytes: int = 64 << 20

    def __call__(self, read: Read, files: Sequence[File]) -> list[Content]:
        """Return what the files have in them, in their order."""
        from distributed import get_worker, worker_client

        groups = list(self._groups(files))
        try:
            get_worker()
        except ValueError:
            return one_by_one(read, files)
        if len(groups) < 2:
            return one_by_one(read, files)
        with worker_client() as client:
            futures = [client.submit(one_by_one, read, group, pure=False) for group in groups]
            return [content for contents in client.gather(futures) for content in contents]

    def _groups(self, files: Sequence[File]) -> Iterator[list[File]]:
        group: list[File] = []
        size = 0
        for file in files:
            group.append(file)
            size += file.size_bytes
            if size >= self.group_bytes:
                yield group
                group, size = [], 0
        if group:
            yield group
