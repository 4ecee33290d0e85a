"""What the platform remembers of a batch on the bucket, in gzipped JSON; everything else can be made anew from it.

{prefix}_groundtrack/<kind>/<id>/claim.json.gz           what was taken, written once
{prefix}_groundtrack/<kind>/<id>/lease-0001.json         who works on part 1, until when, and how far it is
{prefix}_groundtrack/<kind>/<id>/outcomes-0001.json.gz   how the items of part 1 ended
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from platform_assets.common.errors import MissingInput
from platform_assets.common.store import Bucket
from platform_assets.common.values import Failure, Outcome, State

_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class BatchRecords:
    """Where the records of one kind of batch lie.

    Attributes:
        kind: Their folder.
        bucket: The output bucket.
        prefix: The output prefix.
    """

    kind: ClassVar[str]
    bucket: Bucket
    prefix: str

    def folder(self, batch_id: str) -> str:
        """Return the prefix of one batch's records."""
        return f"{self.prefix}_groundtrack/{self.kind}/{batch_id}/"

    def lease_key(self, batch_id: str, number: int = 1) -> str:
        """Return the key of the lease of one part of a batch."""
        return f"{self.folder(batch_id)}lease-{number:04d}.json"

    def create(self, batch_id: str, claim: Mapping[str, Any]) -> bool:
        """Write a claim; of all who try, also at once, exactly the first gets True."""
        return self.bucket.create(f"{self.folder(batch_id)}claim.json.gz", _pack(claim), content_type="application/gzip")

    def document(self, batch_id: str) -> dict[str, Any] | None:
        """Return a claim as it was written, or None when nobody made it."""
        return self._load(f"{self.folder(batch_id)}claim.json.gz")

    def put_outcomes(self, batch_id: str, number: int, outcomes: Sequence[Outcome], run: Mapping[str, Any]) -> None:
        """Record how the items of a part ended, in their order; the part is then over."""
        document = {"run": dict(run), "outcomes": [_outcome(outcome) for outcome in outcomes]}
        self.bucket.write(self._outcomes_key(batch_id, number), _pack(document), content_type="application/gzip")

    def outcomes(self, batch_id: str, number: int = 1) -> tuple[list[Outcome], dict[str, Any]] | None:
        """Return how the items of a part ended and what is known of its run, or None when it is not over."""
        document = self._load(self._outcomes_key(batch_id, number))
        return ([outcome_from(entry) for entry in document["outcomes"]], document["run"]) if document else None

    def ended(self, batch_id: str, parts: int = 1) -> set[int]:
        """Return the numbers of the parts that are over."""
        keys = {self._outcomes_key(batch_id, number): number for number in range(1, parts + 1)}
        return {keys[ref.key] for ref in self.bucket.list(f"{self.folder(batch_id)}outcomes-") if ref.key in keys}

    def _outcomes_key(self, batch_id: str, number: int) -> str:
        return f"{self.folder(batch_id)}outcomes-{number:04d}.json.gz"

    def _load(self, key: str) -> dict[str, Any] | None:
        try:
            data, _ = self.bucket.read(key, limit_bytes=_LIMIT_BYTES)
        except MissingInput:
            return None
        document: dict[str, Any] = json.loads(gzip.decompress(data))
        return document


@dataclass(frozen=True, slots=True)
class OpenRecords(BatchRecords):
    """The records of batches that a sensor takes; what is open or failed is found by a listing of a few, however many there were.

    A batch that is claimed and not settled has a marker, written before the claim and removed after the report. An item that
    failed at last has one, too, which names the version that failed: so another version of it can be taken.

    {prefix}_groundtrack/<kind>/open/<id>
    {prefix}_groundtrack/<kind>/failed/<partition>/<digest>
    {prefix}_groundtrack/<kind>/<id>/report.csv
    """

    def open_claim(self, batch_id: str, claim: Mapping[str, Any]) -> bool:
        """Claim a batch; of all who try exactly the first gets True."""
        self._mark(f"open/{batch_id}")
        return self.create(batch_id, claim)

    def open(self) -> Iterator[str]:
        """Yield the ids of the batches that are not settled; some may never have been claimed."""
        for ref in self.bucket.list(self._marker("open/")):
            yield ref.key.rpartition("/")[2]

    def close(self, batch_id: str) -> None:
        """Mark a batch as settled, or as never claimed."""
        self.bucket.delete(self._marker(f"open/{batch_id}"))

    def failed(self) -> dict[str, str]:
        """Return the digest of each item that failed at last, in the version that failed, by partition key."""
        start = self._marker("failed/")
        names = (ref.key.removeprefix(start) for ref in self.bucket.list(start))
        return {name.rpartition("/")[0]: name.rpartition("/")[2] for name in names}

    def note_ends(self, ends: Mapping[str, tuple[str, bool]]) -> None:
        """Remember which items failed, in which version.

        Args:
            ends: The digest of each item's version, and whether it failed, by partition key.
        """
        before = self.failed()
        for partition, (digest, failed) in ends.items():
            if (old := before.get(partition)) and (not failed or old != digest):
                self.bucket.delete(self._marker(f"failed/{partition}/{old}"))
            if failed and old != digest:
                self._mark(f"failed/{partition}/{digest}")

    def report_key(self, batch_id: str, suffix: str) -> str:
        """Return the key of a batch's report."""
        return f"{self.folder(batch_id)}report.{suffix}"

    def _marker(self, name: str) -> str:
        return f"{self.prefix}_groundtrack/{self.kind}/{name}"

    def _mark(self, name: str) -> None:
        self.bucket.write(self._marker(name), b"{}", content_type="application/json")


def outcome_from(document: Mapping[str, Any]) -> Outcome:
    """Return an outcome from its JSON form."""
    failure = document["failure"]
    return Outcome(**{**document, "state": State(document["state"]), "failure": Failure(**failure) if failure else None})


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome in JSON types; its facts have those already, and to copy them as `asdict` does costs 5 ms of a request's."""
    shallow = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    return shallow | {"failure": asdict(outcome.failure) if outcome.failure else None}


def _pack(document: Mapping[str, Any]) -> bytes:
    return gzip.compress(json.dumps(document, ensure_ascii=False).encode(), mtime=0)
