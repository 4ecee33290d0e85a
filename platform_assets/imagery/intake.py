"""How manifests come in: found, examined, claimed once, renamed, and found again when whoever had them is gone.

Everything here can be done twice, by two at once, or stop anywhere: the claim is the only decision, and it is one
conditional write.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from platform_assets.common.errors import LimitExceeded, MissingInput, PermanentError
from platform_assets.common.keys import partition_key
from platform_assets.common.store import Bucket
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.imagery import manifest, naming, report
from platform_assets.imagery.claim import Claim, Records, claimed_rows, drop_id, find_images

_OPEN = re.compile(r"processing-(\d{8}-\d{6})\.csv$")
_SHOWN_KEYS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under the input prefix.

    Attributes:
        drops: Manifests that may not have been claimed, the oldest first.
        open: Ids of claimed manifests that are not settled.
    """

    drops: tuple[ObjectRef, ...]
    open: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A manifest that is not claimed yet.

    Attributes:
        id: The id it will have.
        manifest: The drop.
        reason: What it waits for, and until when.
        missing: Images that have not arrived.
    """

    id: str
    manifest: ObjectRef
    reason: str
    missing: int = 0


@dataclass(frozen=True)
class Intake:
    """The input side of a deployment.

    Attributes:
        source: The input bucket.
        records: Where claims lie.
        input_prefix: Only what lies under it is looked at.
        pattern: Which keys are manifests.
        grace_s: How long a manifest waits for its images.
        manifest_bytes: Largest manifest that is read.
        batch_rows: Rows a batch.
    """

    source: Bucket
    records: Records
    input_prefix: str
    pattern: str
    grace_s: float
    manifest_bytes: int
    batch_rows: int

    def scan(self) -> Found:
        """List the input prefix once; a listing that fails raises and is never an empty one."""
        ending = (self.pattern.rpartition("*")[2], ".csv")
        return sort_listing(self.source.list(self.input_prefix, ending=ending), self.pattern)

    def examine(self, drop: ObjectRef, now_s: float, busy: Callable[[], Mapping[str, str]]) -> Claim | Waiting:
        """Read a manifest and decide whether it can be claimed now.

        Args:
            drop: The manifest.
            now_s: The time, in seconds since the epoch.
            busy: Gives the image keys of open manifests, each with the manifest's id.

        Raises:
            MissingInput: The manifest was removed meanwhile.
        """
        identity = self._identity(drop)
        try:
            data, drop = self._content(drop)
            rows = manifest.parse(data, input_prefix=self.input_prefix)
        except MissingInput:
            raise
        except PermanentError as error:
            return self._claim(identity, drop, rejected=Failure("manifest", error.code, str(error), error.remedy))
        keys = [row.key for row in rows if not row.problem]
        if owner := _owner(keys, busy()):
            return Waiting(identity[0], drop, f"some of its images are in work for {owner}")
        found = find_images(self.source, keys)
        missing = [key for key in keys if key not in found]
        ends_s = datetime.fromisoformat(drop.modified).timestamp() + self.grace_s
        if missing and now_s < ends_s:
            return Waiting(identity[0], drop, _missing_text(missing, len(keys), ends_s), len(missing))
        return replace(self._claim(identity, drop), rows=claimed_rows(rows, found), claimed_s=now_s)

    def take(self, claim: Claim) -> bool:
        """Claim the drop and rename it; False when somebody else has it."""
        if not self.records.put_claim(claim):
            there = self.records.claim(claim.id)
            if there is None or there.manifest != claim.manifest:
                return False
            claim = there
        self.rename(claim)
        return True

    def rename(self, claim: Claim) -> None:
        """Replace the dropped CSV by `processing-<time>.csv`, as far as that is not done."""
        target = claim.outcome_key("processing")
        if self.source.stat(target) is None and not self.source.copy(claim.manifest, target):
            self.source.write(target, report.rows_csv(row.fields for row in claim.rows), content_type="text/csv")
        if self.source.stat(claim.manifest.key) == claim.manifest:
            self.source.delete(claim.manifest.key)

    def _identity(self, drop: ObjectRef) -> tuple[str, str, str]:
        """Return id, stem and timestamp; a second drop within the same second gets the next one."""
        for later_s in range(60):
            identity = drop_id(drop, self.pattern, later_s=later_s)
            there = self.records.claim(identity[0])
            if there is None or there.manifest == drop:
                return identity
        raise PermanentError(f"{drop.key} was dropped more than 60 times within a minute")

    def _content(self, drop: ObjectRef) -> tuple[bytes, ObjectRef]:
        if drop.size_bytes > self.manifest_bytes:
            raise LimitExceeded(
                f"the manifest has {drop.size_bytes:,} bytes; at most {self.manifest_bytes:,} are read (GROUNDTRACK_MANIFEST_BYTES)",
                remedy="Split the manifest.",
            )
        return self.source.read(drop.key, limit_bytes=self.manifest_bytes)

    def _claim(self, identity: tuple[str, str, str], drop: ObjectRef, rejected: Failure | None = None) -> Claim:
        return Claim(*identity[:1], drop, *identity[1:], self.batch_rows, (), rejected)


def sort_listing(listing: Iterable[ObjectRef], pattern: str) -> Found:
    """Pick manifests and open ones out of a listing of any length, in memory for those alone.

    Args:
        listing: The objects under the input prefix.
        pattern: Which keys are manifests.
    """
    tail = pattern.rpartition("*")[2]
    drops, opened = [], []
    for ref in listing:
        if ref.key.endswith(tail) and fnmatchcase(ref.key, pattern):
            drops.append(ref)
        elif ref.key.endswith(".csv") and (match := _OPEN.search(ref.key)):
            opened.append(f"{partition_key(ref.key[: match.start()] + tail)}.{match[1]}")
    return Found(tuple(sorted(drops, key=lambda ref: (ref.modified, ref.key))), tuple(opened))


def _owner(keys: Collection[str], busy: Mapping[str, str]) -> str | None:
    return next((busy[key] for key in keys if key in busy), None)


def _missing_text(missing: list[str], total: int, ends_s: float) -> str:
    names = ", ".join(missing[:_SHOWN_KEYS]) + (", …" if len(missing) > _SHOWN_KEYS else "")
    until = naming.timestamp_of(ends_s)
    return f"{len(missing)} of {total} images have not arrived: {names}; it starts without them at {until} UTC"
