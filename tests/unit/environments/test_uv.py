"""What uv is told, and what its errors mean."""

import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from platform_assets.environments import interpreters
from platform_assets.environments.errors import IndexUnreachable, InstallFailed
from platform_assets.environments.uv import PackageIndex, Uv, _error, names_in


def uv(tmp_path: Path, **index) -> Uv:
    return Uv(Path(find_uv_bin()), tmp_path / "uv", PackageIndex(**index), {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})


def test_n9_what_does_not_exist_is_refused_with_the_resolvers_text(tmp_path):
    with pytest.raises(InstallFailed, match=r"camera==1\.0 cannot be installed:\nerror: No solution found(.|\n)*camera was not found"):
        uv(tmp_path, no_index=True).lock(["camera==1.0"], Path(sys.executable))


def test_offline_the_remedy_is_to_prewarm(tmp_path):
    with pytest.raises(InstallFailed, match="offline") as raised:
        uv(tmp_path, offline=True).lock(["camera==1.0"], Path(sys.executable))
    assert "prewarm" in raised.value.remedy


def test_an_index_that_does_not_answer_is_tried_again_and_is_no_fault_of_the_package(tmp_path, monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr("platform_assets.environments.uv.time.sleep", waited.append)
    unreachable = uv(tmp_path, url="http://127.0.0.1:9/simple")
    unreachable = Uv(unreachable.program, unreachable.cache, unreachable.index, {**unreachable.variables, "UV_HTTP_RETRIES": "0"})
    with pytest.raises(IndexUnreachable, match="Connection refused"):
        unreachable.lock(["camera==1.0"], Path(sys.executable))
    assert waited == [1.0, 4.0]


def test_a_package_that_the_index_has_not_is_the_packages_fault():
    text = "error: No solution found when resolving dependencies\n  cause: Because x was not found in the package registry"
    assert isinstance(_error("x", text), InstallFailed)


def test_uv_sees_only_what_concerns_it(tmp_path):
    given = {"PATH": "/bin", "UV_DEFAULT_INDEX": "https://u:p@e.org/simple", "UV_CACHE_DIR": "/theirs", "AWS_SECRET_ACCESS_KEY": "s"}
    seen = Uv(Path("uv"), tmp_path, variables=given)._variables()
    assert seen["UV_DEFAULT_INDEX"] == "https://u:p@e.org/simple"
    assert seen["UV_CACHE_DIR"] == str(tmp_path)
    assert "AWS_SECRET_ACCESS_KEY" not in seen


def test_what_decides_the_resolution_is_in_the_identity_and_passwords_are_not(tmp_path):
    one = uv(tmp_path, url="https://me:old@e.org/simple").identity(["a==1"])
    assert one == uv(tmp_path, url="https://me:new@e.org/simple").identity(["a==1"])
    assert one != uv(tmp_path, url="https://other.org/simple").identity(["a==1"])
    config = tmp_path / ".config" / "uv" / "uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text("prerelease = 'allow'\n")
    assert one != uv(tmp_path, url="https://me:old@e.org/simple").identity(["a==1"])


def test_a_wheel_that_was_built_again_is_another_and_its_neighbours_do_not_count(tmp_path):
    links = tmp_path / "dist"
    links.mkdir()
    (links / "my_camera-1.0.0-py3-none-any.whl").write_bytes(b"1")
    before = uv(tmp_path, find_links=(str(links),)).identity(["my-camera[frozen]==1.0.0"])
    (links / "my_camera-2.0.0-py3-none-any.whl").write_bytes(b"1")
    (links / "other-1.0.0-py3-none-any.whl").write_bytes(b"1")
    assert before == uv(tmp_path, find_links=(str(links),)).identity(["my-camera[frozen]==1.0.0"])
    (links / "my_camera-1.0.0-py3-none-any.whl").write_bytes(b"22")
    assert before != uv(tmp_path, find_links=(str(links),)).identity(["my-camera[frozen]==1.0.0"])


def test_the_distributions_of_a_lock_are_listed():
    assert names_in("a[x]==1 \\\n    --hash=sha256:00\nb==2\n# c\n") == ["a[x]==1", "b==2"]


def test_what_is_no_python_is_refused(tmp_path):
    for path in (Path("/bin/true"), tmp_path / "not-there"):
        with pytest.raises(InstallFailed, match="is no Python"):
            interpreters.examine(path)


def test_an_environments_fit_does_not_depend_on_the_path_of_its_interpreter():
    found = interpreters.this()
    assert found.version == sys.version.split()[0]
    assert found.path == Path(sys.executable)
    assert found.prefix == sys.base_prefix
    assert str(found.path) not in found.identity.values()
