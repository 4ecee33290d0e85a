"""What holds for all tests: unit tests have no network, and tests whose server is not installed are left out by name, or fail."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

_UNIT = Path(__file__).parent / "unit"
_COMPLETE = "GROUNDTRACK_TESTS_COMPLETE"


def _has(*programs: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(program) for program in programs)


def _resolves(requirement: str) -> bool:
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-deps", "-"]
    return not subprocess.run(command, input=requirement.encode(), capture_output=True, check=False).returncode


_SERVERS: dict[str, Callable[[], bool]] = {
    "ceph": _has("radosgw", "ceph-mon", "ceph-osd", "ceph-mgr", "ceph-authtool"),
    "postgres": lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
    "chromium": _has("chromium"),
    "package_index": lambda: _resolves("packaging"),
    "debian_gdal": Path("/usr/lib/python3/dist-packages/osgeo_utils/samples/validate_cloud_optimized_geotiff.py").exists,
}
"""Servers by the fixture or parameter that tests name them by."""

_left_out: dict[str, int] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and say so at the end, what needs a server that is not there; where completeness is asked for, it fails."""
    if os.environ.get(_COMPLETE):
        return
    missing = [name for name, is_there in _SERVERS.items() if any(_needs(item, name) for item in items) and not is_there()]
    chosen = []
    for item in items:
        needs = next((name for name in missing if _needs(item, name)), None)
        if needs:
            _left_out[needs] = _left_out.get(needs, 0) + 1
        else:
            chosen.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def _needs(item: pytest.Item, server: str) -> bool:
    names = [*getattr(item, "fixturenames", []), *(getattr(item, "callspec", None).params.values() if hasattr(item, "callspec") else [])]
    return any(isinstance(name, str) and server in name for name in names)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, number in _left_out.items():
        terminalreporter.write_line(f"{number} tests were left out: {name} is not installed (`make servers` installs it)", yellow=True)


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if _UNIT in request.path.parents:

        def refuse(self: socket.socket, address: object) -> None:
            if self.family != socket.AF_UNIX:
                raise ConnectionRefusedError(f"unit tests have no network; this one connects to {address}")

        monkeypatch.setattr(socket.socket, "connect", refuse)
