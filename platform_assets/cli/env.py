"""`groundtrack env`: what Dagster's own commands need in their environment."""

import os
import shlex

import click

from platform_assets.cli.deployment import find_deployment
from resources.instance import dagster_environment, write_dagster_home

EXPORTED = "GROUNDTRACK_EXPORTED"
"""Names the variables that this command put into the shell."""


def forget_exported() -> None:
    """Remove from this process's environment what `groundtrack env` put into its shell."""
    for name in (*_exported(), EXPORTED):
        os.environ.pop(name, None)


def _exported() -> list[str]:
    return [name for name in os.environ.get(EXPORTED, "").split(",") if name]


@click.command()
def env() -> None:
    """Print shell exports: after `eval "$(groundtrack env)"` the `dagster` command works on this deployment, with or without `up`."""
    # A platform that runs puts its own into this process.
    outer = dict(os.environ)
    deployment = find_deployment(needs_store=False)
    if deployment.platform:
        variables = dict(deployment.platform.environment)
    else:
        write_dagster_home(deployment.settings)
        variables = dagster_environment(deployment.settings)
    variables["DAGSTER_MODULE_NAME"] = "platform_assets.definitions"
    new = {name: value for name, value in variables.items() if outer.get(name) != value or name in _exported()}
    # `up` in the same shell must not take what a platform of then lent for settings of now.
    new[EXPORTED] = ",".join(sorted(new))
    for name, value in sorted(new.items()):
        click.echo(f"export {name}={shlex.quote(value)}")
