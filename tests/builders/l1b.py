"""L1B files without a SAFE."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.sar.netcdf import write_netcdf

START = np.datetime64("2024-01-01T06:00:00.250000", "ns")


def l1b_values(lines: int = 4, samples: int = 5, **changes: Any) -> dict[str, NDArray[Any]]:
    """Return what a small L1B file holds: ascending lines go north, samples east."""
    rng = np.random.default_rng(0)
    latitude, longitude = np.meshgrid(47 + 0.01 * np.arange(lines), -6 + 0.01 * np.arange(samples) + 1 / 3, indexing="ij")
    values: dict[str, NDArray[Any]] = {
        "crs": np.array(0, "int32"),
        "pol": np.array(["VV", "VH"], object),
        "line": 49.5 + 100.0 * np.arange(lines),
        "sample": 49.5 + 100.0 * np.arange(samples),
        "longitude": longitude,
        "latitude": latitude,
        "time": 21600.25 + 0.15 * np.arange(lines),
        "sigma0": rng.gamma(4, 0.02, (2, lines, samples)).astype("float32"),
        "incidence": np.broadcast_to(np.linspace(30, 46, samples), (lines, samples)).copy(),
        "land_mask": np.eye(lines, samples, dtype="int8"),
    }
    return values | changes


def write_l1b(path: Path, values: dict[str, NDArray[Any]]) -> Path:
    """Write values as an L1B file that nobody checks."""
    write_netcdf(path, values, START, {"title": "test"}, lambda _path: None)
    return path
