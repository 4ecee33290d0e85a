"""A lease: at most one holder at a time, over nothing but an object store with conditional writes.

The holder renews it; a holder that dies lets it expire, and another may then take it. Times are seconds since the epoch,
given by the caller; the machines' clocks may differ by less than the time to live.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from platform_assets.common.errors import MissingInput, TransientError
from platform_assets.common.store import Bucket

_LIMIT_BYTES = 1 << 20


class LeaseLost(TransientError):
    """Another holder took the lease: this one was silent for longer than the time to live, and must stop."""

    code = "lease_lost"
    remedy = "Nothing: the other holder goes on with the work."


@dataclass
class Lease:
    """A lease that is held.

    Attributes:
        bucket: Where it lies.
        key: Its object.
        holder: Who holds it, such as a run id.
        ttl_s: How long it lives without being renewed.
        etag: The version that this holder wrote last.
    """

    bucket: Bucket
    key: str
    holder: str
    ttl_s: float
    etag: str

    def renew(self, now_s: float, note: Mapping[str, Any]) -> None:
        """Prolong the lease and leave a note for whoever reads it.

        Raises:
            LeaseLost: Another holder has it.
        """
        etag = self.bucket.replace(
            self.key, _document(self.holder, now_s + self.ttl_s, note), etag=self.etag, content_type="application/json"
        )
        if etag is None:
            raise LeaseLost(f"{self.key}: {self.holder} lost the lease")
        self.etag = etag

    def release(self, note: Mapping[str, Any]) -> None:
        """Give the lease up, so that the next holder need not wait; losing it meanwhile is no error."""
        self.bucket.replace(self.key, _document(self.holder, 0.0, note), etag=self.etag, content_type="application/json")


def acquire(
    bucket: Bucket, key: str, holder: str, *, ttl_s: float, now_s: float, is_dead: Callable[[str], bool] = lambda _: False
) -> Lease | None:
    """Take a lease that is free, expired, or held by the dead; None when somebody alive has it.

    Args:
        bucket: Where it lies.
        key: Its object.
        holder: Who wants it; unique over all who may want it.
        ttl_s: How long it lives without being renewed.
        now_s: The time.
        is_dead: Tells of a holder that it is known to be dead, which saves waiting for the lease to expire.
    """
    document = _document(holder, now_s + ttl_s, {})
    if bucket.create(key, document, content_type="application/json"):
        ref = bucket.stat(key)
        return Lease(bucket, key, holder, ttl_s, ref.etag) if ref else None
    try:
        held, ref = bucket.read(key, limit_bytes=_LIMIT_BYTES)
    except MissingInput:
        return None
    there = json.loads(held)
    if there["expires_s"] > now_s and there["holder"] != holder and not is_dead(there["holder"]):
        return None
    etag = bucket.replace(key, document, etag=ref.etag, content_type="application/json")
    return Lease(bucket, key, holder, ttl_s, etag) if etag else None


def read(bucket: Bucket, key: str) -> dict[str, Any] | None:
    """Return holder, expiry and note of a lease, or None when nobody ever took it."""
    try:
        document: dict[str, Any] = json.loads(bucket.read(key, limit_bytes=_LIMIT_BYTES)[0])
    except MissingInput:
        return None
    return document


def _document(holder: str, expires_s: float, note: Mapping[str, Any]) -> bytes:
    return json.dumps({"holder": holder, "expires_s": round(expires_s, 3), "note": dict(note)}).encode()
