"""What Dagster costs beside tasks that do nothing: a chain of twelve and a fan of twelve, each one run of a job, on SQLite.

    python tests/benchmarks/workflow_on_dagster.py [--repeat 3]

CPU seconds of the run's process and its tasks' processes, medians, warm; without the start of the run's process.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import dagster as dg
from uv import find_uv_bin

from platform_assets.workflows.jobs import declare
from platform_assets.workflows.shelf import read_shelf
from resources.dask_cluster import DaskCluster
from resources.workflow_shop import WorkflowShop

_TASKS = 12
_HOME = "WORKFLOW_ON_DAGSTER_HOME"
_PROJECT = """
[project]
name = "dozen"
version = "1.0.0"
requires-python = ">=3.11"
optional-dependencies = {frozen = []}

[build-system]
requires = ["uv_build>=0.13.8,<0.14"]
build-backend = "uv_build"
"""


def sources() -> str:
    lines = ["from platform_assets.workflows.sdk import TaskBase, Workflow"]
    lines += [f"class T{number}(TaskBase):\n    def run(self): pass" for number in range(_TASKS)]
    for shape in ("chain", "fan"):
        lines.append(f'{shape} = Workflow(input_data="a", output_data="b", category="{shape}", workflow_package=__package__)')
        for number in range(_TASKS):
            upstream = f", upstreams=T{number - 1 if shape == 'chain' else 0}" if number else ""
            lines.append(f"{shape}.add_node(task=T{number}{upstream})")
    return "\n".join(lines)


def export(folder: Path) -> None:
    package = folder / "dozen/src/dozen"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "workflows.py").write_text(sources())
    (folder / "dozen/pyproject.toml").write_text(_PROJECT)
    build = [find_uv_bin(), "build", "--wheel", "--quiet", "--offline", "--no-cache", "--out-dir", str(folder), str(folder / "dozen")]
    subprocess.run(build, check=True, capture_output=True)
    command = [str(Path(sys.executable).parent / "groundtrack"), "workflows", "export", "dozen-1.0.0-py3-none-any.whl", "--no-index"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def definitions() -> dg.Definitions:
    home = Path(os.environ[_HOME])
    declared = declare(read_shelf(home / "manifests"))
    resources = {"workflow_shop": WorkflowShop(folder=str(home), no_index=True), "dask": DaskCluster()}
    return dg.Definitions(assets=declared.assets, jobs=declared.jobs, resources=resources)


def chain() -> dg.JobDefinition:
    return definitions().resolve_job_def("a_to_b_chain_1__0__0")


def fan() -> dg.JobDefinition:
    return definitions().resolve_job_def("a_to_b_fan_1__0__0")


def taken(action: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of an action."""

    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    cpu_s, began = spent(), time.perf_counter()
    action()
    return spent() - cpu_s, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    logging.disable()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(folder)
        os.environ[_HOME] = str(folder / ".groundtrack/workflows")
        with dg.DagsterInstance.local_temp(name, overrides={"telemetry": {"enabled": False}}) as instance:
            for shape, job in (("chain", chain), ("fan", fan)):
                instance.add_dynamic_partitions(f"a_to_b_{shape}_recipe_runs", [str(number) for number in range(asked.repeat + 1)])

                def run(number: int, job: Callable[[], dg.JobDefinition] = job) -> None:
                    with dg.execute_job(dg.reconstructable(job), instance, tags={"dagster/partition": str(number)}) as result:
                        if not result.success:
                            raise SystemExit("a task failed")

                with contextlib.redirect_stderr(io.StringIO()):
                    run(asked.repeat)
                    times = [taken(lambda number=number: run(number)) for number in range(asked.repeat)]
                found[f"{shape} of {_TASKS}, CPU s"] = round(statistics.median(cpu for cpu, _ in times), 2)
                found[f"{shape} of {_TASKS}, wall s"] = round(statistics.median(wall for _, wall in times), 2)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
