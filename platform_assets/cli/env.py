"""`groundtrack env`: what Dagster's own commands need in their environment."""

import shlex

import click

from platform_assets.cli.deployment import find_deployment
from resources.instance import dagster_environment, write_dagster_home


@click.command()
def env() -> None:
    """Print shell exports: after `eval "$(groundtrack env)"` the `dagster` command works on this deployment, with or without `up`."""
    deployment = find_deployment()
    if deployment.platform:
        variables = dict(deployment.platform.environment)
    else:
        write_dagster_home(deployment.settings)
        variables = dagster_environment(deployment.settings)
    variables["DAGSTER_MODULE_NAME"] = "platform_assets.definitions"
    for name, value in sorted(variables.items()):
        click.echo(f"export {name}={shlex.quote(value)}")
