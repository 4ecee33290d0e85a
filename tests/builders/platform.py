"""The platform as a user starts it: the command, in a process of its own, on a home of its own."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from platform_assets.cli.process import HOME_VARIABLE
from platform_assets.cli.supervisor import Running, running
from tests.builders.servers import wait_for

COMMAND = str(Path(sys.executable).parent / "groundtrack")
TOKEN = "a-token-of-the-tests"
LAUNCH = """mutation { launchRun(executionParams: {mode: "default", selector: {
  repositoryLocationName: "groundtrack", repositoryName: "__repository__", jobName: "waiting"}}) { __typename } }"""


_NUMBERS = count()


class Up:
    """A `groundtrack up`, on a small code location unless another is named."""

    def __init__(
        self,
        home: Path,
        *options: str,
        definitions: str = "tests.builders.small_definitions",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        command = [COMMAND, "up", "--home", str(home), "--port", "0", "--no-browser", "--definitions", definitions, *options]
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDTRACK_", "AWS_", "DAGSTER_"))}
        inner = {"GROUNDTRACK_UI_TOKEN": TOKEN, "GROUNDTRACK_DASK_WORKERS": "1", "COLUMNS": "200"} | dict(environment or {})
        self.output = home.with_name(f"{home.name}-{next(_NUMBERS)}.out")
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=outer | inner, stdout=output, stderr=output, cwd=home.parent, start_new_session=True
            )

    @property
    def text(self) -> str:
        """What the command printed so far."""
        return self.output.read_text()

    def wait_until_up(self) -> "Up":
        wait_for(lambda: "Groundtrack is up" in self.text or self.process.poll() is not None, "start of the platform", 120)
        assert self.process.poll() is None, self.text
        return self

    @property
    def state(self) -> Running:
        state = running(self.home)
        assert state, "no platform runs"
        return state

    @property
    def url(self) -> str:
        return str(self.state.services["web_ui"]["url"])

    def pid(self, service: str) -> int | None:
        return self.state.services[service]["pid"]

    def ask(self, query: str) -> dict[str, Any]:
        """Return the data of a GraphQL query."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", json.dumps({"query": query}).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer)["data"])

    def runs(self) -> list[str]:
        """The status of each run, newest first."""
        return [run["status"] for run in self.ask("{ runsOrError { ... on Runs { results { status } } } }")["runsOrError"]["results"]]

    def kill(self, service: str) -> None:
        pid = self.pid(service)
        assert pid
        os.kill(pid, signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as a user does, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that works for a home, whoever its parent is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(HOME_VARIABLE) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@contextmanager
def platform(home: Path, *options: str) -> Iterator[Up]:
    """A platform that is up; ended, by force if need be, at the end."""
    up = Up(home, *options)
    try:
        yield up.wait_until_up()
    finally:
        if up.process.poll() is None:
            up.end()
        for process in processes_of(home):
            process.kill()
