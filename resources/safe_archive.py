"""The sar domain's view of a deployment: its buckets, how products are processed, and what a batch may use."""

from typing import Any

import dagster as dg
from pydantic import Field

from platform_assets.sar.options import L1bOptions, OwnProcess, Processing
from resources.image_archive import ObjectStore
from resources.object_store import S3Bucket


class SafeArchive(dg.ConfigurableResource[Any]):
    """Sentinel-1 products in one bucket, what is made of them in another."""

    store: ObjectStore
    input_bucket: str = Field(description="Bucket of the products.")
    safe_prefix: str = Field(description="Products are looked for under this prefix.")
    output_bucket: str = Field(description="Bucket of what is made, catalogue and records.")
    output_prefix: str = Field(description="What is made is written under this prefix.")
    batch_rows: int = Field(description="Products in one run, about.")
    batch_attempts: int = Field(description="How often an interrupted run of a batch is started again.")
    resolution_m: float = Field(description="Cell size of the grid in metres, about.")
    process: str = Field(description="What processes: empty for the built-in, an entry point's name, or `module:function`.")
    options: dict[str, Any] = Field(description="Keyword arguments of a function of the user's own.")
    land: str = Field(description="Land polygons for the land mask; empty for Natural Earth's.")
    item_time_limit_s: float = Field(description="Longest one product may take.")
    item_memory_mb: int = Field(description="Memory of a worker while it works on one product.")
    item_alone_memory_mb: int = Field(description="The same for a product that is tried again, alone.")
    item_attempts: int = Field(description="How often a product is tried when what failed may pass.")

    @property
    def source(self) -> S3Bucket:
        """The input bucket."""
        return self.store.connection().bucket(self.input_bucket)

    @property
    def target(self) -> S3Bucket:
        """The output bucket."""
        return self.store.connection().bucket(self.output_bucket)

    def buckets_for_workers(self) -> tuple[S3Bucket, S3Bucket]:
        """Return input and output bucket with the credentials of this moment, for workers that have none of their own."""
        connection = self.store.connection().with_credentials()
        return connection.bucket(self.input_bucket), connection.bucket(self.output_bucket)

    @property
    def processing(self) -> Processing:
        """How products are processed unless a run asks for something else."""
        if self.process:
            return OwnProcess(self.process, self.options)
        return L1bOptions(resolution_m=self.resolution_m, land_polygons=self.land)
