"""One attempt at one request: planned, run, looked at, published; what becomes known on the way is kept, also of a failure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from uuid import uuid4, uuid5

from platform_assets.common.errors import GroundtrackError, InputChanged, MissingInput
from platform_assets.common.provenance import software
from platform_assets.common.stac import JSON, s3_href
from platform_assets.common.stages import Stages
from platform_assets.common.store import Bucket
from platform_assets.dpr import documents, naming, processing, products, publication, stac
from platform_assets.dpr.auxiliary import Catalogue
from platform_assets.dpr.items import Item, location
from platform_assets.dpr.model import ProcessingRequest, read_request
from platform_assets.dpr.payload import Destination, Output, Payload, to_yaml
from platform_assets.dpr.plan import Plan, make_plan, shown
from platform_assets.dpr.processors import Order, reveal
from platform_assets.dpr.products import FoundProduct
from platform_assets.dpr.publication import Attempt, Record, Replaced, Trace
from platform_assets.dpr.secrets import stored
from platform_assets.dpr.tasktable import TaskTable, read_task_table
from platform_assets.dpr.workshop import RequestJob, Workshop

FACTS, PAYLOAD, LOG = "facts.json", "payload.yaml", "processor.log"
"""What is kept of a request besides its record: what became known of the attempt that failed last, payload, log."""

_SHOWN_CHARACTERS = 40_000

Inputs = Mapping[tuple[str, str], Item | None]
"""Input items by collection and identifier; None for one that is not there."""


def read_document(job: RequestJob) -> ProcessingRequest:
    """Return the request of a job.

    Raises:
        MalformedRequest: It is none.
    """
    return read_request(json.dumps(job.document).encode(), job.key or job.id)


def read_inputs(catalogue: Catalogue, request: ProcessingRequest) -> Inputs:
    """Return the items that a request processes."""
    names = dict.fromkeys((row.collection_name, row.item_id) for row in request.input_products)
    return {name: catalogue.item(*name) for name in names}


def made_of(job: RequestJob, table_etag: str, inputs: Inputs) -> dict[str, Any]:
    """Return what tells whether a request would be processed alike."""
    return {
        "document": _digest(job.document),
        "table": table_etag,
        "code_version": stac.CODE_VERSION,
        "inputs": {"/".join(name): _digest(item.get("assets")) if item else None for name, item in inputs.items()},
    }


class Making:
    """One attempt at one request.

    Args:
        shop: What all requests have in common.
        job: The request.
        stages: Told where it is.
        record: What is recorded of the request.
    """

    def __init__(self, shop: Workshop, job: RequestJob, stages: Stages, record: Record) -> None:
        self._shop = shop
        self._job = job
        self._stages = stages
        self._record = record
        self._facts: dict[str, Any] = {"run_id": shop.run_id}
        self._request = read_document(job)
        self._table, self._table_etag = _task_table(shop.source, job.table)
        self._inputs = read_inputs(shop.catalogue, self._request)

    @property
    def made_of(self) -> dict[str, Any]:
        """What tells whether the request would be processed alike."""
        return made_of(self._job, self._table_etag, self._inputs)

    def run(self) -> dict[str, Any]:
        """Bring the request to its end and return its facts; of one that fails they are kept in its record.

        Raises:
            GroundtrackError: As `pipeline.process_request` does.
        """
        try:
            self._know_inputs()
            with self._stages("plan"):
                made, payload = self._plan()
            self._run_attempt(made, payload)
        except Replaced:
            raise  # the other run tells
        except Exception:
            self._keep_facts()
            raise
        with self._stages("catalogue"):
            published = self._record.complete(self._shop.prefix, self._shop.open_bucket)
            self._shop.target.delete(self._key(FACTS))
        return {**published["facts"], "seconds_by_stage": dict(self._stages.seconds)}

    # --- plan ----------------------------------------------------------------------------------------------------------

    def _know_inputs(self) -> None:
        table, prefix = self._table, self._shop.prefix
        self._facts["table"] = {
            "key": self._job.table,
            "name": table.name,
            "version": table.version,
            "specification": table.specification,
        }
        self._facts["inputs"] = [
            {
                "name": row.name,
                "id": row.item_id,
                "collection": row.collection_name,
                "key": naming.item_key(row.collection_name, row.item_id, prefix),
            }
            for row in self._request.input_products
        ]

    def _plan(self) -> tuple[Plan, Payload]:
        """Return the plan, with auxiliary files brought in, and with folders that no other attempt has."""
        run = uuid4()
        where = Destination(self._shop.storage, self._shop.rules, lambda name: str(uuid5(run, name)), str(run))
        made = make_plan(self._request, self._table, where, self._shop.catalogue)
        self._facts |= {
            "units": [unit.to_json() for unit in made.units.units],
            "searches": [shown(search) for search in made.searches],
            "auxiliary": self._auxiliary(made),
            "notes": list(made.notes),
        }
        if made.payload is None:
            raise _as_one(made.problems)
        return made, made.payload

    def _auxiliary(self, made: Plan) -> list[dict[str, Any]]:
        return [
            {
                "adf": adf,
                "id": str(item.get("id")),
                "collection": item["collection"],
                "href": location(item),
                "key": self._key_of(item),
                **stac.extent(item),
            }
            for adf, item in _found(made)
        ]

    # --- the attempt ---------------------------------------------------------------------------------------------------

    def _run_attempt(self, made: Plan, payload: Payload) -> None:
        """Run the payload and decide that what it made is published; on failure nothing is left of it."""
        shop, request = self._shop, self._request
        with self._stages("payload"):
            outputs = products.final_outputs(payload)
            origin = stac.latest_origin({"/".join(name): item for name, item in self._inputs.items()})
            document = stored(payload.document)
            text = to_yaml(document)
            shop.target.write(self._key(PAYLOAD), text.encode(), content_type="application/yaml")
            self._facts |= {"payload": text[:_SHOWN_CHARACTERS], "payload_key": self._key(PAYLOAD)}
            self._record.begin(self._attempt(payload, text), shop.open_bucket)
        try:
            url = request.s3_payload_file
            with self._handed_over(url, text) if url else nullcontext(), TemporaryDirectory(prefix="groundtrack-") as folder:
                self._process(payload, document, url or s3_href(shop.target.name, self._key(PAYLOAD)), Path(folder))
            with self._stages("check"):
                items = self._check(outputs, self._origin(made, origin))
            with self._stages("publish"):
                self._facts["seconds_by_stage"] = dict(self._stages.seconds)
                kept = [output.path for output in payload.outputs if not output.path.startswith("/")]
                self._record.commit(self.made_of, items, self._facts, kept)
        except BaseException:
            with suppress(GroundtrackError):
                self._record.give_up(shop.open_bucket)
            raise

    def _attempt(self, payload: Payload, text: str) -> Attempt:
        traces = [Trace(output.path) for output in payload.outputs if not output.path.startswith("/")]
        traces += [Trace(str(folder)) for folder in processing.disk_folders(payload.outputs)]
        if self._request.s3_payload_file:
            traces.append(Trace(self._request.s3_payload_file, hashlib.sha256(text.encode()).hexdigest()))
        return Attempt(uuid4().hex, self._record.attempts + 1, self._shop.run_id, tuple(traces))

    def _handed_over(self, url: str, text: str) -> Any:
        return processing.handed_over(self._shop.open_bucket(products.place(url)[0]), url, text.encode())

    def _process(self, payload: Payload, document: Any, url: str, scratch: Path) -> None:
        """Run the processor; its log is kept however it ends."""
        shop, key = self._shop, self._key(LOG)
        log = processing.Log(scratch / "processor.log", Lock())
        with self._stages("process"):
            revealed, used = reveal(payload.document, shop.secrets)
            order = Order(
                request_id=self._job.id,
                request=self._request,
                payload=revealed,
                stored=document,
                outputs=payload.outputs,
                scratch=scratch,
                log=lambda line: log(order.shown(line)),
                attempt=self._record.attempts,
                stored_url=url,
                secrets=used,
            )
            try:
                told = processing.run_processor(shop.processor, order, log)
            finally:
                with suppress(GroundtrackError):  # a log that cannot be kept is no reason for or against anything
                    self._facts |= {"log_tail": log.upload(shop.target, key), "log_key": key}
        self._facts["processor"] = {"name": self._request.processor_name, **told, "seconds": self._stages.seconds["process"]}

    def _check(self, outputs: Sequence[Output], origin: stac.Origin) -> list[dict[str, Any]]:
        """Return the items of the products, after looking at all of them."""
        shop = self._shop
        buckets = {output.name: shop.open_bucket(products.place(output.path)[0]) for output in outputs}
        found = [product for output in outputs for product in products.discover(buckets[output.name], output)]
        products.check_outputs(outputs, found)
        items = [self._item(buckets[product.output.name], product, origin) for product in found]
        publication.refuse_doubles(shop.target, items, self._job.id, shop.prefix)
        self._facts["items"] = [self._fact(product, item) for product, item in zip(found, items, strict=True)]
        return items

    def _item(self, bucket: Bucket, product: FoundProduct, origin: stac.Origin) -> dict[str, Any]:
        discovery = products.check_product(bucket, product)
        mappings = self._request.generated_product_to_collection_identifier
        collection = publication.resolve_collection(mappings, product.output.name, stac.product_type(product, discovery))
        return stac.product_item(product, discovery, collection, origin)

    def _fact(self, product: FoundProduct, item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": item["id"],
            "collection": item["collection"],
            "key": self._key_of(item),
            "href": product.href,
            "output": product.output.name,
            "product_type": item["properties"][stac.TYPE],
            "size_bytes": product.size_bytes,
            "objects": len(product.sizes),
            **stac.extent(item),
            "marker": {"bucket": product.bucket, "key": product.marker.key, "etag": product.marker.etag},
        }

    def _origin(self, made: Plan, origin_datetime: str) -> stac.Origin:
        shop, request = self._shop, self._request
        inputs = [{**item, "collection": collection} for (collection, _), item in self._inputs.items() if item]
        versions = self._facts["processor"].get("versions") or {}
        return stac.Origin(
            request=self._job.id,
            run_id=shop.run_id,
            execution=shop.run_url or s3_href(shop.target.name, self._key(publication.RECORD)),
            origin_datetime=origin_datetime,
            sources=[*inputs, *(item for _, item in _found(made))],
            software={request.processor_name: request.processor_version or self._table.version, **versions, **_own_version()},
            prefix=shop.prefix,
            now=datetime.now(UTC),
        )

    # --- what is kept --------------------------------------------------------------------------------------------------

    def _keep_facts(self) -> None:
        """Keep what is known of an attempt that failed; hide no error by another."""
        facts = self._facts | {"seconds_by_stage": dict(self._stages.seconds)}
        with suppress(GroundtrackError):
            self._shop.target.write(self._key(FACTS), json.dumps(facts).encode(), content_type=JSON)

    def _key(self, name: str) -> str:
        return naming.record_key(self._job.id, name, self._shop.prefix)

    def _key_of(self, item: Item) -> str:
        return naming.item_key(item["collection"], str(item.get("id")), self._shop.prefix)


def _found(made: Plan) -> list[tuple[str, Item]]:
    """Return the auxiliary files that were found, each once, with the names of what they are; items that do not say it get a collection."""
    found: dict[tuple[str, str], Item] = {}
    for search in made.searches:
        collections = {name: attempt.collection for attempt in search.attempts for name in attempt.found or ()}
        for item in search.items:
            name = str(item.get("id"))
            found[search.adf.name, name] = {**item, "collection": item.get("collection") or collections[name]}
    return [(adf, item) for (adf, _), item in found.items()]


def _task_table(source: Bucket, key: str) -> tuple[TaskTable, str]:
    """Return a task table and its version; each version is read once a process."""
    ref = source.stat(key)
    if ref is None:
        raise MissingInput(f"the task table s3://{source.name}/{key} does not exist", remedy="Upload it, then send the request again.")
    return _table_of(source, key, ref.etag), ref.etag


@lru_cache(maxsize=64)
def _table_of(source: Bucket, key: str, etag: str) -> TaskTable:
    data, ref = source.read(key, limit_bytes=documents.LIMIT_BYTES)
    if ref.etag != etag:
        raise InputChanged(f"the task table s3://{source.name}/{key} was overwritten while it was read")
    return read_task_table(data, key)


def _own_version() -> dict[str, str]:
    return {name: version for name, version in software(()).items() if name == "groundtrack"}


def _as_one(problems: Sequence[GroundtrackError]) -> GroundtrackError:
    """Return several problems as the first of them, which tells of all."""
    first = problems[0]
    return type(first)("; ".join(map(str, problems)), code=first.code, remedy=first.remedy)


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
