"""The simulator on Dask workers: reads with all of them, and takes its worker with it when it is told to crash."""

from pathlib import Path

import pytest
from distributed import Client, KilledWorker

from platform_assets.dpr.simulator import Fault, Faults, Simulator
from resources.dask_reading import DaskReading
from resources.object_store import S3Bucket
from tests.builders.processors import EVERYTHING, in_store, order
from tests.builders.servers import S3Server
from tests.integration.conftest import new_bucket

BLOCKS = 12


@pytest.fixture
def archive(embedded_server: S3Server, request: pytest.FixtureRequest) -> S3Bucket:
    bucket = new_bucket(embedded_server, f"{request.node.nodeid}-archive")
    for number in range(BLOCKS):
        bucket.write(f"sessions/S/ch1_{number}.raw", bytes([number]) * 1000, content_type="application/octet-stream")
    bucket.write("aux/ORB.EOF", b"orbits", content_type="text/plain")
    return bucket


@pytest.fixture
def products(embedded_server: S3Server, request: pytest.FixtureRequest) -> S3Bucket:
    return new_bucket(embedded_server, request.node.nodeid)


def run(archive: S3Bucket, products: S3Bucket, scratch: Path, reading: DaskReading, faults: Faults | None = None) -> int:
    """Run the payload, and return how many files were read for its first input."""
    given = order(
        scratch,
        stores=in_store(),
        bucket=products.name,
        inputs={"slc": [f"s3://{archive.name}/sessions/S"]},
        adfs={"ORB": [f"s3://{archive.name}/aux/ORB.EOF"]},
        generated_product_to_collection_identifier=EVERYTHING,
    )
    facts = Simulator(archive.connection, faults or Faults(), reading).run(given).facts
    return int(facts["steps"][0]["read"][0]["files"])


def tasks_of(client: Client) -> int:
    """How many tasks workers have run that read files."""
    stream = client.get_task_stream()
    return sum("one_by_one" in str(task["key"]) for task in stream)


def test_blocks_are_read_by_tasks_of_their_own_and_the_products_are_the_same(archive, products, tmp_path, dask_address):
    with Client(dask_address, set_as_default=False) as client:
        client.get_task_stream(count=0)
        assert client.submit(run, archive, products, tmp_path, DaskReading(), pure=False).result(timeout=60) == BLOCKS
        before, alone = {ref.key: ref.etag for ref in products.list()}, tasks_of(client)
        assert client.submit(run, archive, products, tmp_path, DaskReading(group_bytes=2000), pure=False).result(timeout=60) == BLOCKS
        assert {ref.key: ref.etag for ref in products.list()} == before
        assert tasks_of(client) - alone >= BLOCKS // 2


def test_a_crash_takes_the_worker_with_it(archive, products, tmp_path, dask_address):
    with Client(dask_address, set_as_default=False) as client:
        crash = Faults(share=1, kinds=(Fault.CRASH,))
        with pytest.raises(KilledWorker):
            client.submit(run, archive, products, tmp_path, DaskReading(), crash, pure=False).result(timeout=60)
        client.wait_for_workers(2, timeout=60)
