"""A real service of OGC API - Processes: pygeoapi from the package index, in an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from uv import find_uv_bin

from resources.object_store import S3Connection
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, answers_http, free_port, kill_group, wait_for

REQUIREMENTS = ("pygeoapi==0.21.0", "boto3==1.43.117", "filelock==3.20.1")
_PROCESSES = Path(__file__).parent / "ogc_processes"


@dataclass
class DprService:
    """A running service.

    Attributes:
        url: Its landing page.
        seen: The inputs of the job that ran last, in JSON.
        folder: All its files.
    """

    url: str
    seen: Path
    folder: Path


def make_environment(folder: Path) -> Path:
    """Make the environment, and return its interpreter."""
    subprocess.run([find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS], check=True)
    return python


@contextmanager
def dpr_service(python: Path, folder: Path, store: S3Connection) -> Iterator[DprService]:
    """Run the service on loopback; it knows the S3 server and its credentials on its own."""
    url = f"http://127.0.0.1:{free_port()}"
    (folder / "outputs").mkdir(parents=True)
    (folder / "config.yml").write_text(yaml.safe_dump(_configuration(url, folder)))
    environment = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(_PROCESSES),
        "PYGEOAPI_CONFIG": str(folder / "config.yml"),
        "PYGEOAPI_OPENAPI": str(folder / "openapi.yml"),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "S3_ENDPOINT": store.endpoint_url,
        "WAVE_SEEN": str(folder / "seen.json"),
    }
    command = [str(python.parent / "pygeoapi"), "openapi", "generate", environment["PYGEOAPI_CONFIG"]]
    with (folder / "openapi.yml").open("wb") as openapi:
        subprocess.run([*command], env=environment, stdout=openapi, check=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python.parent / "pygeoapi"), "serve"], env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        wait_for(lambda: answers_http(f"{url}/processes?f=json"), "start of pygeoapi")
        yield DprService(url, folder / "seen.json", folder)
    finally:
        kill_group(process)


def _configuration(url: str, folder: Path) -> dict[str, object]:
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": int(url.rpartition(":")[2])},
            "url": url,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 20, "max_items": 50},
            "map": {"url": "https://tile.example.org/{z}/{x}/{y}.png", "attribution": "none"},
            "manager": {"name": "TinyDB", "connection": str(folder / "jobs.db"), "output_dir": str(folder / "outputs")},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {
                "title": {"en": "DPR"},
                "description": {"en": "DPR"},
                "keywords": {"en": ["dpr"]},
                "keywords_type": "theme",
                "terms_of_service": "https://example.org",
                "url": "https://example.org",
            },
            "license": {"name": "Apache-2.0", "url": "https://example.org"},
            "provider": {"name": "Centre", "url": "https://example.org"},
            "contact": {"name": "Ana", "email": "ana@example.org", "url": "https://example.org"},
        },
        "resources": {"wave": {"type": "process", "processor": {"name": "dpr_processes.Wave"}}},
    }
