"""Triggers one payload in an environment of EOPF CPM, as `eopf trigger local` does; started by `resources.processor_eopf`.

The first line of standard input is the order, in JSON: the payload's path, the working directory, where messages go, and
all spellings of the secrets, which are masked in whatever is printed. Standard input then stays open as long as whoever
ordered lives: at its end this process and all it started are killed.

It runs where nothing of ours is installed, and imports nothing of ours.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

_MASK = "**********"
_PASSING = {"ClientConnectorError", "CommClosedError", "ConnectTimeoutError", "EndpointConnectionError", "KilledWorker", "ReadTimeoutError"}
"""Errors of libraries that another attempt may not meet, by name: the libraries may not be there."""


class Masked:
    """A text stream that masks secrets, line by line."""

    def __init__(self, stream: TextIO, spellings: Sequence[str]) -> None:
        self._stream, self._spellings, self._held = stream, spellings, ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write all lines that are whole."""
        with self._lock:
            *lines, self._held = (self._held + text).split("\n")
            for line in lines:
                self._stream.write(f"{masked(line, self._spellings)}\n")
        return len(text)

    def flush(self) -> None:
        """Write nothing more: what is held is no line, yet."""
        self._stream.flush()

    def end(self) -> None:
        """Write what is left."""
        if self._held:
            self.write("\n")
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def masked(text: str, spellings: Sequence[str]) -> str:
    """Return a text without secrets."""
    for spelling in spellings:
        text = text.replace(spelling, _MASK)
    return text


def main() -> int:
    """Run the payload, and return the exit code; only the message `completed` is success."""
    order = json.loads(sys.stdin.buffer.readline())
    _end_with_parent()
    secrets: list[str] = order["spellings"]
    streams = Masked(sys.stdout, secrets), Masked(sys.stderr, secrets)
    sys.stdout, sys.stderr = streams
    try:
        message = _trigger(order["payload"], order["folder"], secrets)
    finally:
        for stream in streams:
            stream.end()
    with Path(order["report"]).open("a") as report:
        report.write(f"{json.dumps(message)}\n")
    return 0 if message["kind"] == "completed" else 1


def _trigger(payload: str, folder: str, secrets: Sequence[str]) -> dict[str, Any]:
    import logging
    import traceback

    try:
        import_module("eopf.cli.cli").eopf_cli.main(["trigger", "local", payload, "--working-dir", folder], standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - also a unit that calls sys.exit has failed
        traceback.print_exc()
        cause = list(_causes(error))[-1]
        words = masked(str(cause), secrets)
        return {"kind": "failed", "type": type(cause).__qualname__, "message": words, "transient": _is_passing(error)}
    finally:
        logging.shutdown()
    return {"kind": "completed"}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, as far as that was said."""
    yield error
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)


def _is_passing(error: BaseException) -> bool:
    return any(isinstance(one, ConnectionError | TimeoutError) or type(one).__name__ in _PASSING for one in _causes(error))


def _end_with_parent() -> None:
    """Hand the processor an empty standard input, and wait beside it for the end of ours."""
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def wait() -> None:
        while os.read(own, 1024):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
