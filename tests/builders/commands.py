"""Commands as a user types them, in a folder of their own and with nothing of this process's settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.builders.servers import wait_for

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


def run(
    folder: Path, *command: str, timeout_s: float = 120.0, interrupt_when: Callable[[], object] | None = None, **environment: str
) -> Done:
    """Run a program of this environment, such as `groundtrack`, to its end.

    Args:
        folder: Where it is run.
        command: The program and its arguments.
        timeout_s: Longest it may take.
        interrupt_when: Ctrl-C is typed as soon as this is true.
        environment: Variables that it gets besides those of this process that are not ours.
    """
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDTRACK_", "AWS_", "DAGSTER_"))}
    with subprocess.Popen(
        [str(_PROGRAMS / command[0]), *command[1:]],
        cwd=folder,
        env=outer | {"COLUMNS": "200"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it runs in the background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        try:
            if interrupt_when:
                wait_for(interrupt_when, "the moment of Ctrl-C", timeout_s)
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return Done(process.returncode, out, " ".join((out + " " + err).split()))
