"""What the platform costs beside the work: tiny items with a no-op stage through the engine, recorded in a real Dagster instance.

    python tests/benchmarks/engine.py [--items 1000 10000] [--assets 1 4]

CPU of the whole process tree (run, Dask scheduler, workers), of one run on two workers, in milliseconds an item: on SQLite
with the laptop's profile and on PostgreSQL with the production profile (Debian's server, started here; its own CPU is shown
beside, as it is another machine's in production). `stock` is Dagster's own SQLite storage without event batches.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

import dagster as dg  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from platform_assets.common.values import Outcome, Work  # noqa: E402
from platform_assets.execution.batch import BatchOptions  # noqa: E402
from platform_assets.execution.record import Recorder  # noqa: E402
from platform_assets.execution.run import ItemRun  # noqa: E402
from resources.dask_cluster import DaskCluster  # noqa: E402
from resources.instance import dagster_environment, write_dagster_home  # noqa: E402
from resources.settings import load  # noqa: E402
from tests.builders.postgres import postgres  # noqa: E402
from tests.builders.tasks import nothing  # noqa: E402


def tree_cpu_s(pid: int) -> float:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


@contextmanager
def home(folder: Path, kind: str) -> Iterator[tuple[dg.DagsterInstance, int | None]]:
    """A Dagster instance of one kind, and the process of its database."""
    if kind == "postgres":
        with postgres() as server:
            pid = next(
                process.pid for process in psutil.process_iter(["cmdline"]) if f"port={server.port}" in (process.info["cmdline"] or [])
            )
            yield from _opened(folder, server.new_database(), pid)
    else:
        yield from _opened(folder, "", None, stock=kind == "stock")


def _opened(folder: Path, url: str, pid: int | None, *, stock: bool = False) -> Iterator[tuple[dg.DagsterInstance, int | None]]:
    settings = load(home=folder, postgres_url=SecretStr(url))
    os.environ.update(dagster_environment(settings))
    os.environ["DAGSTER_HOME"] = str(write_dagster_home(settings))
    if stock:
        (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "0"
    with dg.DagsterInstance.get() as instance:
        yield instance, pid


def measure(kind: str, items: int, assets: int) -> str:
    costs: dict[str, float] = {}

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        keys = [dg.AssetKey(f"asset_{number}") for number in range(assets)]

        def events(outcome: Outcome) -> list[dg.AssetMaterialization]:
            metadata = {"dagster/size_bytes": 12345, "checksum": "1220" + "ab" * 32, "seconds": outcome.seconds}
            return [dg.AssetMaterialization(key, partition=outcome.key, metadata=metadata) for key in keys]

        run = ItemRun(context, Recorder(context, keys, events, planned_by_dagster=False), items)
        with dask.client() as client:
            client.wait_for_workers(2)
            held = DaskCluster(kind="address", address=client.scheduler.address)
            began_s, before_s = time.perf_counter(), tree_cpu_s(os.getpid())
            works = [Work(f"county~~1955~~frame-{number:06d}.tif", number, 0.001) for number in range(items)]
            run.work(held, works, nothing, lambda: None, BatchOptions())
            costs["cpu"] = tree_cpu_s(os.getpid()) - before_s
            costs["wall"] = time.perf_counter() - began_s
        run.conclude("benchmark")

    dask = DaskCluster(kind="local", workers=2)
    with tempfile.TemporaryDirectory() as folder, home(Path(folder), kind) as (instance, server):
        server_before_s = tree_cpu_s(server) if server else 0.0

        @dg.job(executor_def=dg.in_process_executor)
        def job() -> None:
            work()

        assert job.execute_in_process(instance=instance).success
        statuses = instance.get_materialized_partitions(dg.AssetKey("asset_0"))
        assert len(statuses) == items, f"{len(statuses)} of {items} recorded"
        server_cpu = f", server {1000 * (tree_cpu_s(server) - server_before_s) / items:.2f}" if server else ""
    cpu, wall = 1000 * costs["cpu"] / items, 1000 * costs["wall"] / items
    return f"{kind:9} {items:6d} items x {assets} assets: {cpu:6.2f} ms CPU an item{server_cpu}, {wall:6.2f} ms wall"


def main() -> None:
    parser = argparse.ArgumentParser(description="The platform's cost an item.")
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--assets", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--kinds", nargs="+", default=["sqlite", "postgres", "stock"])
    asked = parser.parse_args()
    for kind in asked.kinds:
        for assets in asked.assets:
            for items in asked.items if kind != "stock" else [min(asked.items)]:
                print(measure(kind, items, assets), flush=True)


if __name__ == "__main__":
    main()
