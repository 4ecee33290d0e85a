"""The processors of a deployment, made of what the settings say of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr.model import ANY
from platform_assets.dpr.processors import ByName, Processor
from platform_assets.dpr.simulator import Fault, Faults, Simulator
from platform_assets.environments.process import Limits
from platform_assets.environments.uv import PackageIndex
from resources.clusters import GatewayAccess
from resources.dask_reading import DaskReading
from resources.object_store import S3Connection
from resources.processor_eopf import EopfProcessor
from resources.processor_ogc import OgcProcessor, Send
from resources.settings import Settings


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Faults(_Model):
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    kinds: tuple[Fault, ...] = tuple(Fault)
    seed: int = 0
    attempts: Annotated[int, Field(ge=0)] = 1
    requests: str = "*"


class _Simulator(_Model):
    kind: Literal["simulator"]
    faults: _Faults = _Faults(share=0.0)

    def make(self, connection: S3Connection, secrets: Mapping[str, str], folder: Path) -> Processor:
        del secrets, folder
        return Simulator(connection, Faults(**dict(self.faults)), DaskReading())


class _Gateway(_Model):
    address: str
    auth: Literal["basic", "jupyterhub"] = "basic"
    username: str = ""
    secret: Annotated[str, Field(pattern=r"^(\$\{\w+\})?$")] = ""
    proxy_address: str = ""
    public_address: str = ""


class _Eopf(_Model):
    kind: Literal["eopf"]
    requirements: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    index_url: str = ""
    offline: bool = False
    python: Path | None = None
    folder: Path | None = None
    dask_context: dict[str, Any] = {}
    gateway: _Gateway | None = None
    variables: dict[str, str] = {}
    time_limit_s: Annotated[float, Field(gt=0)] | None = None
    memory_mb: Annotated[int, Field(gt=0)] | None = None

    def make(self, connection: S3Connection, secrets: Mapping[str, str], folder: Path) -> Processor:
        return EopfProcessor(
            self.folder or folder,
            connection,
            self.requirements,
            PackageIndex(self.index_url, self.find_links, offline=self.offline),
            self.python,
            self.dask_context,
            GatewayAccess(**dict(self.gateway)) if self.gateway else None,
            secrets,
            self.variables,
            Limits(self.time_limit_s, self.memory_mb * 1_000_000 if self.memory_mb else None),
        )


class _Ogc(_Model):
    kind: Literal["ogc"]
    url: Annotated[str, Field(pattern=r"^https?://[^/@]+(/|$)")]
    process: str = ""
    authorization: Annotated[str, Field(pattern=r"^$|\$\{[A-Za-z_]\w*\}$")] = ""  # the web UI shows settings: a reference, never a token
    send: Send = "reference"
    inputs: dict[str, Any] = {}
    deadline_s: Annotated[float, Field(gt=0)] = 24 * 3600.0
    silence_s: Annotated[float, Field(gt=0)] = 300.0

    def make(self, connection: S3Connection, secrets: Mapping[str, str], folder: Path) -> Processor:
        del folder
        return OgcProcessor(buckets=connection, secrets=secrets, **self.model_dump(exclude={"kind"}))


_Row = Annotated[_Simulator | _Eopf | _Ogc, Field(discriminator="kind")]
_ROWS = TypeAdapter(dict[str, _Row])


def make_processor(settings: Mapping[str, Any], connection: S3Connection, secrets: Mapping[str, str], folder: Path) -> ByName:
    """Return what runs every payload, by the processor that its request names.

    Args:
        settings: By processor, `*` for all others: `{"kind": "simulator" | "eopf" | "ogc", ...}` with the own
            settings. Empty for the simulator alone.
        connection: The object store, with credentials.
        secrets: What references stand for; looked up on workers.
        folder: Where environments are kept, on a local disk of each worker.

    Raises:
        ConfigurationError: They are not as they must be; the message names every one that is not.
    """
    try:
        rows = _ROWS.validate_python(dict(settings) or {ANY: {"kind": "simulator"}})
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_input=False)]
        raise ConfigurationError(
            f"GROUNDTRACK_DPR_PROCESSORS: {'; '.join(problems)}", remedy="Correct the processor that the message names."
        ) from None
    return ByName({name: row.make(connection, secrets, folder) for name, row in rows.items()})


def environments_folder(settings: Settings) -> Path:
    """Return where a deployment keeps the Python environments of its processors, on each worker's machine."""
    return settings.home.resolve() / "environments"
