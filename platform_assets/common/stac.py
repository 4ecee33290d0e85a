"""The static STAC catalogue: where its files lie, how they refer to each other, how they are written.

    {prefix}_stac/catalog.json                               the root
    {prefix}_stac/<collection>/collection.json               a collection
    {prefix}_stac/<collection>/<folder>/catalog.json         the items of one folder
    {prefix}_stac/<collection>/<folder>/<item>.json          an item

All references are relative, so the catalogue can be read over S3 and HTTP, moved and copied.
"""

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

ROOT_FOLDER = "_stac"

JSON = "application/json"
GEOJSON = "application/geo+json"

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_EXTENSION = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER_EXTENSION = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
TIMESTAMPS_EXTENSION = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"

_NOT_IN_REFERENCE = re.compile(r'[\x00-\x20"#%<>?\[\\\]^`{|}\x7f-\xa0]')


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What a collection says of itself; its extents and links come from its items.

    Attributes:
        id: Its identifier, also the name of its folder.
        title: A short name.
        description: What it holds, in CommonMark.
        license: An SPDX identifier, or `other`.
        keywords: Words to find it by.
        providers: STAC Provider objects.
    """

    id: str
    title: str
    description: str
    license: str = "other"
    keywords: tuple[str, ...] = ()
    providers: tuple[Mapping[str, Any], ...] = ()


def root_key(prefix: str) -> str:
    """Return the key of the root catalogue."""
    return f"{prefix}{ROOT_FOLDER}/catalog.json"


def collection_key(prefix: str, collection: str) -> str:
    """Return the key of a collection."""
    return f"{prefix}{ROOT_FOLDER}/{collection}/collection.json"


def folder_key(prefix: str, collection: str, folder: str) -> str:
    """Return the key of a folder's catalogue."""
    return f"{prefix}{ROOT_FOLDER}/{collection}/{folder}/catalog.json"


def item_key(prefix: str, collection: str, folder: str, item_id: str) -> str:
    """Return the key of an item."""
    return f"{prefix}{ROOT_FOLDER}/{collection}/{folder}/{item_id}.json"


def relative_href(base_key: str, key: str) -> str:
    """Return the reference from one object to another in the same bucket, such as `../../a/b%201.tif`."""
    path = posixpath.relpath(f"/{key}", posixpath.dirname(f"/{base_key}"))
    return _encoded(path if path.startswith("../") else f"./{path}")


def referenced_key(base_key: str, href: str) -> str:
    """Return the key that a relative reference in an object names."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(base_key), unquote(href)))[1:]


def s3_href(bucket: str, key: str) -> str:
    """Return the address of an object."""
    return f"s3://{bucket}/{_encoded(key)}"


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a STAC document as it is stored: compact, UTF-8, the same bytes for the same document."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def utc(moment: datetime) -> str:
    """Return a moment as STAC writes it, such as `2026-04-01T10:15:00Z`."""
    text = moment.astimezone(UTC).isoformat()
    return text.removesuffix("+00:00") + "Z"


def _encoded(path: str) -> str:
    """Encode what an IRI must not hold and leave everything else, which readers that do not decode then still understand."""
    return _NOT_IN_REFERENCE.sub(lambda match: quote(match[0]), path)
