"""`groundtrack demo` in a fresh folder: what it says, and everything that it made, looked at with others' readers."""

import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image, ImageChops, ImageStat
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rio_cogeo.cogeo import cog_validate

from tests.builders.commands import Done, run
from tests.builders.platform import COMMAND, processes_of
from tests.builders.servers import wait_for
from tests.builders.stac_validation import SCHEMAS

# One image of the demo has no place on Earth, and that is meant.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

FAILURES = {
    "aerial-1955/roll-3-frame-01-cut-off.tif": "corrupt_image",
    "aerial-1955/roll-3-frame-02-web-page.tif": "not_a_tiff",
    "survey-2024/mosaic-vrt.tif": "not_a_tiff",
    "survey-2024/claims-4-bands.tif": "band_mismatch",
    "survey-2024/68-gigapixels.tif": "limit_exceeded",
}
CONVERTED = 24
# Below the ports that connections get, of which one could take it while the web UI starts; another for tests that run beside.
PORT = 20_000 + os.getpid() % 10_000
THUMBNAIL_PX = 512
# Of 255 a pixel: what the JPEG's losses and another way to shrink make of line art come to less.
THUMBNAIL_DIFFERENCE = 8


@dataclass(frozen=True)
class Demo:
    """A demo that has ended, and its buckets as the folders that the embedded S3 server leaves.

    Attributes:
        folder: Where it was typed.
        done: How it ended.
    """

    folder: Path
    done: Done

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @cached_property
    def facts(self) -> dict[str, str]:
        """What it printed beside labels."""
        return dict(re.findall(r"^  (\w+(?: \w+)*) {2,}(\S.*?) *$", self.done.out, re.MULTILINE))

    @property
    def products(self) -> Path:
        return Path(self.facts["Product folder"])

    @property
    def raw(self) -> Path:
        return self.products.with_name("raw")

    @cached_property
    def items(self) -> dict[str, dict[str, Any]]:
        """The items by the keys of their raw images."""
        documents = [json.loads(path.read_text()) for path in self.documents if path.name.endswith(".tif.json")]
        return {document["properties"]["groundtrack:source_key"]: document for document in documents}

    @cached_property
    def documents(self) -> list[Path]:
        """Every document of the catalogue."""
        return sorted(path for path in (self.products / "_stac").rglob("*.json") if not path.name.endswith(".meta.json"))

    @property
    def cogs(self) -> dict[str, Path]:
        return {key: self.products / key for key in self.items}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    done = run(folder, "groundtrack", "demo", "--exit", "--port", str(PORT), timeout_s=270, GROUNDTRACK_HOME="home")
    assert done.code == 0, done.text
    yield Demo(folder, done)
    for process in processes_of(folder / "home"):
        process.kill()


# --- what it says ---------------------------------------------------------------------------------------------------------


def test_the_demo_counts_what_came_out(demo):
    assert {name: demo.facts[name] for name in ("Rows", "Converted", "Found done")} == {"Rows": "29", "Converted": "24", "Found done": "0"}
    assert demo.facts["Failed"] == "5 (2 not_a_tiff, 1 band_mismatch, 1 corrupt_image, 1 limit_exceeded)"
    assert "24 done, 5 failed" in demo.done.text
    assert not [word for word in ("Traceback", "Warning", "None") if word in demo.done.text]


@pytest.mark.parametrize(("key", "code"), FAILURES.items())
def test_the_demo_says_why_each_broken_image_failed_and_what_to_do(demo, key, code):
    heading, reason, remedy = re.findall(
        rf"^(line \d+ +{re.escape(key)}) *\n +({code} in \w+: .*\S) *\n +(→ .*)$", demo.done.out, re.MULTILINE
    )[0]
    assert heading
    assert Path(key).name in reason
    assert len(remedy) > 20


def test_the_demo_says_where_to_look(demo):
    ui = urlsplit(demo.facts["Web UI"])
    assert ui.hostname == "127.0.0.1"
    assert PORT <= ui.port < PORT + 100
    assert len(ui.query.removeprefix("token=")) >= 32
    for name in ("Dask dashboard", "S3 server"):
        assert demo.facts[name].startswith("http://127.0.0.1:")
    for name in ("S3 key pair", "Logs", "Report", "Product folder"):
        assert (demo.folder / demo.facts[name]).exists(), name
    assert demo.facts["Products"] == "s3://products/"


def test_only_its_owner_reads_the_key_pair(demo):
    assert stat.S_IMODE((demo.folder / demo.facts["S3 key pair"]).stat().st_mode) == 0o600


def test_the_saved_report_has_every_image(demo):
    page = (demo.folder / demo.facts["Report"]).read_text()
    assert page.count("data:image/jpeg;base64,") == CONVERTED
    assert all(Path(key).name in page for key in [*demo.items, *FAILURES])


def test_nothing_runs_after_the_demo(demo):
    assert processes_of(demo.home) == []
    for name in ("Web UI", "Dask dashboard", "S3 server"):
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", urlsplit(demo.facts[name]).port)), name


# --- what it made ---------------------------------------------------------------------------------------------------------


def test_there_is_an_item_for_every_image_but_the_broken_ones(demo):
    raw = {str(path.relative_to(demo.raw)) for path in demo.raw.rglob("*.tif")}
    assert len(demo.items) == CONVERTED
    assert set(demo.items) == raw - set(FAILURES)


def test_there_is_nothing_that_no_item_names(demo):
    found = {path.relative_to(demo.products) for path in demo.products.rglob("*") if path.suffix in (".tif", ".jpg")}
    stems = [(key, key.removesuffix(".tif"), key.replace("/", "~~"), Path(key).parent) for key in demo.items]
    assert found == {
        path
        for key, stem, name, folder in stems
        for path in (Path(key), Path(f"{stem}.jpg"), "_stac/imagery" / folder / f"{name}.thumb.jpg")
    }


def test_every_cog_passes_the_validator_of_rio_cogeo(demo):
    verdicts = {key: cog_validate(path, strict=True, quiet=True) for key, path in demo.cogs.items()}
    assert {key: verdict for key, verdict in verdicts.items() if verdict != (True, [], [])} == {}


@pytest.fixture
def debian_gdal() -> dict[str, str]:
    """The environment for the Python that Debian's GDAL is made for: none of this one's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GDAL", "PROJ"))}


VALIDATE = """
import json, sys
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate
print(json.dumps({path: [*map(list, validate(path, full_check=True)[:2])] for path in sys.argv[1:]}))
"""


def test_every_cog_passes_the_validator_of_gdal_in_every_block(demo, debian_gdal):
    paths = [str(path) for path in demo.cogs.values()]
    done = subprocess.run(["/usr/bin/python3", "-c", VALIDATE, *paths], env=debian_gdal, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {path: [[], []] for path in paths}


def test_every_cog_has_the_pixels_and_the_place_of_its_image(demo):
    different = []
    for key, path in demo.cogs.items():
        with rasterio.open(demo.raw / key) as raw, rasterio.open(path) as cog:
            same = {
                "pixels": np.array_equal(raw.read(), cog.read(), equal_nan=raw.dtypes[0].startswith("float")),
                "masks": np.array_equal(raw.read_masks(), cog.read_masks()),
                "crs": raw.crs == cog.crs,
                "transform": raw.transform.almost_equals(cog.transform),
                "nodata": raw.nodata == cog.nodata,
                "ground control points": len(raw.gcps[0]) == len(cog.gcps[0]),
                "colours": raw.colorinterp == cog.colorinterp,
            }
        different += [f"{key}: {name}" for name, equal in same.items() if not equal]
    assert different == []


def test_every_jpeg_is_whole_and_as_large_as_its_image(demo):
    for key in demo.items:
        with rasterio.open(demo.raw / key) as raw, Image.open((demo.products / key).with_suffix(".jpg")) as jpeg:
            jpeg.load()
            assert (jpeg.format, jpeg.size) == ("JPEG", (raw.width, raw.height)), key
            assert jpeg.mode == ("RGB" if raw.count >= 3 or "land-cover" in key else "L"), key


def test_every_thumbnail_is_its_jpeg_made_small(demo):
    for key, item in demo.items.items():
        folder = demo.products / "_stac/imagery" / Path(key).parent
        with Image.open(folder / item["assets"]["thumbnail"]["href"]) as thumbnail, Image.open(demo.products / f"{key[:-4]}.jpg") as jpeg:
            assert thumbnail.format == "JPEG"
            assert max(thumbnail.size) == THUMBNAIL_PX, key
            small = jpeg.convert("L").resize(thumbnail.size, Image.Resampling.BOX)
            assert ImageStat.Stat(ImageChops.difference(small, thumbnail.convert("L"))).mean[0] < THUMBNAIL_DIFFERENCE, key


def test_the_catalogue_is_valid_and_leads_to_every_item(demo):
    validator = JsonSchemaSTACValidator()
    validator.schema_cache |= {url: json.loads(Path(path).read_text()) for url, path in SCHEMAS.items() if "extensions" in url}
    root = pystac.Catalog.from_file(str(demo.products / "_stac" / "catalog.json"))
    found = [document for catalog, _, items in root.walk() for document in (catalog, *items)]
    assert sorted(Path(document.get_self_href()) for document in found) == demo.documents
    for document in found:
        assert document.validate(validator=validator), document


def test_every_link_leads_somewhere(demo):
    dead = []
    for path in demo.documents:
        document = json.loads(path.read_text())
        for link in [*document["links"], *document.get("assets", {}).values()]:
            bucket, _, key = unquote(link["href"]).removeprefix("s3://").partition("/")
            there = demo.products.with_name(bucket) / key if link["href"].startswith("s3://") else path.parent / unquote(link["href"])
            dead += [f"{path.name}: {link['href']}"] if not there.is_file() else []
    assert dead == []


def test_every_size_and_checksum_of_an_item_is_that_of_the_bytes(demo):
    for path in demo.documents:
        for name, asset in json.loads(path.read_text()).get("assets", {}).items():
            data = (path.parent / unquote(asset["href"])).read_bytes()
            assert asset["file:size"] == len(data), (path.name, name)
            assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest(), (path.name, name)


# --- again ----------------------------------------------------------------------------------------------------------------


def answer(url: str) -> int:
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(url, timeout=30) as found:
        return int(found.status)


def test_a_second_demo_finds_all_done_and_runs_on_until_it_is_stopped(demo):
    before = {key: path.stat().st_mtime_ns for key, path in demo.cogs.items()}
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDTRACK_", "AWS_", "DAGSTER_"))}
    output = demo.folder / "second.out"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [COMMAND, "demo", "--port", str(PORT)],
            cwd=demo.folder,
            env=outer | {"GROUNDTRACK_HOME": "home", "COLUMNS": "200"},
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(lambda: "Product folder" in output.read_text() or process.poll() is not None, "end of the conversion", 200)
        assert process.poll() is None, output.read_text()
        second = Demo(demo.folder, Done(0, output.read_text(), ""))
        assert (second.facts["Converted"], second.facts["Found done"], second.facts["Failed"][0]) == ("0", str(CONVERTED), "5")
        assert answer(second.facts["Web UI"]) == answer(second.facts["Dask dashboard"]) == 200
        assert processes_of(demo.home)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert processes_of(demo.home) == []
    assert {key: path.stat().st_mtime_ns for key, path in demo.cogs.items()} == before
