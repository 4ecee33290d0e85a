"""Partition keys: made from object keys here, parsed here, and nowhere else.

Dagster accepts any string as a partition key, but its range syntax (`...`), multi-partition delimiter (`|`), selectors
(`,`) and logs do not. Our alphabet is `A-Z a-z 0-9 . _ - ~`. The tilde escapes: `~~` is a slash, `~XX` a byte of the
UTF-8 key in hexadecimal, so every object key has exactly one partition key and back:

    county/1955/a 1.tif  <->  county~~1955~~a~201.tif
"""

import re

from platform_assets.common.errors import PermanentError

MAX_LENGTH = 1000
"""Characters a partition key may have: PostgreSQL's index on dynamic partitions ends at 2,704 bytes."""

_ESCAPED = re.compile(rb"[^A-Za-z0-9._-]")
_PARTS = re.compile(r"~~|~[0-9A-F]{2}|[A-Za-z0-9._-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class UnsafeKey(PermanentError):
    """An object key that cannot be an identity: empty, absolute, climbing, with control characters, or too long."""

    code = "unsafe_key"
    remedy = "Rename the object: no leading slash, no empty, `.` or `..` segment, no control character."


def partition_key(object_key: str) -> str:
    """Return the partition key of an object key.

    Raises:
        UnsafeKey: The object key is empty, absolute or too long, or has a control character or a `.`/`..`/empty segment.
    """
    checked = checked_object_key(object_key)
    # Three dots in a row separate the ends of a range in Dagster's command line.
    text = _ESCAPED.sub(_escape, checked.encode()).decode("ascii").replace("...", "~2E~2E~2E")
    if len(text) > MAX_LENGTH:
        raise UnsafeKey(f"{shown(object_key)}: its partition key would have {len(text)} of at most {MAX_LENGTH} characters")
    return text


def object_key(partition: str) -> str:
    """Return the object key that a partition key was made from.

    Raises:
        UnsafeKey: The text is not a partition key that `partition_key` can have made.
    """
    parts = _PARTS.findall(partition)
    raw = b"".join(_unescape(part) for part in parts)
    if "".join(parts) == partition:
        try:
            key = raw.decode()
            if partition_key(key) == partition:
                return key
        except UnicodeDecodeError:
            pass
    raise UnsafeKey(f"{shown(partition)} is not a partition key of Groundtrack", remedy="Take the key from the UI's partition list.")


def checked_object_key(key: str) -> str:
    """Return the key itself if it can serve as an identity.

    Raises:
        UnsafeKey: It cannot; the message names the rule.
    """
    if not key:
        raise UnsafeKey("the key is empty")
    if _CONTROL.search(key):
        raise UnsafeKey(f"{shown(key)}: the key has a control character")
    if key.startswith("/"):
        raise UnsafeKey(f"{shown(key)}: the key starts with a slash")
    segments = key.split("/")
    if any(segment in (".", "..") for segment in segments):
        raise UnsafeKey(f"{shown(key)}: the key has a `.` or `..` segment")
    if "" in segments:
        raise UnsafeKey(f"{shown(key)}: the key has an empty segment (`//` or a trailing slash)")
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise UnsafeKey(f"{shown(key)}: the key is not valid Unicode") from error
    if len(encoded) > 1024:
        raise UnsafeKey(f"{shown(key)}: the key has {len(encoded)} bytes; S3 allows 1024")
    return key


def shown(text: str, limit: int = 120) -> str:
    """Return the text as it may stand in a message: quoted, control characters escaped, not longer than `limit`."""
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return f"'{printable}'" if len(printable) <= limit else f"'{printable[: limit - 1]}…'"


def _escape(match: re.Match[bytes]) -> bytes:
    byte = match.group()
    return b"~~" if byte == b"/" else b"~%02X" % byte[0]


def _unescape(part: str) -> bytes:
    if part == "~~":
        return b"/"
    if part.startswith("~"):
        return bytes.fromhex(part[1:])
    return part.encode()
