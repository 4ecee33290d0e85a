"""Unpacks archives of auxiliary files: nothing lands outside of the folder, nothing is a link, nothing fills the disk.

As the Reference System does: members that lead elsewhere are passed over, tars in an archive are unpacked in their place, and
a single folder at the top is taken for the root. An archive that is broken or a bomb is refused as a whole.
"""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path
from typing import IO

from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import shown

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
_TARS = SUFFIXES[:3]
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512  # of a tar
_LONGEST_NAME = 255  # bytes, of a file
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)


class BrokenArchive(PermanentError):
    """An archive cannot be read to its end."""

    code = "broken_archive"
    remedy = "Have the file delivered again; it is none of the archives that are read, or damaged."


class UnsafeArchive(PermanentError):
    """An archive would fill the disk."""

    code = "unsafe_archive"
    remedy = "Look at the archive: what it unpacks to is out of proportion."


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may unpack to, the archives in it included.

    Attributes:
        total_bytes: The size of all files.
        ratio: How often the archive's own size that may be.
        free_bytes: What is allowed whatever the ratio.
        members: The number of members.
        depth: How deep archives may lie in archives.
    """

    total_bytes: int = 64 << 30
    ratio: int = 200
    free_bytes: int = 256 << 20
    members: int = 100_000
    depth: int = 3


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was in an archive.

    Attributes:
        root: The folder that stands for the archive.
        files: Paths of the files in it, in order.
        skipped: Members that were passed over, since they lead elsewhere or are no files.
    """

    root: Path
    files: tuple[str, ...]
    skipped: tuple[str, ...]

    @property
    def main(self) -> str:
        """The file that stands for all: the largest; of equal ones the first. Empty when there is none."""
        return min(self.files, key=lambda path: (-(self.root / path).stat().st_size, path), default="")


def is_archive(name: str) -> bool:
    """Whether a file is an archive by its name."""
    return name.lower().endswith(SUFFIXES)


def stripped(name: str) -> str:
    """Return the name of an archive without its suffix; other names as they are."""
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def unpack(archive: Path, folder: Path, limits: Limits = Limits()) -> Unpacked:
    """Unpack an archive into an empty folder.

    Args:
        archive: The archive; what it is, its name tells.
        folder: The folder, which is made.
        limits: What it may unpack to.

    Raises:
        BrokenArchive: It is none, encrypted, damaged or breaks off.
        UnsafeArchive: It exceeds a limit.
    """
    folder.mkdir(parents=True)
    most_bytes = min(limits.total_bytes, max(limits.free_bytes, limits.ratio * archive.stat().st_size))
    work = _Work(archive.name, folder.with_name(f"{folder.name}.nested.tar"), limits, most_bytes)
    work.unpack(archive, folder, 0)
    top = list(folder.iterdir())
    root = top[0] if len(top) == 1 and top[0].is_dir() else folder
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return Unpacked(root, tuple(files), tuple(work.skipped))


@dataclass
class _Work:
    """One archive with all that is in it.

    Attributes:
        name: What messages call it.
        aside: Where an archive in it lies while it is unpacked; in its own folder it might overwrite itself.
        limits: What it may unpack to.
        left_bytes: What of that is left.
        members: How many members there were.
        skipped: Which of them were passed over.
    """

    name: str
    aside: Path
    limits: Limits
    left_bytes: int
    members: int = 0
    skipped: list[str] = field(default_factory=list)

    def unpack(self, archive: Path, folder: Path, depth: int) -> None:
        """Unpack an archive into a folder, and the tars among what it brings in their places."""
        if depth > self.limits.depth:
            raise UnsafeArchive(f"{shown(self.name)} has archives in archives more than {self.limits.depth} deep")
        with self.readable():
            new = list(self.zip(archive, folder) if archive.name.lower().endswith(".zip") else self.tar(archive, folder))
        for path in sorted({path for path in new if path.name.lower().endswith(_TARS)}):
            path.replace(self.aside)
            self.unpack(self.aside, path.parent, depth + 1)
        self.aside.unlink(missing_ok=True)

    def zip(self, archive: Path, folder: Path) -> Iterator[Path]:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if member.is_dir():
                    self.count()
                elif path := self.place(folder, member.filename, is_file=kind in (0, stat.S_IFREG)):
                    with opened.open(member) as content:
                        self.write(content, path)
                    yield path

    def tar(self, archive: Path, folder: Path) -> Iterator[Path]:
        with tarfile.open(archive) as opened:
            for member in opened:
                if member.isdir():
                    self.count()
                elif path := self.place(folder, member.name, is_file=member.isreg()):
                    content = opened.extractfile(member)
                    if content:
                        self.write(content, path)
                        yield path
            self.see_the_end(opened)

    def see_the_end(self, opened: tarfile.TarFile) -> None:
        """Read what is behind the last member: tarfile takes whatever it cannot read for the end, and leaves gzip's checksum."""
        opened.fileobj.seek(opened.offset)
        if opened.fileobj.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
            raise BrokenArchive(f"{shown(self.name)} breaks off, or is damaged")
        while chunk := opened.fileobj.read(_CHUNK_BYTES):
            self.spend(len(chunk))

    def spend(self, size_bytes: int) -> None:
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise UnsafeArchive(f"{shown(self.name)} unpacks to more than is allowed for its size")

    def count(self) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise UnsafeArchive(f"{shown(self.name)} has more than {self.limits.members:,} members")

    def place(self, folder: Path, name: str, *, is_file: bool) -> Path | None:
        """Return where a member goes; None when it is passed over."""
        self.count()
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not is_file or not parts or name.startswith("/") or not all(_is_name(part) for part in parts):
            self.skipped.append(shown(name))
            return None
        return folder.joinpath(*parts)

    def write(self, content: IO[bytes], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                self.spend(len(chunk))
                file.write(chunk)

    @contextmanager
    def readable(self) -> Iterator[None]:
        try:
            yield
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise BrokenArchive(f"{shown(self.name)} has a file and a folder of one name") from error
        except _UNREADABLE as error:
            raise BrokenArchive(f"{shown(self.name)} cannot be unpacked: {error}") from error


def _is_name(part: str) -> bool:
    """Whether a part of a path is the name of a file on every system, and of nothing else."""
    if part == ".." or "\\" in part or ":" in part or not part.isprintable():
        return False
    try:
        return len(part.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False
