"""`groundtrack sample`: sample documents of on-demand processing, and stations that fail as real ones do."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from platform_assets.cli import console
from platform_assets.common.errors import ConfigurationError
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import sample as samples
from platform_assets.dpr.sample import SampleSession
from platform_assets.dpr.session import read_session
from platform_assets.dpr.session_stac import session_item
from resources.station_faults import Fault, FaultSchedule
from resources.station_simulator import Station, serving

_FOLDER = click.Path(path_type=Path, file_okay=False)
_LOOPBACK = "127.0.0.1"


@click.group()
def sample() -> None:
    """Samples of on-demand processing: documents, and simulated stations."""


def _session_options(command: Any) -> Any:
    for option in (
        click.option("--satellite", default="S1A", show_default=True, help="Satellite of the sessions."),
        click.option("--channels", type=click.IntRange(1, 9), default=2, show_default=True, help="Channels of a session."),
        click.option("--blocks", type=click.IntRange(1), default=3, show_default=True, help="Blocks of a channel."),
        click.option("--block-kb", type=click.IntRange(1), default=64, show_default=True, help="Size of a block in kilobytes."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of the blocks' content, and of a station's faults."),
    ):
        command = option(command)
    return command


def _station_options(command: Any) -> Any:
    kinds = click.Choice([kind.value for kind in Fault])
    for option in (
        click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; any that is free when left out."),
        click.option("--fault", "faults", type=kinds, multiple=True, help="A kind of fault; may be repeated. All kinds when left out."),
        click.option(
            "--rate", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of files that each kind happens to."
        ),
        click.option("--only", default="", help="Faults only of files that have this in their names."),
        click.option("--retry-after", type=click.IntRange(0), default=1, show_default=True, help="Seconds that a throttled client waits."),
        click.option("--page", type=click.IntRange(1), default=20, show_default=True, help="Entities of one page."),
        click.option("--authorization", metavar="NAME", help="Variable with the value of the header Authorization that is asked for."),
    ):
        command = option(command)
    return command


@sample.command(short_help="Write a downlink session.")
@click.argument("out", type=_FOLDER)
@_session_options
def session(out: Path, **options: Any) -> None:
    """Write a downlink session into OUT: a folder with its document and its blocks.

    Copy the folder under `sessions/` of the input bucket.
    """
    made = _session(0, samples.START, **options)
    folder = out / made.id
    _write(folder, {f"{made.id}.json": _as_json(made.document), **made.blocks})
    console.note(f"{len(made.blocks)} blocks and {made.id}.json are in {folder}.")


@sample.command(short_help="Write all that a request needs.")
@click.argument("out", type=_FOLDER)
@_session_options
def documents(out: Path, **options: Any) -> None:
    """Write all that a request needs into OUT, laid out as the input bucket is.

    Besides, `items` has the STAC items of session and auxiliary files, for `groundtrack dpr plan --items`.
    """
    made = _session(0, samples.START, **options)
    content = read_session(_as_json(made.document), made.id)
    found = {block.name: ObjectRef(f"sessions/{made.id}/{block.name}", "", block.size_bytes) for block in content.blocks}
    adfs = samples.make_adfs(satellite=options["satellite"])
    items = [session_item(content, found, "raw")] + [adf.item(samples.AUX_COLLECTION, f"s3://raw/auxiliary/{adf.name}") for adf in adfs]
    _write(out / "sessions" / made.id, {f"{made.id}.json": _as_json(made.document), **made.blocks})
    _write(out / "dpr" / "tasktables", {f"{samples.PROCESSOR}.json": _as_json(samples.make_task_table())})
    _write(out / "requests", {"sample.json": _as_json(samples.make_request(made))})
    _write(out / "auxiliary", {adf.name: adf.content for adf in adfs})
    _write(out / "items", {"all.json": _as_json({"type": "FeatureCollection", "features": items})})
    plan = f"groundtrack dpr plan {out}/requests/sample.json --task-table {out}/dpr/tasktables --items {out}/items"
    console.facts(f"The sample is in {out}.", {"Session": made.id, "Try": plan})


@sample.command(short_help="Run a CADIP station.")
@click.option("--sessions", type=click.IntRange(1), default=1, show_default=True, help="Sessions of the last hours.")
@_session_options
@_station_options
def cadip(sessions: int, **options: Any) -> None:
    """Run a CADIP station until Ctrl-C: OData, with sessions that were published within the last hours."""
    from resources.station_simulator_cadip import CadipSimulator

    now = datetime.now(UTC).replace(microsecond=0)
    wanted = {name: options[name] for name in ("satellite", "channels", "blocks", "block_kb", "seed")}
    made = [_session(number, now - timedelta(minutes=15 + number), **wanted) for number in range(sessions)]
    entry = {"name": "sample-cadip", "source": "cadip", "protocol": "odata"}
    _run(CadipSimulator(made, _schedule(options), options["page"]), options, lambda url: [entry | {"url": f"{url}/odata/v1"}])


@sample.command(short_help="Run an AUXIP station.")
@click.option("--satellite", default="S1A", show_default=True, help="Satellite that the files are for.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the station's faults.")
@_station_options
def auxip(satellite: str, **options: Any) -> None:
    """Run an AUXIP station until Ctrl-C: OData and STAC, with auxiliary files for the sample session and for today."""
    from resources.station_simulator_auxip import AuxipSimulator

    adfs = [adf for day in (samples.START, datetime.now(UTC)) for adf in samples.make_adfs(day, satellite)]
    entry = {"name": "sample-auxip", "source": "auxip"}
    ways = {"odata": "/odata/v1", "stac": "/stac"}
    _run(
        AuxipSimulator(adfs, _schedule(options), page_rows=options["page"]),
        options,
        lambda url: [entry | {"protocol": protocol, "url": url + path} for protocol, path in ways.items()],
    )


def _session(number: int, start: datetime, satellite: str, channels: int, blocks: int, block_kb: int, seed: int) -> SampleSession:
    return samples.make_session(
        satellite=satellite,
        start=start,
        orbit=56552 + number,
        channels=channels,
        blocks=blocks,
        block_bytes=block_kb << 10,
        seed=seed,
    )


def _schedule(options: Mapping[str, Any]) -> FaultSchedule:
    kinds = tuple(Fault(name) for name in options["faults"]) or tuple(Fault)
    return FaultSchedule(options["seed"], options["rate"], kinds, options["only"], options["retry_after"])


def _run(station: Station, options: Mapping[str, Any], entries: Callable[[str], list[dict[str, str]]]) -> None:
    """Serve a station until Ctrl-C, and say how `stations.json` names it."""
    variable = options["authorization"]
    if variable and not os.environ.get(variable):
        raise ConfigurationError(f"--authorization {variable}: there is no such variable", remedy="Export it, or leave the option out.")
    with serving(station, host=_LOOPBACK, port=options["port"], authorization=os.environ[variable] if variable else "") as url:
        console.note(f"The station is at {url}. Ctrl-C ends it. In dpr/stations.json of the input bucket, it is one of:")
        for entry in entries(url):
            console.note(f"  {json.dumps(entry)}")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    happened = ", ".join(f"{kind.value} {number}" for kind, number in sorted(station.faults.happened.items()))
    console.note(f"Faults: {happened or 'none'}.")


def _as_json(document: Any) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
