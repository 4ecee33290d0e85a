"""Real wheels of the sample instrument and of what it pins, built without a network."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from uv import find_uv_bin

_SOURCES = Path(__file__).parent
_PROJECT = """
[project]
name = "{name}"
version = "{version}"
requires-python = ">=3.11"
{more}

[build-system]
requires = ["uv_build>=0.13.8,<0.14"]
build-backend = "uv_build"
"""


def instrument(folder: Path, version: str, *, extras: bool = True) -> Path:
    """Build the instrument in a version that pins the tables of the same version, and return its wheel."""
    wheel(folder, "calibration-tables", version)
    pins = f'"calibration-tables=={version}"'
    more = 'dependencies = ["calibration-tables"]\n'
    return wheel(folder, "instrument", version, more + (f"optional-dependencies = {{frozen = [{pins}], fast = []}}" if extras else ""))


def wheel(folder: Path, name: str, version: str, more: str = "", sources: Path = _SOURCES) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / name
        shutil.copytree(sources / name.replace("-", "_"), project, ignore=shutil.ignore_patterns("__pycache__"))
        (project / "pyproject.toml").write_text(_PROJECT.format(name=name, version=version, more=more))
        command = [find_uv_bin(), "build", "--wheel", "--quiet", "--offline", "--no-cache", "--out-dir", str(folder), str(project)]
        subprocess.run(command, check=True, capture_output=True)
    return folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
