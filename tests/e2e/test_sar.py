"""Sentinel-1 products as users see them: in the web UI, on the command line, and after somebody pulled a plug."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import xarray as xr
from playwright.sync_api import Browser, Page, expect

from platform_assets.sar import naming
from platform_assets.sar.naming import ProductName
from platform_assets.sar.sample import SafeSpec, make_safe
from tests.builders.browser import browser, complaints, metadata, open_partition, profile
from tests.builders.commands import run
from tests.builders.platform import TOKEN
from tests.builders.servers import wait_for
from tests.builders.site import Site

ASSETS = ("l1b", "quicklook", "l1b_item")


def upload(site: Site, safe: Path) -> str:
    """Upload a product and return its partition key."""
    for path in safe.rglob("*"):
        if path.is_file():
            key = f"safe/{path.relative_to(safe.parent).as_posix()}"
            site.source.write(key, path.read_bytes(), content_type="application/octet-stream")
    return safe.name.removesuffix(".SAFE")


def rows(site: Site) -> dict[str, dict[str, object]]:
    """The newest report's row of every product."""
    found: dict[str, dict[str, object]] = {}
    for ref in site.target.list("_groundtrack/safes/", ending=("report.json",)):
        document = json.loads(site.target.read(ref.key, limit_bytes=1 << 24)[0])
        found |= {row["product"]: row for row in document["products"]}
    return found


def wait_until_ended(site: Site, *names: str) -> dict[str, dict[str, object]]:
    wait_for(lambda: set(names) <= set(rows(site)) and site.idle(), f"end of {len(names)} products", 180)
    return rows(site)


# --- the web UI -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def product(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A product that was processed, beside an `error.SAFE`."""
    name = upload(site, make_safe(tmp_path_factory.mktemp("safes"), SafeSpec(lines=1500, samples=1200)))
    site.source.write("safe/error.SAFE/readme.txt", b"nothing", content_type="text/plain")
    assert wait_until_ended(site, name, "error.SAFE")[name]["state"] == "done"
    return name


@pytest.fixture(scope="module")
def chromium(product: str) -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def user(chromium: Browser, site: Site) -> Iterator[Page]:
    with profile(chromium) as context:
        found = complaints(context)
        page = context.new_page()
        page.goto(f"{site.up.url}/?token={TOKEN}")
        yield page
        assert found == []


def test_the_page_of_a_product_shows_its_quicklook_and_statistics(site, user, product):
    open_partition(user, "l1b", product)
    shown = metadata(user)
    assert shown["dims"] == "line 15, sample 12, pol 2"
    assert -20 < float(shown["VV mean_db"]) < -5
    assert int(shown["peak_memory_mb"]) > 100
    user.get_by_text("[Show Markdown]").click()
    image = user.get_by_role("dialog").get_by_role("img", name="sigma0 in dB")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100


def test_the_reason_of_a_folder_that_is_no_product_is_some_clicks_away(site, user):
    open_partition(user, "l1b", "error.SAFE")
    user.get_by_role("button", name="View all historical events").click()
    dialog = user.get_by_role("dialog")
    dialog.get_by_text("error.SAFE", exact=True).last.click()
    expect(dialog.get_by_role("row", name="error_class").get_by_text("not_a_safe", exact=True)).to_be_visible()


def test_the_graph_leads_from_the_product_to_its_item(site, user):
    user.goto(f"{site.up.url}/locations/__repository__@groundtrack/asset-groups/sar")
    for name in ("safe", *ASSETS):
        expect(user.locator("svg").get_by_text(name, exact=True).first).to_be_visible()


# --- a plug is pulled -----------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_costs_no_product(site, tmp_path):
    safes = [make_safe(tmp_path, SafeSpec(lines=4000, samples=4000, datatake=0x900 + number)) for number in range(6)]
    names = [upload(site, safe) for safe in safes]
    wait_for(lambda: bool(site.busy_dask_workers()), "first product on a worker", 90)
    victim: psutil.Process = site.busy_dask_workers()[0]
    victim.kill()
    ended = wait_until_ended(site, *names)
    assert [ended[name]["state"] for name in names] == ["done"] * 6
    assert {site.statuses(asset)[name] for asset in ASSETS for name in names} == {"materialized"}
    files = [naming.output_key(ProductName.parse(name), suffix) for name in names for suffix in ("_L1B.nc", "_L1B.png")]
    assert set(files) <= {ref.key for ref in site.target.list("sentinel-1-iw-grd-l1b/")}


# --- the command ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two products and one whose image was cut."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "in").mkdir()
    for number in range(3):
        safe = make_safe(folder / "in", SafeSpec(lines=1200, samples=1200, datatake=0x500 + number))
    [image] = safe.glob("measurement/*-vv-*")
    image.write_bytes(image.read_bytes()[:-1000])
    return folder


def test_the_batch_processes_what_is_good_and_ends_with_one(folder):
    done = run(folder, "groundtrack", "sar", "batch", "in", "error.SAFE", "--out", "out", "--workers", "2")
    assert done.code == 1
    assert "2 done, 0 were done before, 2 failed" in done.text
    assert "missing_input" in done.text
    assert "incomplete_safe" in done.text
    assert len(list((folder / "out").glob("*.nc"))) == 2
    [summary] = (folder / "out").glob("*.json")
    states = sorted(row["state"] for row in json.loads(summary.read_text())["products"])
    assert states == ["done", "done", "failed", "failed"]


def test_a_second_batch_skips_what_is_done_but_not_what_was_cut_off(folder):
    first, _second = sorted((folder / "out").glob("*.nc"))
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    done = run(folder, "groundtrack", "sar", "batch", "in", "--out", "out", "--workers", "1")
    assert "1 done, 1 were done before, 1 failed" in done.text
    with xr.open_dataset(first) as file:
        assert bool(file.sigma0.notnull().any())


def test_one_product_on_the_command_line(folder):
    safe = min((folder / "in").glob("*.SAFE"))
    done = run(folder, "groundtrack", "sar", "l1b", str(safe), "one.nc", "--resolution", "2000", "--polarisations", "VH")
    assert done.code == 0
    with xr.open_dataset(folder / "one.nc") as file:
        assert list(file.pol.values) == ["VH"]
        assert file.sigma0.shape == (1, 6, 6)


def test_a_function_of_the_users_own_is_found_in_pyproject(folder):
    (folder / "mine.py").write_text(
        textwrap.dedent("""
        import netCDF4

        def process(safe, out, value):
            with netCDF4.Dataset(out, "w") as file:
                file.createDimension("x", 2)
                file.createVariable("v", "f4", ("x",))[:] = value
        """)
    )
    (folder / "pyproject.toml").write_text('[tool.groundtrack.l1b]\nprocess = "mine:process"\noptions = {value = 7.0}\n')
    safe = min((folder / "in").glob("*.SAFE"))
    done = run(folder, "groundtrack", "sar", "batch", str(safe), "--out", "own", "--workers", "1")
    assert done.code == 0, done.text
    [made] = (folder / "own").glob("*.nc")
    with xr.open_dataset(made) as file:
        assert file.v.values.tolist() == [7.0, 7.0]
        assert file.attrs["groundtrack_input"]


def test_a_batch_that_is_interrupted_tells_what_was_left_over(folder):
    (folder / "slow.py").write_text(
        textwrap.dedent("""
        import shutil, time
        from pathlib import Path

        def process(safe, out):
            begun = Path("begun")
            if begun.exists():
                time.sleep(2)
            begun.touch()
            shutil.copy("one.nc", out)
        """)
    )
    (folder / "pyproject.toml").write_text('[tool.groundtrack.l1b]\nprocess = "slow:process"\n')
    command = ("groundtrack", "sar", "batch", "in", "--out", "stopped", "--workers", "1")
    done = run(folder, *command, interrupt_when=lambda: list((folder / "stopped").glob("*.nc")))
    assert done.code == 1
    assert "Stopped" in done.text
    assert "1 done, 0 were done before, 2 failed" in done.text
    [summary] = (folder / "stopped").glob("*.json")
    rows = json.loads(summary.read_text())["products"]
    assert {row["error_class"] for row in rows if row["state"] == "failed"} == {"batch_interrupted"}
    assert "1 were done before" in run(folder, *command).text
