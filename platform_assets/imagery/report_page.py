"""The report for people: one HTML file that opens from disk, asks for nothing from outside, and trusts no key or message."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from platform_assets.common.provenance import software
from platform_assets.common.values import Failure, State
from platform_assets.imagery.report import BatchReport, Row
from platform_assets.imagery.report_map import Shape, map_svg

FAILED_ROWS = 2000
DONE_ROWS = 1000
THUMBNAILS = 200
THUMBNAIL_BYTES = 6_000_000
FOOTPRINTS = 2000

_TRACEBACK_CHARACTERS = 2000
_MESSAGE_CHARACTERS = 1000
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_PRODUCTS = {"cog": "COG", "jpeg": "JPEG", "thumbnail": "thumb"}
_STATES = {State.DONE: "converted", State.CARRIED_OVER: "found done", State.FAILED: "failed"}


def report_html(report: BatchReport, *, csv_name: str = "report.csv") -> bytes:
    """Return the page of a report.

    Args:
        report: What became of the manifest.
        csv_name: The file that lies beside the page and has every row.
    """
    template = _template()
    slots = {
        "csp": _policy(template),
        "title": _text(f"{report.manifest} – Groundtrack report"),
        "header": _header(report),
        "totals": _totals(report),
        "failures": _failures(report, csv_name),
        "map": _map(report),
        "thumbnails": _thumbnails(report),
        "done": _done(report, csv_name),
        "footer": f"<p>Groundtrack {_text(software(())['groundtrack'])} · every row is in {_code(csv_name)} beside this file</p>",
    }
    return _SLOT.sub(lambda match: slots[match[1]], template).encode("utf-8", "replace")


@cache
def _template() -> str:
    return files(__package__).joinpath("report.html").read_text("utf-8")


def _policy(template: str) -> str:
    """Return a policy under which this page's own style and script run and nothing else does, wherever it may come from."""
    hashes = {}
    for tag in ("style", "script"):
        own = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        hashes[tag] = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


# --- words --------------------------------------------------------------------------------------------------------------


def _text(value: str, limit: int = 2000) -> str:
    """Return a text as it may stand in HTML: escaped, what cannot be seen made visible, not longer than the limit."""
    return escape(_visible(value if len(value) <= limit else f"{value[: limit - 1]}…"))


def _visible(value: str) -> str:
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "backslashreplace").decode() for c in value)


def _code(value: str) -> str:
    return f"<code>{_text(value)}</code>"


def _copy(value: str, label: str) -> str:
    return f'<button type="button" hidden data-copy="{_text(value)}">{_text(label)}</button>'


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _table(columns: str, rows: str) -> str:
    """Return a table; the names of its columns are separated by commas, and those of numbers begin with `#`."""
    heads = "".join(
        f'<th scope="col" class="n">{name[1:]}</th>' if name.startswith("#") else f'<th scope="col">{name}</th>'
        for name in columns.split(",")
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


# --- head ---------------------------------------------------------------------------------------------------------------


def _header(report: BatchReport) -> str:
    return (
        f'<p class="eyebrow"><b>Groundtrack</b> · report of manifest {_code(report.id)}</p>'
        f'<h1 class="key">{_text(report.manifest)}</h1>{_lead(report)}'
        f'<p class="soft">From {_moment(report.started)} to {_moment(report.ended)} UTC · bucket {_code(report.bucket)}{_runs(report)}</p>'
    )


def _lead(report: BatchReport) -> str:
    totals = report.totals
    if report.rejected:
        return f'<p class="lead bad"><b>The manifest was refused:</b> {_text(report.rejected.message)}</p>'
    if totals.failed:
        return f'<p class="lead bad"><b>{totals.failed:,} of {_count(totals.rows, "image", "images")} failed.</b></p>'
    if totals.rows == 1:
        return '<p class="lead good"><b>The image is done.</b></p>'
    return f'<p class="lead good"><b>All {totals.rows:,} images are done.</b></p>'


def _moment(moment: Any) -> str:
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M:%S}</time>'


def _runs(report: BatchReport) -> str:
    if not report.runs:
        return ""
    return " · runs " + ", ".join(_link(run.url, run.id[:8]) if run.url.startswith("http") else _code(run.id[:8]) for run in report.runs)


def _link(url: str, label: str) -> str:
    """Return a link for addresses that a browser can open, and for others a button that copies the address."""
    if url.startswith(("http://", "https://")):
        return f'<a href="{_text(url)}" rel="noopener noreferrer">{_text(label)}</a>'
    return _copy(url, label)


def _totals(report: BatchReport) -> str:
    totals = report.totals
    tiles = [
        ("Images", f"{totals.rows:,}"),
        ("Took", _duration(totals.seconds)),
        ("Throughput", f"{totals.images_per_minute:,.1f} <small>images/min</small>"),
        ("Raw images converted", _bytes(totals.source_bytes)),
        ("Products made", _bytes(totals.product_bytes)),
    ]
    counts = {State.DONE: totals.done, State.CARRIED_OVER: totals.carried_over, State.FAILED: totals.failed}
    inside = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)
    legend = "".join(f'<li class="{state}">{count:,} {_STATES[state]}</li>' for state, count in counts.items())
    return f'<dl class="tiles">{inside}</dl>{_bar(counts)}<ul class="legend">{legend}</ul>'


def _bar(counts: Mapping[State, int]) -> str:
    total = max(1, sum(counts.values()))
    parts, start = [], 0.0
    for state, count in counts.items():
        width = 1000 * count / total
        parts.append(f'<rect class="{state}" x="{start:.2f}" y="0" width="{width:.2f}" height="10"/>')
        start += width
    label = ", ".join(f"{count} {_STATES[state]}" for state, count in counts.items())
    return f'<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{label}">{"".join(parts)}</svg>'


# --- failures -----------------------------------------------------------------------------------------------------------


def _failures(report: BatchReport, csv_name: str) -> str:
    if report.rejected:
        return (
            f'<section class="card"><h2>What to do</h2><p><span class="class">{_text(report.rejected.code)}</span> '
            f"{_text(report.rejected.remedy)}</p></section>"
        )
    if not report.failed:
        return ""
    shown = [(row, row.outcome.failure) for row in report.failed[:FAILED_ROWS] if row.outcome.failure]
    rows = "".join(_failed_row(report, row, failure) for row, failure in shown)
    return (
        f'<section class="card"><h2>What went wrong</h2>{_classes(report)}</section>'
        f'<section class="card"><h2>Failed images <small>{_left_out(len(report.failed), len(shown), csv_name)}</small></h2>'
        f"{_table('#Line,Key,Stage,Class,What is wrong,What to do,Retry', rows)}</section>"
    )


def _classes(report: BatchReport) -> str:
    remedies: dict[str, str] = {}
    for row in report.failed:
        if row.outcome.failure:
            remedies.setdefault(row.outcome.failure.code, row.outcome.failure.remedy)
    rows = "".join(
        f'<tr><td><span class="class">{_text(code)}</span></td><td class="n">{count:,}</td><td class="why">{_text(remedies[code])}</td>'
        f"<td>{_command(report.retry_command(code))}</td></tr>"
        for code, count in report.totals.by_class.items()
    )
    table = _table("Class,#Images,What to do,Then try them again", rows)
    return f"{table}<p>All failed images together: {_command(report.retry_command())}</p>"


def _command(command: str) -> str:
    return f'<span class="command">{_code(command)}{_copy(command, "Copy")}</span>'


def _failed_row(report: BatchReport, row: Row, failure: Failure) -> str:
    tries = f"{_count(row.outcome.attempts, 'attempt', 'attempts')}, {_duration(row.outcome.seconds)}" if row.outcome.attempts else ""
    trace = failure.traceback
    details = f"<details><summary>Traceback</summary><pre>{_text(trace[-_TRACEBACK_CHARACTERS:])}</pre></details>" if trace else ""
    return (
        f'<tr data-row><td class="n">{row.line}</td><td class="key">{_text(row.key)}</td>'
        f'<td>{_text(failure.stage)}<br><span class="tries">{tries}</span></td><td><span class="class">{_text(failure.code)}</span></td>'
        f'<td class="why">{_text(failure.message, _MESSAGE_CHARACTERS)}{details}</td><td>{_text(failure.remedy)}</td>'
        f"<td>{_copy(report.retry_command(failure.code), 'Copy command')}</td></tr>"
    )


def _left_out(total: int, shown: int, csv_name: str) -> str:
    return f"{total:,}" if shown >= total else f"the first {shown:,} of {total:,}; all are in {_code(csv_name)}"


# --- map and images -----------------------------------------------------------------------------------------------------


def _map(report: BatchReport) -> str:
    placed = [Shape(row.key, row.outcome.facts["geometry"]) for row in report.good if row.outcome.facts.get("geometry")]
    if not report.good:
        return ""
    if not placed:
        return '<section class="card"><h2>Map</h2><p class="soft">None of the images is georeferenced.</p></section>'
    shown = placed[:FOOTPRINTS]
    without = len(report.good) - len(placed)
    notes = [f"{len(shown):,} of {len(placed):,} footprints" if len(shown) < len(placed) else _count(len(shown), "footprint", "footprints")]
    if without:
        notes.append(f"{without:,} without georeference")
    drawn = map_svg([Shape(_visible(shape.label), shape.geometry) for shape in shown])
    two = " two" if "map-world" in drawn else ""
    buttons = "".join(
        f'<button type="button" hidden data-zoom="{factor}" aria-label="{name}">{label}</button>'
        for factor, name, label in (("0.5", "Enlarge the map", "+"), ("2", "Reduce the map", "−"), ("0", "Show all footprints", "All"))
    )
    return (
        f'<section class="card"><h2>Map <small>{", ".join(notes)}</small></h2>'
        f'<div class="maps{two}">{drawn}</div><div class="zoom">{buttons}</div></section>'
    )


def _thumbnails(report: BatchReport) -> str:
    pictured = [row for row in report.good if _BASE64.fullmatch(row.outcome.facts.get("thumbnail") or "")]
    shown = list(_within(pictured, THUMBNAIL_BYTES))[:THUMBNAILS]
    if not shown:
        return ""
    note = f"{len(shown):,}" if len(shown) == len(pictured) else f"the first {len(shown):,} of {len(pictured):,}"
    return (
        f'<section class="card"><h2>Images <small>{note}</small></h2>'
        f'<div class="grid-of-images">{"".join(_thumbnail(row) for row in shown)}</div></section>'
    )


def _within(rows: Iterable[Row], most_bytes: int) -> Iterable[Row]:
    size = 0
    for row in rows:
        size += len(row.outcome.facts["thumbnail"])
        if size > most_bytes:
            return
        yield row


def _thumbnail(row: Row) -> str:
    facts = row.outcome.facts
    key = _text(row.key)
    return (
        f'<figure data-row><img src="data:image/jpeg;base64,{facts["thumbnail"]}" alt="Thumbnail of {key}" decoding="async">'
        f'<figcaption><span class="key">{key}</span><br><span class="soft">{_pixels(facts)}</span></figcaption></figure>'
    )


def _pixels(facts: Mapping[str, Any]) -> str:
    if "width" not in facts:
        return ""
    return f"{facts['width']:,} × {facts['height']:,}, {facts['bands']} × {_text(facts['dtype'])}"


# --- done ---------------------------------------------------------------------------------------------------------------


def _done(report: BatchReport, csv_name: str) -> str:
    shown = report.good[:DONE_ROWS]
    if not shown:
        return ""
    columns = "#Line,Key,State,Pixels,CRS,#Raw,#COG,#Ratio,#Seconds,Products"
    rows = "".join(_done_row(report, row) for row in shown)
    note = _left_out(len(report.good), len(shown), csv_name)
    return f'<section class="card"><h2>Done <small>{note}</small></h2>{_table(columns, rows)}</section>'


def _done_row(report: BatchReport, row: Row) -> str:
    facts, state = row.outcome.facts, row.outcome.state
    products = facts.get("products", {})
    source, cog, ratio = facts.get("source"), products.get("cog"), facts.get("compression_ratio")
    links = {_PRODUCTS.get(name, name): product["key"] for name, product in products.items()}
    if "item_key" in facts:
        links["item"] = facts["item_key"]
    return (
        f'<tr data-row><td class="n">{row.line}</td><td class="key">{_text(row.key)}</td>'
        f'<td><span class="badge {state}">{_STATES[state]}</span></td><td class="line">{_pixels(facts)}</td>'
        f"<td>{_text(facts.get('crs') or 'none')}</td>"
        f'<td class="n">{_bytes(source["size_bytes"]) if source else ""}</td><td class="n">{_bytes(cog["size_bytes"]) if cog else ""}</td>'
        f'<td class="n">{f"{ratio:.1f}" if ratio else ""}</td>'
        f'<td class="n">{f"{row.outcome.seconds:.1f}" if state is State.DONE else ""}</td>'
        f'<td><span class="links">{"".join(_link(report.url(key), label) for label, key in links.items())}</span></td></tr>'
    )
