"""`groundtrack report` and `groundtrack retry`."""

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from platform_assets.cli import console
from platform_assets.cli.deployment import find_deployment
from platform_assets.cli.manifests import drop_failed, newest_report, unsettled

_SHOWN_FAILURES = 20
_BYTES = 1 << 30


@click.command()
@click.argument("manifest")
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the HTML report to this file.")
def report(manifest: str, as_json: bool, save: Path | None) -> None:
    """Show how every row of MANIFEST ended; MANIFEST is its key, as it was dropped."""
    deployment = find_deployment()
    if now := unsettled(deployment, manifest):
        if as_json:
            click.echo(json.dumps({"settled": False, "now": now}))
        else:
            console.note(now)
        return
    document = newest_report(deployment, manifest)
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        show(document)
    if save:
        page = document["report_key"].removesuffix(".json") + ".html"
        save.write_bytes(deployment.source.read(page, limit_bytes=_BYTES)[0])
        console.errors.print(f"Saved {save}", soft_wrap=True)


@click.command()
@click.argument("manifest")
@click.option("--class", "code", help="Only rows of this error class, such as missing_input.")
def retry(manifest: str, code: str | None) -> None:
    """Drop the failed rows of MANIFEST again: exactly those are then tried again."""
    deployment = find_deployment()
    number = drop_failed(deployment, manifest, code)
    which = f" of class {code}" if code else ""
    if number:
        console.note(f"{number} failed rows{which} of {manifest} are dropped again.")
    else:
        console.note(f"There are no failed rows{which} of {manifest}; nothing is dropped.")


def show(document: dict[str, Any]) -> None:
    """Print a JSON report for people: totals and the first failures."""
    totals = document["totals"]
    lines = {
        "Rows": str(totals["rows"]),
        "Converted": str(totals["done"]),
        "Found done": str(totals["carried_over"]),
        "Failed": f"{totals['failed']} {_classes(totals['failed_by_class'])}",
        "Rejected": document["rejected"]["message"] if document["rejected"] else "",
        "Throughput": f"{totals['images_per_minute']} images/min over {totals['seconds']:.0f} s",
        "Report": f"s3://{document['manifest']['bucket']}/{document['report_key'].removesuffix('.json')}.html",
    }
    console.facts(document["manifest"]["key"], lines)
    failures = [row for row in document["rows"] if "failure" in row]
    if failures:
        console.console.print(_failures(failures[:_SHOWN_FAILURES]))
        if len(failures) > _SHOWN_FAILURES:
            console.note(f"… and {len(failures) - _SHOWN_FAILURES} more: --json has all.")


def _classes(by_class: dict[str, int]) -> str:
    return f"({', '.join(f'{number} {name}' for name, number in by_class.items())})" if by_class else ""


def _failures(rows: list[dict[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        failure = row["failure"]
        table.add_row(Text(f"line {row['line']}"), Text(row["key"], style="bold"))
        table.add_row("", Text.assemble((failure["error_class"], "red"), f" in {failure['stage']}: {failure['message']}"))
        table.add_row("", Text(f"→ {failure['what_to_do']}", style="italic"))
    return table
