"""Every setting of a deployment, read once, from environment variables and the `.env` file of the working directory.

Credentials are not among them: S3 takes them from the usual AWS chain. What is secret here (`ui_token`, `postgres_url`)
never becomes a Dagster resource's value, which the web UI would show.
"""

import json
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from platform_assets.common.errors import ConfigurationError
from platform_assets.imagery.model import Conversion, Limits, Profile, Resampling
from resources.object_store import S3Connection

_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


class Settings(BaseSettings):
    """The settings; each is the environment variable `GROUNDTRACK_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="GROUNDTRACK_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path(".groundtrack"), description="Folder of the platform's own state: databases, logs, the embedded S3 server's data."
    )

    s3_endpoint_url: str = Field(
        default="", description="S3 server; empty for AWS or what AWS_ENDPOINT_URL says. `up` and `demo` start their own when none is set."
    )
    s3_region: str = Field(default="", description="S3 region; empty for what the AWS configuration says.")
    input_bucket: Annotated[str, Field(pattern=_BUCKET)] = Field(default="raw", description="Bucket of raw images and manifests.")
    input_prefix: str = Field(default="", description="Only what lies under this prefix is looked at.")
    output_bucket: Annotated[str, Field(pattern=_BUCKET)] = Field(
        default="products", description="Bucket of products, catalogue and the platform's records."
    )
    output_prefix: str = Field(default="", description="Products are written under this prefix.")

    manifest_pattern: str = Field(default="*raw.csv", description="Which keys are manifests; `*` matches slashes too.")
    manifest_grace_s: float = Field(default=900.0, ge=0, description="How long a manifest waits for images that have not arrived.")
    manifest_bytes: int = Field(default=64 << 20, gt=0, description="Largest manifest that is read.")
    batch_rows: int = Field(default=1000, gt=0, description="Rows of a manifest in one run.")
    batch_attempts: int = Field(default=5, gt=0, description="How often an interrupted run of a batch is started again.")
    sensor_interval_s: int = Field(default=10, gt=0, description="Seconds between two looks at the input bucket.")

    profile: Profile = Field(default=Profile.DEFLATE, description="Compression of the COGs: deflate, zstd, lzw, jpeg, webp or lerc.")
    overview_resampling: Resampling = Field(
        default="average", description="How overviews are made; palettes and masks always take nearest."
    )
    jpeg_quality: int = Field(default=75, ge=1, le=100, description="Quality of the JPEGs.")
    thumbnail_px: int = Field(default=512, ge=16, le=4096, description="Longer side of the thumbnails.")
    max_file_bytes: int = Field(default=Limits().file_bytes, gt=0, description="Largest raw file.")
    max_pixels: int = Field(default=Limits().pixels, gt=0, description="Most pixels (width x height) of an image.")
    max_decoded_bytes: int = Field(default=Limits().decoded_bytes, gt=0, description="Most bytes of an image's decoded bands.")
    max_bands: int = Field(default=Limits().bands, gt=0, description="Most bands of an image.")
    max_block_bytes: int = Field(default=Limits().block_bytes, gt=0, description="Most bytes of one decoded tile or strip.")
    max_expansion: int = Field(
        default=Limits().expansion, gt=0, description="Most decoded bytes a stored byte, of images beyond a gigabyte."
    )

    safe_prefix: str = Field(default="safe/", description="Sentinel-1 products are looked for under this prefix of the input bucket.")
    sar_resolution_m: float = Field(default=1000.0, ge=50, le=50_000, description="Cell size of the L1B grids in metres, about.")
    institution: str = Field(default="", description="Who processes, as it stands in L1B files.")
    sar_process: str = Field(
        default="", description="Your own L1B function: an entry point of the group groundtrack.l1b, or `module:function`."
    )
    sar_options: dict[str, Any] = Field(default={}, description="Keyword arguments of your own L1B function, as JSON.")
    sar_land: str = Field(default="", description="Shapefile of land for the land mask; empty for Natural Earth's.")

    item_time_limit_s: float = Field(default=3600.0, gt=0, description="Longest one image may take.")
    item_memory_mb: int = Field(default=1500, ge=0, description="Memory of a worker while it works on one image; 0 for no limit.")
    item_alone_memory_mb: int = Field(
        default=6000, ge=0, description="The same for an image that exhausted its memory and is tried again, alone."
    )
    item_attempts: int = Field(default=4, ge=1, description="How often an image is tried when what failed may pass.")

    dask_kind: Literal["local", "address", "gateway", "jobqueue"] = Field(default="local", description="Where Dask workers come from.")
    dask_address: str = Field(default="", description="Scheduler (address) or Dask Gateway (gateway).")
    dask_name: str = Field(default="", description="gateway: a cluster to join. jobqueue: the class, such as SLURMCluster.")
    dask_workers: int = Field(default=0, ge=0, description="Workers to ask for; 0 for one a core.")
    dask_maximum: int = Field(default=0, ge=0, description="Adaptive scaling: workers at most; 0 for a fixed number.")
    dask_options: dict[str, Any] = Field(default={}, description="More of the cluster's options, as JSON.")

    postgres_url: SecretStr = Field(default=SecretStr(""), description="PostgreSQL for Dagster's storage; empty for SQLite.")
    ui_host: str = Field(default="127.0.0.1", description="Address the web UI listens on.")
    ui_port: int = Field(default=3000, ge=0, le=65535, description="Port of the web UI; the next free one is taken.")
    ui_public_name: str = Field(default="", description="Host name under which a reverse proxy shows the web UI; it must pass Host on.")
    ui_token: SecretStr = Field(default=SecretStr(""), description="Token to open the web UI with; empty for a new one at every start.")
    ui_read_only: bool = Field(default=False, description="Whether the web UI only shows.")

    @field_validator("input_prefix", "output_prefix", "safe_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value.startswith("/") or "//" in value or ".." in value.split("/"):
            raise ValueError("a prefix is a relative path such as `scans/1955/`")
        return f"{value.rstrip('/')}/" if value else ""

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("credentials do not belong into the endpoint; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _outputs_never_overwrite_inputs(self) -> Self:
        for prefix in (self.input_prefix, self.safe_prefix) if self.input_bucket == self.output_bucket else ():
            if prefix.startswith(self.output_prefix) or self.output_prefix.startswith(prefix):
                raise ValueError(
                    f"a product could overwrite a raw image: input s3://{self.input_bucket}/{prefix} and output "
                    f"s3://{self.output_bucket}/{self.output_prefix} overlap; use two buckets or two prefixes side by side"
                )
        return self

    @model_validator(mode="after")
    def _outcomes_are_no_manifests(self) -> Self:
        tail = self.manifest_pattern.rpartition("*")[2]
        if any(wildcard in tail for wildcard in "?[]") or not tail:
            raise ValueError("manifest_pattern must end in plain text, such as `*raw.csv`")
        for word in ("processing", "processed", "failed", "report"):
            if fnmatchcase(f"x/x_{word}-20260101-000000.csv", self.manifest_pattern):
                raise ValueError(
                    f"manifest_pattern {self.manifest_pattern} also matches the platform's own `{word}-<time>.csv`; use `*raw.csv`"
                )
        return self

    @cached_property
    def s3(self) -> S3Connection:
        """How to reach the object store; credentials come from the AWS chain when they are needed."""
        return S3Connection(self.s3_endpoint_url, self.s3_region)

    @property
    def conversion(self) -> Conversion:
        """How images are converted unless a run asks for something else."""
        return Conversion(self.profile, self.overview_resampling, self.jpeg_quality, self.thumbnail_px)

    @property
    def limits(self) -> Limits:
        """What images may announce."""
        return Limits(
            self.max_file_bytes, self.max_pixels, self.max_decoded_bytes, self.max_bands, self.max_block_bytes, self.max_expansion
        )


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        overrides: Settings that win over environment and `.env`.

    Raises:
        ConfigurationError: A setting is unknown, malformed or contradicts another; the message names all of them.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [f"{_variable(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}" for problem in error.errors()]
        raise ConfigurationError("; ".join(problems)) from error
    except (json.JSONDecodeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _variable(location: tuple[int | str, ...]) -> str:
    return f"GROUNDTRACK_{str(location[0]).upper()}" if location else "settings"
