"""One processing request, from its document to published items: what a worker does.

The order is the promise: products first, in folders that only this attempt has; then the record that decides what is
published; then the items. A crash before the decision leaves folders that the next attempt deletes; a crash after it leaves a
publication that anyone completes. See `publication`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from platform_assets.catalog.static import Extent, publish_folders
from platform_assets.common.errors import Conflict, GroundtrackError
from platform_assets.common.stages import Stages
from platform_assets.common.values import Outcome, State, Work
from platform_assets.dpr import naming, publication, stac
from platform_assets.dpr.making import Making, made_of, read_document, read_inputs
from platform_assets.dpr.publication import RECORD, Record, Replaced
from platform_assets.dpr.workshop import RequestJob, Workshop

__all__ = ["RequestJob", "Workshop", "clean_up", "find_done", "process_request", "publish_catalogue", "work_of"]

_COST_S = 60.0
_PARALLEL = 16


def work_of(job: RequestJob) -> Work:
    """Return a request as an item of a batch."""
    return Work(job.id, job, _COST_S)


def process_request(shop: Workshop, job: RequestJob, stages: Stages) -> tuple[State, dict[str, Any]]:
    """Bring one request to its end: published whole, or failed with nothing published.

    What is known of a request that fails is kept in its record `facts.json`.

    Args:
        shop: What all requests have in common.
        job: The request.
        stages: Told of `look_up`, `plan`, `payload`, `process`, `check`, `publish` and `catalogue`.

    Raises:
        PermanentError: The request cannot be processed as it is.
        TransientError: Another attempt may succeed.
    """
    with stages("look_up"):
        record = _record(shop, job)
        if record.state == publication.PUBLISHING:
            return State.DONE, dict(record.complete(shop.prefix, shop.open_bucket)["facts"])
        making = Making(shop, job, stages, record)
        if record.is_published(making.made_of) and _are_there(shop, [record]):
            return State.CARRIED_OVER, _facts(record)
    try:
        return State.DONE, making.run()
    except Replaced:
        if (record := _record(shop, job)).is_published(making.made_of):
            return State.CARRIED_OVER, _facts(record)
        raise


def find_done(shop: Workshop, jobs: Sequence[RequestJob]) -> list[Outcome]:
    """Return the outcomes of those requests whose products are published, made of what they would be made of now."""
    keys = {_record_key(shop, job): job for job in jobs}
    known = list(shop.target.stat_many(keys))
    with ThreadPoolExecutor(_PARALLEL) as pool:
        records = dict(zip(known, pool.map(lambda key: Record.read(shop.target, key), known), strict=True))
    etags = {ref.key: ref.etag for ref in shop.source.stat_many({keys[key].table for key in known}).values()}
    current = [record for key, record in records.items() if record.published and _is_current(shop, keys[key], record, etags)]
    return [Outcome(keys[record.key].id, State.CARRIED_OVER, _facts(record)) for record in _are_there(shop, current)]


def clean_up(shop: Workshop, jobs: Iterable[RequestJob]) -> None:
    """Complete publications that were interrupted, and delete what interrupted attempts left: for requests that are given up."""
    for job in jobs:
        record = _record(shop, job)
        if record.state == publication.PUBLISHING:
            with suppress(Conflict, Replaced):  # nothing of it is left, or somebody else completed it
                record.complete(shop.prefix, shop.open_bucket)
        elif record.state == publication.PROCESSING:
            with suppress(Replaced):  # somebody still works on it
                record.give_up(shop.open_bucket)


def publish_catalogue(shop: Workshop, outcomes: Iterable[Outcome]) -> None:
    """Bring the catalogue up to date with the products of a batch, and the auxiliary files that it brought in; can be done again."""
    extents: dict[str, Extent] = {}
    for outcome in outcomes:
        for item in (*outcome.facts.get("items", ()), *outcome.facts.get("auxiliary", ())):
            interval = (item["start_datetime"], item["end_datetime"]) if item["start_datetime"] and item["end_datetime"] else None
            extent = Extent(tuple(item["bbox"]) if item["bbox"] else None, interval)
            extents[item["collection"]] = extents.get(item["collection"], Extent()) | extent
    for collection, extent in extents.items():
        publish_folders(shop.target, shop.prefix, stac.collection(collection), {naming.ITEMS: extent})


def _record_key(shop: Workshop, job: RequestJob) -> str:
    return naming.record_key(job.id, RECORD, shop.prefix)


def _record(shop: Workshop, job: RequestJob) -> Record:
    return Record.read(shop.target, _record_key(shop, job))


def _facts(record: Record) -> dict[str, Any]:
    return dict((record.published or {})["facts"])


def _is_current(shop: Workshop, job: RequestJob, record: Record, etags: Mapping[str, str]) -> bool:
    try:
        return job.table in etags and record.is_published(made_of(job, etags[job.table], read_inputs(shop.catalogue, read_document(job))))
    except GroundtrackError:
        return False  # the worker will tell why


def _are_there(shop: Workshop, records: Iterable[Record]) -> list[Record]:
    """Return those whose items and products are there as they were published."""
    found = list(records)
    wanted: dict[str, dict[str, str]] = {}
    for record in found:
        for bucket, key, etag in _objects(shop, record):
            wanted.setdefault(bucket, {})[key] = etag
    there = {(name, ref.key, ref.etag) for name, etags in wanted.items() for ref in shop.open_bucket(name).stat_many(etags).values()}
    return [record for record in found if there.issuperset(_objects(shop, record))]


def _objects(shop: Workshop, record: Record) -> Iterator[tuple[str, str, str]]:
    """Yield bucket, key and ETag of what must be there of a publication: items, and what makes products ones."""
    for item in (record.published or {})["items"]:
        yield shop.target.name, item["key"], item["etag"]
    for item in _facts(record)["items"]:
        yield item["marker"]["bucket"], item["marker"]["key"], item["marker"]["etag"]
