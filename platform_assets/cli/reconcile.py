"""`groundtrack reconcile`: the catalogue, computed anew from its items."""

import click

from platform_assets.catalog.static import rebuild
from platform_assets.cli import console
from platform_assets.cli.deployment import find_deployment
from platform_assets.common.stac import ROOT_FOLDER
from platform_assets.imagery.stac import COLLECTION
from platform_assets.sar.stac import MODES, collection


@click.command()
def reconcile() -> None:
    """Compute the catalogue anew from its items alone: after items were removed by hand, or when it is in doubt."""
    deployment = find_deployment()
    folders, _ = deployment.target.level(f"{deployment.settings.output_prefix}{ROOT_FOLDER}/")
    there = {folder.rstrip("/").rpartition("/")[2] for folder in folders}
    for info in (COLLECTION, *map(collection, MODES)):
        if info.id in there:
            number = rebuild(deployment.target, deployment.settings.output_prefix, info)
            console.note(f"The collection {info.id} has {number} items.")
