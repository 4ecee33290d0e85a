"""The claim of a batch: one immutable object that says which products were taken, in which versions.

A batch that is claimed and not settled has a marker in `open/`, written before the claim and removed after the report: so
the sensor finds interrupted batches by a listing of a few, however many there ever were.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from platform_assets.common.records import BatchRecords
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.sar.model import ClaimedSafe, SafeJob


@dataclass(frozen=True, slots=True)
class SafeBatch:
    """Products that were taken together.

    Attributes:
        id: The time in UTC and a digest of what was taken.
        safes: The products.
    """

    id: str
    safes: tuple[ClaimedSafe, ...]

    @classmethod
    def of(cls, safes: Sequence[ClaimedSafe], now_s: float) -> "SafeBatch":
        """Return the batch of some products, taken now."""
        digest = hashlib.sha256(repr(safes).encode()).hexdigest()[:8]
        return cls(f"{datetime.fromtimestamp(now_s, UTC):%Y%m%d-%H%M%S}-{digest}", tuple(safes))


@dataclass(frozen=True, slots=True)
class SafeRecords(BatchRecords):
    """Where the records of batches of products lie; a batch has one part."""

    kind: ClassVar[str] = "safes"

    def put_claim(self, batch: SafeBatch) -> bool:
        """Claim a batch; of all who try exactly the first gets True."""
        self.bucket.write(self._marker(batch.id), b"{}", content_type="application/json")
        return self.create(batch.id, asdict(batch))

    def claim(self, batch_id: str) -> SafeBatch | None:
        """Return a batch, or None when nobody claimed it."""
        document = self.document(batch_id)
        return SafeBatch(document["id"], tuple(_safe(entry) for entry in document["safes"])) if document else None

    def open(self) -> Iterator[str]:
        """Yield the ids of the batches that are not settled; some may never have been claimed."""
        for ref in self.bucket.list(self._marker("")):
            yield ref.key.rpartition("/")[2]

    def close(self, batch_id: str) -> None:
        """Mark a batch as settled, or as never claimed."""
        self.bucket.delete(self._marker(batch_id))

    def report_key(self, batch_id: str, suffix: str) -> str:
        """Return the key of a batch's report."""
        return f"{self.folder(batch_id)}report.{suffix}"

    def _marker(self, batch_id: str) -> str:
        return f"{self.prefix}_groundtrack/{self.kind}/open/{batch_id}"


def _safe(document: dict[str, Any]) -> ClaimedSafe:
    job, problem = document["job"], document["problem"]
    return ClaimedSafe(
        document["partition"],
        SafeJob(**{**job, "objects": tuple(ObjectRef(**ref) for ref in job["objects"])}) if job else None,
        Failure(**problem) if problem else None,
    )
