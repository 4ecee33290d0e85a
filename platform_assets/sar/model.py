"""The values of the sar domain that travel between sensor, run and workers."""

from dataclasses import dataclass

from platform_assets.common.values import Failure, ObjectRef
from platform_assets.sar.naming import Packaging


@dataclass(frozen=True, slots=True)
class SafeJob:
    """A product in the input bucket, in the version that was found whole.

    Attributes:
        name: The product's name without `.SAFE`; its partition key.
        packaging: Whether it is a folder of objects or one zip.
        root: The key of its folder, without a slash at its end, or of its zip.
        objects: The objects that are read: the manifest and what it lists, or the zip.
    """

    name: str
    packaging: Packaging
    root: str
    objects: tuple[ObjectRef, ...]

    @property
    def size_bytes(self) -> int:
        """Of all objects together."""
        return sum(ref.size_bytes for ref in self.objects)

    def path(self, ref: ObjectRef) -> str:
        """Return an object's path in the product's folder."""
        return ref.key.removeprefix(f"{self.root}/")


@dataclass(frozen=True, slots=True)
class ClaimedSafe:
    """A product of a batch.

    Attributes:
        partition: Its partition key.
        job: What to process; None for one that is refused.
        problem: Why it is refused; None when it is not.
    """

    partition: str
    job: SafeJob | None
    problem: Failure | None = None
