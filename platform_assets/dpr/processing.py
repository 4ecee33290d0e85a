"""Runs a processor so that its log is kept, its disks are cleaned and no secret gets out, however it ends."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from platform_assets.common.errors import Conflict, GroundtrackError, LimitExceeded, MissingInput
from platform_assets.common.store import Bucket
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.payload import Output
from platform_assets.dpr.processors import Order, Processor, ProcessorFailed
from platform_assets.dpr.products import clean_folders, place

_TEXT = "text/plain; charset=utf-8"
_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one run of a processor, in a file; safe to write to from several threads.

    Attributes:
        path: The file.
        lock: Held while a line is written.
    """

    path: Path
    lock: Lock

    def __call__(self, line: str) -> None:
        """Add a line."""
        with self.lock, self.path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{line.rstrip()}\n")

    def upload(self, bucket: Bucket, key: str) -> str:
        """Store the log, and return its end."""
        self.path.touch()
        bucket.upload(self.path, key, content_type=_TEXT, metadata={})
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")


def run_processor(processor: Processor, order: Order, log: Log) -> Mapping[str, Any]:
    """Run a processor, and return what it tells of the run.

    Args:
        processor: The processor.
        order: What it runs; what it logs goes to the log, and what went wrong.
        log: The log.

    Raises:
        GroundtrackError: As `Processor.run` raises.
        Exception: What nobody foresaw; not if its text has a secret in it.
    """
    try:
        processed = processor.run(order)
    except GroundtrackError as error:
        order.log(f"{error.code}: {error}")
        raise
    except Exception as error:
        text = traceback.format_exc()
        order.log(text)
        if order.shown(text) == text:
            raise
        raise ProcessorFailed(order.shown(f"{type(error).__name__}: {error}")) from None
    finally:
        for warning in clean_folders(disk_folders(order.outputs)):
            order.log(f"warning: {warning}")
    if processed.log and not log.path.exists():
        order.log(processed.log)
    return processed.facts


def disk_folders(outputs: Iterable[Output]) -> list[Path]:
    """Return the folders on disks that are deleted after a run: one a disk, with all that the run wrote there."""
    return sorted({Path(output.path).parent for output in outputs if output.autoclean})


@contextmanager
def handed_over(bucket: Bucket, url: str, payload: bytes) -> Iterator[None]:
    """Have a payload, which has references for secrets, where the request wants it while a block runs.

    Args:
        bucket: The bucket of the address.
        url: Such as `s3://bucket/payload.yaml`.
        payload: YAML.

    Raises:
        Conflict: There is something else.
    """
    key = place(url)[1]
    if not bucket.create(key, payload, content_type="application/yaml"):
        raise Conflict(
            f"there is something at {quoted(url)}, where the request wants its payload", remedy="Give another s3_payload_file, or none."
        )
    try:
        yield
    finally:
        with suppress(MissingInput, LimitExceeded):  # of a worker that was taken for dead, the next one's payload may be there
            if bucket.read(key, limit_bytes=len(payload))[0] == payload:
                bucket.delete(key)
