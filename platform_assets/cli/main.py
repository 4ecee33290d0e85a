"""The `groundtrack` command.

Nothing heavy is imported before a command runs: `groundtrack --help` answers at once. To add a command, add its line to
`_COMMANDS`; its module is imported when it is called.
"""

import os
import sys
import webbrowser
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
from dotenv import load_dotenv

import platform_assets
from platform_assets.common.errors import GroundtrackError

if TYPE_CHECKING:
    from platform_assets.cli.supervisor import Platform

_COMMANDS = {
    "demo": ("platform_assets.cli.demo:demo", "Start the platform and convert a sample archive."),
    "doctor": ("platform_assets.cli.doctor:doctor", "Check what the platform needs, and say what to mend."),
    "dpr": ("platform_assets.cli.dpr:dpr", "Show what processing requests would do, and prepare for them."),
    "env": ("platform_assets.cli.env:env", "Print the environment for Dagster's own commands."),
    "reconcile": ("platform_assets.cli.reconcile:reconcile", "Compute the catalogue anew from its items."),
    "report": ("platform_assets.cli.report:report", "Show how every row of a manifest ended."),
    "retry": ("platform_assets.cli.report:retry", "Drop the failed rows of a manifest again."),
    "sample": ("platform_assets.cli.sample:sample", "Write samples for on-demand processing, or run stations that serve them."),
    "sar": ("platform_assets.cli.sar:sar", "Make L1B files of Sentinel-1 products on local disk."),
    "workflows": ("platform_assets.cli.workflows:workflows", "Export and run workflows of instrument packages."),
}
"""Commands of other modules: where each is, and its line in the list of commands."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Commands(click.Group):
    """A group that knows its commands by name and imports each when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        own = {name: command.get_short_help_str(100) for name, command in self.commands.items()}
        rows = sorted({**own, **{name: text for name, (_, text) in _COMMANDS.items()}}.items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(platform_assets.__version__, prog_name="groundtrack")
@click.option("--debug", is_flag=True, help="Show the traceback of errors.")
def cli(debug: bool) -> None:
    """Groundtrack: a data platform for Earth-observation processing centres."""
    del debug  # read by `main`, where the errors arrive


@cli.command()
@click.option("--host", help="Address the web UI listens on [GROUNDTRACK_UI_HOST, 127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web UI; the next free one is taken [GROUNDTRACK_UI_PORT, 3000].")
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), help="Folder of the platform's state [GROUNDTRACK_HOME, .groundtrack]."
)
@click.option("--read-only", is_flag=True, help="The web UI only shows.")
@click.option("--no-browser", is_flag=True, help="Do not open the web UI in a browser.")
@click.option(
    "--definitions", metavar="MODULE", default="platform_assets.definitions", show_default=True, help="Module of Dagster's definitions."
)
def up(host: str | None, port: int | None, home: Path | None, read_only: bool, no_browser: bool, definitions: str) -> None:
    """Start the platform on the data of last time, until Ctrl-C."""
    from platform_assets.cli import console
    from platform_assets.cli.env import forget_exported
    from platform_assets.cli.supervisor import Platform
    from resources.settings import load

    forget_exported()
    asked = {"ui_host": host, "ui_port": port, "home": home, "ui_read_only": read_only or None}
    settings = load(**{name: value for name, value in asked.items() if value is not None})
    with ExitStack() as stack:
        with console.busy("Starting the platform ..."):
            platform = stack.enter_context(Platform(settings, definitions=definitions, tell=console.note))
        with suppress(KeyboardInterrupt):
            console.facts("Groundtrack is up. Ctrl-C ends it.", addresses(platform))
            if settings.ui_host not in _LOOPBACK:
                console.note("The web UI is open to other machines, without encryption: its token can be read on the network.")
            if not no_browser and _has_desktop():
                webbrowser.open(platform.ui_url)
            platform.wait()
        console.note("Stopping ...")


def addresses(platform: "Platform") -> dict[str, str]:
    """Return where users find the parts of a platform."""
    home = platform.settings.home
    return {
        "Web UI": platform.ui_url,
        "Dask dashboard": platform.dashboard_url,
        "S3 server": platform.settings.s3_endpoint_url,
        "S3 key pair": str(home / "s3-credentials") if platform.own_store else "",
        "Logs": str(home / "logs"),
    }


def _has_desktop() -> bool:
    """Whether a browser opens in a window, rather than in this terminal or not at all."""
    return sys.stdout.isatty() and (sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")))


def main() -> None:
    """Run the command; errors that are foreseen are shown as message and remedy."""
    debug = "--debug" in sys.argv
    # Settings read `.env` themselves; the AWS chain does not.
    load_dotenv(Path(".env"))
    try:
        sys.exit(cli(standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except GroundtrackError as error:
        if debug:
            raise
        from platform_assets.cli import console

        console.failure(error)
        sys.exit(1)
