"""Item functions for tests of the batch engine; they run on Dask workers, so they live in an importable module."""

import os
import time
from pathlib import Path
from typing import Any

from platform_assets.common.errors import PermanentError, TransientError
from platform_assets.common.stages import Stages
from platform_assets.common.values import State


def behave(shared: Path, payload: tuple[str, str], stages: Stages) -> tuple[State, dict[str, Any]]:
    """Behave as the payload says; `shared` is a folder that counts the tries of each item."""
    key, how = payload
    log = shared / key
    with log.open("a") as file:
        file.write("x")
    tries = log.stat().st_size
    with stages(how):
        return _BEHAVIOURS[how](tries)


def nothing(shared: None, payload: int, stages: Stages) -> tuple[State, dict[str, Any]]:
    """The cheapest item there is."""
    return State.DONE, {"number": payload}


def staged(shared: Path, payload: tuple[str, int], stages: Stages) -> tuple[State, dict[str, Any]]:
    """Take as many stages of 0.1 s as the payload says, and write to its file at the end of each."""
    name, number = payload
    for stage in range(number):
        with stages(str(stage)):
            time.sleep(0.1)
            with (shared / name).open("a") as file:
                file.write("x")
    return State.DONE, {}


def _done(tries: int) -> tuple[State, dict[str, Any]]:
    return State.DONE, {"tries": tries}


def _found(_: int) -> tuple[State, dict[str, Any]]:
    return State.CARRIED_OVER, {"run": "earlier"}


def _bad(_: int) -> tuple[State, dict[str, Any]]:
    raise PermanentError("the input is bad", code="bad_input")


def _passing(tries: int) -> tuple[State, dict[str, Any]]:
    if tries < 3:
        raise TransientError("the store is slow")
    return _done(tries)


def _lasting(_: int) -> tuple[State, dict[str, Any]]:
    raise TransientError("the store is down")


def _bug(_: int) -> tuple[State, dict[str, Any]]:
    return State.DONE, {"half": 1 / 0}


def _crash(_: int) -> tuple[State, dict[str, Any]]:
    os._exit(3)


def _crash_once(tries: int) -> tuple[State, dict[str, Any]]:
    if tries == 1:
        os._exit(3)
    return _done(tries)


def _hang(_: int) -> tuple[State, dict[str, Any]]:
    time.sleep(600)
    return _done(1)


def _hungry(tries: int) -> tuple[State, dict[str, Any]]:
    memory = bytearray(700_000_000)
    memory[::4096] = b"x" * len(memory[::4096])
    time.sleep(1)
    return _done(tries)


def _slow(tries: int) -> tuple[State, dict[str, Any]]:
    time.sleep(0.5)
    return _done(tries)


_BEHAVIOURS = {
    "done": _done,
    "found": _found,
    "bad": _bad,
    "passing": _passing,
    "lasting": _lasting,
    "bug": _bug,
    "crash": _crash,
    "crash_once": _crash_once,
    "hang": _hang,
    "hungry": _hungry,
    "slow": _slow,
}
