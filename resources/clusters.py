"""Clusters of a Dask Gateway, found by label or by instance, and with at least one worker."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from platform_assets.common.errors import ConfigurationError, PermanentError, TransientError
from platform_assets.dpr.errors import choice, quoted
from platform_assets.dpr.secrets import Secret

_LABEL = "cluster_name"
"""The option of a cluster that is its label, as the Reference System calls it."""


class NoCluster(PermanentError):
    """There is no such cluster."""

    code = "no_cluster"
    remedy = "Start the cluster, or name one of those that the message lists."


class NoWorker(TransientError):
    """A cluster has no worker, and none came."""

    code = "no_worker"
    remedy = "Look at the cluster's limits, and at what runs its workers."


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """A running cluster.

    Attributes:
        instance: The gateway's name for it.
        label: What people call it; several may have one label, one after the other.
        workers: How many workers it has; 0 for not looked at.
        dashboard: The address of its dashboard; empty when there is none.
    """

    instance: str
    label: str = ""
    workers: int = 0
    dashboard: str = ""

    def __str__(self) -> str:
        return f"{self.instance} ({self.label})" if self.label else self.instance


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """A Dask Gateway, and who asks.

    Attributes:
        address: Its address.
        auth: How it is asked.
        username: For `basic`.
        secret: A reference to the password of `basic`, or to the token of `jupyterhub`.
        proxy_address: The address of its proxy to schedulers; empty for the same.
        public_address: The address that browsers see; empty for the same.
    """

    address: str
    auth: Literal["basic", "jupyterhub"] = "basic"
    username: str = ""
    secret: str = ""
    proxy_address: str = ""
    public_address: str = ""

    @contextmanager
    def gateway(self, secrets: Mapping[str, str]) -> Iterator[Any]:
        """Yield the gateway's client.

        Raises:
            ConfigurationError: Its package is not installed, or it refuses the credentials.
            MissingSecret: The secret is not among those given.
            TransientError: It does not answer.
        """
        try:
            from dask_gateway import BasicAuth, Gateway, JupyterHubAuth
        except ImportError as error:
            raise ConfigurationError("dask-gateway is not installed", remedy="Install groundtrack[gateway].") from error
        secret = Secret(self.secret).reveal(secrets)
        auth = BasicAuth(self.username or None, secret) if self.auth == "basic" else JupyterHubAuth(secret)
        others = {"proxy_address": self.proxy_address or None, "public_address": self.public_address or None}
        with _translated(self.address), Gateway(self.address, auth=auth, **others) as gateway:
            yield gateway

    def context(self, cluster: ClusterInfo, secrets: Mapping[str, str]) -> tuple[dict[str, Any], str]:
        """Return the section `dask_context` of a CPM payload that runs on a cluster, and the secret that is in it.

        Raises:
            MissingSecret: The secret is not among those given.
        """
        secret = Secret(self.secret).reveal(secrets)
        basic = {"username": self.username, "password": secret}
        auth = {"type": self.auth, **(basic if self.auth == "basic" else {"api_token": secret})}
        where = {"address": self.address, "reuse_cluster": cluster.instance, "auth": auth}
        return {"cluster_type": "gateway", "cluster_config": where}, secret


def find_cluster(gateway: Any, label: str = "", instance: str = "", *, timeout_s: float = 300.0) -> ClusterInfo:
    """Return the cluster of an instance, else the newest of a label; without workers it is given one.

    Args:
        gateway: A client of the gateway.
        label: What people call it.
        instance: The gateway's name for it; wins over the label.
        timeout_s: How long is waited for a first worker.

    Raises:
        NoCluster: There is none; the message lists those that there are.
        NoWorker: No worker came.
    """
    reports = sorted(gateway.list_clusters(), key=lambda report: report.start_time, reverse=True)
    found = choose([_info(report) for report in reports if report.status.name == "RUNNING"], label, instance)
    with gateway.connect(found.instance) as cluster:
        if not cluster.scheduler_info["workers"]:
            cluster.scale(1)
        deadline = time.monotonic() + timeout_s
        while not (workers := len(cluster.scheduler_info["workers"])):
            if time.monotonic() > deadline:
                raise NoWorker(f"the cluster {found} has no worker after {timeout_s:,.0f} s")
            time.sleep(0.2)
    return ClusterInfo(found.instance, found.label, workers, found.dashboard)


def choose(clusters: Iterable[ClusterInfo], label: str, instance: str) -> ClusterInfo:
    """Return the cluster of an instance, else the first of a label.

    Raises:
        NoCluster: There is none.
    """
    known = list(clusters)
    for cluster in known:
        if cluster.instance == instance if instance else label and cluster.label == label:
            return cluster
    wanted = (
        f"no cluster {quoted(instance)}" if instance else f"no cluster with the label {quoted(label)}" if label else "no cluster is named"
    )
    raise NoCluster(f"{wanted}; {choice('running are', map(str, known))}")


def _info(report: Any) -> ClusterInfo:
    return ClusterInfo(report.name, str((report.options or {}).get(_LABEL) or ""), 0, report.dashboard_link or "")


@contextmanager
def _translated(address: str) -> Iterator[None]:
    from aiohttp import ClientError
    from dask_gateway import GatewayClusterError, GatewayServerError

    try:
        yield
    except (ClientError, OSError, GatewayClusterError, GatewayServerError) as error:
        status = getattr(error, "status", None)
        if status in (401, 403):
            raise ConfigurationError(
                f"the Dask Gateway {address} refuses the credentials", remedy="Correct its username and secret."
            ) from error
        raise TransientError(f"the Dask Gateway {address} does not answer: {error}", code="gateway_unavailable") from error
