"""Every setting of a deployment, read once, from environment variables and the `.env` file of the working directory.

Credentials are not among them: S3 takes them from the usual AWS chain. What is secret here (`ui_token`, `postgres_url`,
`failure_receivers`) never becomes a Dagster resource's value, which the web UI would show.
"""

import re
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from platform_assets.common.errors import ConfigurationError
from platform_assets.imagery.model import Conversion, Limits, Profile, Resampling
from resources.object_store import S3Connection
from resources.receivers import parse_receivers

_FIELD = re.compile(r'field "(\w+)"')

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

    session_prefix: str = Field(default="sessions/", description="Downlink sessions lie under this prefix of the input bucket.")
    session_deadline_s: float = Field(
        default=86_400.0,
        ge=0,
        description="How long a session may lack something before it is reported; it is still taken when it is whole.",
    )
    station_poll_s: int = Field(default=60, gt=0, description="Seconds between two looks at the CADIP stations.")
    request_prefix: str = Field(default="requests/", description="Processing requests are dropped under this prefix of the input bucket.")
    dpr_prefix: str = Field(
        default="dpr/",
        description="Task tables (`tasktables/*.json`), storage, bucket rules, stations and rules lie under this prefix.",
    )
    request_grace_s: float = Field(default=86_400.0, ge=0, description="How long a request waits for the items that it processes.")
    dpr_processors: dict[str, Any] = Field(
        default={},
        description="What runs payloads, as JSON: by processor_name, `*` for all others, a `kind` (simulator, eopf, ogc) with its options; "
        "empty for the simulator.",
    )
    dpr_time_limit_s: float = Field(default=21_600.0, gt=0, description="Longest one request may take.")

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

    workflows_manifests: str = Field(
        default="", description="Folder or s3:// prefix of workflow manifests; empty for `workflows/manifests` in the home."
    )
    workflows_index_url: str = Field(
        default="", description="Package index of tasks' environments; empty for uv's configuration, else PyPI."
    )
    workflows_find_links: str = Field(default="", description="Folders and pages of wheels for tasks' environments, between spaces.")
    workflows_no_index: bool = Field(default=False, description="Whether only the wheels of workflows_find_links and exported ones count.")
    workflows_offline: bool = Field(default=False, description="Whether nothing is fetched for tasks' environments.")
    workflows_python: str = Field(default="", description="Version or path of tasks' Python; empty for the platform's own.")
    workflows_cache_gb: float = Field(
        default=50.0, gt=0, description="Disk for tasks' environments, in GB; those unused for longest go first."
    )
    workflows_variables: str = Field(default="", description="Names of the platform's variables that tasks see, between spaces.")
    workflows_rollback: bool = Field(default=True, description="Whether a task's rollback is called before a retry and on final failure.")
    workflows_time_limit_s: float = Field(
        default=0.0, ge=0, description="Longest a task without a limit of its own may take; 0 for no limit."
    )
    workflows_memory_mb: int = Field(default=0, ge=0, description="Memory of a task without a limit of its own; 0 for no limit.")
    workflows_grace_s: float = Field(default=10.0, ge=0, description="Between asking a task to end and killing it.")
    workflows_placement: Literal["local", "dask"] = Field(
        default="local", description="Where tasks run: beside the run, or on Dask workers with the resource that their queue is named for."
    )

    postgres_url: SecretStr = Field(default=SecretStr(""), description="PostgreSQL for Dagster's storage; empty for SQLite.")
    ui_host: str = Field(default="127.0.0.1", description="Address the web UI listens on.")
    ui_port: int = Field(default=3000, ge=0, le=65535, description="Port of the web UI; the next free one is taken.")
    ui_public_name: str = Field(default="", description="Host name under which a reverse proxy shows the web UI; it must pass Host on.")
    ui_token: SecretStr = Field(default=SecretStr(""), description="Token to open the web UI with; empty for a new one at every start.")
    ui_read_only: bool = Field(default=False, description="Whether the web UI only shows.")
    failure_receivers: SecretStr = Field(
        default=SecretStr(""),
        description="Who is told of failed workflow tasks, separated by spaces: https://..., smtp://host?to=address, file:///path.",
    )

    @field_validator("input_prefix", "output_prefix", "safe_prefix", "session_prefix", "request_prefix", "dpr_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value.startswith("/") or "//" in value or ".." in value.split("/"):
            raise ValueError("a prefix is a relative path such as `scans/1955/`")
        return f"{value.rstrip('/')}/" if value else ""

    @field_validator("failure_receivers")
    @classmethod
    def _receivers(cls, value: SecretStr) -> SecretStr:
        try:
            parse_receivers(value.get_secret_value())
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("workflows_index_url", "workflows_find_links")
    @classmethod
    def _public(cls, value: str) -> str:
        if any("://" in place and "@" in place for place in value.split()):
            raise ValueError("credentials do not belong into the address; use ~/.netrc or UV_INDEX_<NAME>_PASSWORD")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("credentials do not belong into the endpoint; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _outputs_never_overwrite_inputs(self) -> Self:
        inputs = (self.input_prefix, self.safe_prefix, self.session_prefix, self.request_prefix, self.dpr_prefix)
        for prefix in inputs if self.input_bucket == self.output_bucket else ():
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
    def ui_url(self) -> str:
        """The web UI's address; empty while its port is not known."""
        if self.ui_public_name:
            return f"https://{self.ui_public_name}"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.ui_host, self.ui_host)  # noqa: S104 - translated, not bound to
        return f"http://{f'[{host}]' if ':' in host else host}:{self.ui_port}" if self.ui_port else ""

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
    except SettingsError as error:
        field = _FIELD.search(str(error))
        place = _variable((field[1],)) if field else str(error)
        raise ConfigurationError(f"{place}: is no JSON: {error.__cause__}") from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _variable(location: tuple[int | str, ...]) -> str:
    return f"GROUNDTRACK_{str(location[0]).upper()}" if location else "settings"
