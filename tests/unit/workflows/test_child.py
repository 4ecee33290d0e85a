import sys
from pathlib import Path

from platform_assets.environments import interpreters
from platform_assets.environments.cache import Environment, EnvironmentCache
from platform_assets.environments.uv import PackageIndex, Uv
from platform_assets.workflows.runner import Shop, program


def test_n5_the_childs_program_compiles_and_is_the_same_for_every_task(tmp_path):
    cache = EnvironmentCache(tmp_path, Uv(Path("uv"), tmp_path, PackageIndex(), {}), interpreters.examine(Path(sys.executable)))
    shop = Shop(cache, tmp_path / "sdk")
    one, other = (program(shop, Environment("", Path(sys.prefix), {}, "", -1, is_new=False), tmp_path / name, tmp_path) for name in "ab")
    assert one.arguments == other.arguments
    flag, code, sdk = one.arguments
    assert (flag, sdk) == ("-c", str(tmp_path / "sdk"))
    compile(code, "child", "exec")
