"""The claim of a batch: one immutable object that says which products were taken, in which versions."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from platform_assets.common.records import OpenRecords
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
class SafeRecords(OpenRecords):
    """Where the records of batches of products lie; a batch has one part."""

    kind: ClassVar[str] = "safes"

    def put_claim(self, batch: SafeBatch) -> bool:
        """Claim a batch; of all who try exactly the first gets True."""
        return self.open_claim(batch.id, asdict(batch))

    def claim(self, batch_id: str) -> SafeBatch | None:
        """Return a batch, or None when nobody claimed it."""
        document = self.document(batch_id)
        return SafeBatch(document["id"], tuple(_safe(entry) for entry in document["safes"])) if document else None


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
