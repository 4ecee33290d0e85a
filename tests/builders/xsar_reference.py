"""What xsar itself computes of a SAFE, on a grid of whole pixels and with the cures it needs."""

import warnings
from pathlib import Path
from typing import Any

import dask
import xarray as xr

import platform_assets.sar.xsar_reader  # noqa: F401  # mends xsar as it imports it


def xsar_dataset(safe: Path, cell: tuple[int, int], land: Path) -> xr.Dataset:
    """Return xsar's own dataset, computed: slow, and one SAFE at a time."""
    import xsar

    caches: tuple[dict[str, Any], ...] = (
        xsar.Sentinel1Meta._mask_features,
        xsar.Sentinel1Meta._mask_intersecting_geometries,
        xsar.Sentinel1Meta._mask_geometry,
    )
    with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("ignore")
        xsar.Sentinel1Meta.set_mask_feature("land", str(land))
        for cache in caches:
            cache["land"] = None
        return xsar.open_dataset(str(safe), resolution={"line": cell[0], "sample": cell[1]}).load()
