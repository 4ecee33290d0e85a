"""`groundtrack dpr`: on-demand processing, looked at before anything is run."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from platform_assets.cli import console
from platform_assets.common.errors import ConfigurationError, GroundtrackError, MissingInput
from platform_assets.dpr import cql2
from platform_assets.dpr.auxiliary import AdfSearch, Attempt, Catalogue
from platform_assets.dpr.catalogue import read_folder
from platform_assets.dpr.intake import TaskTables
from platform_assets.dpr.model import ProcessingRequest, read_request
from platform_assets.dpr.payload import to_yaml
from platform_assets.dpr.plan import Plan, destination, make_plan
from platform_assets.dpr.plan import shown as shown_search
from platform_assets.dpr.processors import EOPF
from platform_assets.dpr.secrets import masked
from platform_assets.dpr.storage import BucketRule, Storage, default_storage, read_bucket_rules, read_storage
from platform_assets.dpr.tasktable import TaskTable, identity, read_task_table
from platform_assets.dpr.units import ProcessingUnit, Product
from resources.settings import Settings, load

if TYPE_CHECKING:
    from resources.processor_eopf import EopfProcessor

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def dpr() -> None:
    """On-demand processing: requests, task tables, payloads."""


@dpr.command()
@click.argument("request", type=_FILE)
@click.option(
    "--task-table", "table", required=True, type=click.Path(path_type=Path), help="The processor's task table, or a folder of some."
)
@click.option("--storage", type=_FILE, help="Storage configuration; without it, all goes to the output bucket.")
@click.option("--bucket-rules", type=_FILE, help="Rows of owner, collection, type, days, bucket [one for all: GROUNDTRACK_OUTPUT_BUCKET].")
@click.option("--items", help="What is searched: a folder of STAC items, or the address of a STAC API. Without it nothing is searched.")
@click.option("--key", type=click.Choice(["io", "I/O"]), help="Key of inputs and outputs in the payload [as the task table's generation].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def plan(
    request: Path, table: Path, storage: Path | None, bucket_rules: Path | None, items: str | None, key: str | None, as_json: bool
) -> None:
    """Show what the processing request REQUEST, a JSON or YAML document, would do; nothing is run.

    Shown are the processing units in the order of their run, what each alternative of each auxiliary file searches for and
    finds, and the payload, with references for secrets. The exit code is 1 when the request cannot be run as it is.
    """
    settings = load()
    asked = read_request(_content(request, "a processing request"), str(request))
    chosen = _task_table(table, asked)
    where = destination(asked, _storage(storage, settings), _rules(bucket_rules, settings))
    made = make_plan(asked, chosen, where, _catalogue(items), key)
    if as_json:
        click.echo(json.dumps(_document(made), indent=2, ensure_ascii=False))
    else:
        _print(made)
    sys.exit(1 if made.problems else 0)


@dpr.command()
def prewarm() -> None:
    """Make the Python environments of EOPF processors on this machine, so that no request waits for them.

    They are those of GROUNDTRACK_DPR_PROCESSORS. The exit code is 1 when one cannot be made.
    """
    from resources.processor_eopf import EopfProcessor
    from resources.processors import environments_folder, make_processor

    settings = load()
    processors = make_processor(settings.dpr_processors, settings.s3, {}, environments_folder(settings)).processors
    found = {name: processor for name, processor in processors.items() if isinstance(processor, EopfProcessor)}
    if not found:
        console.note("GROUNDTRACK_DPR_PROCESSORS names no processor of kind eopf; no other has an environment.")
    lacking = [name for name, processor in found.items() if not _prepare(name, processor)]
    sys.exit(1 if lacking else 0)


def _prepare(name: str, processor: "EopfProcessor") -> bool:
    """Return whether a processor has an environment with EOPF CPM now, and tell."""
    try:
        with console.busy(f"{name}: making its environment ..."):
            made = processor.prepare()
        if EOPF not in made.packages:
            raise ConfigurationError(f"there is no EOPF CPM in {made.folder}", remedy="Install eopf there, or leave `python` out.")
    except GroundtrackError as error:
        console.failure(type(error)(f"{name}: {error}", code=error.code, remedy=error.remedy))
        return False
    console.note(f"{name}: EOPF CPM {made.packages[EOPF]}, {len(made.packages)} packages, in {made.folder}")
    return True


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingInput(f"{path}: {error.strerror}", remedy=f"Give {what} that can be read.") from error


def _task_table(path: Path, request: ProcessingRequest) -> TaskTable:
    """Return the task table of a file, or the one of a folder that is the processor's in the version asked for."""
    if not path.is_dir():
        return read_task_table(_content(path, "a task table"), str(path))
    told = {file: identity(file.read_bytes()) for file in sorted(path.glob("*.json"))}
    others = tuple(file.name for file, row in told.items() if not row)
    tables = TaskTables(str(path), {str(file): row for file, row in told.items() if row}, others)
    chosen = tables.choose(request)
    return read_task_table(Path(chosen).read_bytes(), chosen)


def _storage(path: Path | None, settings: Settings) -> Storage:
    if path:
        return read_storage(_content(path, "a storage configuration"), str(path))
    return default_storage(settings.s3_endpoint_url, settings.s3_region)


def _rules(path: Path | None, settings: Settings) -> Sequence[BucketRule]:
    if path:
        return read_bucket_rules(_content(path, "bucket rules"), str(path))
    return (BucketRule("*", "*", "*", "", settings.output_bucket),)


def _catalogue(items: str | None) -> Catalogue | None:
    if not items:
        return None
    if "://" in items:
        from resources.stac_api import StacApi

        return StacApi(items)
    return read_folder(Path(items))


def _document(made: Plan) -> dict[str, Any]:
    return {
        "request": made.request.model_dump(mode="json"),
        "task_table": {"source": made.table.source, "name": made.table.name, "version": made.table.version},
        "units": [unit.to_json() for unit in made.units.units],
        "auxiliary_files": [shown_search(search) for search in made.searches],
        "payload": masked(made.payload.document) if made.payload else None,
        "notes": list(made.notes),
        "problems": [{"code": error.code, "message": str(error), "remedy": error.remedy} for error in made.problems],
    }


def _print(made: Plan) -> None:
    what = f"pipeline {made.request.pipeline}" if made.request.pipeline else f"unit {made.request.unit}"
    _title(f"{made.table.name} {made.table.version}, {what}")
    for unit in made.units.units:
        _lines(_unit_lines(unit))
    _title("Auxiliary files")
    for searches in _by_file(made.searches):
        _lines(_search_lines(searches))
    if made.notes:
        _title("Notes")
        _lines(f"  {note}" for note in made.notes)
    if made.payload:
        _title("Payload")
        _lines(to_yaml(masked(made.payload.document)).splitlines())
    for problem in made.problems:
        console.failure(problem)


def _unit_lines(unit: ProcessingUnit) -> Iterable[str]:
    yield f"  {unit.name} ({unit.module})"
    for product in unit.inputs:
        yield f"    in   {_named(product)} from {product.origin}"
    for product in unit.adfs:
        yield f"    adf  {_named(product)}"
    for product in unit.outputs:
        pattern = product.fields.get("regex")
        yield f"    out  {_named(product)} to {product.origin}" + (f", whatever matches {pattern}" if pattern else "")


def _named(product: Product) -> str:
    return product.name if product.mandatory else f"{product.name} (optional)"


def _by_file(searches: Iterable[AdfSearch]) -> Iterable[list[AdfSearch]]:
    """Yield the searches of each file; those of units that searched the same are one."""
    grouped: dict[tuple[Any, ...], list[AdfSearch]] = {}
    for search in searches:
        grouped.setdefault((search.adf.name, search.adf.mandatory, repr(search.attempts)), []).append(search)
    yield from grouped.values()


def _search_lines(searches: Sequence[AdfSearch]) -> Iterable[str]:
    yield f"  {_named(searches[0].adf)}, for {', '.join(search.unit for search in searches)}"
    for attempt in searches[0].attempts:
        target = f" for {attempt.for_item}" if attempt.for_item else ""
        yield f"    {attempt.order}. {attempt.query} in {attempt.collection} ({attempt.source}){target}: {_found(attempt)}"
        yield f"       {_query(attempt)}"
    if not searches[0].attempts:
        yield "    not searched: the input that it is for is not there"


def _found(attempt: Attempt) -> str:
    if attempt.found is None:
        return "not searched"
    return f"found {', '.join(attempt.found)}" if attempt.found else "found nothing"


def _query(attempt: Attempt) -> str:
    search = attempt.search
    if search.unfilled:
        return json.dumps(search.filter)
    text = cql2.text(cql2.executable(search, attempt.query)) or "any item"
    order = ", ".join(f"{row['field']} {row.get('direction', 'asc')}" for row in search.sortby)
    return "; ".join(filter(None, (text, f"by {order}" if order else "", f"{search.limit} at most" if search.limit else "")))


def _title(text: str) -> None:
    console.console.print(Text(text, style="bold"))


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        console.console.print(Text(line), soft_wrap=True)
