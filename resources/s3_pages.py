"""The pages of S3 listings, as servers write them."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from urllib.parse import unquote_plus
from xml.sax.saxutils import unescape

from platform_assets.common.values import ObjectRef

_TOKEN = re.compile(rb"<NextContinuationToken>([^<]+)</NextContinuationToken>")


def folders_of(page: bytes) -> Iterator[str]:
    """Yield the folders of a page, each with its slash."""
    root, space, encoded = _opened(page)
    for entry in root.iterfind(f"{space}CommonPrefixes/{space}Prefix"):
        yield unquote_plus(entry.text or "") if encoded else entry.text or ""


def _opened(page: bytes) -> tuple[ET.Element, str, bool]:
    root = ET.fromstring(page)  # noqa: S314 - from the configured S3 server; expat refuses entity bombs by itself
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    return root, space, root.findtext(f"{space}EncodingType") == "url"


def objects_of(page: bytes) -> Iterator[ObjectRef]:
    """Yield the objects of a page."""
    root, space, encoded = _opened(page)
    for entry in root.iter(f"{space}Contents"):
        key = entry.findtext(f"{space}Key", "")
        yield ObjectRef(
            key=unquote_plus(key) if encoded else key,
            etag=bare(entry.findtext(f"{space}ETag", "")),
            size_bytes=int(entry.findtext(f"{space}Size", "0")),
            modified=seconds(entry.findtext(f"{space}LastModified", "")),
        )


def next_token(page: bytes) -> str | None:
    """Return what the next page is asked for with; None after the last."""
    found = _TOKEN.search(page)
    return unescape(found[1].decode()) if found else None


def seconds(moment: str) -> str:
    """Cut a UTC moment to whole seconds: listings have milliseconds on some servers, single look-ups never."""
    return f"{moment[:19]}Z" if moment else ""


def bare(etag: str) -> str:
    """Return an entity tag without its quotes."""
    return etag.strip('"')
