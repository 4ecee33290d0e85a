"""Instrument packages: which wheel is kept, and that projects which are built at once get their own."""

import threading
import time
import zipfile
from pathlib import Path

import pytest

from platform_assets.common.errors import Conflict
from platform_assets.workflows.packages import find_package, keep_wheel

_NAME = "camera-1.0.0-py3-none-any.whl"


def wheel(folder: Path, code: str, year: int = 2026, name: str = _NAME) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr(zipfile.ZipInfo("camera.py", (year, 1, 1, 0, 0, 0)), code)
    return folder / name


def test_a_wheel_of_a_version_is_never_replaced_by_one_with_other_code_unless_that_is_asked_for(tmp_path):
    keep_wheel(wheel(tmp_path / "one", "a = 1"), tmp_path / "kept")
    before = (tmp_path / "kept" / _NAME).read_bytes()
    other = wheel(tmp_path / "two", "a = 2")
    with pytest.raises(Conflict, match="is another wheel of this version") as raised:
        keep_wheel(other, tmp_path / "kept")
    assert "--replace" in raised.value.remedy
    assert (tmp_path / "kept" / _NAME).read_bytes() == before
    keep_wheel(other, tmp_path / "kept", replace=True)
    assert (tmp_path / "kept" / _NAME).read_bytes() == other.read_bytes()


def test_the_same_code_built_again_changes_nothing(tmp_path):
    keep_wheel(wheel(tmp_path / "one", "a = 1"), tmp_path / "kept")
    before = (tmp_path / "kept" / _NAME).stat()
    keep_wheel(wheel(tmp_path / "two", "a = 1", year=2025), tmp_path / "kept")
    assert (tmp_path / "kept" / _NAME).stat() == before


def test_what_is_left_of_a_wheel_is_replaced_when_that_is_asked_for(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / _NAME).write_bytes(b"PK")
    one = wheel(tmp_path / "one", "a = 1")
    keep_wheel(one, tmp_path / "kept", replace=True)
    assert (tmp_path / "kept" / _NAME).read_bytes() == one.read_bytes()


class SlowBuilder:
    """Builds a wheel named as the project's folder, and is done when all builders are."""

    def __init__(self, builders: int) -> None:
        self._together = threading.Barrier(builders)

    def build_wheel(self, project: Path, folder: Path) -> None:
        wheel(folder, "a = 1", name=f"{project.name}-1.0.0-py3-none-any.whl")
        self._together.wait(10)
        time.sleep(0.01)


def test_projects_that_are_built_at_once_get_their_own_wheels(tmp_path):
    names, found, builder = [f"camera{number}" for number in range(4)], {}, SlowBuilder(4)
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").touch()

    def build(name: str) -> None:
        found[name] = find_package(str(tmp_path / name), builder, tmp_path / "built")

    threads = [threading.Thread(target=build, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: package.distribution for name, package in found.items()} == {name: name for name in names}
    assert all(package.wheel.is_file() for package in found.values())
    assert sorted(path.name for path in (tmp_path / "built").iterdir()) == [f"{name}-1.0.0-py3-none-any.whl" for name in names]
