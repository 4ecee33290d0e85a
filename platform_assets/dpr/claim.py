"""The claim of a batch of requests: one immutable object that says which were taken, in which versions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from platform_assets.common.records import OpenRecords
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.dpr.workshop import RequestJob


@dataclass(frozen=True, slots=True)
class ClaimedRequest:
    """A request of a batch.

    Attributes:
        partition: Its partition key.
        ref: Its document.
        job: What to do; None for one that is refused.
        problem: Why it is refused; None when it is not.
        lacking: Keys of the items that it processes and that were not there when it was taken in the end.
    """

    partition: str
    ref: ObjectRef
    job: RequestJob | None
    problem: Failure | None = None
    lacking: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What tells this try from others: the document, when it was dropped, and what it lacked."""
        return hashlib.sha256(repr((self.ref.key, self.ref.etag, self.ref.modified, self.lacking)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Requests that were taken together.

    Attributes:
        id: The time in UTC and a digest of what was taken.
        requests: The requests, those of higher priority first.
    """

    id: str
    requests: tuple[ClaimedRequest, ...]

    @classmethod
    def of(cls, requests: Sequence[ClaimedRequest], now_s: float) -> "RequestBatch":
        """Return the batch of some requests, taken now."""
        content = hashlib.sha256(repr([(claim.partition, claim.digest) for claim in requests]).encode()).hexdigest()[:8]
        moment = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%d-%H%M%S.%f}"[:-3]
        return cls(f"{moment}-{content}", tuple(requests))


@dataclass(frozen=True, slots=True)
class RequestRecords(OpenRecords):
    """Where the records of batches of requests lie; a batch has one part."""

    kind: ClassVar[str] = "requests"

    def put_claim(self, batch: RequestBatch) -> bool:
        """Claim a batch; of all who try exactly the first gets True."""
        return self.open_claim(batch.id, asdict(batch))

    def claim(self, batch_id: str) -> RequestBatch | None:
        """Return a batch, or None when nobody claimed it."""
        document = self.document(batch_id)
        return RequestBatch(document["id"], tuple(_request(entry) for entry in document["requests"])) if document else None


def _request(document: Mapping[str, Any]) -> ClaimedRequest:
    job, problem = document["job"], document["problem"]
    return ClaimedRequest(
        document["partition"],
        ObjectRef(**document["ref"]),
        RequestJob(**job) if job else None,
        Failure(**problem) if problem else None,
        tuple(document["lacking"]),
    )
