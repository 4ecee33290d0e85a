"""EOPF CPM from PyPI runs our payloads, with real units of its own kind, from and to a real S3 server."""

import json
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pytest
from distributed import Client

from platform_assets.common.errors import MemoryLimitExceeded
from platform_assets.common.stages import Stages
from platform_assets.common.values import State
from platform_assets.dpr import naming
from platform_assets.dpr.bucket_catalogue import BucketCatalogue
from platform_assets.dpr.errors import PayloadError
from platform_assets.dpr.items import ZARR
from platform_assets.dpr.pipeline import RequestJob, Workshop, process_request
from platform_assets.dpr.processors import Order, ProcessorCrashed, ProcessorFailed, ProcessorTimeout
from platform_assets.dpr.storage import BucketRule, read_storage
from platform_assets.dpr.zarr_store import Array, store_objects
from platform_assets.environments.process import Limits
from platform_assets.environments.uv import PackageIndex
from resources.object_store import S3Bucket
from resources.processor_eopf import EopfProcessor
from tests.builders.dpr import Document, as_json, auxiliary, first_task_table, item, request, task_table
from tests.builders.processors import EVERYTHING, in_store, order
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server, free_port, wait_for
from tests.builders.wheels import wheel
from tests.integration.conftest import new_bucket

ROOT = Path(__file__).parents[2]
COUNTS = np.arange(256).reshape(1, 256)


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory, embedded_server: S3Server, package_index: None) -> EopfProcessor:
    wheels = tmp_path_factory.mktemp("wheels")
    wheel(wheels, "wave-units", "1.0.0")
    index = PackageIndex(find_links=(str(wheels),))
    made = EopfProcessor(tmp_path_factory.mktemp("eopf"), embedded_server.connection, ("wave-units==1.0.0",), index)
    assert made.prepare().is_new
    return made


@pytest.fixture(scope="module")
def archive(embedded_server: S3Server) -> S3Bucket:
    bucket = new_bucket(embedded_server, "eopf-archive")
    for name in ("A", "B"):
        for key, data in store_objects({"measurements/counts": Array(COUNTS, ("source", "value"), {})}, {"other_metadata": {}}):
            bucket.write(f"slcs/{name}.zarr/{key}", data, content_type="application/octet-stream")
    bucket.write("aux/ORB.EOF", b"orbits", content_type="text/plain")
    return bucket


@pytest.fixture
def products(embedded_server: S3Server, request: pytest.FixtureRequest) -> S3Bucket:
    return new_bucket(embedded_server, request.node.nodeid)


def table(**terrain: str) -> Document:
    made = task_table()
    made["external_modules"] = [{"name": "json", "star_import": True}]
    for unit in made["units"]:
        unit["module"] = "wave_units"
    made["io"]["input"][0] |= {"type": "file", "engine": "cpm_zarr"}
    made["pipelines"][0]["steps"][1]["parameters"] = terrain
    return made


def wanted(scratch: Path, archive: S3Bucket, products: S3Bucket, **changes: object) -> Order:
    where = archive.connection
    given = {
        "table": table(),
        "stores": in_store(endpoint_url=where.endpoint_url, region_name=where.region),
        "bucket": products.name,
        "inputs": {"slc": [f"s3://{archive.name}/slcs/A.zarr"]},
        "adfs": {"ORB": [f"s3://{archive.name}/aux/ORB.EOF"]},
        "lookup": {"CLOUD_KEY": ACCESS_KEY, "CLOUD_SECRET": SECRET_KEY},
        "generated_product_to_collection_identifier": EVERYTHING,
    }
    return order(scratch, **(given | changes))


def roots(bucket: S3Bucket) -> dict[str, Document]:
    """The attributes of every product of a bucket, by its folder."""
    found = [ref.key for ref in bucket.list(ending=(".zarr/.zattrs",))]
    return {key.removesuffix("/.zattrs"): json.loads(bucket.read(key, limit_bytes=1 << 20)[0]) for key in found}


def counts(bucket: S3Bucket, root: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    data, _ = bucket.read(f"{root}/measurements/counts/0.0", limit_bytes=1 << 20)
    described = json.loads(bucket.read(f"{root}/measurements/counts/.zarray", limit_bytes=1 << 20)[0])
    return np.frombuffer(imagecodecs.blosc_decode(data), described["dtype"]).reshape(1, 256)


def only(bucket: S3Bucket, folder: str) -> str:
    [found] = [root for root in roots(bucket) if f"/{folder}/" in root]
    return found


def running(text: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if text in " ".join(_of(process, "cmdline") or ())]


def _of(process: psutil.Process, name: str) -> list[str] | dict[str, str] | None:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        found: list[str] | dict[str, str] = getattr(process, name)()
        return found
    return None


def test_a_pipeline_of_three_real_units_runs_from_s3_to_s3(processor, archive, products, tmp_path):
    lines: list[str] = []
    processed = processor.run(wanted(tmp_path, archive, products, lines=lines))
    types = {found["stac_discovery"]["properties"]["product:type"] for found in roots(products).values()}
    assert types == {"CAL", "DEM", "S01SIWRAW", "S01SEWRAW"}
    assert (counts(products, only(products, "cals")) == 3 * COUNTS + len(b"orbits")).all()
    for root in roots(products):
        assert "/geos/" not in root or (counts(products, root) == 3 * COUNTS + len(b"orbits") + 1).all()
    assert processed.facts["versions"] == {"eopf": "2.8.1", "wave-units": "1.0.0"}
    assert "looks 3, offset 6" in lines
    assert "CPM Version 2.8.1" in processed.log
    assert SECRET_KEY not in processed.log


def test_a_request_is_planned_run_by_cpm_and_published_with_what_it_was_made_of(processor, archive, products, embedded_server, tmp_path):
    inputs = new_bucket(embedded_server, "eopf-requests")
    inputs.write("dpr/tasktables/wave.json", as_json(table()), content_type="application/json")
    slc = item("A", "slcs", f"s3://{archive.name}/slcs/A.zarr", eopf__origin_datetime="2026-05-01T04:30:00.000Z")
    slc["assets"]["data"]["type"] = ZARR
    orb = auxiliary("ORB_NEW", "aux", "ORB_PRE", eopf__origin_datetime="2026-05-01T04:00:00.000Z")
    orb["assets"]["data"]["href"] = f"s3://{archive.name}/aux/ORB.EOF"
    for made in (slc, orb):
        products.write(naming.item_key(made["collection"], made["id"]), as_json(made), content_type="application/geo+json")
    where = archive.connection
    shop = Workshop(
        source=inputs,
        target=products,
        prefix="",
        open_bucket=where.bucket,
        catalogue=BucketCatalogue(products),
        processor=processor,
        secrets={"CLOUD_KEY": ACCESS_KEY, "CLOUD_SECRET": SECRET_KEY},
        storage=read_storage(as_json(in_store(endpoint_url=where.endpoint_url, region_name=where.region)), "storage.json"),
        rules=(BucketRule("*", "*", "*", "90", products.name),),
        run_id="run-1",
    )
    mappings = [*EVERYTHING[:2], {"name": "geo", "product_type": "*", "collection_name": "geos"}]
    asked = request(
        input_products=[{"name": "slc", "item_id": "A", "collection_name": "slcs"}], generated_product_to_collection_identifier=mappings
    )
    job = RequestJob("wave.0a1b2c3d", asked, "dpr/tasktables/wave.json")
    state, facts = process_request(shop, job, Stages())
    assert state is State.DONE
    assert sorted(row["product_type"] for row in facts["items"]) == ["S01SEWRAW", "S01SIWRAW"]
    published = json.loads(products.read(facts["items"][0]["key"], limit_bytes=1 << 20)[0])
    derived = {link["href"].rpartition("/")[2] for link in published["links"] if link["rel"] == "derived_from"}
    assert {"A.json", "ORB_NEW.json"} <= derived
    assert facts["processor"]["versions"]["eopf"] == "2.8.1"
    assert SECRET_KEY not in json.dumps([facts, published])


def test_a_payload_of_the_first_generation_runs_as_it_is(processor, archive, products, tmp_path):
    first = first_task_table()
    first["units"][0]["module"] = "wave_units"
    first["io"][0] |= {"type": "filename", "store_type": "zarr"}
    first["io"][4]["store_params"] = {}
    processor.run(wanted(tmp_path, archive, products, table=first))
    assert (counts(products, only(products, "cals")) == COUNTS + len(b"orbits")).all()


def test_several_inputs_are_one_list_and_a_neighbour_is_none_of_them(processor, archive, products, tmp_path):
    both = {"slc": [f"s3://{archive.name}/slcs/{name}.zarr" for name in "AB"]}
    processor.run(wanted(tmp_path, archive, products, inputs=both))
    assert (counts(products, only(products, "cals")) == 2 * 3 * COUNTS + len(b"orbits")).all()
    archive.write("slcs/AB.zarr/.zgroup", b"{}", content_type="application/json")
    try:
        with pytest.raises(PayloadError, match=r"AB\.zarr"):
            processor.run(wanted(tmp_path, archive, products, inputs=both))
    finally:
        archive.delete("slcs/AB.zarr/.zgroup")


def test_the_error_of_a_unit_is_the_request_s_error_without_its_secrets(processor, archive, products, tmp_path):
    told = table(do="fail", tell=f"'{SECRET_KEY}'")
    with pytest.raises(ProcessorFailed, match="ValueError: the terrain has a hole") as raised:
        processor.run(wanted(tmp_path, archive, products, table=told))
    assert SECRET_KEY not in str(raised.value)


def test_a_unit_that_dies_is_tried_again(processor, archive, products, tmp_path):
    with pytest.raises(ProcessorCrashed, match="killed by signal 9"):
        processor.run(wanted(tmp_path, archive, products, table=table(do="crash")))


def test_a_store_that_does_not_answer_is_tried_again(processor, archive, products, tmp_path):
    lost = replace(archive, connection=replace(archive.connection, endpoint_url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ProcessorCrashed, match=r"Could not connect|Cannot connect"):
        processor.run(wanted(tmp_path, lost, products))


def test_what_takes_too_much_memory_is_ended(processor, archive, products, tmp_path):
    with pytest.raises(MemoryLimitExceeded):
        replace(processor, limits=Limits(memory_bytes=60_000_000)).run(wanted(tmp_path, archive, products))


def test_what_takes_too_long_is_ended(processor, archive, products, tmp_path):
    with pytest.raises(ProcessorTimeout):
        replace(processor, limits=Limits(time_s=1.0, grace_s=0.1)).run(wanted(tmp_path, archive, products))
    assert not running(f"{processor.folder}/environments")


def test_no_secret_is_in_arguments_environment_or_files(processor, archive, products, tmp_path):
    order = wanted(tmp_path, archive, products, table=table(do="hang", tell=SECRET_KEY))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(processor.run, order)
        printed = tmp_path / "eopf" / "stdout.log"
        wait_for(lambda: printed.exists() and "I know" in printed.read_text(), "the unit's words", timeout_s=120)
        [process] = running(f"{processor.folder}/environments")
        seen = [" ".join(process.cmdline()), str(process.environ()), *(path.read_text() for path in tmp_path.rglob("*") if path.is_file())]
        process.kill()
        assert isinstance(run.exception(timeout=30), ProcessorCrashed)
    assert not any(SECRET_KEY in text for text in seen)
    assert "I know **********" in printed.read_text()


def test_cpm_is_ended_when_its_dask_task_is_canceled(processor, archive, products, tmp_path, dask_address):
    with Client(dask_address, set_as_default=False) as dask:
        future = dask.submit(hang, processor, archive, products, tmp_path, pure=False)
        wait_for(lambda: bool(running(f"{processor.folder}/environments")), "CPM's process")
        [process] = running(f"{processor.folder}/environments")
        dask.cancel([future], force=True)
        process.wait(20)


def hang(processor: EopfProcessor, archive: S3Bucket, products: S3Bucket, scratch: Path) -> None:
    processor.run(wanted(scratch, archive, products, table=table(do="hang", tell="nothing")))


def test_a_killed_worker_leaves_no_process_behind(processor, archive, products, tmp_path):
    code = """
import pickle, sys
from pathlib import Path
from tests.integration import test_processor_eopf
test_processor_eopf.hang(*pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))
"""
    (tmp_path / "pickle").write_bytes(pickle.dumps((processor, archive, products)))
    command = [sys.executable, "-c", code, str(tmp_path / "pickle"), str(tmp_path)]
    worker = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: bool(running(f"{processor.folder}/environments")), "CPM's process")
        [process] = running(f"{processor.folder}/environments")
        wait_for(lambda: (tmp_path / "eopf" / "stderr.log").stat().st_size > 0, "CPM's first words")
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    process.wait(10)
