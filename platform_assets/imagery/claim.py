"""The claim of a manifest: one immutable object that says which drop was taken, with which images in which versions.

It is written once, by conditional write; everything after it (renaming the CSV, adding partitions, running, settling) can
be done again by anybody who finds it unfinished. The records of a manifest lie side by side: see `common.records`.

The id is made from the manifest's key and the time of its drop, so two who see the same drop make the same id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from platform_assets.common.errors import MissingInput
from platform_assets.common.keys import partition_key
from platform_assets.common.records import BatchRecords
from platform_assets.common.store import Bucket
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.imagery import manifest, naming
from platform_assets.imagery.model import ImageJob


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row of the manifest and the image that was there when it was claimed.

    Attributes:
        line: Where the row starts in the manifest, from 1.
        fields: Its columns as given.
        job: What to convert; None for a row with a problem.
        problem: Why the row is refused; None when it is not.
    """

    line: int
    fields: tuple[str, ...]
    job: ImageJob | None
    problem: Failure | None

    @property
    def shown_key(self) -> str:
        """The row's first column, whatever it is."""
        return self.fields[0]

    @property
    def partition(self) -> str | None:
        """The image's partition key; None when the row names nothing that could be one."""
        if self.job:
            return partition_key(self.job.source.key)
        return partition_key(self.fields[0]) if self.problem and self.problem.code == MissingInput.code else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A manifest that was taken.

    Attributes:
        id: The manifest's partition key.
        manifest: The drop that was taken.
        stem: The manifest's key without its pattern's tail; the results' keys begin with it.
        timestamp: The time of the drop, as it stands in the results' keys.
        batch_rows: Rows a batch.
        rows: All rows in the order of the file.
        rejected: Why the whole manifest is refused; None when it is not.
        claimed_s: When it was taken, in seconds since the epoch; 0 when that is not known.
    """

    id: str
    manifest: ObjectRef
    stem: str
    timestamp: str
    batch_rows: int
    rows: tuple[ClaimedRow, ...]
    rejected: Failure | None = None
    claimed_s: float = 0.0

    @property
    def batches(self) -> int:
        """Number of batches; a rejected manifest has one, to be settled."""
        return max(1, -(-len(self.rows) // self.batch_rows))

    def batch(self, number: int) -> tuple[ClaimedRow, ...]:
        """Return the rows of a batch, counted from 1."""
        return self.rows[(number - 1) * self.batch_rows : number * self.batch_rows]

    def outcome_key(self, word: str, suffix: str = "csv") -> str:
        """Return the key of a result beside the manifest, such as `a/test_failed-20260401-101500.csv`."""
        return naming.outcome_key(self.stem, word, self.timestamp, suffix)


@dataclass(frozen=True, slots=True)
class Records(BatchRecords):
    """Where the records of manifests lie; a manifest's parts are its batches of rows."""

    kind: ClassVar[str] = "manifests"

    def put_claim(self, claim: Claim) -> bool:
        """Claim a drop; of all who try, also at once, exactly the first gets True."""
        return self.create(claim.id, asdict(claim))

    def claim(self, claim_id: str) -> Claim | None:
        """Return a claim, or None when nobody made it."""
        document = self.document(claim_id)
        return _claim(document) if document else None


def drop_id(drop: ObjectRef, pattern: str, *, later_s: int = 0) -> tuple[str, str, str]:
    """Return id, stem and timestamp of a drop.

    Args:
        drop: The manifest as the store lists it.
        pattern: The manifest pattern.
        later_s: Seconds to add when another drop of the same name took the same second.
    """
    stem = naming.manifest_stem(drop.key, pattern)
    dropped = datetime.fromisoformat(drop.modified).astimezone(UTC) + timedelta(seconds=later_s)
    timestamp = naming.timestamp(dropped)
    return f"{partition_key(drop.key)}.{timestamp}", stem, timestamp


def sidecar_keys(key: str) -> tuple[str, ...]:
    """Return the keys that GDAL would look for beside an image: world files, mask and auxiliary metadata."""
    stem, _, suffix = key.rpartition(".")
    world = "TFW" if suffix.isupper() else "tfw"
    return f"{stem}.{world}", f"{stem}.wld", f"{key}.msk", f"{key}.aux.xml"


def find_images(bucket: Bucket, keys: Sequence[str]) -> dict[str, ImageJob]:
    """Return those images that exist, each with its sidecars, in their current versions."""
    found = bucket.stat_many([*keys, *(sidecar for key in keys for sidecar in sidecar_keys(key))])
    return {
        key: ImageJob(found[key], None, tuple(found[sidecar] for sidecar in sidecar_keys(key) if sidecar in found))
        for key in keys
        if key in found
    }


def claimed_rows(rows: Sequence[manifest.Row], found: Mapping[str, ImageJob]) -> tuple[ClaimedRow, ...]:
    """Join the rows with the images that are there; a row whose image is not there is refused as `missing_input`."""
    return tuple(_claimed(row, found.get(row.key)) for row in rows)


def _claimed(row: manifest.Row, job: ImageJob | None) -> ClaimedRow:
    if row.problem:
        return ClaimedRow(row.line, row.fields, None, row.problem)
    if job is None:
        missing = MissingInput(f"line {row.line}: {row.key} was not there when the manifest's time of grace ended")
        return ClaimedRow(row.line, row.fields, None, Failure("claim", missing.code, str(missing), missing.remedy))
    return ClaimedRow(row.line, row.fields, ImageJob(job.source, row.bands, job.sidecars), None)


def _claim(document: dict[str, Any]) -> Claim:
    rows = tuple(
        ClaimedRow(
            row["line"],
            tuple(row["fields"]),
            _job(row["job"]) if row["job"] else None,
            Failure(**row["problem"]) if row["problem"] else None,
        )
        for row in document.pop("rows")
    )
    source, rejected = ObjectRef(**document.pop("manifest")), document.pop("rejected")
    return Claim(manifest=source, rows=rows, rejected=Failure(**rejected) if rejected else None, **document)


def _job(document: dict[str, Any]) -> ImageJob:
    sidecars = tuple(ObjectRef(**sidecar) for sidecar in document["sidecars"])
    return ImageJob(ObjectRef(**document["source"]), document["bands"], sidecars)
