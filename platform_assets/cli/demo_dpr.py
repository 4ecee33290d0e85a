"""`groundtrack demo dpr`: a downlink session becomes published products, on a sample."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from platform_assets.catalog.static import Extent, extent_of, publish_folders
from platform_assets.cli import console
from platform_assets.cli.deployment import Deployment
from platform_assets.cli.env import forget_exported
from platform_assets.cli.main import addresses
from platform_assets.cli.supervisor import Platform
from platform_assets.common.errors import MissingInput
from platform_assets.common.stac import GEOJSON, JSON, relative_href, to_json
from platform_assets.dpr import naming, stac
from platform_assets.dpr.sample import (
    AUX_COLLECTION,
    PROCESSOR,
    SampleAdf,
    SampleSession,
    make_adfs,
    make_request,
    make_session,
    make_task_table,
)
from resources.settings import load

_POLL_S = 0.5
_SENSOR_S = 3
_REPORT_BYTES = 1 << 28
_MOST_WAITED_S = 600.0


@dataclass(frozen=True)
class Dropped:
    """What the demo put into the buckets.

    Attributes:
        session: The session.
        requests: Partition keys of the requests: one that is good and one that names a pipeline which does not exist.
    """

    session: SampleSession
    requests: tuple[str, str]


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web UI; the next free one is taken.")
@click.option("--exit", "leave", is_flag=True, help="End the platform when the sample session is processed.")
def dpr(port: int | None, leave: bool) -> None:
    """Start the platform and process a sample session on demand: units, auxiliary files, payload, products."""
    forget_exported()
    settings = load(sensor_interval_s=_SENSOR_S, **({} if port is None else {"ui_port": port}))
    with ExitStack() as stack:
        with console.busy("Starting S3 server, Dask and Dagster ..."):
            platform = stack.enter_context(Platform(settings, tell=console.note))
        deployment = Deployment(platform.settings, platform.s3)
        dropped = drop(deployment)
        blocks = len(dropped.session.blocks)
        console.note(f"Session {dropped.session.id} with {blocks} blocks, the task table {PROCESSOR} and two requests are in the bucket.")
        rows = _follow(deployment, dropped)
        _tell(platform, deployment, rows, leave=leave)
        if not leave:
            platform.wait()
            console.note("Stopping ...")


def drop(deployment: Deployment) -> Dropped:
    """Put the sample into the buckets: requests first, which then wait for their session."""
    source, settings = deployment.source, deployment.settings
    session = make_session()
    table = json.dumps(make_task_table()).encode()
    source.write(f"{settings.dpr_prefix}tasktables/{PROCESSOR}.json", table, content_type=JSON)
    good = make_request(session)
    requests = {"sample": good, "sample-typo": good | {"pipeline": "ful"}}
    etags = {
        name: source.write(f"{settings.request_prefix}{name}.json", json.dumps(document).encode(), content_type=JSON)
        for name, document in requests.items()
    }
    put_adfs(deployment, make_adfs())
    folder = f"{settings.session_prefix}{session.id}/"
    for name, content in session.blocks.items():
        source.write(folder + name, content, content_type="application/octet-stream")
    source.write(f"{folder}{session.id}.json", json.dumps(session.document).encode(), content_type=JSON)
    first, second = (naming.request_id(f"{name}.json", etag) for name, etag in etags.items())
    return Dropped(session, (first, second))


def put_adfs(deployment: Deployment, adfs: Sequence[SampleAdf]) -> None:
    """Put auxiliary files and their items into the output bucket, as staging does."""
    target, prefix = deployment.target, deployment.settings.output_prefix
    extent = Extent()
    for adf in adfs:
        key, item_key = naming.adf_key(AUX_COLLECTION, adf.name, adf.name, prefix), naming.item_key(AUX_COLLECTION, adf.name, prefix)
        item = adf.item(AUX_COLLECTION, relative_href(item_key, key))
        target.write(key, adf.content, content_type="application/xml")
        target.write(item_key, to_json(item), content_type=GEOJSON)
        extent |= extent_of(item)
    publish_folders(target, prefix, stac.collection(AUX_COLLECTION), {naming.ITEMS: extent})


def rows_of(deployment: Deployment, requests: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the newest report's row of each of these requests that has ended."""
    rows: dict[str, dict[str, Any]] = {}
    for ref in deployment.target.list(f"{deployment.settings.output_prefix}_groundtrack/requests/", ending=("report.json",)):
        document = json.loads(deployment.target.read(ref.key, limit_bytes=_REPORT_BYTES)[0])
        rows |= {row["request"]: row for row in document["requests"] if row["request"] in requests}
    return rows


def _follow(deployment: Deployment, dropped: Dropped) -> dict[str, dict[str, Any]]:
    """Show a progress bar until every request has ended, and return how."""
    session = naming.item_key(naming.session_collection(dropped.session.id), dropped.session.id, deployment.settings.output_prefix)
    ends_s = time.monotonic() + _MOST_WAITED_S
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.console) as bar:
        catalogued = bar.add_task("session: waiting for the sensor", total=1)
        ended = bar.add_task("requests: waiting for the session", total=len(dropped.requests))
        rows: dict[str, dict[str, Any]] = {}
        while len(rows) < len(dropped.requests):
            if time.monotonic() > ends_s:
                raise MissingInput("the sample was not processed in 10 minutes", remedy="Look at the runs in the web UI and at the logs.")
            if deployment.target.stat(session):
                bar.update(catalogued, completed=1, description="session: complete")
            rows = rows_of(deployment, dropped.requests)
            bar.update(ended, completed=len(rows), description="requests: in work" if bar.tasks[0].completed else None)
            time.sleep(_POLL_S)
    return rows


def _tell(platform: Platform, deployment: Deployment, rows: dict[str, dict[str, Any]], *, leave: bool) -> None:
    """Show what came out, and where to look."""
    target = deployment.target
    ends = {name: f"{row['message']} → {row['what_to_do']}" if row["state"] == "failed" else row["state"] for name, row in rows.items()}
    console.facts("Requests", ends)
    for row in rows.values():
        for key in row.get("items", ()):
            item = json.loads(target.read(key, limit_bytes=_REPORT_BYTES)[0])
            origins = [link["title"] for link in item["links"] if link["rel"] == "derived_from"]
            shown = {"Item": f"s3://{target.name}/{key}", "Derived from": ", ".join(origins), "Log": f"s3://{target.name}/{row['log']}"}
            console.facts(f"Published {item['id']}", shown)
    places = {
        "Lineage": f"{platform.ui_url.partition('/?')[0]}/locations/__repository__@groundtrack/asset-groups/dpr",
        "Products": f"s3://{target.name}/{deployment.settings.output_prefix}",
        "Product folder": platform.folder_of(target.name),
    }
    again = "`groundtrack up` starts it again on the same data."
    title = f"The demo is over; {again}" if leave else f"Groundtrack is up. Ctrl-C ends it; {again}"
    console.facts(title, addresses(platform) | places)
