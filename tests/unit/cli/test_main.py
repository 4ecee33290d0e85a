"""The command itself: its list of commands, its errors, its exit codes."""

import sys

import click
import pytest

from platform_assets.cli import main as main_module
from platform_assets.common.errors import ConfigurationError


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groundtrack", *arguments])
        with pytest.raises(SystemExit) as ended:
            main_module.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return call


def fails(error: BaseException) -> click.Command:
    def body() -> None:
        raise error

    return click.Command("up", callback=body)


def test_every_command_is_listed_without_being_imported(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in ("up", *main_module._COMMANDS):
        assert f"\n  {name} " in out


def test_the_version_is_told(run):
    assert run("--version")[:2] == (0, "groundtrack, version 0.1.0\n")


def test_a_command_that_does_not_exist_is_a_usage_error(run):
    code, _, err = run("fly")
    assert code == 2
    assert "No such command 'fly'" in err


def test_a_foreseen_error_is_its_message_and_its_remedy(run, monkeypatch):
    monkeypatch.setitem(main_module.cli.commands, "up", fails(ConfigurationError("the [bucket] is missing", remedy="Create it.")))
    code, _, err = run("up")
    assert code == 1
    assert err == "Error: the [bucket] is missing\nWhat to do: Create it.\n"


def test_a_foreseen_error_has_its_traceback_with_debug(monkeypatch):
    monkeypatch.setitem(main_module.cli.commands, "up", fails(ConfigurationError("wrong")))
    monkeypatch.setattr(sys, "argv", ["groundtrack", "--debug", "up"])
    with pytest.raises(ConfigurationError):
        main_module.main()


def test_ctrl_c_ends_with_130_and_no_traceback(run, monkeypatch):
    monkeypatch.setitem(main_module.cli.commands, "up", fails(KeyboardInterrupt()))
    code, _, err = run("up")
    assert code == 130
    assert "Traceback" not in err
