"""The claim of a batch: one immutable object that says which products were taken, in which versions.

A batch that is claimed and not settled has a marker in `open/`, written before the claim and removed after the report: so
the sensor finds interrupted batches by a listing of a few, however many there ever were.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
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
        content = hashlib.sha256(repr(safes).encode()).hexdigest()[:8]
        moment = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%d-%H%M%S.%f}"[:-3]
        return cls(f"{moment}-{content}", tuple(safes))


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

    def failed(self) -> dict[str, str]:
        """Return the digest of each product that failed at last, in the version that failed, by partition key."""
        names = (ref.key.removeprefix(self._failed_marker("")) for ref in self.bucket.list(self._failed_marker("")))
        return {name.rpartition("/")[0]: name.rpartition("/")[2] for name in names}

    def note_ends(self, ends: Mapping[ClaimedSafe, bool]) -> None:
        """Remember which products failed, in which version, so that the sensor takes another version of them.

        Args:
            ends: Whether each product failed.
        """
        before = self.failed()
        for safe, failed in ends.items():
            if (old := before.get(safe.partition)) and (not failed or old != digest(safe)):
                self.bucket.delete(self._failed_marker(f"{safe.partition}/{old}"))
            if failed and old != digest(safe):
                self.bucket.write(self._failed_marker(f"{safe.partition}/{digest(safe)}"), b"{}", content_type="application/json")

    def _failed_marker(self, name: str) -> str:
        return f"{self.prefix}_groundtrack/{self.kind}/failed/{name}"

    def report_key(self, batch_id: str, suffix: str) -> str:
        """Return the key of a batch's report."""
        return f"{self.folder(batch_id)}report.{suffix}"

    def _marker(self, batch_id: str) -> str:
        return f"{self.prefix}_groundtrack/{self.kind}/open/{batch_id}"


def digest(safe: ClaimedSafe) -> str:
    """Return what tells a version of a product from others: its objects, or why it is refused."""
    return hashlib.sha256(repr(safe).encode()).hexdigest()[:16]


def _safe(document: dict[str, Any]) -> ClaimedSafe:
    job, problem = document["job"], document["problem"]
    return ClaimedSafe(
        document["partition"],
        SafeJob(**{**job, "objects": tuple(ObjectRef(**ref) for ref in job["objects"])}) if job else None,
        Failure(**problem) if problem else None,
    )
