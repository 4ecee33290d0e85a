"""A request from its document to published items, with EOPF CPM as its processor and a real S3 server."""

import json
from pathlib import Path

import pytest

from platform_assets.common.stages import Stages
from platform_assets.common.values import State
from platform_assets.dpr import naming
from platform_assets.dpr.bucket_catalogue import BucketCatalogue
from platform_assets.dpr.pipeline import RequestJob, Workshop, find_done, process_request
from platform_assets.dpr.storage import BucketRule, read_storage
from resources.object_store import S3Bucket
from resources.processor_eopf import EopfProcessor
from tests.builders.dpr import as_json, auxiliary, item, request
from tests.builders.processors import EVERYTHING, in_store
from tests.builders.servers import ACCESS_KEY, SECRET_KEY
from tests.builders.stac_validation import validation_error
from tests.integration.test_processor_eopf import archive, processor, products, table

__all__ = ["archive", "processor", "products"]


@pytest.fixture
def shop(processor: EopfProcessor, archive: S3Bucket, products: S3Bucket) -> Workshop:
    where = archive.connection
    archive.write("tables/wave.json", as_json(table()), content_type="application/json")
    slc = item("A", "slcs", f"s3://{archive.name}/slcs/A.zarr", eopf__origin_datetime="2026-05-01T04:30:00Z")
    slc["assets"]["data"]["type"] = "application/vnd+zarr"
    for found in (slc, auxiliary("ORB", "orbits", "ORB_RES", href=f"s3://{archive.name}/aux/ORB.EOF")):
        products.write(naming.item_key(found["collection"], found["id"]), as_json(found), content_type="application/geo+json")
    return Workshop(
        source=archive,
        target=products,
        prefix="",
        open_bucket=where.bucket,
        catalogue=BucketCatalogue(products),
        processor=processor,
        secrets={"CLOUD_KEY": ACCESS_KEY, "CLOUD_SECRET": SECRET_KEY},
        storage=read_storage(as_json(in_store(endpoint_url=where.endpoint_url, region_name=where.region)), "storage.json"),
        rules=(BucketRule("*", "*", "*", "", products.name),),
        run_id="run-1",
    )


def test_what_the_real_processor_makes_is_published(shop: Workshop, products: S3Bucket, tmp_path: Path) -> None:
    given = [{"name": "slc", "item_id": "A", "collection_name": "slcs"}]
    rows = [*EVERYTHING[:2], {"name": "geo", "product_type": "*", "collection_name": "geos"}]
    job = RequestJob("real.0a1b2c3d", request(input_products=given, generated_product_to_collection_identifier=rows), "tables/wave.json")
    state, facts = process_request(shop, job, Stages())
    assert (state, sorted(row["product_type"] for row in facts["items"])) == (State.DONE, ["S01SEWRAW", "S01SIWRAW"])
    assert facts["processor"]["versions"]["eopf"] == "2.8.1"
    for row in facts["items"]:
        found = json.loads(products.read(row["key"], limit_bytes=1 << 20)[0])
        assert validation_error(found) == ""
        assert [link["title"] for link in found["links"] if link["rel"] == "derived_from"] == ["A", "ORB"]
    assert [outcome.key for outcome in find_done(shop, [job])] == ["real.0a1b2c3d"]
    kept = b"".join(products.read(ref.key, limit_bytes=1 << 26)[0] for ref in products.list("_groundtrack/"))
    assert SECRET_KEY.encode() not in kept
