"""Dask by the name of its deployment: who owns the workers, and for how long."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from pydantic import Field

from platform_assets.common.errors import ConfigurationError, TransientError
from resources.local_dask import local_dask

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

Kind = Literal["local", "address", "gateway", "jobqueue"]


class DaskCluster(dg.ConfigurableResource[Any]):
    """A Dask cluster of one of four kinds; opened for a batch and closed with it.

    `local` starts worker processes on this machine. `address` joins a running scheduler and leaves it running. `gateway`
    asks a Dask Gateway for a cluster, or joins one by its name. `jobqueue` submits workers to a batch system.
    """

    kind: Kind = Field(default="local", description="Where the workers come from: local, address, gateway or jobqueue.")
    address: str = Field(default="", description="Scheduler (address) or Dask Gateway (gateway) to connect to.")
    name: str = Field(
        default="",
        description="gateway: an existing cluster to join. jobqueue: the class, such as SLURMCluster, PBSCluster or HTCondorCluster.",
    )
    workers: int = Field(default=0, ge=0, description="How many workers to ask for; 0 for one a core (local) or for adaptive bounds.")
    minimum: int = Field(default=0, ge=0, description="Adaptive scaling: workers at least.")
    maximum: int = Field(default=0, ge=0, description="Adaptive scaling: workers at most; 0 for a fixed number.")
    options: dict[str, Any] = Field(default_factory=dict, description="What the kind's own constructor takes besides.")

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """Yield a connected client; what this resource started is closed afterwards, whatever happens.

        Raises:
            ConfigurationError: The kind's package is not installed, or a setting that the kind needs is missing.
            TransientError: The scheduler or gateway does not answer.
        """
        from distributed import Client

        with self._scheduler() as target, _connected(Client, target) as client:
            yield client

    @contextmanager
    def _scheduler(self) -> Iterator[Any]:
        match self.kind:
            case "address":
                yield self._required("address", self.address)
            case "local":
                with local_dask(self.workers or os.cpu_count() or 1) as address:
                    yield address
            case "gateway":
                with self._gateway_cluster() as cluster:
                    yield cluster
            case "jobqueue":
                with self._jobqueue() as cluster:
                    self._scale(cluster)
                    yield cluster

    def _jobqueue(self) -> "Cluster":
        try:
            import dask_jobqueue
        except ImportError as error:
            raise ConfigurationError("dask-jobqueue is not installed", remedy="Install groundtrack[jobqueue].") from error
        kind = getattr(dask_jobqueue, self._required("name", self.name), None)
        if kind is None:
            raise ConfigurationError(f"dask-jobqueue has no {self.name}", remedy="Name one of its classes, such as SLURMCluster.")
        cluster: Cluster = kind(**({"cores": 1, "processes": 1} | self.options))
        return cluster

    @contextmanager
    def _gateway_cluster(self) -> Iterator["Cluster"]:
        try:
            from dask_gateway import Gateway
        except ImportError as error:
            raise ConfigurationError("dask-gateway is not installed", remedy="Install groundtrack[gateway].") from error
        with Gateway(self._required("address", self.address)) as gateway:
            if self.name:
                with gateway.connect(self.name) as cluster:
                    yield cluster
                return
            with gateway.new_cluster(shutdown_on_close=True, **self.options) as cluster:
                self._scale(cluster)
                yield cluster

    def _scale(self, cluster: Any) -> None:
        if self.maximum:
            cluster.adapt(minimum=self.minimum, maximum=self.maximum)
        else:
            cluster.scale(self.workers or 1)

    def _required(self, name: str, value: str) -> str:
        if not value:
            raise ConfigurationError(f"Dask kind {self.kind} needs the setting `{name}`", remedy=f"Set GROUNDTRACK_DASK_{name.upper()}.")
        return value


@contextmanager
def _connected(client_class: "type[Client]", target: Any) -> Iterator["Client"]:
    try:
        client = client_class(target, set_as_default=False, timeout=30)
    except (OSError, TimeoutError) as error:
        raise TransientError(f"the Dask scheduler {target} does not answer: {error}", code="cluster_lost") from error
    with client:
        yield client
