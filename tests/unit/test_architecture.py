"""Who may import whom: the rooms of the house, enforced by file name."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("platform_assets", "resources", "sensors")
FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))

DOMAINS = {"dpr", "imagery", "sar", "workflows"}
DAGSTER_AWARE = {"assets", "batch", "checks", "events", "fetch_job", "jobs", "partitions", "specs"}
"""Modules of a domain that declare to Dagster; all others are pure."""

ENGINES = {"dagster", "distributed", "dask", "boto3", "botocore"}
AMBIENT = {"requests", "urllib.request", "http.client", "socket"}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, at the top or inside functions, except for type checking."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def forbidden(path: Path) -> set[str]:
    """Return the prefixes of modules that a file must not import."""
    room, *rest = path.with_suffix("").parts
    others = {f"platform_assets.{domain}" for domain in DOMAINS}
    if room == "sensors":
        return {"boto3", "botocore", "distributed", "rasterio"}
    if room == "resources":
        return {"sensors", "platform_assets.execution", "platform_assets.cli", "platform_assets.definitions", "platform_assets.catalog"} | {
            f"{domain}.{module}" for domain in others for module in DAGSTER_AWARE
        }
    match rest:
        case ["common", *_]:
            return (
                ENGINES
                | AMBIENT
                | others
                | {"resources", "sensors", "platform_assets.execution", "platform_assets.cli", "platform_assets.catalog"}
            )
        case ["environments", *_]:
            return ENGINES | AMBIENT | others | {"resources", "sensors", "platform_assets.execution", "platform_assets.cli"}
        case ["catalog", *_]:
            return ENGINES | AMBIENT | others | {"resources", "sensors", "platform_assets.execution", "platform_assets.cli"}
        case ["execution", *_]:
            return {"boto3", "botocore", "resources", "sensors", "platform_assets.cli", "platform_assets.catalog"} | others
        case [domain, module] if domain in DOMAINS:
            neighbours = others - {f"platform_assets.{domain}"}
            above = {"sensors", "platform_assets.cli", "platform_assets.definitions"}
            if module in DAGSTER_AWARE:
                return {"boto3", "botocore", "distributed"} | neighbours | above
            return ENGINES | AMBIENT | neighbours | above | {"resources", "platform_assets.execution"}
        case _:
            return set()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    found = imports(path)
    bad = {name for name in found for prefix in forbidden(path) if name == prefix or name.startswith(f"{prefix}.")}
    assert not bad


@pytest.mark.parametrize("path", [path for path in FILES if "common" in path.parts or "catalog" in path.parts], ids=str)
def test_pure_rooms_read_neither_environment_nor_clock(path: Path) -> None:
    text = (ROOT / path).read_text()
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert "os.environ" not in text
    assert not calls & {"time.time", "datetime.now", "datetime.utcnow", "date.today", "os.getenv", "time.sleep"}


def test_only_the_composition_root_imports_every_room() -> None:
    rooms = {"platform_assets.imagery", "platform_assets.sar", "resources", "sensors"}
    who = [path for path in FILES if all(any(name.startswith(room) for name in imports(path)) for room in rooms)]
    assert who == [Path("platform_assets/definitions.py")]


def test_every_package_of_ours_is_covered_by_a_rule() -> None:
    folders = {path.parts[1] for path in FILES if path.parts[0] == "platform_assets" and len(path.parts) > 2}
    assert folders == {"common", "environments", "execution", "catalog", "cli"} | DOMAINS
