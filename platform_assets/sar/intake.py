"""How products come in: found by their names, looked at until they are whole, then claimed together."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from platform_assets.common.errors import MissingInput, PermanentError
from platform_assets.common.keys import partition_key, shown
from platform_assets.common.store import Bucket
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.sar.manifest import LIMIT_BYTES, Manifest, read_manifest
from platform_assets.sar.model import ClaimedSafe, SafeJob
from platform_assets.sar.naming import MANIFEST, SAFE_SUFFIX, Packaging, ProductName, locate
from platform_assets.sar.whole import find_files, missing

_MOST_OBJECTS = 10_000
_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something with a product's name, or that calls itself a SAFE.

    Attributes:
        partition: The partition key it has or would have.
        packaging: Whether it is a folder of objects or one zip.
        root: The key of its folder, without a slash at its end, or of its zip.
        archive: The zip; None for a folder.
    """

    partition: str
    packaging: Packaging
    root: str
    archive: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A product that is not whole.

    Attributes:
        partition: Its partition key.
        missing: What it lacks, in words.
    """

    partition: str
    missing: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What it lacks, shortened."""
        more = f", and {len(self.missing) - 5} more" if len(self.missing) > 5 else ""
        return ", ".join(self.missing[:5]) + more


def arrivals(bucket: Bucket, prefix: str) -> Iterator[Arrival]:
    """Yield what lies under a prefix, folder by folder; folders of products are not looked into.

    Args:
        bucket: The input bucket.
        prefix: Empty, or ends in a slash.
    """
    folders, objects = bucket.level(prefix)
    for ref in objects:
        if (found := locate(ref.key)) and found.packaging == "zip":
            yield Arrival(found.product.name, "zip", ref.key, ref)
    for folder in folders:
        root = folder.removesuffix("/")
        if found := locate(root):
            yield Arrival(found.product.name, "folder", root)
        elif root.endswith(SAFE_SUFFIX):
            yield Arrival(partition_key(root.rpartition("/")[2] or root), "folder", root)
        else:
            yield from arrivals(bucket, folder)


def examine(bucket: Bucket, arrival: Arrival) -> ClaimedSafe | Waiting:
    """Return the product as it can be claimed: whole, or refused for what it is; or what it still lacks.

    Raises:
        StoreUnavailable: The store cannot answer.
    """
    if arrival.archive:
        return ClaimedSafe(arrival.partition, SafeJob(arrival.partition, "zip", arrival.root, (arrival.archive,)))
    try:
        return _examine_folder(bucket, arrival)
    except PermanentError as error:
        return ClaimedSafe(arrival.partition, None, Failure("claim", error.code, str(error), error.remedy))


def _examine_folder(bucket: Bucket, arrival: Arrival) -> ClaimedSafe | Waiting:
    name = ProductName.parse(arrival.root.rpartition("/")[2]).name
    found = {ref.key.removeprefix(f"{arrival.root}/"): ref for ref in _listed(bucket, arrival.root)}
    if MANIFEST not in found:
        return Waiting(arrival.partition, (f"{MANIFEST} is missing",))
    try:
        manifest = _manifest(bucket, found[MANIFEST], name)
    except MissingInput as error:
        return Waiting(arrival.partition, (str(error),))
    if lacks := missing(manifest, {path: ref.size_bytes for path, ref in found.items()}):
        return Waiting(arrival.partition, lacks)
    places = find_files(manifest, {path: ref.size_bytes for path, ref in found.items()})
    objects = (found[MANIFEST], *(found[place] for place in places.values()))
    return ClaimedSafe(arrival.partition, SafeJob(name, "folder", arrival.root, objects))


def _listed(bucket: Bucket, root: str) -> Iterator[ObjectRef]:
    for number, ref in enumerate(bucket.list(f"{root}/")):
        if number == _MOST_OBJECTS:
            raise PermanentError(f"{shown(root)} has more than {_MOST_OBJECTS} objects; no product has", code="not_a_safe")
        yield ref


@lru_cache(maxsize=1024)
def _manifest(bucket: Bucket, ref: ObjectRef, name: str) -> Manifest:
    """Return a manifest; products that wait are looked at every few seconds, and a version never changes."""
    data, there = bucket.read(ref.key, limit_bytes=LIMIT_BYTES)
    if there.etag != ref.etag:
        raise MissingInput(f"{shown(ref.key)} was replaced while it was read")
    return read_manifest(data, name)


def find_safes(bucket: Bucket, prefix: str, names: Collection[str]) -> dict[str, ClaimedSafe | Waiting]:
    """Return those products of these names that lie anywhere under a prefix.

    Args:
        bucket: The input bucket.
        prefix: Empty, or ends in a slash.
        names: Partition keys.
    """
    wanted = set(names)
    found = {arrival.partition: arrival for arrival in arrivals(bucket, prefix) if arrival.partition in wanted}
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(found, pool.map(lambda arrival: examine(bucket, arrival), found.values()), strict=True))
