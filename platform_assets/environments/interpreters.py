"""Interpreters that environments are made with, told apart by all that decides whether an environment fits."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from platform_assets.environments.errors import InstallFailed

_PROGRAM = """
import json, platform, sys, sysconfig
print(json.dumps({"version": platform.python_version(), "abi": sys.implementation.cache_tag + getattr(sys, "abiflags", ""),
"platform": sysconfig.get_platform(), "libc": "-".join(platform.libc_ver()), "prefix": sys.base_prefix}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python.

    Attributes:
        path: The program.
        version: Such as `3.11.7`.
        abi: Its implementation and ABI, such as `cpython-311`.
        platform: Such as `linux-x86_64`.
        libc: The C library and its version.
        prefix: Where it is installed.
    """

    path: Path
    version: str
    abi: str
    platform: str
    libc: str
    prefix: str

    @property
    def identity(self) -> dict[str, str]:
        """What decides whether an environment fits; the program's own path does not."""
        return {"version": self.version, "abi": self.abi, "platform": self.platform, "libc": self.libc, "prefix": self.prefix}


def examine(path: Path) -> Interpreter:
    """Return what an interpreter says of itself.

    Raises:
        InstallFailed: The program is no Python.
    """
    try:
        done = subprocess.run([str(path), "-I", "-S", "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
        return Interpreter(path, **json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise InstallFailed(f"{path} is no Python: {error}", remedy="Give another with --python.") from error


def this() -> Interpreter:
    """Return the interpreter that runs this process, or that its environment was made from."""
    return examine(Path(sys.executable))
