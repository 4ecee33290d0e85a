"""The names of the dpr domain: every object key and partition key is built here, parsed here, and nowhere else.

In the output bucket, with the prefix empty:

    _stac/<collection>/items/<item id>.json          an item: a session, an auxiliary file, a product
    auxiliary/<collection>/<item id>/<file name>     a file of an auxiliary item
    _groundtrack/dpr/requests/<request id>/<name>    what is kept of a request
"""

import hashlib
import re

from platform_assets.common import stac
from platform_assets.common.keys import UnsafeKey, checked_object_key, shown

ITEMS = "items"
"""The one folder of each collection that has its items."""

SESSIONS = "-cadip-session"
"""The end of the names of the collections that have sessions."""

_RECORDS = "_groundtrack/dpr/"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]*")
_LONGEST_NAME = 200  # file systems end at 255, and suffixes are added
_LONGEST_STEM = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_EIGHT_HEX = re.compile(r"[0-9a-f]{8}")
_SESSION = re.compile(r"S(?P<mission>\d)[A-Z_]_\d{14}\d{6}")


def check_name(text: str, what: str) -> str:
    """Return the text itself if it can be one segment of an object key and the name of a file.

    Args:
        text: The name of a collection, item or file.
        what: What messages call it, such as `the collection`.

    Raises:
        UnsafeKey: It is empty or too long, begins with a dot or dash, or has other characters than letters, digits and `._+=@-`.
    """
    if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME:
        raise UnsafeKey(
            f"{what} {shown(text)} is no safe name",
            remedy=f"A name has letters, digits and ._+=@-, no dot or dash at its begin, and at most {_LONGEST_NAME} characters.",
        )
    return text


def item_key(collection: str, item_id: str, prefix: str = "") -> str:
    """Return the key of an item.

    Raises:
        UnsafeKey: The collection or the item has no safe name.
    """
    check_name(collection, "the collection")
    if check_name(item_id, "the item") == "catalog":
        raise UnsafeKey("the item 'catalog' would overwrite its folder's catalogue", remedy="Give the item another id.")
    return stac.item_key(prefix, collection, ITEMS, item_id)


def items_prefix(collection: str, prefix: str = "") -> str:
    """Return what the keys of a collection's items begin with.

    Raises:
        UnsafeKey: The collection has no safe name.
    """
    return stac.folder_key(prefix, check_name(collection, "the collection"), ITEMS).removesuffix("catalog.json")


def item_of(key: str, prefix: str = "") -> tuple[str, str] | None:
    """Return the collection and the id of the item that has this key; None when it is no item's key."""
    root = f"{prefix}{stac.ROOT_FOLDER}/"
    parts = key.removeprefix(root).split("/")
    if not key.startswith(root) or len(parts) != 3:
        return None
    collection, item_id = parts[0], parts[2].removesuffix(".json")
    try:
        return (collection, item_id) if item_key(collection, item_id, prefix) == key else None
    except UnsafeKey:
        return None


def adf_key(collection: str, item_id: str, name: str, prefix: str = "") -> str:
    """Return the key of a file of an auxiliary item.

    Args:
        collection: The item's collection.
        item_id: The item.
        name: The file's name; of a file in a folder the path, with slashes.
        prefix: The output prefix.

    Raises:
        UnsafeKey: Collection or item have no safe name, or the path leads out of their folder.
    """
    folder = f"{prefix}auxiliary/{check_name(collection, 'the collection')}/{check_name(item_id, 'the item')}/"
    return folder + checked_object_key(name)


def session_collection(session_id: str) -> str:
    """Return the collection of a session, such as `s01-cadip-session`.

    Raises:
        UnsafeKey: The session is none of a Sentinel mission, such as `S1A_20241114143038056552`.
    """
    found = _SESSION.fullmatch(session_id)
    if not found:
        raise UnsafeKey(
            f"{shown(session_id)} is no session",
            remedy="Session ids are satellite, time and orbit, such as S1A_20241114143038056552.",
        )
    return f"s{int(found['mission']):02d}{SESSIONS}"


def session_folder(session_id: str, prefix: str) -> str:
    """Return what the keys of a session's blocks begin with, in the input bucket.

    Args:
        session_id: The session.
        prefix: Where sessions lie; empty, or ends in a slash.
    """
    return f"{prefix}{session_id}/"


def session_document_key(session_id: str, prefix: str) -> str:
    """Return the key of a session's OData document; arguments are those of `session_folder`."""
    return f"{session_folder(session_id, prefix)}{session_id}.json"


def request_id(key: str, etag: str) -> str:
    """Return the identity of a request: the stem of its document's name and eight hexadecimal digits of its content's ETag.

    It is a partition key and a segment of object keys. The same document under another folder is the same request.

    Args:
        key: The document's object key.
        etag: Its entity tag without quotes.
    """
    name = key.rpartition("/")[2]
    stem = _UNSAFE.sub("-", name.rpartition(".")[0] or name).strip("-")[:_LONGEST_STEM] or "request"
    found = _EIGHT_HEX.match(etag)
    return f"{stem}.{found[0] if found else hashlib.sha256(etag.encode()).hexdigest()[:8]}"


def request_name(request: str) -> str:
    """Return what all versions of a request's document have in common: its `request_id` without the content's digits."""
    return request.rpartition(".")[0]


def record_key(request: str, name: str, prefix: str = "") -> str:
    """Return the key of something that is kept of a request.

    Args:
        request: Its `request_id`.
        name: What it is, such as `payload.yaml`.
        prefix: The output prefix.

    Raises:
        UnsafeKey: One of them is no safe name.
    """
    return f"{prefix}{_RECORDS}requests/{check_name(request, 'the request')}/{check_name(name, 'the record')}"


def lease_key(name: str, prefix: str = "") -> str:
    """Return the key of the lease of whoever fetches a file.

    Args:
        name: What the lease is of: the file's object key.
        prefix: The output prefix.
    """
    return f"{prefix}{_RECORDS}leases/{hashlib.sha256(name.encode()).hexdigest()}.json"
