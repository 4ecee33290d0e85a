"""All manifests that a deployment has, whatever state they are in: one that is broken costs only itself."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from platform_assets.common.errors import Conflict, GroundtrackError, StoreUnavailable
from platform_assets.common.store import Bucket
from platform_assets.workflows.manifest import read_manifest
from platform_assets.workflows.model import WorkflowSpec

_SUFFIX = ".json"
_LIMIT_BYTES = 16 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """A manifest that is not used.

    Attributes:
        place: Which.
        error: Why, and what to do.
    """

    place: str
    error: GroundtrackError

    def __str__(self) -> str:
        return f"{self.error} → {self.error.remedy}"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The workflows of a deployment.

    Attributes:
        workflows: Those that can be run, by name and version.
        problems: What cannot.
    """

    workflows: Sequence[WorkflowSpec] = ()
    problems: Sequence[Problem] = ()


def read_shelf(folder: Path) -> Shelf:
    """Return the workflows of a folder, which need not be there; of two manifests of one version, the first file counts."""
    found: dict[str, WorkflowSpec] = {}
    problems = []
    for path in _manifests(folder):
        try:
            workflow = read_manifest(path)
            if workflow.dag_name in found:
                raise Conflict(f"{path} is another manifest of {workflow.dag_name}", remedy="Remove one of the two.")
        except GroundtrackError as error:
            problems.append(Problem(str(path), error))
            continue
        found[workflow.dag_name] = workflow
    return Shelf([found[name] for name in sorted(found)], problems)


def fingerprint(folder: Path) -> str:
    """Return what tells the manifests of a folder from those of another time, without reading them."""
    lines = []
    for path in _manifests(folder):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        lines.append(f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def mirror(bucket: Bucket, prefix: str, folder: Path) -> None:
    """Bring a folder up to date with the manifests under a prefix; what is there already is not fetched again.

    Args:
        bucket: Where they are.
        prefix: What their keys begin with.
        folder: A folder of this deployment's own.

    Raises:
        StoreUnavailable: The store does not answer; the folder keeps what it has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {_local_name(ref.key, ref.etag): ref for ref in bucket.list(prefix, ending=(_SUFFIX,))}
    for name, ref in wanted.items():
        if (folder / name).exists():
            continue
        content, now = bucket.read(ref.key, limit_bytes=_LIMIT_BYTES)
        if now.etag != ref.etag:
            raise StoreUnavailable(f"{ref.key} changed while it was read")
        # Without the suffix nobody takes it for a manifest before it is whole.
        part = folder / f".{uuid4().hex}.part"
        part.write_bytes(content)
        part.replace(folder / name)
    for path in _manifests(folder):
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def tell(problems: Sequence[Problem]) -> None:
    """Write problems to the log."""
    for problem in problems:
        _log.error("%s", problem)


def _manifests(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if not path.name.startswith("."))


def _local_name(key: str, etag: str) -> str:
    digest = hashlib.sha256(f"{key}\0{etag}".encode()).hexdigest()
    return f"{key.rpartition('/')[2].removesuffix(_SUFFIX)}.{digest[:16]}{_SUFFIX}"
