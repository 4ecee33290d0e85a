"""`groundtrack workflows recipe-runs`: the recipe runs that Dagster knows of, as partitions of a workflow's assets."""

import os

import click

from platform_assets.cli import console
from platform_assets.cli.deployment import find_deployment
from platform_assets.common.errors import MissingInput
from platform_assets.workflows.shelf import read_shelf
from resources.instance import dagster_environment, write_dagster_home
from resources.workflow_shelf import manifests_folder


@click.command("recipe-runs")
@click.argument("workflow")
@click.argument("numbers", type=int, nargs=-1, metavar="ID...")
def recipe_runs(workflow: str, numbers: tuple[int, ...]) -> None:
    """Add recipe runs of WORKFLOW, all its versions, to launch from the web UI or a terminal; without an ID, list them."""
    deployment = find_deployment(needs_store=False)
    if workflow not in {found.name for found in read_shelf(manifests_folder(deployment.settings)).workflows}:
        raise MissingInput(f"there is no manifest of {workflow}", remedy="Export the package that has it: `groundtrack workflows export`.")
    if not deployment.platform:
        write_dagster_home(deployment.settings)
        os.environ.update(dagster_environment(deployment.settings))
    import dagster as dg

    from platform_assets.workflows.partitions import recipe_runs as partitions

    name = str(partitions(workflow).name)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(name, [str(number) for number in numbers])
        found = instance.get_dynamic_partitions(name)
    console.note(f"{workflow}: {', '.join(sorted(found, key=_order)) or 'no recipe runs'}")


def _order(key: str) -> tuple[bool, int, str]:
    return not key.isdigit(), int(key) if key.isdigit() else 0, key
