"""How requests come in: found by listing, read and checked, claimed when the items that they process are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from platform_assets.common.errors import InputChanged, MissingInput, PermanentError
from platform_assets.common.store import Bucket
from platform_assets.common.values import Failure, ObjectRef
from platform_assets.dpr import naming
from platform_assets.dpr.claim import ClaimedRequest
from platform_assets.dpr.documents import LIMIT_BYTES
from platform_assets.dpr.errors import MalformedRequest, choice, quoted
from platform_assets.dpr.model import InputProduct, ProcessingRequest, read_request
from platform_assets.dpr.tasktable import identity
from platform_assets.dpr.workshop import RequestJob

_ENDINGS = (".json", ".yaml", ".yml")
_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request's document in the input bucket.

    Attributes:
        partition: The partition key it has or would have.
        ref: The document in the version that was listed.
    """

    partition: str
    ref: ObjectRef


def arrivals(bucket: Bucket, prefix: str) -> Iterator[Arrival]:
    """Yield the documents under a prefix; of documents that are one request the first only."""
    seen: set[str] = set()
    for ref in bucket.list(prefix, ending=_ENDINGS):
        partition = naming.request_id(ref.key, ref.etag)
        if partition not in seen:
            seen.add(partition)
            yield Arrival(partition, ref)


@dataclass(frozen=True, slots=True)
class TaskTables:
    """The task tables that there are.

    Attributes:
        place: Where they lie, for messages.
        found: Name and version of each, by its key.
        others: Keys of documents that are no task table.
    """

    place: str
    found: Mapping[str, tuple[str, str]]
    others: tuple[str, ...] = ()

    def choose(self, request: ProcessingRequest) -> str:
        """Return the key of a request's task table: the processor's, in the version that is asked for.

        Raises:
            MalformedRequest: There is none, or no single one.
        """
        named = [key for key, (name, _) in self.found.items() if _folded(name) == _folded(request.processor_name)]
        chosen = [key for key in named if self.found[key][1] == request.processor_version] if request.processor_version else named
        if len(chosen) == 1:
            return chosen[0]
        wanted = " ".join(filter(None, (request.processor_name, request.processor_version)))
        raise MalformedRequest(
            f"{self.place} has {len(chosen) or 'no'} task tables of {wanted}; {choice('task tables', map(' '.join, self.found.values()))}"
            + (f"; passed over, since they are none: {', '.join(self.others)}" if self.others else ""),
            remedy="Correct processor_name and processor_version, or put the processor's task table there.",
        )


def task_tables(bucket: Bucket, prefix: str) -> TaskTables:
    """Return the task tables under a prefix; what was read of a version before is remembered."""
    refs = list(bucket.list(f"{prefix}tasktables/", ending=(".json",)))
    with ThreadPoolExecutor(_PARALLEL) as pool:
        told = dict(zip(refs, pool.map(lambda ref: _identity(bucket, ref), refs), strict=True))
    return TaskTables(
        f"s3://{bucket.name}/{prefix}tasktables/",
        {ref.key: identity for ref, identity in told.items() if identity},
        tuple(ref.key.rpartition("/")[2] for ref, identity in told.items() if not identity),
    )


def examine(bucket: Bucket, arrival: Arrival, tables: TaskTables) -> ClaimedRequest | None:
    """Return a request as it can be claimed: with what to do, or refused; None when another version took its place.

    Raises:
        StoreUnavailable: The store cannot answer.
    """
    try:
        request = _request(bucket, arrival.ref)
        table = tables.choose(request)
    except (MissingInput, InputChanged):
        return None
    except PermanentError as error:
        return ClaimedRequest(arrival.partition, arrival.ref, None, Failure("claim", error.code, str(error), error.remedy))
    document = request.model_dump(mode="json", exclude_none=True)
    job = RequestJob(arrival.partition, document, key=arrival.ref.key, etag=arrival.ref.etag, table=table)
    return ClaimedRequest(arrival.partition, arrival.ref, job)


def missing_inputs(bucket: Bucket, prefix: str, claims: Iterable[ClaimedRequest]) -> dict[str, tuple[str, ...]]:
    """Return what requests lack in the catalogue, by partition: the keys of items of what they process.

    Args:
        bucket: The output bucket.
        prefix: The output prefix.
        claims: The requests.
    """
    wanted = {claim.partition: [naming.item_key(row.collection_name, row.item_id, prefix) for row in inputs_of(claim)] for claim in claims}
    there = bucket.stat_many({key for keys in wanted.values() for key in keys})
    return {partition: lacking for partition, keys in wanted.items() if (lacking := tuple(key for key in keys if key not in there))}


def inputs_of(claim: ClaimedRequest) -> Sequence[InputProduct]:
    """Return what a request processes; nothing for one that is refused."""
    return [InputProduct.model_validate(row) for row in claim.job.document["input_products"]] if claim.job else []


def find_requests(bucket: Bucket, prefix: str, dpr_prefix: str, names: Iterable[str]) -> dict[str, ClaimedRequest]:
    """Return those requests of these names that lie under a prefix.

    Args:
        bucket: The input bucket.
        prefix: Where requests lie.
        dpr_prefix: Where task tables lie.
        names: Partition keys.
    """
    wanted = set(names)
    found = [arrival for arrival in arrivals(bucket, prefix) if arrival.partition in wanted]
    tables = task_tables(bucket, dpr_prefix)
    return {claim.partition: claim for claim in examine_all(bucket, found, tables)}


def examine_all(bucket: Bucket, found: Sequence[Arrival], tables: TaskTables) -> list[ClaimedRequest]:
    """Return the requests of some documents, read side by side."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return [claim for claim in pool.map(lambda arrival: examine(bucket, arrival, tables), found) if claim]


@lru_cache(maxsize=2048)
def _request(bucket: Bucket, ref: ObjectRef) -> ProcessingRequest:
    """Return a version of a request; those that wait are looked at every few seconds, and a version never changes."""
    data, there = bucket.read(ref.key, limit_bytes=LIMIT_BYTES)
    if there.etag != ref.etag:
        raise InputChanged(f"{ref.key} was replaced while it was read")
    request = read_request(data, ref.key)
    for product in request.input_products:
        naming.item_key(product.collection_name, product.item_id)
    for row in request.generated_product_to_collection_identifier:
        if row.collection and naming.check_name(row.collection, "the collection").endswith(naming.SESSIONS):
            raise MalformedRequest(
                f"{ref.key}: generated_product_to_collection_identifier: {quoted(row.collection)} is a collection of sessions",
                remedy="Name another collection: rules would take its products for sessions.",
            )
    return request


@lru_cache(maxsize=256)
def _identity(bucket: Bucket, ref: ObjectRef) -> tuple[str, str] | None:
    try:
        return identity(bucket.read(ref.key, limit_bytes=LIMIT_BYTES)[0])
    except PermanentError:
        return None


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")
