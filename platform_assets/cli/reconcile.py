"""`groundtrack reconcile`: the catalogue, computed anew from its items."""

import click

from platform_assets.catalog.static import rebuild
from platform_assets.cli import console
from platform_assets.cli.deployment import find_deployment
from platform_assets.imagery.stac import COLLECTION


@click.command()
def reconcile() -> None:
    """Compute the catalogue anew from its items alone: after items were removed by hand, or when it is in doubt."""
    deployment = find_deployment()
    number = rebuild(deployment.target, deployment.settings.output_prefix, COLLECTION)
    console.note(f"The collection {COLLECTION.id} has {number} items.")
