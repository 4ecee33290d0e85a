"""GDAL on local files."""

from typing import Any

import rasterio
from rasterio.session import DummySession

NO_SESSION = DummySession()
"""For `rasterio.Env`, which makes a boto3 session where AWS credentials are in the process's environment: 6 ms each time."""


def local_environment(**options: Any) -> rasterio.Env:
    """Return an environment of GDAL with these options and without credentials."""
    return rasterio.Env(session=NO_SESSION, **options)
