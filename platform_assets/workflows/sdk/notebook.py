"""A notebook as a record of manual processing: known to be saved, then kept as Markdown."""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FENCE = re.compile(r"^`{3,}", re.MULTILINE)


def wait_for_notebook_save(path: Path, sentinel: str | None = None, attempts: int = 120, delay_s: float = 1.0) -> None:
    """Return when a notebook is saved with all its output until now.

    A word is printed into the notebook, and looked for in its file: save it while this waits.

    Args:
        path: The notebook.
        sentinel: The word; one that was never used when left out.
        attempts: How often to look.
        delay_s: How long to wait before each look but the first.

    Raises:
        TimeoutError: The word did not appear.
    """
    word = sentinel or f"groundtrack-{uuid4().hex}"
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    for attempt in range(attempts):
        if attempt:
            time.sleep(delay_s)
        if path.exists() and word in path.read_text(errors="replace"):
            return
    raise TimeoutError(f"{path} was not saved within {attempts * delay_s:.0f} s; save the notebook, and run the cell again")


def export_notebook_by_path(path: Path) -> bytes:
    """Return a notebook as Markdown in UTF-8: its name as title, its text, its code, and what that printed.

    Raises:
        ValueError: The file is no notebook.
    """
    try:
        cells = json.loads(path.read_text())["cells"]
        parts = [part for cell in cells for part in _cell(cell)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no notebook: {error!r}") from None
    return ("\n\n".join([f"# {path.stem}", *parts]) + "\n").encode()


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    source = _text(cell["source"])
    if cell["cell_type"] != "code":
        yield source
        return
    yield _fenced(source, "python")
    for output in cell["outputs"]:
        if shown := _output(output):
            yield shown


def _output(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "error":
        return _fenced("\n".join(output["traceback"]), "text")
    if output["output_type"] == "stream":
        return _fenced(_text(output["text"]), "text")
    data = output["data"]
    if "text/markdown" in data:
        return _text(data["text/markdown"])
    return _fenced(_text(data["text/plain"]), "text") if "text/plain" in data else ""


def _fenced(text: str, language: str) -> str:
    """Return a block of code between fences longer than any in it."""
    fence = "`" * max([3, *(len(found) + 1 for found in _FENCE.findall(text))])
    return f"{fence}{language}\n{_COLOURS.sub('', text).rstrip()}\n{fence}"


def _text(value: str | list[str]) -> str:
    """Return a text, which a notebook may have as a list of its lines."""
    return value if isinstance(value, str) else "".join(value)
