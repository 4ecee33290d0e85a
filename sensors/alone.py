"""One look at a bucket at a time, however many daemons there are."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil

from platform_assets.common import lease
from resources.archive import Archive
from resources.object_store import check_conditional_writes

_LEASE_S = 150.0
_CLOCK_S = 10.0
"""A process's start is counted from the machine's, which moves when the clock is set."""


@contextmanager
def alone(archive: Archive, sensor: str) -> Iterator[bool]:
    """Hold a sensor's lease for a block; False when another one has it.

    Args:
        archive: The deployment.
        sensor: The sensor's name.

    Raises:
        ConfigurationError: The store does not honour conditional writes.
    """
    check_conditional_writes(archive.target, archive.output_prefix)
    holder = f"{_machine()}/{os.getpid()}/{psutil.Process().create_time():.0f}/{uuid4().hex}"
    key = f"{archive.output_prefix}_groundtrack/sensors/{sensor}.json"
    held = lease.acquire(archive.target, key, holder, ttl_s=_LEASE_S, now_s=time.time(), is_dead=_is_dead)
    try:
        yield held is not None
    finally:
        if held:
            held.release({})


def _is_dead(holder: str) -> bool:
    """Whether a holder was a process of this machine that has ended; of other machines nothing is known."""
    host, _, rest = holder.partition("/")
    if host != _machine():
        return False
    pid, created_s, _ = rest.split("/")
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(created_s)) > _CLOCK_S
    except psutil.NoSuchProcess:
        return True


def _machine() -> str:
    """Return what tells this machine from others; containers of one host name do not see each other's processes."""
    processes = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}:{processes.stat().st_ino if processes.exists() else 0}"
