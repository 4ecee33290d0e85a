"""Commands as a user types them, in a folder of their own and with nothing of this process's settings."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        text: The same with what it wrote to standard error, in one line, single-spaced.
    """

    code: int
    out: str
    text: str


def run(folder: Path, *command: str, timeout_s: float = 120.0, **environment: str) -> Done:
    """Run a program of this environment, such as `groundtrack`, to its end."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDTRACK_", "AWS_", "DAGSTER_"))}
    done = subprocess.run(
        [str(_PROGRAMS / command[0]), *command[1:]],
        cwd=folder,
        env=outer | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, " ".join((done.stdout + " " + done.stderr).split()))
