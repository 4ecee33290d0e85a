"""`groundtrack demo`: the platform on a sample archive, from the drop of a manifest to the settled report."""

import json
import time
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from platform_assets.cli import console, demo_dpr
from platform_assets.cli.deployment import Deployment
from platform_assets.cli.env import forget_exported
from platform_assets.cli.main import addresses
from platform_assets.cli.manifests import Status, newest_report, status_of
from platform_assets.cli.report import show
from platform_assets.cli.supervisor import Platform
from platform_assets.common.errors import MissingInput
from platform_assets.imagery.claim import drop_id
from platform_assets.imagery.report import rows_csv
from platform_assets.imagery.sample import write_samples
from platform_assets.sar.sample import write_safes
from resources.settings import load

_MANIFEST = "sample/archive_raw.csv"
_POLL_S = 0.5
_SENSOR_S = 3
_REPORT_BYTES = 1 << 30


@click.group(invoke_without_command=True)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web UI; the next free one is taken.")
@click.option("--exit", "leave", is_flag=True, help="End the platform when the sample archive is converted.")
@click.pass_context
def demo(context: click.Context, port: int | None, leave: bool) -> None:
    """Start the platform, convert a sample archive, and show where to look; the platform runs on until Ctrl-C."""
    if context.invoked_subcommand:
        return
    forget_exported()
    settings = load(sensor_interval_s=_SENSOR_S, **({} if port is None else {"ui_port": port}))
    with ExitStack() as stack:
        with console.busy("Starting S3 server, Dask and Dagster ..."):
            platform = stack.enter_context(Platform(settings, tell=console.note))
        deployment = Deployment(platform.settings, platform.s3)
        with console.busy("Putting the sample archive into the bucket ..."):
            claim_id, images = drop_samples(deployment)
            safes = upload_safes(deployment)
        console.note(f"{images} images, s3://{deployment.source.name}/{_MANIFEST} and {len(safes)} SAFEs are in the bucket.")
        _follow(deployment, claim_id, images, safes)
        _tell(platform, deployment, safes, leave=leave)
        if not leave:
            platform.wait()
            console.note("Stopping ...")


demo.add_command(demo_dpr.dpr)


def drop_samples(deployment: Deployment) -> tuple[str, int]:
    """Put the sample archive and its manifest into the input bucket; return the manifest's id and the number of images."""
    source, prefix = deployment.source, deployment.settings.input_prefix
    with TemporaryDirectory(prefix="groundtrack-") as folder:
        samples = write_samples(Path(folder))
        for sample in samples:
            source.write(prefix + sample.key, Path(folder, sample.key).read_bytes(), content_type="image/tiff")
    rows = [(prefix + sample.key, str(sample.bands)) for sample in samples]
    source.write(prefix + _MANIFEST, rows_csv(rows), content_type="text/csv")
    drop = source.stat(prefix + _MANIFEST)
    if drop is None:  # claimed within this moment
        raise MissingInput(f"{prefix}{_MANIFEST} is gone", remedy="Run the demo again.")
    return drop_id(drop, deployment.settings.manifest_pattern)[0], len(samples)


def upload_safes(deployment: Deployment) -> list[str]:
    """Put the sample Sentinel-1 products into the input bucket, one of them broken, and return their partition keys."""
    prefix = deployment.settings.safe_prefix
    with TemporaryDirectory(prefix="groundtrack-") as folder:
        safes = write_safes(Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                key = prefix + path.relative_to(folder).as_posix()
                deployment.source.write(key, path.read_bytes(), content_type="application/octet-stream")
    return safes


def _follow(deployment: Deployment, claim_id: str, images: int, safes: list[str]) -> None:
    """Show a progress bar until the manifest is settled and every Sentinel-1 product has ended."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console.console) as bar:
        task = bar.add_task("images: waiting for the sensor", total=images, counts="")
        radar = bar.add_task("SAFEs: waiting for the sensor", total=len(safes), counts="")
        began = time.monotonic()
        settled = False
        while not bar.finished or not settled:
            claim = deployment.records.claim(claim_id)
            if claim and not settled:
                status = status_of(deployment, claim)
                settled = status.settled
                counts = _counts(status, time.monotonic() - began)
                bar.update(task, completed=status.done + status.failed, description=f"images: {_stage(settled)}", counts=counts)
            states = Counter(row["state"] for row in safe_rows(deployment, safes))
            if states:
                counts = f"{states['done'] + states['carried_over']} done, [red]{states['failed']} failed[/red]"
                over = states.total() == len(safes)
                bar.update(radar, completed=states.total(), description=f"SAFEs: {_stage(over)}", counts=counts)
            time.sleep(_POLL_S)


def _stage(over: bool) -> str:
    return "settled" if over else "in work"


def safe_rows(deployment: Deployment, safes: Collection[str]) -> list[dict[str, Any]]:
    """Return the newest report's row of each of these products that has ended."""
    rows: dict[str, dict[str, Any]] = {}
    for ref in deployment.target.list(f"{deployment.settings.output_prefix}_groundtrack/safes/", ending=("report.json",)):
        document = json.loads(deployment.target.read(ref.key, limit_bytes=_REPORT_BYTES)[0])
        rows |= {row["product"]: row for row in document["products"] if row["product"] in safes}
    return list(rows.values())


def _counts(status: Status, elapsed_s: float) -> str:
    rate = 60 * (status.done + status.failed) / elapsed_s if elapsed_s else 0.0
    left = f", {status.left_s:.0f} s left" if status.left_s and not status.settled else ""
    return f"{status.done} done, [red]{status.failed} failed[/red], {rate:.0f}/min{left}"


def _tell(platform: Platform, deployment: Deployment, safes: list[str], *, leave: bool) -> None:
    document = newest_report(deployment, deployment.settings.input_prefix + _MANIFEST)
    show(document)
    console.facts("Sentinel-1", {row["product"]: row.get("message") or row["l1b"] for row in safe_rows(deployment, safes)})
    saved = platform.settings.home / "reports" / "sample.html"
    saved.parent.mkdir(exist_ok=True)
    page = document["report_key"].removesuffix(".json") + ".html"
    saved.write_bytes(deployment.source.read(page, limit_bytes=_REPORT_BYTES)[0])
    products = {
        "Report": str(saved),
        "Products": f"s3://{deployment.target.name}/{deployment.settings.output_prefix}",
        "Product folder": platform.folder_of(deployment.target.name),
    }
    again = "`groundtrack up` starts it again on the same data."
    title = f"The demo is over; {again}" if leave else f"Groundtrack is up. Ctrl-C ends it; {again}"
    console.facts(title, addresses(platform) | products)
