"""`groundtrack doctor`: whether this deployment can work, and in plain words what to mend."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

import click
from dotenv import dotenv_values
from rich.table import Table
from rich.text import Text

from platform_assets.cli import console
from platform_assets.cli.deployment import Deployment, find_deployment
from platform_assets.cli.env import EXPORTED
from platform_assets.common.errors import ConfigurationError, GroundtrackError
from platform_assets.workflows.shelf import read_shelf
from resources.instance import POSTGRES_VARIABLE
from resources.object_store import S3Bucket, check_conditional_writes
from resources.outbox import outbox_of
from resources.settings import Settings
from resources.workflow_shelf import manifests_folder

_CLOCK_S = 30.0
_OTHER_VARIABLES = {EXPORTED, POSTGRES_VARIABLE}
_DISK_BYTES = 10 << 30
_DASK = "2025.7.0"
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: `ok`, `warning` or `failed`.
        text: What was found.
        remedy: What to do; empty when all is well.
    """

    name: str
    state: str
    text: str
    remedy: str = ""


@click.command()
def doctor() -> None:
    """Check settings, versions, object store, permissions, Dask and Dagster; the exit code is 1 when something must be mended."""
    findings = list(examine())
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.name, Text(finding.text))
        if finding.remedy:
            table.add_row("", "", Text(f"→ {finding.remedy}", style="italic"))
    console.console.print(table)
    failed = sum(finding.state == "failed" for finding in findings)
    console.note(f"{failed} to mend." if failed else "All is well.")
    if failed:
        sys.exit(1)


def examine() -> Iterator[Finding]:
    """Yield what every check finds; those that others depend on come first, and end it when they fail."""
    yield _versions()
    try:
        deployment = find_deployment(needs_store=False)
    except ConfigurationError as error:
        yield Finding("settings", "failed", str(error), error.remedy)
        return
    yield Finding("settings", "ok", _settings_text(deployment))
    if unknown := _unknown_settings():
        yield Finding("settings", "warning", f"no such setting: {', '.join(unknown)}", "Correct the name; the README has a table of them.")
    yield _platform(deployment)
    yield _disk(deployment.settings.home)
    yield from _workflows(deployment.settings)
    yield from _failure_messages(deployment.settings)
    yield _processors(deployment.settings)
    if not deployment.platform and _embedded(deployment):
        yield Finding("object store", "warning", "none is configured, and the embedded one is not running", "Start it: `groundtrack up`.")
        return
    yield from _store(deployment)
    yield _dask(deployment)


def _unknown_settings() -> list[str]:
    known = {f"GROUNDTRACK_{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    found = {*os.environ, *dotenv_values(Path(".env"))}
    return sorted(name for name in found if name.startswith("GROUNDTRACK_") and name not in known)


def _versions() -> Finding:
    found = {name: _version(name) for name in ("groundtrack", "dagster", "dask", "distributed", "rasterio", "boto3")}
    text = f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {number}" for name, number in found.items())
    wrong = [name for name in ("dask", "distributed") if found[name] != _DASK]
    if wrong:
        return Finding("versions", "failed", text, f"Install {' and '.join(f'{name}=={_DASK}' for name in wrong)}: `make install`.")
    return Finding("versions", "ok", text)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _settings_text(deployment: Deployment) -> str:
    settings = deployment.settings
    source, target = f"s3://{settings.input_bucket}/{settings.input_prefix}", f"s3://{settings.output_bucket}/{settings.output_prefix}"
    return f"{source}{settings.manifest_pattern} → {target} as {settings.profile.value}, state in {settings.home.resolve()}"


def _platform(deployment: Deployment) -> Finding:
    if deployment.platform is None:
        return Finding("platform", "warning", "not running on this home", "Start it: `groundtrack up`. Without it no sensor looks.")
    return Finding("platform", "ok", f"running, {len(deployment.platform.services)} services, process {deployment.platform.pid}")


def _disk(home: Path) -> Finding:
    place = next(folder for folder in (home.resolve(), *home.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:,.0f} GB free at {place}"
    if free < _DISK_BYTES:
        return Finding("disk", "warning", text, "Free some: a worker needs about three times the largest image for scratch files.")
    return Finding("disk", "ok", text)


def _workflows(settings: Settings) -> Iterator[Finding]:
    shelf = read_shelf(manifests_folder(settings))
    if shelf.workflows:
        yield Finding("workflows", "ok", f"{len(shelf.workflows)} versions of workflows in {manifests_folder(settings)}")
    for problem in shelf.problems:
        yield Finding("workflows", "failed", str(problem.error), problem.error.remedy)


def _failure_messages(settings: Settings) -> Iterator[Finding]:
    outbox = outbox_of(settings)
    problems = sorted({entry["problem"] for entry in outbox.waiting() if entry["problem"]})
    if problems:
        text = f"{len(list(outbox.waiting()))} wait: {'; '.join(problems)}"
        yield Finding("failure messages", "warning", text, "They are tried again. Correct GROUNDTRACK_FAILURE_RECEIVERS if it stays so.")
    elif outbox.receivers:
        yield Finding("failure messages", "ok", f"go to {', '.join(receiver.shown for receiver in outbox.receivers)}")


def _embedded(deployment: Deployment) -> bool:
    return not deployment.settings.s3_endpoint_url and not any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))


def _store(deployment: Deployment) -> Iterator[Finding]:
    where = deployment.s3.endpoint_url or "AWS"
    try:
        answer = replace(deployment.s3.with_credentials(), attempts=1).client().list_objects_v2(Bucket=deployment.source.name, MaxKeys=1)
    except GroundtrackError as error:
        yield Finding("object store", "failed", str(error), error.remedy)
        return
    except Exception as error:  # noqa: BLE001 - whatever botocore says is the finding
        yield _refused(where, deployment.source.name, error)
        return
    yield Finding("object store", "ok", f"{where} answers and accepts the credentials")
    yield _clock(answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
    settings = deployment.settings
    source = _try("input bucket", lambda: _write_and_remove(deployment.source, settings.input_prefix), _INPUT_REMEDY)
    yield source
    output = _try("output bucket", lambda: _write_and_remove(deployment.target, settings.output_prefix), _OUTPUT_REMEDY)
    yield output
    if output.state == "ok":
        yield _try("conditional writes", lambda: check_conditional_writes(deployment.target, settings.output_prefix), "")
    if source.state == "ok":
        yield from _documents(settings)


_INPUT_REMEDY = "Create the bucket, or allow s3:ListBucket, GetObject, PutObject and DeleteObject: results are written beside manifests."
_OUTPUT_REMEDY = "Create the bucket, or allow s3:ListBucket, GetObject, PutObject and DeleteObject."


def _refused(where: str, bucket: str, error: Exception) -> Finding:
    text = str(error)
    remedies = {
        "NoSuchBucket": f"Create the bucket {bucket}, or correct GROUNDTRACK_INPUT_BUCKET.",
        "InvalidAccessKeyId": "The access key is unknown there: correct AWS_ACCESS_KEY_ID or the profile.",
        "SignatureDoesNotMatch": "The secret key is wrong: correct AWS_SECRET_ACCESS_KEY or the profile.",
        "AccessDenied": f"Allow s3:ListBucket on {bucket} for these credentials.",
        "Could not connect": "Is the server up, and GROUNDTRACK_S3_ENDPOINT_URL right?",
        "RequestTimeTooSkewed": "Set this machine's clock.",
    }
    remedy = next((remedy for words, remedy in remedies.items() if words in text), "Look the error up in the server's documentation.")
    return Finding("object store", "failed", f"{where}: {text}", remedy)


def _clock(date: str) -> Finding:
    if not date:
        return Finding("clock", "warning", "the store does not tell the time")
    skew_s = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    text = f"{skew_s:.0f} s from the store's"
    if skew_s > _CLOCK_S:
        return Finding("clock", "failed", text, "Set this machine's clock (NTP): leases and times of grace depend on it.")
    return Finding("clock", "ok", text)


def _try(name: str, action: Callable[[], object], remedy: str) -> Finding:
    try:
        done = action()
    except GroundtrackError as error:
        return Finding(name, "failed", str(error), remedy or error.remedy)
    return Finding(name, "ok", str(done) if done else "honoured")


def _write_and_remove(bucket: S3Bucket, prefix: str) -> str:
    key = f"{prefix}_groundtrack-doctor-{uuid4().hex}"
    began = time.perf_counter()
    bucket.write(key, b"doctor", content_type="text/plain")
    try:
        bucket.read(key, limit_bytes=100)
    finally:
        bucket.delete(key)
    return f"s3://{bucket.name}/{prefix} can be listed, read, written and cleaned, in {1000 * (time.perf_counter() - began):.0f} ms"


def _processors(settings: Settings) -> Finding:
    from platform_assets.definitions import dpr_archive

    try:
        dpr_archive(settings)
    except ConfigurationError as error:
        return Finding("processors", "failed", str(error), error.remedy)
    chosen = [f"{name}: {row['kind']}" for name, row in settings.dpr_processors.items()]
    return Finding("processors", "ok", ", ".join(chosen) or "the simulator for all")


def _documents(settings: Settings) -> Iterator[Finding]:
    from platform_assets.definitions import dpr_archive

    name = "documents"
    try:
        problems = list(dpr_archive(settings).problems())
    except GroundtrackError as error:
        problems = [error]
    for problem in problems:
        yield Finding(name, "failed", str(problem), problem.remedy)
    if not problems:
        yield Finding(name, "ok", f"nothing is wrong with those under s3://{settings.input_bucket}/{settings.dpr_prefix}")


def _dask(deployment: Deployment) -> Finding:
    settings = deployment.settings
    if settings.dask_kind != "address":
        return Finding("Dask", "ok", f"{settings.dask_kind}: workers are started for each run")
    from distributed import Client

    try:
        with Client(settings.dask_address, timeout=10, set_as_default=False) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            threads = {worker["nthreads"] for worker in workers.values()}
    except (OSError, TimeoutError) as error:
        return Finding("Dask", "failed", f"{settings.dask_address} does not answer: {error}", "Correct GROUNDTRACK_DASK_ADDRESS.")
    text = f"{len(workers)} workers at {settings.dask_address}"
    if not workers:
        return Finding("Dask", "failed", text, "Start workers for that scheduler.")
    if threads != {1}:
        return Finding("Dask", "failed", f"{text}, with {max(threads)} threads", "Start them with --nthreads 1: one image a process.")
    return Finding("Dask", "ok", text)
