"""Python environments by content: each made once, then only read, and shared by all tasks that need the same.

    locks/          what requirements resolved to when they were first asked for
    environments/   one folder an environment, named by the hash of its lock, its interpreter and its platform
    leases/         one file an environment: locked shared by its users, exclusively by who makes or removes it
    uv/             uv's cache, from which files are linked

A version's lock is taken once, so that it runs with the same distributions for ever, until it is asked for anew. All locks
are the kernel's (flock): they end with the process that has them, however it ends. The folder is on a local file system.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from platform_assets.common.errors import Conflict
from platform_assets.environments.errors import MissingExtra
from platform_assets.environments.interpreters import Interpreter
from platform_assets.environments.uv import Uv

_BUILDER = 1
"""Raised when environments are made otherwise: those of before are then no longer used."""

_MARKER = "groundtrack-environment.json"
_NEW, _OLD = ".new-", ".old-"


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is leased.

    Attributes:
        key: Its name: the hash of all that it is made of.
        folder: Where it is; read-only.
        packages: The version of every distribution in it.
        lock_hash: SHA-256 of its lock, in hexadecimal.
        lease: A file descriptor; while it is open in any process, the environment stays.
        is_new: Whether it was made for this lease.
    """

    key: str
    folder: Path
    packages: dict[str, str]
    lock_hash: str
    lease: int
    is_new: bool

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


@dataclass(frozen=True)
class EnvironmentCache:
    """The environments in a folder.

    Attributes:
        folder: Where they are.
        uv: What resolves and installs.
        interpreter: What they are made with.
        limit_bytes: Above that, those that were not used for longest are removed after a new one was made.
    """

    folder: Path
    uv: Uv
    interpreter: Interpreter
    limit_bytes: int = 50 << 30

    @contextmanager
    def lease(self, requirements: Sequence[str], *, verify: bool = False, refresh: bool = False) -> Iterator[Environment]:
        """Yield the environment of some requirements, which is made if need be and stays while it is leased.

        Args:
            requirements: As PEP 508 has them.
            verify: Whether every file's size and time is compared with what was installed; one that differs is made anew.
            refresh: Whether the requirements are resolved anew.

        Raises:
            InstallFailed: The environment cannot be made; with the installer's text.
            IndexUnreachable: The package index did not answer.
            Conflict: It was changed, and cannot be made anew while others use it.
        """
        lock = self._lock(requirements, refresh=refresh)
        key, is_new = self._key(lock), False
        if verify:
            self._remove_damaged(key)
        while True:
            with _locked(self._lease_file(key), fcntl.LOCK_SH) as file:
                if self._is_ready(key):
                    os.utime(file.fileno())
                    yield self._environment(key, lock, file.fileno(), is_new=is_new)
                    return
            with _locked(self._lease_file(key), fcntl.LOCK_EX):
                # Another process may have made it since.
                if not self._is_ready(key):
                    self._make(key, lock, requirements)
                    is_new = True

    def prune(self, limit_bytes: int | None = None) -> list[str]:
        """Remove what was not used for longest until the rest fits, never what is leased; return the keys of what went.

        Args:
            limit_bytes: What may stay; the cache's own limit when left out.
        """
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        self._sweep()
        sizes = {path.parent.name: json.loads(path.read_text())["bytes"] for path in self._environments.glob(f"[!.]*/{_MARKER}")}
        removed = []
        for key in sorted(sizes, key=self._last_used):
            if sum(sizes.values()) <= limit:
                break
            if self._remove(key):
                removed.append(key)
                del sizes[key]
        if removed:
            self.uv.prune()
        return removed

    def is_intact(self, key: str) -> bool:
        """Whether an environment has the files it was made with, by their sizes and times."""
        folder = self._environments / key
        return self._is_ready(key) and _tree(folder)["tree"] == json.loads((folder / _MARKER).read_text())["tree"]

    # --- locks --------------------------------------------------------------------------------------------------------

    def _lock(self, requirements: Sequence[str], *, refresh: bool) -> str:
        asked = [sorted(requirements), self.interpreter.identity, self.uv.identity(requirements), _BUILDER]
        path = self.folder / "locks" / f"{_digest(asked)}.txt"
        if not refresh and path.exists():
            return path.read_text()
        with _locked(path.with_suffix(".lock"), fcntl.LOCK_EX):
            if refresh or not path.exists():
                part = path.with_suffix(".part")
                part.write_text(self.uv.lock(requirements, self.interpreter.path))
                part.replace(path)
            return path.read_text()

    def _key(self, lock: str) -> str:
        return _digest([lock, self.interpreter.identity, _BUILDER])[:32]

    # --- environments -------------------------------------------------------------------------------------------------

    @property
    def _environments(self) -> Path:
        return self.folder / "environments"

    def _lease_file(self, key: str) -> Path:
        return self.folder / "leases" / key

    def _is_ready(self, key: str) -> bool:
        folder = self._environments / key
        return (folder / _MARKER).is_file() and (folder / "bin" / "python").exists()

    def _environment(self, key: str, lock: str, lease: int, *, is_new: bool) -> Environment:
        folder = self._environments / key
        packages = json.loads((folder / _MARKER).read_text())["packages"]
        return Environment(key, folder, packages, hashlib.sha256(lock.encode()).hexdigest(), lease, is_new)

    def _make(self, key: str, lock: str, requirements: Sequence[str]) -> None:
        """Make an environment beside the others and give it its name when it is whole. The caller has the lock."""
        self._discard(key)
        new = self._environments / f"{_NEW}{key}-{uuid4().hex[:8]}"
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.uv.install(new, lock, self.interpreter.path)
            packages = _packages(new)
            _check_extras(requirements, packages)
            versions = {name: dist.version for name, dist in packages.items()}
            about = {"requirements": sorted(requirements), "interpreter": self.interpreter.identity, "packages": versions}
            (new / _MARKER).write_text(json.dumps({**about, **_tree(new)}, sort_keys=True, indent=1))
            _make_read_only(new)
            new.rename(self._environments / key)
        except BaseException:
            _remove_tree(new)
            raise
        self.prune()

    def _remove_damaged(self, key: str) -> None:
        if self._is_ready(key) and not self.is_intact(key) and not self._remove(key):
            raise Conflict(f"the environment {key} was changed, and is in use", remedy="Make it anew when its tasks have ended: prewarm.")

    def _remove(self, key: str) -> bool:
        """Remove an environment unless somebody uses it."""
        with _locked(self._lease_file(key), fcntl.LOCK_EX | fcntl.LOCK_NB) as file:
            if file is not None:
                self._discard(key)
            return file is not None

    def _discard(self, key: str) -> None:
        """Remove an environment, or what is left of one. The caller has the lock."""
        folder = self._environments / key
        if folder.exists():
            # First the name: what is half removed is no environment.
            folder.rename(self._environments / f"{_OLD}{key}-{uuid4().hex[:8]}")
        for left in self._environments.glob(f".*-{key}-*"):
            _remove_tree(left)

    def _sweep(self) -> None:
        """Remove what killed processes left half made or half removed."""
        for left in {path.name.removeprefix(_NEW).removeprefix(_OLD).partition("-")[0] for path in self._environments.glob(".*-*-*")}:
            with _locked(self._lease_file(left), fcntl.LOCK_EX | fcntl.LOCK_NB) as file:
                if file is not None:
                    for path in self._environments.glob(f".*-{left}-*"):
                        _remove_tree(path)

    def _last_used(self, key: str) -> float:
        path = self._lease_file(key)
        return path.stat().st_mtime if path.exists() else 0.0


@contextmanager
def _locked(path: Path, how: int) -> Iterator[Any]:
    """Yield the locked file; None where the lock is not to be waited for and somebody has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        yield file if _lock_file(file, how) else None


def _lock_file(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    return True


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _packages(folder: Path) -> dict[str, Distribution]:
    places = [str(path) for path in folder.glob("lib*/python*/site-packages")]
    return {canonicalize_name(dist.metadata["Name"]): dist for dist in sorted(distributions(path=places), key=lambda dist: dist.name)}


def _check_extras(requirements: Sequence[str], packages: dict[str, Distribution]) -> None:
    for asked in map(Requirement, requirements):
        dist = packages[canonicalize_name(asked.name)]
        there = {canonicalize_name(extra) for extra in dist.metadata.get_all("Provides-Extra") or ()}
        if lacking := sorted(extra for extra in asked.extras if canonicalize_name(extra) not in there):
            raise MissingExtra(f"{asked.name} {dist.version} has no extra {', '.join(lacking)}")


def _tree(folder: Path) -> dict[str, Any]:
    """Return a digest of names, sizes and times of all files, and their bytes together."""
    lines, total = [], 0
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name == _MARKER:
                continue
            path = os.path.join(root, name)  # noqa: PTH118 - a Path would cost more than the rest, and there may be 30,000
            state = os.lstat(path)
            lines.append(f"{path[len(str(folder)) :]}\0{state.st_size}\0{state.st_mtime_ns}")
            total += state.st_size
    return {"tree": hashlib.sha256("\n".join(lines).encode()).hexdigest(), "files": len(lines), "bytes": total}


def _make_read_only(folder: Path) -> None:
    for root, _, files in os.walk(folder, topdown=False):
        for name in (*files, "."):
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


def _remove_tree(folder: Path) -> None:
    for root, _, __ in os.walk(folder):
        Path(root).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
