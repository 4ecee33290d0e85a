"""A product's way from the upload to its catalogue item, on a real S3 server, a real Dask cluster and a real Dagster instance."""

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import xarray as xr
from dagster import DagsterInstance

from platform_assets.sar import naming
from platform_assets.sar.naming import ProductName
from platform_assets.sar.partitions import safes
from platform_assets.sar.sample import SafeSpec, Truth, make_safe
from resources.settings import Settings, load
from tests.builders.centre import Centre
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server

PRODUCTS = ("l1b", "quicklook", "l1b_item")
SPEC = SafeSpec(lines=1200, samples=900)


@pytest.fixture
def centre(
    embedded_server: S3Server, dask_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Centre]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    name = f"{abs(hash(request.node.nodeid)):x}"
    settings: Settings = load(
        home=tmp_path,
        s3_endpoint_url=embedded_server.connection.endpoint_url,
        input_bucket=f"safe-{name}",
        output_bucket=f"sar-{name}",
    )
    for bucket in (settings.input_bucket, settings.output_bucket):
        embedded_server.connection.client().create_bucket(Bucket=bucket)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Centre(embedded_server, settings, instance, dask_address, sensor="sentinel_1_safes")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_safe(tmp_path_factory.mktemp("safes"), SPEC)


def upload(centre: Centre, safe: Path, root: str = "", without: str = "") -> str:
    """Upload a product's files, but for one, and return the product's name."""
    files = {
        f"safe/{root or safe.name}/{path.relative_to(safe).as_posix()}": path
        for path in safe.rglob("*")
        if path.is_file() and (not without or not path.match(without))
    }
    centre.put(files)
    return safe.name.removesuffix(".SAFE")


def item_of(centre: Centre, name: str) -> dict[str, Any]:
    data, _ = centre.target.read(naming.item_key(ProductName.parse(name)), limit_bytes=1 << 22)
    document: dict[str, Any] = json.loads(data)
    return document


def statuses(centre: Centre, asset: str, *names: str) -> list[str]:
    found = centre.instance.get_status_by_partition(dg.AssetKey(asset), list(names), safes) or {}
    return [status.value if (status := found.get(name)) else "MISSING" for name in names]


def reasons(centre: Centre, asset: str, name: str) -> list[str]:
    records = centre.instance.fetch_observations(dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[name]), limit=10).records
    return [record.asset_observation.description or "" for record in records if record.asset_observation]


def report(centre: Centre) -> dict[str, dict[str, Any]]:
    """The rows of the newest report, by product."""
    [*_, newest] = sorted(ref.key for ref in centre.target.list("_groundtrack/safes/") if ref.key.endswith("report.json"))
    return {row["product"]: row for row in json.loads(centre.target.read(newest, limit_bytes=1 << 22)[0])["products"]}


def process(centre: Centre) -> None:
    centre.tick()
    centre.run_requested()


def test_a_whole_product_becomes_a_netcdf_with_the_known_backscatter(centre, sample, tmp_path):
    name = upload(centre, sample)
    process(centre)
    assert report(centre)[name]["state"] == "done"
    assert [statuses(centre, asset, name) for asset in ("safe", *PRODUCTS)] == [["MATERIALIZED"]] * 4
    key = naming.output_key(ProductName.parse(name), "_L1B.nc")
    (tmp_path / "l1b.nc").write_bytes(centre.target.read(key, limit_bytes=1 << 28)[0])
    truth = Truth(SPEC)
    with xr.open_dataset(tmp_path / "l1b.nc") as file:
        line, sample_px = np.meshgrid(file.line.values, file.sample.values, indexing="ij")
        expected = truth.sigma0(line, sample_px, "VV")
        assert abs(float(np.nanmedian(file.sigma0.sel(pol="VV").values / expected)) - 1) < 0.01


def test_a_product_is_not_taken_before_it_is_whole_and_says_what_it_lacks(centre, sample):
    name = upload(centre, sample, without="*-vh-*.tiff")
    centre.tick()
    assert centre.requested == []
    [reason] = reasons(centre, "safe", name)
    assert "waiting" in reason
    assert "-vh-" in reason
    assert statuses(centre, "safe", name) == ["MISSING"]
    centre.tick()
    assert len(reasons(centre, "safe", name)) == 1
    upload(centre, sample)
    process(centre)
    assert statuses(centre, "l1b", name) == ["MATERIALIZED"]


def test_a_product_is_claimed_once(centre, sample):
    upload(centre, sample)
    centre.tick()
    centre.tick()
    assert len(centre.requested) == 1
    centre.run_requested()
    centre.tick()
    assert centre.requested == []


def test_a_damaged_file_fails_its_product_and_not_its_neighbour(centre, sample, tmp_path):
    good = upload(centre, sample)
    other = make_safe(tmp_path, SafeSpec(lines=800, samples=800, datatake=0x111))
    [image] = other.glob("measurement/*-vv-*")
    data = bytearray(image.read_bytes())
    data[5000] ^= 1
    image.write_bytes(bytes(data))
    bad = upload(centre, other)
    process(centre)
    rows = report(centre)
    assert (rows[good]["state"], rows[bad]["state"]) == ("done", "failed")
    assert rows[bad]["error_class"] == "checksum_mismatch"
    assert image.name in rows[bad]["message"]
    assert statuses(centre, "l1b", good, bad) == ["MATERIALIZED", "FAILED"]
    assert any("checksum" in reason or "MD5" in reason for reason in reasons(centre, "l1b", bad))
    assert centre.target.stat(naming.output_key(ProductName.parse(bad), "_L1B.nc")) is None


def test_a_folder_that_is_no_product_fails_with_its_reason(centre):
    centre.put({"safe/error.SAFE/readme.txt": b"nothing"})
    process(centre)
    assert report(centre)["error.SAFE"]["error_class"] == "not_a_safe"
    assert statuses(centre, "l1b", "error.SAFE") == ["FAILED"]


def test_an_slc_is_refused_and_the_reason_says_what_to_use(centre, sample):
    name = sample.name.replace("GRDH", "SLC_").removesuffix(".SAFE")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{name}.SAFE/manifest.safe", "<x/>")
    centre.put({f"safe/{name}.zip": archive.getvalue()})
    process(centre)
    row = report(centre)[name]
    assert row["error_class"] == "unsupported_product"
    assert "GRD" in row["what_to_do"]


def test_a_zipped_product_is_processed(centre, sample, tmp_path):
    shutil.make_archive(str(tmp_path / "product"), "zip", sample.parent, sample.name)
    name = sample.name.removesuffix(".SAFE")
    centre.put({f"safe/2024/{name}.zip": tmp_path / "product.zip"})
    process(centre)
    assert report(centre)[name]["state"] == "done"


def test_a_zip_that_holds_another_product_than_its_name_says_fails(centre, sample, tmp_path):
    shutil.make_archive(str(tmp_path / "product"), "zip", sample.parent, sample.name)
    other = sample.name.removesuffix(".SAFE")[:-4] + "0000"
    centre.put({f"safe/{other}.zip": tmp_path / "product.zip"})
    process(centre)
    assert report(centre)[other]["error_class"] == "manifest_contradiction"
    assert list(centre.target.list("sentinel-1-iw-grd-l1b/")) == []


def test_a_failed_product_is_taken_again_when_another_version_is_there_and_only_then(centre, sample, tmp_path):
    broken = shutil.copytree(sample, tmp_path / sample.name)
    [image] = broken.glob("measurement/*-vv-*")
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    name = upload(centre, broken)
    process(centre)
    assert report(centre)[name]["error_class"] == "checksum_mismatch"
    centre.tick()
    assert centre.requested == []
    upload(centre, sample)
    process(centre)
    assert report(centre)[name]["state"] == "done", report(centre)
    assert statuses(centre, "l1b", name) == ["MATERIALIZED"]
    assert list(centre.target.list("_groundtrack/safes/failed/")) == []


def test_the_short_names_of_the_public_bucket_are_understood(centre, sample):
    name = sample.name.removesuffix(".SAFE")
    centre.put(
        {
            f"safe/GRD/2024/1/1/{name}/{naming.short_path(path.relative_to(sample).as_posix())}": path
            for path in sample.rglob("*")
            if path.is_file()
        }
    )
    process(centre)
    assert report(centre)[name]["state"] == "done"


def test_a_second_run_finds_the_product_done(centre, sample):
    name = upload(centre, sample)
    process(centre)
    made = item_of(centre, name)
    assert materialize(centre, name).success
    assert item_of(centre, name) == made
    newest, _ = centre.instance.fetch_materializations(dg.AssetKey("l1b"), limit=10).records
    assert newest.asset_materialization.metadata["carried_over"].value is True


def test_another_resolution_makes_it_again(centre, sample):
    name = upload(centre, sample)
    process(centre)
    assert materialize(centre, name, resolution_m=2000).success
    assert item_of(centre, name)["properties"]["groundtrack:l1b"]["spacing_m"] == [2000, 2000]


def test_a_reprocessing_succeeds_the_older_one(centre, sample, tmp_path):
    old = upload(centre, sample)
    newer = SafeSpec(lines=1200, samples=900, processed=SPEC.stop.replace(year=2025))
    process(centre)
    new = upload(centre, make_safe(tmp_path, newer))
    process(centre)
    first, second = item_of(centre, old), item_of(centre, new)
    assert (first["properties"]["deprecated"], second["properties"]["deprecated"]) == (True, False)
    assert [link["title"] for link in first["links"] if link["rel"] == "successor-version"] == [new]
    assert [link["title"] for link in second["links"] if link["rel"] == "predecessor-version"] == [old]


def test_an_interrupted_batch_is_run_again(centre, sample):
    name = upload(centre, sample)
    centre.tick()
    [request] = centre.requested
    centre.lose(request)
    centre.tick()
    [again] = centre.requested
    assert again.tags["groundtrack/attempt"] == "2"
    centre.run_requested()
    assert report(centre)[name]["state"] == "done"
    assert list(centre.target.list("_groundtrack/safes/open/")) == []


def test_a_batch_that_is_given_up_tells_what_became_of_every_product(centre, sample):
    centre = centre.with_settings(batch_attempts=1)
    name = upload(centre, sample)
    centre.tick()
    centre.lose(centre.requested[0])
    centre.tick()
    assert report(centre)[name]["error_class"] == "batch_interrupted"
    centre.tick()
    assert centre.requested == []
    assert any("interrupted" in reason for reason in reasons(centre, "l1b_item", name))


def test_a_function_of_the_users_own_gets_the_engine(centre, sample):
    centre = centre.with_settings(sar_process="tests.builders.own_l1b:mean_of_first_image", sar_options={"factor": 3.0})
    name = upload(centre, sample)
    process(centre)
    assert report(centre)[name]["state"] == "done", report(centre)
    facts = item_of(centre, name)["properties"]["groundtrack:l1b"]
    assert facts["own"]["factor"] == 3.0
    made = item_of(centre, name)
    assert materialize(centre, name).success
    assert item_of(centre, name) == made  # found done: an item that is written again has another time


def test_a_function_that_writes_nothing_fails(centre, sample):
    centre = centre.with_settings(sar_process="tests.builders.own_l1b:nothing")
    name = upload(centre, sample)
    process(centre)
    assert report(centre)[name]["error_class"] == "check_failed"


def materialize(centre: Centre, name: str, **config: Any) -> dg.ExecuteInProcessResult:
    """Materialize one product, as the web UI does."""
    job = centre.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=[dg.AssetKey(asset) for asset in PRODUCTS],
        partition_key=name,
        instance=centre.instance,
        raise_on_error=False,
        run_config={"ops": {"sar": {"config": config}}} if config else {},
    )
