"""The object store as the pure code sees it: one bucket, a dozen verbs, errors of our own.

`resources.object_store` implements it over S3. The rules that let it work on every S3 server that we tried: conditional
writes are decided by the store and confirmed by reading back, a key is data and never a pattern, a failed listing raises
and is never an empty one.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from platform_assets.common.values import ObjectRef

Level = tuple[list[str], list[ObjectRef]]
"""Folders, each with its slash, and objects."""


class Bucket(Protocol):
    """One bucket. Every verb raises `StoreUnavailable` when the store cannot answer."""

    def __hash__(self) -> int:
        """Buckets of the same name on the same server are equal."""

    @property
    def name(self) -> str:
        """The bucket's name."""

    def list(self, prefix: str = "", *, start_after: str = "", ending: tuple[str, ...] = ("",)) -> Iterator[ObjectRef]:
        """Yield the objects under a prefix in the order of their keys' bytes, page by page.

        Args:
            prefix: What the keys begin with.
            start_after: Only keys after this one.
            ending: Only keys that end in one of these; a listing for few of many costs a tenth.
        """

    def level(self, prefix: str) -> Level:
        """Return what lies directly under a prefix that is empty or ends in a slash."""

    def stat(self, key: str) -> ObjectRef | None:
        """Return the object's current version, or None when there is none."""

    def stat_many(self, keys: Iterable[str]) -> dict[str, ObjectRef]:
        """Return the current version of those keys that exist, by listing or by single look-ups, whichever is cheaper."""

    def read(self, key: str, *, limit_bytes: int) -> tuple[bytes, ObjectRef]:
        """Return an object's content and version.

        Raises:
            MissingInput: It does not exist.
            LimitExceeded: It is larger than the limit; nothing was read.
        """

    def download(self, ref: ObjectRef, path: Path) -> str:
        """Write exactly this version of an object to a file and return the file's MD5 in hexadecimal.

        Raises:
            MissingInput: It does not exist.
            InputChanged: Another version is there, or what arrived has another size or checksum.
        """

    def write(self, key: str, data: bytes, *, content_type: str) -> str:
        """Create or overwrite an object and return its ETag."""

    def create(self, key: str, data: bytes, *, content_type: str) -> bool:
        """Create an object unless it exists; True when the object that is there has this content.

        Of many writers with different contents exactly one gets True, also when the answer to its first try was lost.
        """

    def replace(self, key: str, data: bytes, *, etag: str, content_type: str) -> str | None:
        """Overwrite exactly this version of an object; return the new ETag, or None when another content is there.

        As with `create`, writers who must not both succeed write different contents.
        """

    def upload(self, path: Path, key: str, *, content_type: str, metadata: Mapping[str, str]) -> ObjectRef:
        """Create or overwrite an object from a file; readers see the old or the new content, never a part."""

    def metadata(self, key: str) -> Mapping[str, str] | None:
        """Return the user metadata of an object, or None when there is no object."""

    def copy(self, ref: ObjectRef, key: str) -> bool:
        """Copy an object to another key; False when this version was not there for the whole time of copying."""

    def delete(self, key: str) -> None:
        """Delete an object; deleting what does not exist is no error."""
