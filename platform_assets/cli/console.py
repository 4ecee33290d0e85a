"""What the command prints, and how."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from platform_assets.common.errors import GroundtrackError

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def note(line: str) -> None:
    """Print one line about something that happened; may be called from any thread, also while `busy` spins."""
    console.print(escape(line), soft_wrap=True)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that something is under way; nothing is shown when the output is no terminal."""
    with console.status(escape(what)):
        yield


def facts(title: str, lines: Mapping[str, str]) -> None:
    """Print names and values under a title; empty values are left out."""
    console.print(f"[bold]{escape(title)}[/bold]")
    for name, value in lines.items():
        if value:
            console.print(f"  {escape(name):<16} {escape(value)}", soft_wrap=True)


def failure(error: GroundtrackError) -> None:
    """Print what is wrong and what to do next."""
    errors.print(f"[bold red]Error:[/bold red] {escape(str(error))}", soft_wrap=True)
    errors.print(f"[bold]What to do:[/bold] {escape(error.remedy)}", soft_wrap=True)
