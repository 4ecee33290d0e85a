"""A manifest's way from the drop to the settled report, on a real S3 server, a real Dask cluster and a real Dagster instance."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import rasterio
from dagster import DagsterInstance
from rasterio.transform import from_origin

from resources.local_dask import local_dask
from resources.settings import Settings, load
from tests.builders.centre import Centre
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    with local_dask(2) as address:
        yield address


@pytest.fixture
def centre(
    s3_server: S3Server, dask_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Centre]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    name = f"{abs(hash(request.node.nodeid)):x}"
    settings: Settings = load(
        home=tmp_path,
        s3_endpoint_url=s3_server.connection.endpoint_url,
        s3_region=s3_server.connection.region,
        input_bucket=f"raw-{name}",
        output_bucket=f"out-{name}",
    )
    for bucket in (settings.input_bucket, settings.output_bucket):
        s3_server.connection.client().create_bucket(Bucket=bucket)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Centre(s3_server, settings, instance, dask_address)


def image(path: Path, bands: int = 3, size: int = 600, seed: int = 1) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (bands, size, size), dtype="uint8")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=size,
        height=size,
        count=bands,
        dtype="uint8",
        crs="EPSG:32632",
        transform=from_origin(5e5, 5e6, 1, 1),
    ) as file:
        file.write(pixels)
    return path


def test_a_manifest_becomes_products_and_a_truthful_report(centre: Centre, tmp_path: Path) -> None:
    centre.put({"wood/a.tif": image(tmp_path / "a.tif"), "wood/b.tif": image(tmp_path / "b.tif", 1), "wood/bad.tif": b"<html>no</html>"})
    report = centre.convert("wood/test_raw.csv", [("wood/a.tif", 3), ("wood/b.tif", 1), ("wood/bad.tif", 3)])
    assert report.states == {"wood/a.tif": "done", "wood/b.tif": "done", "wood/bad.tif": "failed"}
    assert report.classes == {"wood/bad.tif": "not_a_tiff"}
    assert centre.statuses("cog", list(report.states)) == {
        "wood/a.tif": "MATERIALIZED",
        "wood/b.tif": "MATERIALIZED",
        "wood/bad.tif": "FAILED",
    }
