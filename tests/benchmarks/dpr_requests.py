"""CPU of the platform beside the processor's own: 1,000 requests over 50 sessions that share their auxiliary files.

    python tests/benchmarks/dpr_requests.py [--requests 1000 --sessions 50]

The sensor claims the requests, a run brings them to published items on two Dask workers, with an S3 server of its own and Dagster's
storage as `groundtrack up` configures it. Counted is the CPU of sensor, run and workers without that of the simulated processor, which
is metered where it runs; the S3 server and the daemon's idle looks are not part of it. The auxiliary files come from a simulated AUXIP
station, which counts how often each is fetched. Six requests before that warm everything up.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

import dagster as dg  # noqa: E402
from dagster import DagsterInstance  # noqa: E402

from platform_assets.cli.deployment import Deployment  # noqa: E402
from platform_assets.definitions import build_definitions, dpr_archive  # noqa: E402
from platform_assets.dpr import naming  # noqa: E402
from platform_assets.dpr.claim import RequestRecords  # noqa: E402
from platform_assets.dpr.processors import Order, Processed, Processor  # noqa: E402
from platform_assets.dpr.sample import PROCESSOR, START, make_adfs, make_request, make_session, make_task_table  # noqa: E402
from platform_assets.dpr.session import read_session  # noqa: E402
from platform_assets.dpr.session_stac import session_item  # noqa: E402
from resources.dask_cluster import DaskCluster  # noqa: E402
from resources.dpr_archive import DprArchive  # noqa: E402
from resources.instance import dagster_environment, write_dagster_home  # noqa: E402
from resources.settings import load  # noqa: E402
from resources.station_simulator import serving  # noqa: E402
from resources.station_simulator_auxip import AuxipSimulator  # noqa: E402
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, ministack  # noqa: E402

_WORKERS = 2
_BLOCK_BYTES = 8 << 10
_WARM_UP = 6
_IDLE_S = 10.0


@dataclass(frozen=True)
class Metered:
    """A processor whose CPU is told.

    Attributes:
        processor: The processor.
    """

    processor: Processor

    def run(self, order: Order) -> Processed:
        began_s = time.process_time()
        done = self.processor.run(order)
        return Processed(done.log, {**done.facts, "cpu_s": time.process_time() - began_s})


class MeteredArchive(DprArchive):
    """A deployment whose processors are metered."""

    def _processor(self, *given: Any) -> Processor:
        return Metered(super()._processor(*given))


class Cpu:
    """CPU seconds of this process and its children, those included that end meanwhile."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def seconds(self, without: int) -> float:
        """Return what was spent so far, without one child."""
        self._look()
        return sum(seconds for pid, seconds in self._seen.items() if pid != without)

    def own(self) -> float:
        """Return what this process spent: sensor and run."""
        return self._seen[os.getpid()]

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self._look()

    def _look(self) -> None:
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            self._seen[process.pid] = times.user + times.system


def fill(deployment: Deployment, requests: int, sessions: int, station: str, name: str) -> None:
    """Put everything into the buckets: sessions ten minutes apart, each with its share of the requests, and where the station is."""
    source, target = deployment.source, deployment.target
    row = {"name": "auxip", "source": "auxip", "protocol": "odata", "url": f"{station}/odata/v1"}
    source.write("dpr/stations.json", json.dumps({"stations": [row]}).encode(), content_type="application/json")
    source.write(f"dpr/tasktables/{PROCESSOR}.json", json.dumps(make_task_table()).encode(), content_type="application/json")

    def fill_session(number: int) -> None:
        session = make_session(
            start=START + timedelta(minutes=10 * number), orbit=56552 + number, blocks=2, block_bytes=_BLOCK_BYTES, seed=number
        )
        for block, content in session.blocks.items():
            source.write(f"sessions/{session.id}/{block}", content, content_type="application/octet-stream")
        found = {ref.key.rpartition("/")[2]: ref for ref in source.list(f"sessions/{session.id}/")}
        item = session_item(read_session(json.dumps(session.document).encode(), session.id), found, source.name)
        key = naming.item_key(naming.session_collection(session.id), session.id)
        target.write(key, json.dumps(item).encode(), content_type="application/geo+json")
        for index in range(number, requests, sessions):
            document = make_request(session) | {"owner_id": f"{name}-{index // sessions:02d}"}
            source.write(f"requests/{name}-{index:04d}.json", json.dumps(document).encode(), content_type="application/json")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill_session, range(sessions)))


class Centre:
    """Sensor and runs, on two Dask workers."""

    def __init__(self, deployment: Deployment, instance: DagsterInstance, scheduler: str) -> None:
        settings = deployment.settings
        self._archive = MeteredArchive(**{name: getattr(dpr_archive(settings), name) for name in DprArchive.model_fields})
        dask = DaskCluster(kind="address", address=scheduler)
        self._definitions = build_definitions(settings, {"dpr_archive": self._archive, "dask": dask})
        self._instance = instance
        self._records = RequestRecords(deployment.target, "")
        self._cursor: str | None = None

    def process(self, number: int) -> list[str]:
        """Process this many requests, which wait, and return the ids of their batches."""
        claims: list[str] = []
        done = 0
        while done < number:
            given = {"cursor": self._cursor, "definitions": self._definitions, "resources": {"dpr_archive": self._archive}}
            with dg.build_sensor_context(self._instance, **given) as context:
                tick = self._definitions.resolve_sensor_def("processing_requests").evaluate_tick(context)
            self._cursor = tick.cursor
            assert tick.run_requests, tick.skip_message
            for request in tick.run_requests:
                job = self._definitions.resolve_job_def("request_batch")
                job.execute_in_process(run_config=request.run_config, tags=request.tags, instance=self._instance)
                claims.append(request.tags["groundtrack/requests"])
                batch = self._records.claim(claims[-1])
                done += len(batch.requests) if batch else 0
        return claims


def run(deployment: Deployment, server: int, warm_up: int, requests: int, fill_all: Callable[[], None]) -> None:
    with DaskCluster(kind="local", workers=_WORKERS).client() as client, DagsterInstance.get() as instance:
        centre = Centre(deployment, instance, client.scheduler.address)
        centre.process(warm_up)
        fill_all()
        cpu = Cpu()
        idle_s = cpu.seconds(server)
        time.sleep(_IDLE_S)
        idle = (cpu.seconds(server) - idle_s) / _IDLE_S
        before_s, own_s, began_s = cpu.seconds(server), cpu.own(), time.monotonic()
        claims = centre.process(requests)
        spent_s, own_s, wall_s = cpu.seconds(server) - before_s, cpu.own() - own_s, time.monotonic() - began_s
    show(deployment, claims, spent_s, own_s, wall_s, idle)


def show(deployment: Deployment, claims: list[str], spent_s: float, run_s: float, wall_s: float, idle: float) -> None:
    records = RequestRecords(deployment.target, "")
    outcomes = [outcome for claim in claims for outcome in (records.outcomes(claim) or ([], {}))[0]]
    states = Counter(outcome.state.value for outcome in outcomes)
    own_s = sum(processor(outcome.facts).get("cpu_s", 0.0) for outcome in outcomes)
    number = len(outcomes)
    print(f"{number} requests: {dict(states)}, {wall_s:.0f} s, {60 * number / wall_s:.0f} a minute on {_WORKERS} workers")
    print(f"CPU {spent_s:.1f} s, of it sensor and run {run_s:.1f} s, processor {own_s:.1f} s ({1000 * own_s / number:.1f} ms a request)")
    print(f"platform: {1000 * (spent_s - own_s) / number:.1f} ms a request (at most 100)")
    print(f"of that Dask takes {1000 * idle * wall_s / number:.1f} ms when it does nothing for as long")
    stages: Counter[str] = Counter()
    for outcome in outcomes:
        stages.update(outcome.facts.get("seconds_by_stage", {}))
    print("wall by stage, ms a request:", {name: round(1000 * seconds / number, 1) for name, seconds in stages.items()})


def processor(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = facts.get("processor", {})
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=50)
    asked = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with tempfile.TemporaryDirectory(prefix="groundtrack-") as folder, ministack(Path(folder)) as server:
        settings = load(
            home=Path(folder, "home"), s3_endpoint_url=server.connection.endpoint_url, input_bucket="bench-in", output_bucket="bench-out"
        )
        write_dagster_home(settings)
        os.environ |= dagster_environment(settings)
        for bucket in (settings.input_bucket, settings.output_bucket):
            server.connection.client().create_bucket(Bucket=bucket)
        deployment = Deployment(settings, server.connection)
        station = AuxipSimulator(make_adfs())
        with serving(station) as url:
            [pid] = [child.pid for child in psutil.Process().children()]
            fill(deployment, _WARM_UP, _WARM_UP, url, "warm-up")
            run(deployment, pid, _WARM_UP, asked.requests, lambda: fill(deployment, asked.requests, asked.sessions, url, "request"))
        print("fetched from the station:", dict(Counter(station.fetched)))


if __name__ == "__main__":
    main()
