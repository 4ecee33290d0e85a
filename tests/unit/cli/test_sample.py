"""`groundtrack sample` as it is typed; its stations are tested with the simulators."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from platform_assets.cli.dpr import dpr
from platform_assets.cli.sample import sample
from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr.session import read_session


def test_a_sample_session_is_a_folder_as_it_is_dropped(tmp_path: Path) -> None:
    done = CliRunner().invoke(sample, ["session", str(tmp_path), "--blocks", "2", "--block-kb", "4", "--satellite", "S1C"])
    [folder] = tmp_path.iterdir()
    session = read_session((folder / f"{folder.name}.json").read_bytes(), "session", folder.name)
    assert (done.exit_code, folder.name) == (0, "S1C_20260501041000056552")
    assert {block.name: block.size_bytes for block in session.blocks} == {path.name: path.stat().st_size for path in folder.glob("*.raw")}


def test_the_sample_documents_can_be_planned_with_two_units_and_three_auxiliary_files(tmp_path: Path) -> None:
    CliRunner().invoke(sample, ["documents", str(tmp_path), "--block-kb", "4"])
    request, table, items = tmp_path / "requests" / "sample.json", tmp_path / "dpr" / "tasktables", tmp_path / "items"
    done = CliRunner().invoke(dpr, ["plan", str(request), "--task-table", str(table), "--items", str(items), "--json"])
    plan = json.loads(done.stdout)
    found = {search["adf"]: [bool(attempt["found"]) for attempt in search["attempts"]] for search in plan["auxiliary_files"]}
    assert done.exit_code == 0
    assert [unit["name"] for unit in plan["units"]] == ["Demultiplex.1", "Level0.2"]
    assert found == {"OSF": [True], "ORB": [False, True], "ETAD": [False]}  # the last one is optional


def test_a_station_does_not_start_without_the_secret_that_it_is_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMPLE_TOKEN", raising=False)
    done = CliRunner().invoke(sample, ["cadip", "--authorization", "SAMPLE_TOKEN"])
    assert isinstance(done.exception, ConfigurationError)
