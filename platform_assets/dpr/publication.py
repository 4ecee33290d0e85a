"""What is recorded of a request's products, so that they are published whole, once, and nothing is left of what was not.

One object a request, `publication.json`, each version of which follows from the one before by compare-and-swap:

    idle -> processing -> publishing -> idle        all items are there
                       -> idle                      the attempt failed, and what it wrote is deleted

Whoever finds `publishing` completes it: the items are in the record. Whoever finds `processing` begins another attempt with
folders of its own, and deletes those of the one before, which died or will find that it was replaced. So what two attempts
write is never mixed, and only one of them publishes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from platform_assets.common.errors import Conflict, LimitExceeded, MissingInput, PermanentError
from platform_assets.common.stac import GEOJSON, JSON, to_json
from platform_assets.common.store import Bucket
from platform_assets.dpr import naming
from platform_assets.dpr.errors import MissingMapping, choice, quoted
from platform_assets.dpr.model import ANY, GeneratedProduct
from platform_assets.dpr.products import clean_folders, place, remove
from platform_assets.dpr.stac import REQUEST

RECORD = "publication.json"

IDLE, PROCESSING, PUBLISHING = "idle", "processing", "publishing"

_RECORD_BYTES = 256 << 20
_ITEM_BYTES = 16 << 20
_PARALLEL = 16

Document = dict[str, Any]
OpenBucket = Callable[[str], Bucket]


class Replaced(PermanentError):
    """Another run began to process the same request."""

    code = "replaced_by_another_run"
    remedy = "Nothing: the other run goes on with the request."


class Trace(NamedTuple):
    """Something that an attempt may write.

    Attributes:
        path: Address in an object store, or folder on a disk.
        sha256: Of the content of a single object that others may have, too; empty for a folder that is this attempt's alone.
    """

    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a request.

    Attributes:
        token: What no other attempt has.
        number: Counted from 1, over runs and dead workers.
        run_id: The Dagster run.
        traces: All that must be deleted if it fails.
    """

    token: str
    number: int
    run_id: str
    traces: tuple[Trace, ...]


@dataclass
class Record:
    """What is recorded of a request.

    Attributes:
        bucket: The output bucket.
        key: The record's object.
        document: Its content as it is there.
        etag: Its version; None when there is none yet.
    """

    bucket: Bucket
    key: str
    document: Document
    etag: str | None

    @classmethod
    def read(cls, bucket: Bucket, key: str) -> Self:
        """Return what is recorded; of a request that is new, that it is idle."""
        try:
            data, ref = bucket.read(key, limit_bytes=_RECORD_BYTES)
        except MissingInput:
            return cls(bucket, key, {"state": IDLE, "attempts": 0}, None)
        return cls(bucket, key, json.loads(data), ref.etag)

    @property
    def state(self) -> str:
        """`IDLE`, `PROCESSING` or `PUBLISHING`."""
        return str(self.document["state"])

    @property
    def attempts(self) -> int:
        """How many attempts were begun."""
        return int(self.document["attempts"])

    @property
    def published(self) -> Document | None:
        """What is published, complete: `made_of`, `items`, `places`, `facts`; None when nothing is."""
        return self.document.get("published")

    def begin(self, attempt: Attempt, open_bucket: OpenBucket) -> None:
        """Begin an attempt, and delete what those before it left.

        Raises:
            Replaced: Another run did so first.
        """
        left = self._leavings()
        changes = {"state": PROCESSING, "attempts": attempt.number, "attempt": asdict(attempt), "leavings": left}
        self._advance(self.document | changes)
        _remove_all(left, open_bucket)

    def give_up(self, open_bucket: OpenBucket) -> None:
        """End an attempt that failed, and delete what it and those before it left.

        Nothing is deleted before it is recorded that the attempt has ended: it may have been decided that it is published.

        Raises:
            Replaced: Another run began to process the request, or the attempt is published.
        """
        left = self._leavings()
        try:
            self._advance({**_without(self.document, "attempt"), "state": IDLE, "leavings": left})
        except Replaced:
            self._remove_own(open_bucket)
            raise
        _remove_all(left, open_bucket)

    def commit(self, made_of: Mapping[str, Any], items: Sequence[Document], facts: Mapping[str, Any], places: Iterable[str]) -> None:
        """Decide that the products of this attempt are published; from here on anyone can complete it.

        Args:
            made_of: What tells whether the request would be processed alike.
            items: The items as they will be stored.
            facts: What the outcome tells.
            places: Addresses of what stays in object stores.

        Raises:
            Replaced: Another run began to process the request.
        """
        token = self.document["attempt"]["token"]
        pending = {"token": token, "made_of": dict(made_of), "items": list(items), "facts": dict(facts), "places": sorted(places)}
        self._advance({**_without(self.document, "attempt", "leavings"), "state": PUBLISHING, "pending": pending})

    def complete(self, prefix: str, open_bucket: OpenBucket) -> Document:
        """Write the items of a publication that was decided, delete what they replace, and return what is published.

        Doing it twice, or two at once, comes to the same.

        Args:
            prefix: The output prefix.
            open_bucket: Opens a bucket by name.

        Raises:
            Conflict: Another request published an item of that name since it was looked; of this publication nothing is left.
            Replaced: The request was published anew since this was decided.
        """
        pending, before = self.document["pending"], self.published or {"items": [], "places": []}
        keys = {naming.item_key(item["collection"], item["id"], prefix): item for item in pending["items"]}
        etags = self._write_items(keys, open_bucket)
        for old in before["items"]:
            if old["key"] not in keys:
                self.bucket.delete(old["key"])
        _remove_all([Trace(path) for path in before["places"] if path not in pending["places"]], open_bucket)
        items = [{"collection": keys[key]["collection"], "id": keys[key]["id"], "key": key, "etag": etag} for key, etag in etags.items()]
        published: Document = pending | {"items": items}
        with suppress(Replaced):  # by somebody who completed it, too
            self._advance({**_without(self.document, "pending"), "state": IDLE, "published": published})
        return published

    def is_published(self, made_of: Mapping[str, Any]) -> bool:
        """Whether what is recorded as published was made of this; what is made of what is gone counts as unchanged."""
        if self.state != IDLE or self.published is None:
            return False
        before = self.published["made_of"]
        known = {name: digest for name, digest in made_of["inputs"].items() if digest}
        return bool({**made_of, "inputs": {**before["inputs"], **known}} == before)

    def _write_items(self, items: Mapping[str, Document], open_bucket: OpenBucket) -> dict[str, str]:
        """Write items and return their ETags: first those that are new, so that one of another request can still stop it all."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            created = dict(zip(items, pool.map(lambda key: _create_item(self.bucket, key, items[key]), items), strict=True))
            there = [key for key, etag in created.items() if etag is None]
            try:
                before = dict(zip(there, pool.map(lambda key: _own_item(self.bucket, key, items[key]), there), strict=True))
            except Conflict:
                self._take_back([key for key, etag in created.items() if etag], open_bucket)
                raise
            replaced = dict(zip(there, pool.map(lambda key: self._replace_item(key, items[key], before[key]), there), strict=True))
        return {key: etag or replaced[key] for key, etag in created.items()}

    def _replace_item(self, key: str, item: Document, before: tuple[bytes, str]) -> str:
        """Return the ETag of an item that takes the place of another version of it."""
        data = to_json(item)
        if before[0] == data:
            return before[1]
        is_current = self.read(self.bucket, self.key).etag == self.etag  # else this was a worker that was taken for dead
        etag = self.bucket.replace(key, data, etag=before[1], content_type=GEOJSON) if is_current else None
        if etag is None:
            raise Replaced(f"another run published {key}")
        return etag

    def _take_back(self, created: Iterable[str], open_bucket: OpenBucket) -> None:
        """Take back the decision to publish: delete the items that were created, then the products."""
        for key in created:
            self.bucket.delete(key)
        left = [Trace(path) for path in self.document["pending"]["places"]]
        with suppress(Replaced):  # by somebody who did the same
            self._advance({**_without(self.document, "pending"), "state": IDLE, "leavings": left})
            _remove_all(left, open_bucket)

    def _remove_own(self, open_bucket: OpenBucket) -> None:
        """Delete what an attempt wrote after it was replaced; nothing if it was published without knowing."""
        attempt, now = self.document["attempt"], self.read(self.bucket, self.key).document
        if attempt["token"] not in [(now.get(name) or {}).get("token") for name in ("attempt", "pending", "published")]:
            _remove_all([Trace(*row) for row in attempt["traces"]], open_bucket)

    def _leavings(self) -> list[Trace]:
        attempt = self.document.get("attempt") or {}
        return sorted({Trace(*row) for row in (*self.document.get("leavings", ()), *attempt.get("traces", ()))})

    def _advance(self, document: Document) -> None:
        data = json.dumps(document).encode()
        etag = self._create(data) if self.etag is None else self.bucket.replace(self.key, data, etag=self.etag, content_type=JSON)
        if etag is None:
            raise Replaced(f"another run processes the request of {self.key}")
        self.document, self.etag = document, etag

    def _create(self, data: bytes) -> str | None:
        """Return the ETag of the first version; None when there is one by somebody else, if only since a moment ago."""
        if not self.bucket.create(self.key, data, content_type=JSON):
            return None
        there, ref = self.bucket.read(self.key, limit_bytes=_RECORD_BYTES)
        return ref.etag if there == data else None


def resolve_collection(mappings: Sequence[GeneratedProduct], output: str, product_type: str) -> str:
    """Return the collection of a product: by output name, then by its own type, then for any type.

    Args:
        mappings: What the request says.
        output: The output's name in the task table.
        product_type: What the product says it is.

    Raises:
        MissingMapping: No row is for it, or the row for any type names no collection.
    """
    rows = [row for row in mappings if row.name == output]
    for wanted in (product_type, ANY):
        for row in rows:
            if row.product_type == wanted:
                if row.collection is None:
                    raise MissingMapping(
                        f"generated_product_to_collection_identifier: {quoted(output)} is for any type, so it needs a collection_name"
                    )
                return row.collection
    told = [f"{row.name}/{row.product_type}" for row in mappings]
    raise MissingMapping(
        f"could not find a collection to publish {quoted(output)} of type {quoted(product_type)}: "
        f"generated_product_to_collection_identifier has no row for it; {choice('it has', told)}"
    )


def refuse_doubles(bucket: Bucket, items: Sequence[Document], request: str, prefix: str) -> None:
    """Check that no two items are one, and that none is of another request; another version of this one is replaced.

    Raises:
        Conflict: They are.
    """
    keys: dict[str, Document] = {}
    for item in items:
        if keys.setdefault(naming.item_key(item["collection"], item["id"], prefix), item) is not item:
            raise Conflict(
                f"two products of the request would both be item {quoted(item['id'])} of collection {quoted(item['collection'])}"
            )
    for key in bucket.stat_many(keys):
        _refuse_foreign(bucket.read(key, limit_bytes=_ITEM_BYTES)[0], keys[key], request)


def _refuse_foreign(there: bytes, item: Document, request: str) -> None:
    """Check that an item which is there is another version of one of a request.

    Raises:
        Conflict: It is of somebody else.
    """
    owner = json.loads(there).get("properties", {}).get(REQUEST, "")
    if naming.request_name(owner) != naming.request_name(request):
        raise Conflict(
            f"item {quoted(item['id'])} of collection {quoted(item['collection'])} was published by "
            + (f"request {owner}" if owner else "somebody else"),
            remedy="Delete that item, or give this request another collection.",
        )


def _create_item(bucket: Bucket, key: str, item: Document) -> str | None:
    """Return the ETag of an item that was written where there was none; None when there is one."""
    if not bucket.create(key, to_json(item), content_type=GEOJSON):
        return None
    ref = bucket.stat(key)
    return ref.etag if ref else None


def _own_item(bucket: Bucket, key: str, item: Document) -> tuple[bytes, str]:
    """Return content and ETag of an item that is there, and is of the same request.

    Raises:
        Conflict: It is of another one.
    """
    there, ref = bucket.read(key, limit_bytes=_ITEM_BYTES)
    _refuse_foreign(there, item, item["properties"].get(REQUEST, ""))
    return there, ref.etag


def _remove_all(traces: Iterable[Trace], open_bucket: OpenBucket) -> None:
    for trace in traces:
        if trace.path.startswith("/"):
            list(clean_folders([Path(trace.path)]))
        elif trace.sha256:
            _withdraw(open_bucket(place(trace.path)[0]), trace)
        else:
            remove(open_bucket(place(trace.path)[0]), trace.path)


def _withdraw(bucket: Bucket, trace: Trace) -> None:
    """Delete an object if it has the content that it was given."""
    key = place(trace.path)[1]
    with suppress(MissingInput, LimitExceeded):
        if hashlib.sha256(bucket.read(key, limit_bytes=_ITEM_BYTES)[0]).hexdigest() == trace.sha256:
            bucket.delete(key)


def _without(document: Document, *names: str) -> Document:
    return {name: value for name, value in document.items() if name not in names}
