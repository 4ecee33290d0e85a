"""The cache of environments, with real environments of real wheels: one build, no damage, nothing removed under its users."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from platform_assets.common.errors import Conflict
from platform_assets.environments import interpreters
from platform_assets.environments.cache import EnvironmentCache
from platform_assets.environments.errors import InstallFailed, MissingExtra
from platform_assets.environments.uv import PackageIndex, Uv
from tests.builders.wheels import instrument

ONE, TWO = ["instrument[frozen]==1.0.0"], ["instrument[frozen]==2.0.0"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    instrument(folder, "1.0.0")
    instrument(folder, "2.0.0")
    return folder


@pytest.fixture
def cache(wheels: Path, tmp_path: Path) -> EnvironmentCache:
    return cache_in(tmp_path / "cache", wheels)


def cache_in(folder: Path, wheels: Path) -> EnvironmentCache:
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    uv = Uv(Path(find_uv_bin()), folder / "uv", PackageIndex(find_links=(str(wheels),), no_index=True), variables)
    return EnvironmentCache(folder, uv, interpreters.this())


def tables(python: Path) -> str:
    code = "import calibration_tables; print(calibration_tables.VERSION)"
    return subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def keys(cache: EnvironmentCache) -> set[str]:
    return {path.name for path in (cache.folder / "environments").iterdir()}


def test_an_environment_is_made_once_compiled_read_only_and_whole(cache):
    with cache.lease(ONE) as environment:
        assert environment.is_new
        assert tables(environment.python) == "1.0.0"
        assert environment.packages == {"instrument": "1.0.0", "calibration-tables": "1.0.0"}
        files = [path for path in environment.folder.rglob("*") if not path.is_symlink()]
        assert not [path for path in (environment.folder, *files) if path.stat().st_mode & 0o222]
        assert any(path.name.startswith("tasks.cpython") for path in files)
        assert str(cache.folder) in (environment.folder / "lib").resolve().as_posix()
    with cache.lease(ONE) as again:
        assert (again.is_new, again.key) == (False, environment.key)
    assert cache.is_intact(environment.key)
    assert keys(cache) == {environment.key}


def test_a_warm_lease_starts_no_process(cache):
    with cache.lease(ONE):
        pass
    without_uv = replace(cache, uv=replace(cache.uv, program=Path("/nonexistent")))
    with without_uv.lease(ONE) as environment:
        assert not environment.is_new


def test_n14_two_versions_of_a_package_are_used_at_the_same_instant(cache):
    with cache.lease(ONE) as one, cache.lease(TWO) as two:
        assert (tables(one.python), tables(two.python)) == ("1.0.0", "2.0.0")
        assert one.lock_hash != two.lock_hash


def test_a_damaged_environment_is_made_anew_when_it_is_verified(cache):
    with cache.lease(ONE) as environment:
        pass
    module = next(environment.folder.rglob("tasks.py"))
    module.chmod(0o644)
    module.write_text("raise SystemExit\n")
    assert not cache.is_intact(environment.key)
    with cache.lease(ONE), pytest.raises(Conflict, match="was changed, and is in use"), cache.lease(ONE, verify=True):
        pass
    with cache.lease(ONE, verify=True) as again:
        assert again.is_new
        assert again.key == environment.key


def test_an_environment_without_its_interpreter_is_made_anew(cache):
    with cache.lease(ONE) as environment:
        pass
    environment.python.parent.chmod(0o755)
    environment.python.unlink()
    with cache.lease(ONE) as again:
        assert again.is_new
        assert tables(again.python) == "1.0.0"


def test_n9_a_failed_install_leaves_nothing_behind_and_says_why(cache):
    with pytest.raises(InstallFailed, match=r"there is no version of instrument(\[frozen\])?==9"), cache.lease(["instrument[frozen]==9"]):
        pass
    assert not (cache.folder / "environments").exists()


def test_a_wheel_that_was_exchanged_after_it_was_locked_is_not_installed(cache, wheels, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    for wheel in wheels.glob("*-1.0.0-*"):
        (links / wheel.name).write_bytes(wheel.read_bytes())
    cache = cache_in(tmp_path / "other", links)
    with cache.lease(ONE):
        pass
    lock = next((cache.folder / "locks").glob("*.txt"))
    lock.write_text(lock.read_text().replace("sha256:", "sha256:0", 1)[:-1])
    with pytest.raises(InstallFailed), cache.lease(ONE):
        pass


def test_n12_an_extra_that_the_package_has_not_is_an_error(tmp_path):
    wheels = tmp_path / "wheels"
    instrument(wheels, "1.0.0", extras=False)
    cache = cache_in(tmp_path / "cache", wheels)
    with pytest.raises(MissingExtra, match=r"instrument 1\.0\.0 has no extra frozen"), cache.lease(ONE):
        pass
    assert keys(cache) == set()
    with cache.lease(["instrument==1.0.0"]) as environment:
        assert tables(environment.python) == "1.0.0"


def test_n10_the_host_python_is_never_touched(cache):
    before = subprocess.run([find_uv_bin(), "pip", "freeze", "--python", sys.executable], capture_output=True, check=True).stdout
    with cache.lease(ONE):
        pass
    with pytest.raises(InstallFailed), cache.lease(["instrument==9"]):
        pass
    after = subprocess.run([find_uv_bin(), "pip", "freeze", "--python", sys.executable], capture_output=True, check=True).stdout
    assert after == before


def test_what_was_fetched_is_used_offline(cache, wheels):
    with cache.lease(ONE):
        pass
    offline = replace(cache, uv=replace(cache.uv, index=replace(cache.uv.index, offline=True)))
    with offline.lease(ONE) as environment:
        assert not environment.is_new


def test_the_least_recently_used_environment_goes_first_and_a_leased_one_stays(cache):
    with cache.lease(ONE) as one:
        pass
    with cache.lease(TWO) as two:
        os.utime(cache.folder / "leases" / one.key, (1, 1))
        assert cache.prune(1) == [one.key]
        assert keys(cache) == {two.key}
        assert tables(two.python) == "2.0.0"
    assert cache.prune(1) == [two.key]
    assert keys(cache) == set()
    with cache.lease(ONE) as again:
        assert again.is_new


def test_an_environment_stays_while_a_process_that_inherited_its_lease_lives(cache):
    with cache.lease(ONE) as environment:
        child = subprocess.Popen(
            [str(environment.python), "-I", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[environment.lease], start_new_session=True
        )
    assert cache.prune(0) == []
    child.communicate(b"\n")
    assert cache.prune(0) == [environment.key]


def test_what_a_killed_builder_left_is_swept_away_and_no_environment(cache):
    left = cache.folder / "environments" / ".new-0123456789abcdef-12345678"
    (left / "bin").mkdir(parents=True)
    (left / "bin" / "python").touch()
    left.chmod(0o555)
    with cache.lease(ONE) as environment:
        pass
    assert keys(cache) == {environment.key}


def test_what_a_package_does_not_pin_is_locked_once_and_anew_only_when_asked(tmp_path, wheels):
    links, newer = tmp_path / "links", "calibration_tables-2.0.0-py3-none-any.whl"
    links.mkdir()
    for wheel in wheels.glob("*-1.0.0-*"):
        (links / wheel.name).write_bytes(wheel.read_bytes())
    cache = cache_in(tmp_path / "cache", links)
    with cache.lease(["instrument==1.0.0"]) as first:
        assert first.packages["calibration-tables"] == "1.0.0"
    (links / newer).write_bytes((wheels / newer).read_bytes())
    with cache.lease(["instrument==1.0.0"]) as same:
        assert same.key == first.key
    with cache.lease(["instrument==1.0.0"], refresh=True) as refreshed:
        assert refreshed.packages["calibration-tables"] == "2.0.0"


def _race(folder: str, wheels: str, barrier, results) -> None:
    cache = cache_in(Path(folder), Path(wheels))
    barrier.wait()
    with cache.lease(ONE) as environment:
        results.put((environment.is_new, tables(environment.python)))


def test_eight_processes_that_want_one_new_environment_make_it_once(tmp_path, wheels):
    # With the lock at hand all eight are at the environment at once.
    cache_in(tmp_path, wheels)._lock(ONE, refresh=False)
    spawn = multiprocessing.get_context("fork")
    barrier, results = spawn.Barrier(8), spawn.Queue()
    processes = [spawn.Process(target=_race, args=(str(tmp_path), str(wheels), barrier, results)) for _ in range(8)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(found) == [(False, "1.0.0")] * 7 + [(True, "1.0.0")]
    assert len(keys(cache_in(tmp_path, wheels))) == 1


@pytest.fixture
def killed_builder(tmp_path: Path, wheels: Path) -> Iterator[Path]:
    """A cache whose builder was killed while it installed."""
    slow = tmp_path / "slow-uv"
    slow.write_text(f'#!/bin/sh\nif [ "$2" = sync ]; then echo "$$" > {tmp_path}/reached; sleep 60; fi\nexec {find_uv_bin()} "$@"\n')
    slow.chmod(0o755)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_build_with, args=(tmp_path / "cache", wheels, slow))
    process.start()
    while not (tmp_path / "reached").exists():
        assert process.is_alive()
    process.kill()
    process.join()
    yield tmp_path / "cache"
    os.kill(int((tmp_path / "reached").read_text()), 9)


def _build_with(folder: Path, wheels: Path, program: Path) -> None:
    cache = cache_in(folder, wheels)
    with replace(cache, uv=replace(cache.uv, program=program)).lease(ONE):
        pass


def test_a_builder_that_was_killed_neither_blocks_nor_breaks_the_next(killed_builder, wheels):
    cache = cache_in(killed_builder, wheels)
    assert [name[:5] for name in keys(cache)] == [".new-"]
    with cache.lease(ONE) as environment:
        assert environment.is_new
        assert tables(environment.python) == "1.0.0"
    assert keys(cache) == {environment.key}
    assert json.loads((environment.folder / "groundtrack-environment.json").read_text())["requirements"] == ONE
