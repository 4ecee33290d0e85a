"""Files found by tag, and write-once constants, that the tasks of a recipe run share in a folder.

Each task keeps a journal of what it left there, and only that task's process writes it: no locks, and a rollback that takes
away exactly what the task brought, also when the process was killed, as a file is written down before it exists.
"""

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, MutableMapping
from pathlib import Path, PurePosixPath
from typing import Any

_BOOKKEEPING = ".groundtrack"


class Scratch:
    """The shared folder of a recipe run as one task sees it.

    Args:
        folder: Of the recipe run; made when it is first used.
        task: The task's name; every file it makes is tagged with it.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self._folder = folder.absolute()
        self._task = task

    @property
    def folder(self) -> Path:
        """The folder itself."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @property
    def bookkeeping(self) -> Path:
        """The folder of journals and provenance in it."""
        path = self.folder / _BOOKKEEPING
        path.mkdir(exist_ok=True)
        return path

    @property
    def constants(self) -> "Constants":
        """Values in JSON types by name, written once and read by every task."""
        return Constants(self)

    def new(self, name: str, tags: Iterable[str] = ()) -> Path:
        """Return the path of a file that the caller writes next; its folder exists, and it goes with a rollback.

        Args:
            name: Path in the recipe run's folder, with forward slashes.
            tags: To find it by, besides the task's name.

        Raises:
            ValueError: The name leads out of the folder.
            FileExistsError: There is such a file: data of a recipe run are never overwritten.
        """
        parts = PurePosixPath(name)
        if not parts.parts or parts.is_absolute() or ".." in parts.parts or parts.parts[0] == _BOOKKEEPING:
            raise ValueError(f"{name!r} is not a path in the scratch folder")
        path = self.folder / parts
        if path.exists():
            raise _there_is(name)
        self._note({"new": parts.as_posix(), "tags": [*tags, self._task]})
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, data: bytes | str, name: str | None = None, tags: Iterable[str] = ()) -> Path:
        """Write a file and return its path; as `new`, and it appears when it is complete.

        Args:
            data: Its content; text is encoded as UTF-8.
            name: As of `new`; made up when left out.
            tags: As of `new`.
        """
        path = self.new(name or f"{self._task}/{os.urandom(8).hex()}", tags)
        part = path.with_name(f".{path.name}.part")
        # Of two tasks that write one name at once, the second finds the first one's part, or its file.
        with part.open("xb") as file:
            if path.exists():
                part.unlink()
                raise _there_is(path.name)
            file.write(data.encode() if isinstance(data, str) else data)
        part.replace(path)
        return path

    def tag(self, path: Path, tags: Iterable[str]) -> None:
        """Add tags to a file of any task; a rollback takes off those that were new."""
        name = path.absolute().relative_to(self._folder).as_posix()
        new = set(tags) - self._tags().get(name, set())
        self._note({"tagged": name, "tags": sorted(new)})

    def find(self, tags: Collection[str]) -> list[Path]:
        """Return the files that have all these tags, in order of their names."""
        wanted = {tags} if isinstance(tags, str) else set(tags)
        names = sorted(name for name, found in self._tags().items() if wanted <= found)
        return [path for path in (self._folder / name for name in names) if path.is_file()]

    def tags(self, path: Path) -> set[str]:
        """Return the tags of a file."""
        return self._tags().get(path.absolute().relative_to(self._folder).as_posix(), set())

    def rollback(self) -> None:
        """Remove what this task left: its files, the tags it added, its constants."""
        if not self._journal.exists():
            return
        journals = set(self._journal.parent.glob("*.jsonl")) - {self._journal}
        others = {entry.get("new") for journal in journals for entry in _entries(journal)}
        for entry in _entries(self._journal):
            # A name that another task announced as well is that one's: of two, only one can have written it.
            if (name := entry.get("new")) and name not in others:
                path = self._folder / name
                path.unlink(missing_ok=True)
                path.with_name(f".{path.name}.part").unlink(missing_ok=True)
        self._journal.unlink()

    def clear(self) -> None:
        """Remove all files, tags and constants of all tasks; what is known of their provenance stays."""
        for path in self.folder.iterdir():
            if path.name == _BOOKKEEPING:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for journal in self.bookkeeping.glob("*.jsonl"):
            journal.unlink()

    @property
    def _journal(self) -> Path:
        return self._folder / _BOOKKEEPING / f"{self._task}.jsonl"

    def _note(self, entry: dict[str, Any]) -> None:
        with (self.bookkeeping / self._journal.name).open("a") as journal:
            journal.write(json.dumps(entry) + "\n")

    def _all_entries(self) -> Iterator[dict[str, Any]]:
        for journal in sorted((self._folder / _BOOKKEEPING).glob("*.jsonl")):
            yield from _entries(journal)

    def _tags(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for entry in self._all_entries():
            if name := entry.get("new") or entry.get("tagged"):
                found.setdefault(name, set()).update(entry["tags"])
        return found


class Constants(MutableMapping[str, Any]):
    """The constants of a recipe run; a second value under one name is an error.

    Args:
        scratch: Where they are.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def __getitem__(self, name: str) -> Any:
        return self._values()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._values():
            raise ValueError(f"the constant {name!r} has a value already")
        self._scratch._note({"constant": name, "value": value})  # noqa: SLF001 - two halves of one thing

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"the constant {name!r} cannot be taken back; a rollback does")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def _values(self) -> dict[str, Any]:
        entries = self._scratch._all_entries()  # noqa: SLF001
        return {entry["constant"]: entry["value"] for entry in entries if "constant" in entry}


def _there_is(name: str) -> FileExistsError:
    return FileExistsError(f"{name} exists already in the scratch folder of this recipe run")


def _entries(journal: Path) -> Iterator[dict[str, Any]]:
    for line in journal.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the last line of a process that was killed while it wrote
            return
