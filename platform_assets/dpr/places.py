"""Paths of a payload, `s3://bucket/key` or of a disk: what is there, what is in it, and writing to it."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from platform_assets.common.store import Bucket
from platform_assets.common.values import ObjectRef

_PIECE_BYTES = 1 << 20
S3 = "s3://"


class Buckets(Protocol):
    """Where buckets are; picklable."""

    def bucket(self, name: str) -> Bucket:
        """Return the bucket of a name."""


@dataclass(frozen=True, slots=True)
class File:
    """A file or object.

    Attributes:
        path: Where it lies.
        size_bytes: Its size.
        ref: Its version; None for one on a disk.
    """

    path: str
    size_bytes: int
    ref: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a file has in it.

    Attributes:
        file: The file.
        sha256: Of its content, in hexadecimal.
        counts: How often it has each of the 256 values of a byte.
    """

    file: File
    sha256: str
    counts: NDArray[np.int64]


def split(path: str) -> tuple[str, str]:
    """Return bucket and key of a path of S3."""
    bucket, _, key = path.removeprefix(S3).partition("/")
    return bucket, key


def is_readable(path: str) -> bool:
    """Whether a path is of a kind that is read here: of S3 or of a disk."""
    return path.startswith((S3, "/"))


def files_at(buckets: Buckets, path: str, regex: str = "") -> list[File]:
    """Return the file at a path, or all files in the folder at it, by name; none where there is nothing.

    Args:
        buckets: Where those of S3 are.
        path: The file or folder.
        regex: Only files that it matches, by their path in the folder, and files in folders that it matches.
    """
    found = _on_s3(buckets, path) if path.startswith(S3) else _on_disk(Path(path))
    if not regex:
        return found
    pattern, folder = re.compile(regex), f"{path.rstrip('/')}/"
    return [file for file in found if file.path.startswith(folder) and _matches(pattern, file.path.removeprefix(folder).split("/"))]


def names_in(buckets: Buckets, path: str) -> list[str]:
    """Return what the files and folders are called that lie directly in a folder."""
    if not path.startswith(S3):
        return [inner.name for inner in Path(path).iterdir()] if Path(path).is_dir() else []
    name, key = split(path.rstrip("/"))
    folders, refs = buckets.bucket(name).level(f"{key}/" if key else "")
    return [inner.rstrip("/").rpartition("/")[2] for inner in (*folders, *(ref.key for ref in refs))]


def content_of(buckets: Buckets, file: File) -> Content:
    """Return what a file has in it, read whole, in pieces.

    Raises:
        MissingInput: It is not there any more.
        InputChanged: Another is there, or what arrived is not what was announced.
    """
    if file.ref is None:
        return _read(file, Path(file.path))
    with TemporaryDirectory(prefix="groundtrack-") as folder:
        path = Path(folder, "file")
        buckets.bucket(split(file.path)[0]).download(file.ref, path)
        return _read(file, path)


def write(buckets: Buckets, path: str, data: bytes) -> None:
    """Write a small file or object."""
    if path.startswith(S3):
        bucket, key = split(path)
        buckets.bucket(bucket).write(key, data, content_type="application/octet-stream")
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)


def _on_s3(buckets: Buckets, path: str) -> list[File]:
    name, key = split(path.rstrip("/"))
    bucket = buckets.bucket(name)
    one = None if path.endswith("/") else bucket.stat(key)
    refs = [one] if one else bucket.list(f"{key}/" if key else "")
    return [File(f"{S3}{name}/{ref.key}", ref.size_bytes, ref) for ref in refs]


def _on_disk(path: Path) -> list[File]:
    paths = [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
    return [File(str(inner), inner.stat().st_size) for inner in paths]


def _matches(pattern: re.Pattern[str], parts: Sequence[str]) -> bool:
    return any(pattern.fullmatch("/".join(parts[:depth])) for depth in range(1, len(parts) + 1))


def _read(file: File, path: Path) -> Content:
    digest, counts = hashlib.sha256(), np.zeros(256, np.int64)
    for piece in _pieces(path):
        digest.update(piece)
        counts += np.bincount(np.frombuffer(piece, np.uint8), minlength=256)
    return Content(file, digest.hexdigest(), counts)


def _pieces(path: Path) -> Iterator[Any]:
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece
