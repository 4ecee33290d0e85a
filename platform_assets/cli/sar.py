"""`groundtrack sar`: Sentinel-1 products on local disk, one or many, without a bucket."""

import csv
import json
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from platform_assets.cli import console
from platform_assets.common.errors import ConfigurationError, MissingInput
from platform_assets.common.stages import Stages
from platform_assets.common.values import Failure, Outcome, State, Work
from platform_assets.execution import progress as counts
from platform_assets.execution.batch import Batch, BatchOptions, ClusterLost, Reporting
from platform_assets.execution.run import batch_options
from platform_assets.sar.local import LocalJob, LocalShop, is_done, process_local
from platform_assets.sar.naming import SAFE_SUFFIX, locate
from platform_assets.sar.options import L1bOptions, OwnProcess, Processing
from resources.dask_cluster import DaskCluster
from resources.settings import Settings, load

_SUFFIX = "_L1B.nc"
_COST_S, _COST_S_PER_BYTE = 0.8, 1.6e-9
_SHOWN_ROWS = 20


@click.group()
def sar() -> None:
    """Sentinel-1: SAFEs on local disk to L1B NetCDF."""


def _processing_options(command: Any) -> Any:
    for option in (
        click.option("--resolution", "resolution_m", type=float, help="Cell size in metres, about [GROUNDTRACK_SAR_RESOLUTION_M, 1000]."),
        click.option("--variables", help="Variables to write, separated by commas."),
        click.option("--polarisations", help="Polarisations to write, such as VV,VH; all when left out."),
        click.option("--process", "function", help="Your own function, `module:function` [GROUNDTRACK_SAR_PROCESS]."),
        click.option("--no-verify", is_flag=True, help="Do not check the MD5 of every file, which takes 1.6 s a gigabyte."),
    ):
        command = option(command)
    return command


@sar.command()
@click.argument("safe", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@_processing_options
def l1b(safe: Path, out: Path, no_verify: bool, **options: Any) -> None:
    """Make the L1B file OUT of one product, a folder NAME.SAFE or a zip of one."""
    settings = load()
    shop = LocalShop(_processing(settings, **options), verify=not no_verify, institution=settings.institution)
    stages = Stages()
    state, facts = process_local(shop, LocalJob(str(safe.resolve()), str(out.resolve())), stages)
    if state is State.CARRIED_OVER:
        console.note(f"{out} is there already, made of this product in this way.")
        return
    console.facts(str(out), _shown(facts["l1b"], stages))


@sar.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the L1B files and the summary.")
@click.option("--cluster", help="Where Dask workers come from: local, gateway, jobqueue, or a scheduler's address [GROUNDTRACK_DASK_KIND].")
@click.option("--workers", type=click.IntRange(1), help="Workers to ask for [GROUNDTRACK_DASK_WORKERS, one a core].")
@_processing_options
def batch(inputs: tuple[Path, ...], out: Path, cluster: str | None, workers: int | None, no_verify: bool, **options: Any) -> None:
    """Make L1B files of many products on Dask.

    INPUTS are folders NAME.SAFE, zips of such, folders that have some in them, or text files that name one a line. What is
    done is skipped; one bad product harms no other. The exit code is 1 when any failed, or was left over by Ctrl-C.
    """
    settings = load()
    shop = LocalShop(_processing(settings, **options), verify=not no_verify, institution=settings.institution)
    jobs = _jobs(find_products(inputs), out.resolve())
    console.console.print(_table(list(jobs.values()), out))
    began = datetime.now(UTC)
    before = [Outcome(job.out, State.CARRIED_OVER) for job in jobs.values() if Path(job.safe).exists() and is_done(shop, job)]
    left = [job for out_file, job in jobs.items() if out_file not in {outcome.key for outcome in before}]
    outcomes = before + (_run(_cluster(settings, cluster, workers), shop, left, batch_options(settings, group_items=1)) if left else [])
    outcomes += [_left_over(job) for job in left if job.out not in {outcome.key for outcome in outcomes}]
    rows = [_row(jobs[outcome.key], outcome) for outcome in outcomes]
    summary = _write_summary(out, began, rows)
    failed = sum(outcome.state is State.FAILED for outcome in outcomes)
    done = sum(outcome.state is State.DONE for outcome in outcomes)
    console.note(f"{done} done, {len(rows) - done - failed} were done before, {failed} failed. Summary: {summary}")
    sys.exit(1 if failed else 0)


def _left_over(job: LocalJob) -> Outcome:
    remedy = "Run the same command again: what is done is skipped."
    return Outcome(job.out, State.FAILED, {}, Failure("run", "batch_interrupted", "the batch was stopped before its end", remedy))


def _jobs(safes: Sequence[Path], out: Path) -> dict[str, LocalJob]:
    """Return what to make, by output.

    Raises:
        ConfigurationError: Two products would have the same output.
    """
    jobs: dict[str, LocalJob] = {}
    for safe in safes:
        job = LocalJob(str(safe), str(out / _name(safe)))
        if job.out in jobs:
            raise ConfigurationError(f"{jobs[job.out].safe} and {safe} are the same product", remedy="Give one of the two.")
        jobs[job.out] = job
    return jobs


def find_products(inputs: Sequence[Path]) -> list[Path]:
    """Return the products that some paths stand for, each once; a path that does not exist is one, and fails as such.

    Raises:
        MissingInput: A folder has no product in it.
    """
    found: dict[Path, None] = {}
    for path in inputs:
        if path.is_file() and path.suffix in (".txt", ".csv"):
            found |= dict.fromkeys(Path(line.strip()).absolute() for line in _text(path).splitlines() if line.strip())
        elif path.is_dir() and not _is_product(path):
            inside = sorted(child.absolute() for child in path.iterdir() if _is_product(child))
            if not inside:
                raise MissingInput(f"{path} has no products NAME.SAFE in it", remedy="Give the folder that has them, or the products.")
            found |= dict.fromkeys(inside)
        else:
            found[path.absolute()] = None
    return list(found)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no text: {error}", remedy="Give a list of paths, one a line.") from error


def _is_product(path: Path) -> bool:
    return path.name.endswith(SAFE_SUFFIX) or locate(path.name) is not None


def _name(safe: Path) -> str:
    return safe.name.removesuffix(".zip").removesuffix(SAFE_SUFFIX) + _SUFFIX


def _processing(
    settings: Settings, resolution_m: float | None, variables: str | None, polarisations: str | None, function: str | None
) -> Processing:
    """Return how to process: as the options say, else `[tool.groundtrack.l1b]` of ./pyproject.toml, else the settings."""
    project = _project()
    own = function or project.get("process") or settings.sar_process
    if own:
        # A user's module lies where the command is started from, and workers are started from there too.
        here = str(Path.cwd())
        sys.path.insert(0, here)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        return OwnProcess(own, project.get("options") or settings.sar_options)
    chosen = L1bOptions(resolution_m=resolution_m or settings.sar_resolution_m, land_polygons=settings.sar_land)
    return L1bOptions(
        chosen.resolution_m, _listed(variables) or chosen.variables, _listed(polarisations) or chosen.polarisations, chosen.land_polygons
    )


def _project() -> dict[str, Any]:
    path = Path("pyproject.toml")
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text()).get("tool", {}).get("groundtrack", {}).get("l1b", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"pyproject.toml: {error}") from error
    return dict(table)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _cluster(settings: Settings, cluster: str | None, workers: int | None) -> DaskCluster:
    asked = cluster or settings.dask_kind
    address, kind = (asked, "address") if "://" in asked else (settings.dask_address, asked)
    if kind not in ("local", "address", "gateway", "jobqueue"):
        raise ConfigurationError(f"--cluster {asked}: no such cluster", remedy="Give local, gateway, jobqueue, or a scheduler's address.")
    return DaskCluster(
        kind=kind,  # type: ignore[arg-type]  # one of the four
        address=address,
        name=settings.dask_name,
        workers=workers or settings.dask_workers,
        maximum=settings.dask_maximum,
        options=settings.dask_options,
    )


def _run(dask: DaskCluster, shop: LocalShop, jobs: list[LocalJob], options: BatchOptions) -> list[Outcome]:
    """Run the batch under a progress bar; errors are shown as they come. What had not ended when it was stopped is not returned."""
    works = [Work(job.out, job, _COST_S + _COST_S_PER_BYTE * _bytes(Path(job.safe))) for job in jobs]
    progress = counts.Progress(len(works), sum(work.cost_s for work in works))
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[line]}"), TimeElapsedColumn())
    with dask.client() as client, Progress(*columns, console=console.console) as bar:
        task = bar.add_task("L1B", total=len(works), line="")

        def ended(outcome: Outcome) -> None:
            outcomes.append(outcome)
            bar.update(task, completed=progress.ended)
            if failure := outcome.failure:
                bar.console.print(Text(f"{Path(outcome.key).name}: {failure.code} in {failure.stage}: {failure.message}", style="red"))
                bar.console.print(Text(failure.traceback or f"→ {failure.remedy}", style="dim"))

        def tick(_: counts.Progress, elapsed_s: float) -> None:
            spent = [outcome.seconds for outcome in outcomes if outcome.state is State.DONE]
            mean = f", mean {sum(spent) / len(spent):.1f} s" if spent else ""
            bar.update(task, completed=progress.ended, line=f"{progress.line(elapsed_s).partition(' ended ')[2]}{mean}")

        began_s = time.monotonic()
        try:
            Batch(client, process_local, lambda: shop, options, Reporting(lambda _: None, ended, tick)).run(works, progress)
        except (KeyboardInterrupt, ClusterLost) as error:
            bar.console.print(Text(f"Stopped: {error or 'interrupted'}", style="red"))
        tick(progress, time.monotonic() - began_s)
    return outcomes


def _bytes(safe: Path) -> int:
    return sum(path.stat().st_size for path in ([safe] if safe.is_file() else safe.rglob("*")) if path.is_file())


def _table(jobs: Sequence[LocalJob], out: Path) -> Table:
    table = Table("input", "output", title=f"{len(jobs)} products", title_justify="left", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for job in jobs[:_SHOWN_ROWS]:
        table.add_row(Text(job.safe), Text(str(out / Path(job.out).name)))
    if len(jobs) > _SHOWN_ROWS:
        table.add_row(f"… and {len(jobs) - _SHOWN_ROWS} more", "")
    return table


def _row(job: LocalJob, outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "input": job.safe,
        "output": job.out,
        "state": outcome.state.value,
        "stage": failure.stage if failure else "",
        "error_class": failure.code if failure else "",
        "message": failure.message if failure else "",
        "what_to_do": failure.remedy if failure else "",
        "attempts": outcome.attempts,
        "seconds": outcome.seconds,
        "peak_memory_mb": outcome.peak_memory_mb,
    }


def _write_summary(out: Path, began: datetime, rows: list[dict[str, Any]]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"l1b-batch-{began:%Y%m%d-%H%M%S}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    path.with_suffix(".json").write_text(json.dumps({"started": began.isoformat(), "products": rows}, indent=1))
    return path


def _shown(facts: dict[str, Any], stages: Stages) -> dict[str, str]:
    lines = {
        "Grid": ", ".join(f"{name} {size}" for name, size in facts["dims"].items()),
        "Spacing": " x ".join(f"{spacing:.2f} m" for spacing in facts["spacing_m"]),
        "Variables": ", ".join(facts["variables"]),
        "Flags": ", ".join(facts["flags"]),
        "Seconds": f"{sum(stages.seconds.values()):.1f}",
    }
    means = {f"{name} mean": f"{found['mean_db']} dB" for name, found in facts["statistics"].items() if found.get("mean_db") is not None}
    return lines | means
