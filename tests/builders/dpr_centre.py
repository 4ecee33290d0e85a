"""A centre in memory that processes requests: buckets, catalogue, storage, and the simulator, or a processor of the test's own."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from platform_assets.common.stages import Stages
from platform_assets.dpr import naming
from platform_assets.dpr.bucket_catalogue import BucketCatalogue
from platform_assets.dpr.pipeline import RequestJob, Workshop, process_request
from platform_assets.dpr.processors import Order, Processed
from platform_assets.dpr.simulator import Faults, Simulator
from platform_assets.dpr.storage import BucketRule, read_storage
from tests.builders.dpr import as_json, items, request, storage, task_table
from tests.builders.processors import MemoryBuckets

TABLE = "dpr/tasktables/wave.json"
SECRETS = {"CLOUD_KEY": "canary-key-1f", "CLOUD_SECRET": "canary-secret-2e"}
ORIGIN = "2026-05-01T04:30:00.000Z"


@dataclass(frozen=True)
class Written:
    """A processor that does what the test says."""

    run_order: Callable[[Order], Any] = field(default=lambda order: None)

    def run(self, order: Order) -> Processed:
        self.run_order(order)
        return Processed("", {"versions": {"written": "1"}})


class Centre:
    """A centre with one session, its auxiliary files and one task table.

    Attributes:
        buckets: `input`, `output`, `products` and `archive`.
        disk: Where intermediate products go.
    """

    def __init__(self, disk: Path) -> None:
        self.buckets, self.disk = MemoryBuckets(), disk
        self.source, self.target, self.products = map(self.buckets.bucket, ("input", "output", "products"))
        self.put_table(task_table())
        for item in items():
            self.put_item(item)
            href = item["assets"]["data"]["href"]
            self.buckets.bucket("archive").write(href.removeprefix("s3://archive/"), item["id"].encode(), content_type="text/plain")

    def put_table(self, table: Mapping[str, Any]) -> None:
        self.source.write(TABLE, as_json(table), content_type="application/json")

    def put_item(self, item: Mapping[str, Any]) -> None:
        properties = {**item["properties"], "eopf:origin_datetime": ORIGIN}
        self.target.write(
            naming.item_key(item["collection"], item["id"]),
            as_json({**item, "properties": properties}),
            content_type="application/geo+json",
        )

    def shop(self, processor: Any = None, faults: Faults | None = None, **changes: Any) -> Workshop:
        stores = storage()
        stores["storage_configuration"][1]["absolute_path"] = str(self.disk)
        shop = Workshop(
            source=self.source,
            target=self.target,
            prefix="",
            open_bucket=self.buckets.bucket,
            catalogue=BucketCatalogue(self.target),
            processor=processor or Simulator(self.buckets, faults or Faults()),
            secrets=SECRETS,
            storage=read_storage(as_json(stores), "storage.json"),
            rules=(BucketRule("*", "*", "*", "90", "products"),),
            run_id="run-1",
            run_url="https://centre.example.org/runs/run-1",
        )
        return replace(shop, **changes)

    def job(self, name: str = "first.0a1b2c3d", **asked: Any) -> RequestJob:
        return RequestJob(name, request(**asked), TABLE)

    def process(self, job: RequestJob | None = None, shop: Workshop | None = None, stages: Stages | None = None) -> Any:
        return process_request(shop or self.shop(), job or self.job(), stages or Stages())

    def record(self, name: str, job: str = "first.0a1b2c3d") -> bytes:
        return self.target.read(naming.record_key(job, name), limit_bytes=1 << 30)[0]

    def publication(self, job: str = "first.0a1b2c3d") -> Any:
        return json.loads(self.record("publication.json", job))

    def items(self, collection: str = "maps") -> dict[str, Any]:
        keys = [ref.key for ref in self.target.list(naming.items_prefix(collection)) if not ref.key.endswith("catalog.json")]
        found = [json.loads(self.target.read(key, limit_bytes=1 << 30)[0]) for key in keys]
        return {item["id"]: item for item in found}

    def stored(self, bucket: str = "products") -> list[str]:
        return [ref.key for ref in self.buckets.bucket(bucket).list()]
