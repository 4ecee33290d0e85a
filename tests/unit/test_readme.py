"""The README says what is so."""

import re
from pathlib import Path

from platform_assets.cli.main import _COMMANDS
from resources.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_readme_has_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `GROUNDTRACK_(\w+)` \| (?:`([^`]*)`)? \|", README, re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = (
            field.default.get_secret_value()
            if hasattr(field.default, "get_secret_value")
            else getattr(field.default, "value", field.default)
        )
        assert rows[name.upper()] == (str(default) if default != {} else ""), name


def test_the_readme_has_every_command() -> None:
    assert {"up", *_COMMANDS} == set(re.findall(r"^\| `groundtrack (\w+)", README, re.MULTILINE))
