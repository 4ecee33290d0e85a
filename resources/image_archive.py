"""The imagery domain's view of a deployment: its buckets, how images are converted, and what a batch may use."""

from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from platform_assets.imagery.model import Conversion, Limits, Profile
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


class ImageArchive(dg.ConfigurableResource[Any]):
    """Raw images in one bucket, products in another."""

    store: ObjectStore
    input_bucket: str = Field(description="Bucket of raw images and manifests.")
    input_prefix: str = Field(description="Only what lies under this prefix is looked at.")
    output_bucket: str = Field(description="Bucket of products, catalogue and records.")
    output_prefix: str = Field(description="Products are written under this prefix.")
    manifest_pattern: str = Field(description="Which keys are manifests.")
    manifest_grace_s: float = Field(description="How long a manifest waits for images that have not arrived.")
    manifest_bytes: int = Field(description="Largest manifest that is read.")
    batch_rows: int = Field(description="Rows of a manifest in one run.")
    batch_attempts: int = Field(description="How often an interrupted run of a batch is started again.")
    profile: str = Field(description="Compression of the COGs.")
    overview_resampling: str = Field(description="How overviews are made.")
    jpeg_quality: int = Field(description="Quality of the JPEGs.")
    thumbnail_px: int = Field(description="Longer side of the thumbnails.")
    limits: dict[str, int] = Field(description="What an image may announce.")
    item_time_limit_s: float = Field(description="Longest one image may take.")
    item_memory_mb: int = Field(description="Memory of a worker while it works on one image.")
    item_alone_memory_mb: int = Field(description="The same for an image that is tried again, alone.")
    item_attempts: int = Field(description="How often an image is tried when what failed may pass.")

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
    def conversion(self) -> Conversion:
        """How images are converted unless a run asks for something else."""
        resampling: Any = self.overview_resampling
        return Conversion(Profile(self.profile), resampling, self.jpeg_quality, self.thumbnail_px)

    @property
    def image_limits(self) -> Limits:
        """What images may announce."""
        return Limits(**self.limits)
