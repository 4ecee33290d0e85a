"""One order carried out by a process of its own: started without anything of ours, watched, and ended with all it started."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Any

import psutil

_FIRST_POLL_S, _LONGEST_POLL_S = 0.001, 0.05
_MEMORY_POLL_S = 0.5
_REPORT = "report.jsonl"
STDOUT, STDERR = "stdout.log", "stderr.log"
"""What the process printed, in its folder."""

Message = Mapping[str, Any]


class Stop(StrEnum):
    """Why a process was ended by us."""

    CANCELED = "canceled"
    TIME = "time"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may take.

    Attributes:
        time_s: Wall time; None for no limit.
        memory_bytes: Resident, with its children, as looked at twice a second; None for no limit.
        grace_s: Between asking it to end and killing it.
    """

    time_s: float | None = None
    memory_bytes: int | None = None
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """What runs an order.

    Attributes:
        python: An environment's interpreter.
        arguments: What follows `python -I -u -X faulthandler`, such as `-c` and a script, which reads its order from standard input.
        folder: Working directory, and where report and output go; made here.
        variables: All of the process's environment.
        keep: File descriptors that it inherits.
    """

    python: Path
    arguments: Sequence[str]
    folder: Path
    variables: Mapping[str, str] = field(repr=False)
    keep: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code; minus a signal's number when that ended it.
        messages: What it told.
        stopped: Why it was ended; None when it was not.
        seconds: How long it ran.
        cpu_s: What it and its children took of processors.
        peak_memory_mb: The most it had resident, in MB; 0 when that is not known.
        stderr: The end of what it wrote there.
    """

    code: int
    messages: Sequence[Message]
    stopped: Stop | None
    seconds: float
    cpu_s: float
    peak_memory_mb: int
    stderr: str

    def message(self, kind: str) -> Message | None:
        """Return the last message of a kind."""
        return next((message for message in reversed(self.messages) if message.get("kind") == kind), None)


def carry_out(
    program: Program,
    order: Message,
    limits: Limits,
    canceled: Event,
    heard: Callable[[Message], None] = lambda _: None,
) -> Ended:
    """Have a process carry out an order, and return how it ended.

    Args:
        program: The process.
        order: What it takes, in JSON types: one line on standard input, with the path of its `report` added.
        limits: What it may take.
        canceled: Ends it when it is set.
        heard: Gets every message as it comes.
    """
    program.folder.mkdir(parents=True, exist_ok=True)
    report = _Report(program.folder / _REPORT, heard)
    began = time.monotonic()
    process = _start(program, {**order, "report": str(report.path)})
    try:
        stopped, peak_bytes = _watch(process, limits, canceled, report)
        cpu_s = _end(process, 0.0 if stopped is None else limits.grace_s)
    except BaseException:
        _end(process, limits.grace_s)
        raise
    report.read()
    last = report.messages[-1] if report.messages else {}
    peak_mb = max(round(peak_bytes / 1e6), int(last.get("peak_memory_mb", 0)))
    seconds = round(time.monotonic() - began, 3)
    return Ended(process.returncode, report.messages, stopped, seconds, cpu_s, peak_mb, _tail(program.folder / STDERR))


class _Report:
    """The messages of a process, read as they come."""

    def __init__(self, path: Path, heard: Callable[[Message], None]) -> None:
        self.path, self._heard = path, heard
        self.path.unlink(missing_ok=True)
        self.messages: list[Message] = []
        self._offset = 0

    def read(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == self._offset:
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            if message := _message(line):
                self.messages.append(message)
                self._heard(message)


def _message(line: bytes) -> Message | None:
    with suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict) and "kind" in message:
            return message
    return None


def _start(program: Program, order: Message) -> "subprocess.Popen[bytes]":
    command = (str(program.python), "-I", "-u", "-X", "faulthandler", *program.arguments)
    with (program.folder / STDOUT).open("wb") as out, (program.folder / STDERR).open("wb") as err:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=program.folder,
            env=dict(program.variables),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
            pass_fds=program.keep,
        )
    # A process that died at once has nothing to read it; that it died is found below.
    with suppress(BrokenPipeError):
        os.write(_stdin(process), json.dumps(order).encode() + b"\n")
    return process


def _stdin(process: "subprocess.Popen[bytes]") -> int:
    if process.stdin is None:
        raise ValueError("the process was started without standard input")
    return process.stdin.fileno()


def _watch(process: "subprocess.Popen[bytes]", limits: Limits, canceled: Event, report: _Report) -> tuple[Stop | None, int]:
    """Wait until the process has ended or must be; return why it must, and the most memory that was seen."""
    began, poll_s, looked, peak_bytes = time.monotonic(), _FIRST_POLL_S, 0.0, 0
    # The process stays a zombie until its group is ended, so that no other can have its number.
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        now = time.monotonic()
        if limits.memory_bytes is not None and now - looked > _MEMORY_POLL_S:
            looked, peak_bytes = now, max(peak_bytes, _resident_bytes(process.pid))
            if peak_bytes > limits.memory_bytes:
                return Stop.MEMORY, peak_bytes
        if limits.time_s is not None and now - began > limits.time_s:
            return Stop.TIME, peak_bytes
        if canceled.wait(poll_s):
            return Stop.CANCELED, peak_bytes
        poll_s = min(_LONGEST_POLL_S, 2 * poll_s)
        report.read()
    return None, peak_bytes


def _end(process: "subprocess.Popen[bytes]", grace_s: float) -> float:
    """End a process and its group, and return the CPU seconds that it took with its ended children."""
    if process.returncode is not None:
        return 0.0
    if grace_s > 0:
        _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            time.sleep(_LONGEST_POLL_S)
    _signal(process, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stdin:
        process.stdin.close()
    return round(usage.ru_utime + usage.ru_stime, 3)


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _resident_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total


def _tail(path: Path, lines: int = 20) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (16 << 10)))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
