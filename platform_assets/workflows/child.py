"""What runs in a task's own environment: one order from standard input, messages about it into a file.

The first line of standard input is the order, in JSON; what it holds is data and never becomes code. Standard input then
stays open as long as whoever ordered lives: at its end this process and all it started are killed. Nobody takes an exit
code for success: only the message `completed` is.

Besides the standard library it imports the SDK and what the order names, nothing else: it runs where only these are.
"""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_OURS = Path(__file__).parent


class Report:
    """The messages about an order, one JSON document a line.

    Args:
        path: The file they are appended to.
    """

    def __init__(self, path: Path) -> None:
        # What cannot be encoded, such as undecodable bytes of a file's name in an error, would break who reads it.
        self._file = path.open("a", buffering=1, encoding="utf-8", errors="replace")

    def __call__(self, message: dict[str, Any]) -> None:
        """Append a message."""
        self._file.write(json.dumps(message, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """End the messages."""
        self._file.close()


def main() -> int:
    """Carry out the order, and return the exit code."""
    order = json.loads(sys.stdin.buffer.readline())
    _end_with_parent()
    signal.signal(signal.SIGTERM, _terminate)
    logging.basicConfig(level=order["log_level"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    tell = Report(Path(order["report"]))
    tell({"kind": "started", "pid": os.getpid(), "python": sys.version.split()[0]})
    try:
        _ACTIONS[order["action"]](order, tell)
    except BaseException as error:  # noqa: BLE001 - also a task that calls sys.exit has failed
        tell({"kind": "failed", **_told(error), **_usage()})
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    finally:
        logging.shutdown()
    tell({"kind": "completed", **_usage()})
    return 0


def _run(order: dict[str, Any], tell: Report) -> None:
    with _task(order, tell) as task:
        task()


def _rollback(order: dict[str, Any], tell: Report) -> None:
    with _task(order, tell) as task:
        task.rollback()


def _describe(order: dict[str, Any], tell: Report) -> None:
    from platform_assets.workflows.sdk.build import describe, validate_workflows

    tell({"kind": "workflows", "workflows": [describe(workflow) for workflow in validate_workflows(order["package"])]})


_ACTIONS: dict[str, Callable[[dict[str, Any], Report], None]] = {"run": _run, "rollback": _rollback, "describe": _describe}


def _task(order: dict[str, Any], tell: Report) -> Any:
    from platform_assets.workflows.sdk import context

    context.enter(
        context.Context(
            scratch=Path(order["scratch"]),
            parameters=order["parameters"],
            attempt=order["attempt"],
            is_task_manual=order["is_task_manual"],
            tell=tell,
        )
    )
    kind = getattr(import_module(order["module"]), order["task"])
    return kind(recipe_run_id=order["recipe_run_id"], workflow_name=order["workflow_name"], workflow_version=order["workflow_version"])


def _end_with_parent() -> None:
    """Hand the task an empty standard input, and wait beside it for the end of ours."""
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def wait() -> None:
        while os.read(own, 1024):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _terminate(_: int, __: object) -> None:
    raise SystemExit("terminated")


def _told(error: BaseException) -> dict[str, str]:
    from traceback import format_exception

    traceback = error.__traceback__
    # Our own frames say nothing to who wrote the task; an error without others is all ours.
    while traceback and traceback.tb_next and traceback.tb_frame.f_code.co_filename.startswith(str(_OURS)):
        traceback = traceback.tb_next
    text = "".join(format_exception(type(error), error, traceback))
    return {"type": type(error).__qualname__, "message": str(error), "traceback": text}


def _usage() -> dict[str, float]:
    """Return what this process and its ended children took."""
    from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

    usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return {"cpu_s": round(cpu_s, 3), "peak_memory_mb": round(max(_peak_kib(), usages[1].ru_maxrss) * 1024 / 1e6)}


def _peak_kib() -> int:
    """Return the most this program had resident; `ru_maxrss` would count the process that it was forked from."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
