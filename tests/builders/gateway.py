"""A real Dask Gateway whose clusters are processes of this machine, in an environment of its own with its client."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from tests.builders.servers import answers_http, free_port, kill_group, wait_for

REQUIREMENTS = ("dask-gateway==2026.3.0", "dask-gateway-server[local]==2026.3.0", "dask==2025.7.0", "distributed==2025.7.0")
PASSWORD = "gateway-password-61c0"
_ROOT = Path(__file__).parents[2]


@dataclass
class GatewayServer:
    """A running gateway.

    Attributes:
        python: An interpreter that has its client, and not all of what we have.
        address: Its address.
    """

    python: Path
    address: str

    def run(self, program: str) -> str:
        """Run a program that may import `resources.clusters`, with `ADDRESS` and `PASSWORD`, and return what it prints."""
        head = f"ADDRESS, PASSWORD = {self.address!r}, {PASSWORD!r}\n"
        command = [str(self.python), "-c", head + program]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout


def make_environment(folder: Path, requirements: Sequence[str] = REQUIREMENTS) -> Path:
    """Make the environment, and return its interpreter."""
    subprocess.run([find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), *requirements], check=True)
    return python


@contextmanager
def gateway_server(python: Path, folder: Path) -> Iterator[GatewayServer]:
    """Run a gateway on loopback; all its clusters end with it."""
    ports = [free_port() for _ in range(2)]
    dask = python.parent / "dask"
    folder.mkdir()
    (folder / "config.py").write_text(f"""
c = get_config()
c.DaskGateway.address = "127.0.0.1:{ports[0]}"
c.Proxy.address = "127.0.0.1:{ports[1]}"
c.Proxy.log_level = "warn"
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = "{PASSWORD}"
c.UnsafeLocalBackend.clusters_directory = "{folder}"
c.LocalBackend.clusters_directory = "{folder}"
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
c.ClusterConfig.cluster_max_workers = 3
c.ClusterConfig.scheduler_cmd = ["{dask}", "scheduler"]
c.ClusterConfig.worker_cmd = ["{dask}", "worker"]
from dask_gateway_server.options import Options, String
c.Backend.cluster_options = Options(String("cluster_name", default=""), handler=lambda options: {{}})
""")
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    command = [str(python.parent / "dask-gateway-server"), "--config", str(folder / "config.py")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    address = f"http://127.0.0.1:{ports[1]}"
    try:
        wait_for(lambda: answers_http(f"{address}/api/health"), "start of the Dask Gateway")
        yield GatewayServer(python, address)
    finally:
        process.terminate()
        wait_for(lambda: process.poll() is not None, "end of the Dask Gateway", timeout_s=30)
        kill_group(process)
