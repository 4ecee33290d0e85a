"""uv, which resolves and installs: how it is called, and what its errors mean."""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from platform_assets.environments.errors import IndexUnreachable, InstallFailed

_ATTEMPTS = 3
_MOST_TOLD = 5
_FIRST_DELAY_S = 1.0
_UNREACHABLE = ("Failed to fetch", "error sending request", "Failed to download", "operation timed out", "dns error")
_OFFLINE = "the network was disabled"
_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LANG|LC_ALL|TMPDIR|NETRC|SSL_CERT_(FILE|DIR)|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|XDG_CONFIG_(HOME|DIRS)|UV_.*"
)
_OURS = {"UV_CACHE_DIR", "UV_LINK_MODE", "UV_NO_PROGRESS", "UV_PROJECT_ENVIRONMENT"}


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """Where packages come from; uv's own variables and configuration hold besides.

    Attributes:
        url: The index; empty for uv's configuration, else PyPI.
        find_links: Folders or pages of wheels.
        no_index: Whether only `find_links` count.
        offline: Whether nothing is fetched: what is needed was fetched before.
    """

    url: str = ""
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    offline: bool = False

    @property
    def options(self) -> list[str]:
        """The options of every call of uv."""
        # uv takes a folder that is not there, yet, for an error.
        places = [place for place in self.find_links if "://" in place or Path(place).exists()]
        found = [part for place in places for part in ("--find-links", place)]
        found += ["--default-index", self.url] if self.url else []
        return found + ["--no-index"] * self.no_index + ["--offline"] * self.offline


@dataclass(frozen=True)
class Uv:
    """uv with what it is told in every call.

    Attributes:
        program: The program.
        cache: Its cache. Files in environments are links to files in it, and are made read-only: it is nobody else's.
        index: Where packages come from.
        variables: The environment of this process, of which uv gets what concerns it.
    """

    program: Path
    cache: Path
    index: PackageIndex = PackageIndex()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    def lock(self, requirements: Sequence[str], python: Path) -> str:
        """Return what some requirements resolve to: every distribution with its version and hashes.

        Raises:
            InstallFailed: Nothing satisfies them.
            IndexUnreachable: The index did not answer.
        """
        options = ("--generate-hashes", "--no-strip-extras", "--no-header", "--no-annotate", "--quiet", "--python", str(python))
        return self._call("pip", "compile", "-", *options, *self.index.options, text="\n".join(requirements), what=_some_of(requirements))

    def install(self, folder: Path, lock: str, python: Path) -> None:
        """Make an environment of a lock in a folder that does not exist, with its bytecode, fit to be moved.

        Raises:
            InstallFailed: A distribution does not build, or is not what was locked.
            IndexUnreachable: The index did not answer.
        """
        self._call(
            "venv", "--relocatable", "--no-project", "--quiet", "--python", str(python), str(folder), what=f"an environment of {python}"
        )
        requirements = folder / "requirements.txt"
        requirements.write_text(lock)
        options = ("--compile-bytecode", "--quiet", "--require-hashes", "--python", str(folder / "bin" / "python"))
        # `pip sync` refuses a lock without distributions.
        if lock.strip():
            self._call("pip", "sync", *options, *self.index.options, str(requirements), what=", ".join(names_in(lock)))

    def find_python(self, request: str) -> Path:
        """Return the interpreter that a version such as `3.12`, or a path, stands for.

        Raises:
            InstallFailed: There is none on this machine.
        """
        try:
            return Path(self._call("python", "find", "--system", "--no-project", request, what=f"Python {request}").strip())
        except InstallFailed as error:
            raise InstallFailed(f"Python {request} is not found: {error}", remedy="Install it, or give its path with --python.") from error

    def build_wheel(self, project: Path, folder: Path) -> None:
        """Build the wheel of a project into a folder.

        Raises:
            InstallFailed: It does not build.
        """
        self._call("build", "--wheel", "--quiet", "--out-dir", str(folder), *self.index.options, str(project), what=str(project))

    def prune(self) -> None:
        """Let go of what can be fetched again."""
        self._call("cache", "prune", "--ci", "--quiet", what="uv's cache")

    def identity(self, requirements: Iterable[str]) -> str:
        """Return what decides, besides the requirements themselves, to what they resolve; without credentials."""
        given = {
            name: _without_credentials(value) for name, value in self._variables().items() if name.startswith("UV_") and name not in _OURS
        }
        asked = {"url": _without_credentials(self.index.url), "no_index": self.index.no_index, "find_links": self.index.find_links}
        text = json.dumps([sorted(given.items()), asked, self._configuration(), self._wheels(requirements)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _configuration(self) -> list[str]:
        """Return the digests of the configuration files that uv reads."""
        home = Path(self.variables.get("XDG_CONFIG_HOME") or Path(self.variables.get("HOME", "/"), ".config"))
        files = (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]

    def _wheels(self, requirements: Iterable[str]) -> list[tuple[str, int, int]]:
        """Return the state of the local files that satisfy the requirements: one that was built again is another."""
        wanted = tuple(f"{canonicalize_name(asked.name).replace('-', '_')}-{_version(asked)}" for asked in map(Requirement, requirements))
        places = (*self.index.find_links, *self.variables.get("UV_FIND_LINKS", "").split())
        files = (path for place in places if Path(place).is_dir() for path in sorted(Path(place).iterdir()))
        states = ((path.name, path.stat()) for path in files if path.name.lower().replace(".", "_").startswith(wanted))
        return [(name, state.st_size, state.st_mtime_ns) for name, state in states]

    def _call(self, *arguments: str, what: str, text: str = "") -> str:
        return _persistently(lambda: self._call_once(arguments, what, text))

    def _call_once(self, arguments: Sequence[str], what: str, text: str) -> str:
        self.cache.mkdir(parents=True, exist_ok=True)
        # Above the working directory uv would read the configuration of projects.
        done = subprocess.run(  # noqa: S603
            (str(self.program), *arguments),
            input=text,
            cwd=self.cache.anchor,
            env=self._variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _error(what, done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def _variables(self) -> dict[str, str]:
        passed = {name: value for name, value in self.variables.items() if _PASSED_ON.fullmatch(name) and name not in _OURS}
        ours = {"UV_CACHE_DIR": str(self.cache), "UV_LINK_MODE": "hardlink", "UV_NO_PROGRESS": "1"}
        return {"UV_PYTHON_DOWNLOADS": "never", **passed, **ours}


def names_in(lock: str) -> list[str]:
    """Return the distributions of a lock, each as `name==version`."""
    return [line.split()[0] for line in lock.splitlines() if line and not line.startswith((" ", "#"))]


def _persistently(action: Callable[[], str]) -> str:
    for attempt in range(1, _ATTEMPTS):
        try:
            return action()
        except IndexUnreachable:
            time.sleep(_FIRST_DELAY_S * 4.0 ** (attempt - 1))
    return action()


def _some_of(requirements: Sequence[str]) -> str:
    """Return the last few requirements: before those of a user, there may be a hundred pins."""
    more = f"{len(requirements) - _MOST_TOLD} packages and " if len(requirements) > _MOST_TOLD else ""
    return more + ", ".join(requirements[-_MOST_TOLD:])


def _error(what: str, text: str) -> InstallFailed | IndexUnreachable:
    if _OFFLINE in text:
        remedy = "Run `groundtrack workflows prewarm` or `groundtrack dpr prewarm` with the network, then again without."
        return InstallFailed(f"{what} cannot be installed offline:\n{text}", remedy=remedy)
    if any(words in text for words in _UNREACHABLE) and "No solution found" not in text:
        return IndexUnreachable(f"{what} cannot be installed:\n{text}")
    return InstallFailed(f"{what} cannot be installed:\n{text}")


def _version(asked: Requirement) -> str:
    exact = [specifier.version for specifier in asked.specifier if specifier.operator == "=="]
    return exact[0].replace(".", "_") if exact else ""


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url
