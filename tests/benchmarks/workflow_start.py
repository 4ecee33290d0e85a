"""What starting a task costs: the SDK's import, a warm task beside upstream's venv and pip, twelve tasks, and a race for one environment.

    python tests/benchmarks/workflow_start.py [--rounds 20] [--repeat 10]

CPU seconds of all processes that are started, medians; the sample instrument with its one pin, without a network. What
upstream does for every task is done here as it does it: `python -m venv`, `pip install package[frozen]==version`, `python -c`,
without its upgrades of pip, which need an index.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).parents[2]))

from uv import find_uv_bin

from platform_assets.environments import interpreters
from platform_assets.environments.cache import EnvironmentCache
from platform_assets.environments.uv import PackageIndex, Uv
from platform_assets.workflows.local import run_workflow
from platform_assets.workflows.model import TaskSpec, WorkflowSpec
from platform_assets.workflows.runner import RecipeRun, Shop
from platform_assets.workflows.sdk_files import sdk_folder
from tests.builders.wheels import instrument

ROOT = Path(__file__).parents[2]


def cpu_s(action: Callable[[], object]) -> float:
    """CPU seconds of this process and of those it starts."""

    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before = spent()
    action()
    return spent() - before


def cache_in(folder: Path, wheels: Path) -> EnvironmentCache:
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    uv = Uv(Path(find_uv_bin()), folder / "uv", PackageIndex(find_links=(str(wheels),), no_index=True), variables)
    return EnvironmentCache(folder, uv, interpreters.this())


def workflow(tasks: int) -> WorkflowSpec:
    """The task that does nothing, so many times under other names of its class."""
    one = TaskSpec("Nothing", "instrument.tasks", "", (), ("frozen",), "default", 0, 0.0, None, None, None)
    return WorkflowSpec("raw_to_l1_camera", "1.0.0", "raw", "l1", "camera", "", (), "instrument", (one,) * tasks)


def upstream(folder: Path, wheels: Path, sdk: Path) -> None:
    """One task as upstream starts it."""
    venv = folder / "venv"
    python = venv / "bin" / "python"
    code = "from instrument.tasks import Nothing\nwith Nothing(1, 'w', '1') as task:\n    task()"
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(sdk)}
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--no-index", "--find-links", wheels, "--disable-pip-version-check"]
    subprocess.run([*pip, "instrument[frozen]==1.0.0"], check=True, env=clean)
    subprocess.run([python, "-c", code], check=True, env=clean, capture_output=True)
    shutil.rmtree(venv)


def import_ms() -> float:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); began = time.process_time()\n"
        "from platform_assets.workflows.sdk import TaskBase\nprint(1000 * (time.process_time() - began))"
    )
    return float(subprocess.run([sys.executable, "-I", "-c", code, str(ROOT)], capture_output=True, check=True).stdout)


def race(folder: str, wheels: str, barrier, results) -> None:
    cache = cache_in(Path(folder), Path(wheels))
    barrier.wait()
    try:
        with cache.lease(["instrument[frozen]==1.0.0"]) as environment:
            results.put("made" if environment.is_new else "found")
    except Exception as error:  # noqa: BLE001 - a failure is what is counted
        results.put(repr(error))


def races(folder: Path, wheels: Path, rounds: int) -> dict[str, int]:
    """Eight processes want one new environment, again and again."""
    counts: dict[str, int] = {}
    context = multiprocessing.get_context("fork")
    for number in range(rounds):
        barrier, results = context.Barrier(8), context.Queue()
        arguments = (str(folder / f"race-{number}"), str(wheels), barrier, results)
        processes = [context.Process(target=race, args=arguments) for _ in range(8)]
        for process in processes:
            process.start()
        for _ in processes:
            how = results.get(timeout=120)
            counts[how] = counts.get(how, 0) + 1
        for process in processes:
            process.join()
    return counts


def run_chain(shop: Shop, folder: Path, tasks: int) -> None:
    """Run a chain of tasks that do nothing, one after the other."""
    one = workflow(1)
    for number in range(tasks):
        run = RecipeRun(one, number, folder / f"{time.monotonic_ns()}")
        [record] = run_workflow(shop, run, Event())
        if record.failure:
            raise SystemExit(record.failure.message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheels = folder / "wheels"
        instrument(wheels, "1.0.0")
        cache = cache_in(folder / "cache", wheels)
        shop = replace(Shop(cache, sdk_folder(folder / "sdk")), log_level="WARNING")
        cold = cpu_s(lambda: run_chain(shop, folder / "runs", 1))
        warm = statistics.median(cpu_s(lambda: run_chain(shop, folder / "runs", 1)) for _ in range(asked.repeat))
        twelve = statistics.median(cpu_s(lambda: run_chain(shop, folder / "runs", 12)) for _ in range(3))
        theirs = statistics.median(cpu_s(lambda: upstream(folder, wheels, shop.sdk)) for _ in range(max(3, asked.repeat // 3)))
        found = {
            "import of the SDK, CPU ms": round(statistics.median(import_ms() for _ in range(asked.repeat)), 1),
            "first start of a task, CPU s": round(cold, 3),
            "warm start of a task, CPU s": round(warm, 3),
            "12 tasks, warm, CPU s": round(twelve, 3),
            "upstream's venv + pip + task, CPU s": round(theirs, 3),
            "upstream's over ours": round(theirs / warm, 1),
            "8 processes, one new environment": races(folder, wheels, asked.rounds),
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
