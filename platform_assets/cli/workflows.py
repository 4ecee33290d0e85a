"""`groundtrack workflows`: workflows of instrument packages, checked, exported, and run on this machine without Dagster."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import click
from rich.table import Table
from rich.text import Text
from uv import find_uv_bin

from platform_assets.cli import console
from platform_assets.cli.recipe_runs import recipe_runs
from platform_assets.common.errors import ConfigurationError
from platform_assets.environments import interpreters
from platform_assets.environments.cache import EnvironmentCache
from platform_assets.environments.process import Limits
from platform_assets.environments.uv import PackageIndex, Uv
from platform_assets.workflows.errors import InvalidRun
from platform_assets.workflows.local import run_workflow
from platform_assets.workflows.manifest import content_hash, find_manifest, put_manifest, write_manifest
from platform_assets.workflows.model import WorkflowSpec
from platform_assets.workflows.notebooks import write_dockerfile, write_notebook
from platform_assets.workflows.packages import Package, find_package, keep_wheel, module_of, workflows_of
from platform_assets.workflows.runner import RecipeRun, Shop, TaskRecord, TaskState, telemetry_variables
from platform_assets.workflows.sdk_files import sdk_folder, write_sdk_wheel
from platform_assets.workflows.shelf import Shelf, read_shelf
from resources.settings import load
from resources.workflow_shelf import fetch_manifests, manifests_folder

_STYLES = {TaskState.SUCCEEDED: "green", TaskState.CARRIED_OVER: "green", TaskState.FAILED: "bold red", TaskState.UPSTREAM_FAILED: "yellow"}


@dataclass(frozen=True)
class Place:
    """Where the workflows of a deployment live.

    Attributes:
        folder: `workflows` in the platform's home.
        manifests: Where manifests are unless a command is told otherwise.
        environments: The cache of environments.
        shop: What tasks run with.
    """

    folder: Path
    manifests: Path
    environments: EnvironmentCache
    shop: Shop

    @property
    def wheels(self) -> Path:
        """Where the wheels of exported packages are kept."""
        return self.folder / "wheels"

    def with_links(self, folder: Path) -> "Place":
        """Return the place with a folder of wheels that is looked into first."""
        uv = self.environments.uv
        links = (str(folder), *uv.index.find_links)
        environments = replace(self.environments, uv=replace(uv, index=replace(uv.index, find_links=links)))
        return replace(self, environments=environments, shop=replace(self.shop, environments=environments))


@click.group()
def workflows() -> None:
    """Versioned workflows whose tasks run in their own Python environments."""


workflows.add_command(recipe_runs)


def _with_place(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where environments come from; the command gets them as its first argument, a `Place`."""

    @wraps(command)
    def called(
        python: str | None, index_url: str, find_links: tuple[str, ...], no_index: bool, offline: bool, prebuilt: Path | None, **rest: Any
    ) -> None:
        links = tuple(str(Path(link).resolve()) if Path(link).exists() else link for link in find_links)
        command(_place(python, PackageIndex(index_url, links, no_index, offline), prebuilt), **rest)

    for option in (
        click.option("--python", help="Version or path of the environments' Python [the one that runs this command]."),
        click.option("--index-url", default="", help="Package index [uv's own configuration, UV_DEFAULT_INDEX, PyPI]."),
        click.option("--find-links", multiple=True, metavar="PLACE", help="Folder or page of wheels; may be given again."),
        click.option("--no-index", is_flag=True, help="Only what --find-links has."),
        click.option("--offline", is_flag=True, help="Fetch nothing: only what was fetched before."),
        click.option(
            "--prebuilt",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="PYTHON",
            help="Interpreter of an environment of your own, used as it is.",
        ),
    ):
        option(called)
    return called


def _package_options(command: Any) -> Any:
    for option in (
        click.argument("package"),
        click.option("--module", help="Where the workflows are [the package's name, or `workflows` in it]."),
        click.option("--extra", "extras", multiple=True, help="Extra that importing the tasks needs; may be given again."),
        click.option("--no-frozen", is_flag=True, help="The package pins nothing: its environments do without its extra `frozen`."),
    ):
        command = option(command)
    return command


@workflows.command()
@_package_options
@_with_place
def validate(place: Place, **asked: Any) -> None:
    """Check the workflows of PACKAGE: a wheel, the folder of a project, or name==version."""
    _, found = _load(place, **asked)
    for workflow in found:
        console.note(f"{workflow.name} {workflow.version}: {len(workflow.tasks)} tasks: {', '.join(task.name for task in workflow.tasks)}")
    console.note(f"{len(found)} workflows can be run.")


@workflows.command()
@_package_options
@click.option("--to", help="Folder of manifests, or s3://BUCKET/PREFIX [GROUNDTRACK_WORKFLOWS_MANIFESTS, workflows/manifests in the home].")
@click.option("--replace", "overwrite", is_flag=True, help="Overwrite wheel and manifests of these versions that are others.")
@_with_place
def export(place: Place, to: str | None, overwrite: bool, **asked: Any) -> None:
    """Write a manifest for each workflow of PACKAGE: all that running it takes, without its code; a wheel is kept."""
    write = _writer(to or load().workflows_manifests or str(place.manifests))
    package, found = _load(place, **asked)
    if package.wheel:
        keep_wheel(package.wheel, place.wheels, replace=overwrite)
    for workflow in found:
        written = write(workflow, replace=overwrite)
        console.note(f"{written}  sha256:{content_hash(workflow)[:16]}")


def _writer(to: str) -> Callable[..., str]:
    """Return what writes a manifest to a folder or a bucket and returns where it lies."""
    scheme, separator, rest = to.partition("://")
    if not separator:
        return lambda workflow, replace: str(write_manifest(workflow, Path(to), replace=replace))
    name, _, prefix = rest.partition("/")
    if scheme != "s3" or not name:
        raise ConfigurationError(
            f"{to} is neither a folder nor a prefix of a bucket", remedy="Give --to FOLDER or --to s3://BUCKET/PREFIX."
        )
    from platform_assets.cli.deployment import find_deployment

    prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    bucket = find_deployment(needs_store=False).s3.bucket(name)
    return lambda workflow, replace: f"s3://{name}/{put_manifest(workflow, bucket, prefix, replace=replace)}"


@workflows.command()
@_package_options
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=Path("notebooks"), show_default=True)
@_with_place
def notebook(place: Place, to: Path, **asked: Any) -> None:
    """Write a Jupyter notebook for each workflow of PACKAGE, to run it by hand."""
    _, found = _load(place, **asked)
    for workflow in found:
        console.note(str(write_notebook(workflow, to)))


@workflows.command()
@_package_options
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=Path("docker"), show_default=True)
@_with_place
def dockerfile(place: Place, to: Path, **asked: Any) -> None:
    """Write a Dockerfile with the notebooks of PACKAGE and all it copies; its workflows are of one category."""
    package, found = _load(place, **asked)
    if not package.distribution:
        raise ConfigurationError("an image is made of a package that can be installed", remedy="Give a wheel or name==version.")
    version = place.environments.interpreter.version.rpartition(".")[0]
    path = write_dockerfile(found, package, version, to)
    console.note(f"{path}; build it: docker build {path.parent}")


@workflows.command()
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder [this one].")
def sdk(to: Path) -> None:
    """Write the wheel of the SDK, to develop and test packages with; running them does not need it."""
    console.note(str(write_sdk_wheel(to)))


@workflows.command()
@click.argument("workflow")
@click.option("--version", help="Version; may be left out where there is one.")
@click.option("--recipe-run-id", type=int, required=True, help="Which recipe run; a second run of it goes on where the first failed.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Value of a task's parameter, as JSON or as text.")
@click.option(
    "--manifests",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of manifests [GROUNDTRACK_WORKFLOWS_MANIFESTS, workflows/manifests in the home].",
)
@click.option("--env", "passed", multiple=True, metavar="NAME[=VALUE]", help="Variable that tasks see; they see no other of yours.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Tasks at once.")
@click.option("--time-limit-s", type=float, help="For tasks that have no limit of their own.")
@click.option("--memory-mb", type=int, help="For tasks that have no limit of their own.")
@click.option("--grace-s", type=float, default=10.0, show_default=True, help="Between asking a task to end and killing it.")
@click.option("--no-rollback", is_flag=True, help="Do not call rollback before a retry and on the final failure.")
@click.option("--manual", is_flag=True, help="Record that a person drives the tasks.")
@click.option("--again", is_flag=True, help="Run also what this recipe run has completed.")
@_with_place
def run(place: Place, workflow: str, version: str | None, manifests: Path | None, **asked: Any) -> None:
    """Run WORKFLOW on this machine, without Dagster: each task in its own process, in its own environment.

    The exit code is 1 when a task failed.
    """
    place = place.with_links(place.wheels)
    spec = find_manifest(manifests or _fetched(place), workflow, version)
    folder = place.folder / "runs" / spec.dag_name / str(asked["recipe_run_id"])
    recipe_run = RecipeRun(spec, asked["recipe_run_id"], folder.resolve(), _parameters(asked["parameters"]), asked["manual"])
    shop = Shop(
        place.environments,
        place.shop.sdk,
        {**_telemetry(), **_passed(asked["passed"])},
        place.shop.python,
        rollback=not asked["no_rollback"],
        limits=Limits(asked["time_limit_s"], asked["memory_mb"] * 1_000_000 if asked["memory_mb"] else None, asked["grace_s"]),
    )
    records = run_workflow(shop, recipe_run, Event(), workers=asked["workers"], again=asked["again"], ended=_show, heard=_progress)
    failed = sum(record.state is TaskState.FAILED for record in records)
    console.note(f"{len(records)} tasks, {failed} failed. Data, records and logs: {folder}")
    sys.exit(1 if failed else 0)


@workflows.command()
@click.argument("workflow", required=False)
@click.option("--version", help="Version; may be left out where there is one.")
@click.option(
    "--manifests",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of manifests [GROUNDTRACK_WORKFLOWS_MANIFESTS, workflows/manifests in the home].",
)
@click.option("--refresh", is_flag=True, help="Resolve anew what the package does not pin.")
@click.option("--limit-gb", type=float, help="Then remove the environments that were not used for longest, above this size.")
@_with_place
def prewarm(place: Place, workflow: str | None, version: str | None, manifests: Path | None, refresh: bool, limit_gb: float | None) -> None:
    """Make the environments of WORKFLOW, or of all, before they are needed, and check those that are there."""
    place, folder = place.with_links(place.wheels), manifests or _fetched(place)
    shelf = Shelf([find_manifest(folder, workflow, version)]) if workflow else read_shelf(folder)
    table = Table("environment", "requirement", "packages", "", box=None)
    for requirement in dict.fromkeys(spec.requirement(task) for spec in shelf.workflows for task in spec.tasks):
        began = time.perf_counter()
        with console.busy(requirement), place.environments.lease((requirement,), verify=True, refresh=refresh) as environment:
            how = f"made in {time.perf_counter() - began:.1f} s" if environment.is_new else "was there"
            table.add_row(environment.key[:12], Text(requirement), str(len(environment.packages)), how)
    console.console.print(table)
    if limit_gb is not None:
        console.note(f"{len(place.environments.prune(int(limit_gb * 1e9)))} environments were removed.")
    for problem in shelf.problems:
        console.failure(problem.error)
    sys.exit(1 if shelf.problems else 0)


def _fetched(place: Place) -> Path:
    """Return the folder of manifests, brought up to date where that is a copy."""
    from platform_assets.cli.deployment import find_deployment

    fetch_manifests(find_deployment(needs_store=False).settings)
    return place.manifests


def _place(python: str | None, index: PackageIndex, prebuilt: Path | None) -> Place:
    settings = load()
    folder = settings.home.resolve() / "workflows"
    index = PackageIndex(
        index.url or settings.workflows_index_url,
        (*index.find_links, *settings.workflows_find_links.split()),
        index.no_index or settings.workflows_no_index,
        index.offline or settings.workflows_offline,
    )
    uv = Uv(Path(find_uv_bin()), folder / "cache" / "uv", index, dict(os.environ))
    python = python or settings.workflows_python
    program = uv.find_python(python) if python else Path(sys.executable)
    environments = EnvironmentCache(folder / "cache", uv, interpreters.examine(program), int(settings.workflows_cache_gb * 1e9))
    shop = Shop(environments, sdk_folder(folder / "cache" / "sdk"), python=prebuilt.absolute() if prebuilt else None)
    return Place(folder, manifests_folder(settings), environments, shop)


def _load(place: Place, package: str, module: str | None, extras: tuple[str, ...], no_frozen: bool) -> tuple[Package, list[WorkflowSpec]]:
    """Return a package and its workflows."""
    found = module_of(package) if place.shop.python else find_package(package, place.environments.uv, place.folder / "built")
    # A wheel that was kept of this version may be another.
    place = place.with_links(found.wheel.parent if found.wheel else place.wheels)
    if module:
        found = replace(found, module=module)
    with TemporaryDirectory(prefix="groundtrack-") as scratch, console.busy(f"Loading {package} ..."):
        return found, workflows_of(place.shop, found, extras, Path(scratch), frozen=not no_frozen)


def _parameters(pairs: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidRun(f"--parameter {pair} is not NAME=VALUE")
        values[name] = text
        with suppress(ValueError):
            values[name] = json.loads(text)
    return values


def _telemetry() -> dict[str, str]:
    """Return what telemetry is configured with; the tasks of a run are in one trace, at least in one of their own."""
    return {"TRACEPARENT": f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01", **telemetry_variables(os.environ)}


def _passed(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals and name not in os.environ:
            raise InvalidRun(f"--env {name}: there is no such variable")
        found[name] = value if equals else os.environ[name]
    return found


def _show(record: TaskRecord) -> None:
    line = Text(f"{record.task:<32} ").append(record.state.value.replace("_", " "), style=_STYLES[record.state])
    if record.state is TaskState.SUCCEEDED:
        line.append(f"  {record.seconds:.1f} s, CPU {record.cpu_s:.2f} s, {record.peak_memory_mb} MB")
    if record.attempts > 1:
        line.append(f"  {record.attempts} attempts")
    console.console.print(line, soft_wrap=True)
    for what, failure in (("", record.failure), ("rollback: ", record.rollback_failure)):
        if failure:
            console.console.print(Text(f"  {what}{failure.code} in {failure.stage}: {failure.message}", style="red"), soft_wrap=True)
            console.console.print(Text(failure.traceback or f"  → {failure.remedy}", style="dim"), soft_wrap=True)


def _progress(task: str, message: Any) -> None:
    if message["kind"] == "progress":
        console.note(f"{task:<32} {100 * message['fraction']:.0f} %  {message['text']}".rstrip())
