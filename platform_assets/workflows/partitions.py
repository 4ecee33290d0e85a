"""A partition a recipe run; all versions of a workflow have the same."""

import dagster as dg

from platform_assets.workflows.errors import InvalidRun
from platform_assets.workflows.sdk.task import recipe_run_id_of


def recipe_runs(workflow_name: str) -> dg.DynamicPartitionsDefinition:
    """Return the recipe runs of a workflow."""
    return dg.DynamicPartitionsDefinition(name=f"{workflow_name}_recipe_runs")


def recipe_run_of(partition: str) -> int:
    """Return the recipe run that a partition stands for.

    Raises:
        InvalidRun: The partition is no integer, as it may be added by hand.
    """
    try:
        number = recipe_run_id_of(partition)
    except ValueError as error:
        raise InvalidRun(str(error), remedy="Delete the partition, and add one whose name is an integer.") from error
    if str(number) != partition:
        raise InvalidRun(f"recipe_run_id is written {number}, not {partition!r}", remedy=f"Use the partition {number}.")
    return number
