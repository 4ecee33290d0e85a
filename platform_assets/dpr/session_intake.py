"""How sessions come in: a folder each, looked at until it is complete, then published as an item."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from platform_assets.catalog.static import Extent, extent_of, publish_folders
from platform_assets.common.errors import MissingInput, PermanentError
from platform_assets.common.keys import UnsafeKey
from platform_assets.common.published import SOURCE_METADATA
from platform_assets.common.stac import GEOJSON, CollectionInfo, to_json
from platform_assets.common.store import Bucket
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import documents, naming, session_stac
from platform_assets.dpr.session import Session, first_eviction, lacking, read_session

_MOST_OBJECTS = 10_000
_MOST_TOLD = 5
_ITEM_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Look:
    """What a session's folder has.

    Attributes:
        session_id: The session.
        lacks: What is missing, in words; nothing when it is complete.
        session: What its document says; None when there is none, or a wrong one.
        document: The document.
        found: The objects beside it, by file name.
    """

    session_id: str
    lacks: tuple[str, ...]
    session: Session | None = None
    document: ObjectRef | None = None
    found: Mapping[str, ObjectRef] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """What it lacks, shortened."""
        more = f", and {len(self.lacks) - _MOST_TOLD} more" if len(self.lacks) > _MOST_TOLD else ""
        return ", ".join(self.lacks[:_MOST_TOLD]) + more

    @property
    def first_eviction(self) -> datetime | None:
        """When the station removes the first of its blocks, as far as it says."""
        return first_eviction(self.session.blocks) if self.session else None


def session_ids(bucket: Bucket, prefix: str) -> Iterator[str]:
    """Yield the sessions that have a folder; other folders are passed over.

    Args:
        bucket: The input bucket.
        prefix: Where sessions lie; empty, or ends in a slash.
    """
    folders, _ = bucket.level(prefix)
    for folder in folders:
        name = folder.removeprefix(prefix).removesuffix("/")
        try:
            naming.session_collection(name)
        except UnsafeKey:
            continue
        yield name


def look(bucket: Bucket, prefix: str, session_id: str) -> Look:
    """Return what the folder of a session has; arguments are those of `session_ids`.

    Raises:
        StoreUnavailable: The store cannot answer.
    """
    folder = naming.session_folder(session_id, prefix)
    found: dict[str, ObjectRef] = {}
    for number, ref in enumerate(bucket.list(folder)):
        if number == _MOST_OBJECTS:
            return Look(session_id, (f"its folder has more than {_MOST_OBJECTS} objects; no session has",))
        found[ref.key.removeprefix(folder)] = ref
    document = _document(found, session_id)
    if document is None:
        return Look(session_id, (f"{session_id}.json is missing",), found=found)
    try:
        session = _read(bucket, document, session_id)
    except PermanentError as error:
        return Look(session_id, (str(error),), document=document, found=found)
    lacks = lacking(session, found, sources(bucket, session, found))
    return Look(session_id, lacks, session, document, found)


def sources(bucket: Bucket, session: Session, found: Mapping[str, ObjectRef]) -> dict[str, str]:
    """Return the entities that blocks were made of, as far as it is known and matters: of those that were retransferred."""
    again = [block.name for block in session.blocks if block.is_retransfer and block.name in found]
    known = {name: (bucket.metadata(found[name].key) or {}).get(SOURCE_METADATA) for name in again}
    return {name: source for name, source in known.items() if source}


def _document(found: Mapping[str, ObjectRef], session_id: str) -> ObjectRef | None:
    """Return the document: the one that is called as the session, else the newest of those beside the blocks."""
    documents_there = [ref for name, ref in found.items() if name.endswith(".json") and "/" not in name]
    return found.get(f"{session_id}.json") or max(documents_there, key=lambda ref: (ref.modified, ref.key), default=None)


@lru_cache(maxsize=1024)
def _read(bucket: Bucket, ref: ObjectRef, session_id: str) -> Session:
    """Return a document; sessions that wait are looked at every few seconds, and a version never changes."""
    data, there = bucket.read(ref.key, limit_bytes=documents.LIMIT_BYTES)
    if there.etag != ref.etag:
        raise MissingInput(f"{ref.key} was replaced while it was read")
    return read_session(data, ref.key.rpartition("/")[2], session_id)


def publish_sessions(source: str, target: Bucket, prefix: str, looks: Iterable[Look]) -> set[str]:
    """Write the items of sessions that are complete and bring the catalogue up to date; return those that are new or changed.

    Args:
        source: The name of the input bucket.
        target: The output bucket.
        prefix: The output prefix.
        looks: What their folders have.

    Raises:
        StoreUnavailable: The store cannot answer; it can be done again.
    """
    items = [session_stac.session_item(seen.session, seen.found, source) for seen in looks if seen.session and not seen.lacks]
    new: set[str] = set()
    extents: dict[CollectionInfo, Extent] = {}
    for item in items:
        key = naming.item_key(item["collection"], item["id"], prefix)
        if published_digest(target, key) != item["properties"][session_stac.DIGEST]:
            target.write(key, to_json(item), content_type=GEOJSON)
            new.add(item["id"])
        info = session_stac.collection(item["id"])
        extents[info] = extents.get(info, Extent()) | extent_of(item)
    for info, extent in extents.items():
        publish_folders(target, prefix, info, {naming.ITEMS: extent})
    return new


def published_digest(target: Bucket, key: str) -> str | None:
    """Return the state of a session that its item has; None when it has no item."""
    try:
        data, _ = target.read(key, limit_bytes=_ITEM_BYTES)
        properties = json.loads(data)["properties"]
    except (MissingInput, ValueError, KeyError, TypeError):
        return None
    digest = properties.get(session_stac.DIGEST)
    return digest if isinstance(digest, str) else None
