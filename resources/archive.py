"""What every domain's view of a deployment has in common: the object store, the buckets, and what a batch may use."""

from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from resources.object_store import S3Bucket, S3Connection


class ObjectStore(S3Resource):
    """An S3 server, configured as dagster-aws configures one; credentials come from the AWS chain unless given by `EnvVar`."""

    def connection(self) -> S3Connection:
        """Return how to reach the server, from here and from workers."""
        return S3Connection(
            endpoint_url=self.endpoint_url or "",
            region=self.region_name or "",
            profile=self.profile_name or "",
            access_key_id=self.aws_access_key_id or "",
            secret_access_key=self.aws_secret_access_key or "",
            session_token=self.aws_session_token or "",
        )


class Archive(dg.ConfigurableResource[Any]):
    """Inputs in one bucket, what is made of them in another."""

    store: ObjectStore
    input_bucket: str = Field(description="Bucket of what is processed.")
    output_bucket: str = Field(description="Bucket of products, catalogue and records.")
    output_prefix: str = Field(description="Products are written under this prefix.")
    batch_rows: int = Field(description="Items in one run, about.")
    batch_attempts: int = Field(description="How often an interrupted run of a batch is started again.")
    item_time_limit_s: float = Field(description="Longest one item may take.")
    item_memory_mb: int = Field(description="Memory of a worker while it works on one item.")
    item_alone_memory_mb: int = Field(description="The same for an item that is tried again, alone.")
    item_attempts: int = Field(description="How often an item is tried when what failed may pass.")

    @property
    def connection(self) -> S3Connection:
        """How to reach the object store from here."""
        return self.store.connection()

    @property
    def source(self) -> S3Bucket:
        """The input bucket."""
        return self.connection.bucket(self.input_bucket)

    @property
    def target(self) -> S3Bucket:
        """The output bucket."""
        return self.connection.bucket(self.output_bucket)

    def buckets_for_workers(self) -> tuple[S3Bucket, S3Bucket]:
        """Return input and output bucket with the credentials of this moment, for workers that have none of their own."""
        connection = self.connection.with_credentials()
        return connection.bucket(self.input_bucket), connection.bucket(self.output_bucket)
