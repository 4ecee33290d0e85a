"""Images of noise: nothing compresses them, so they take as long as images of their size can."""

from functools import lru_cache

import numpy as np
from rasterio.io import MemoryFile
from rasterio.transform import from_origin


@lru_cache(maxsize=4)
def noise_image(size_px: int, seed: int, bands: int = 3) -> bytes:
    """Return a square GeoTIFF near Munich, in UTM; the same for the same arguments."""
    pixels = np.random.default_rng(seed).integers(0, 255, (bands, size_px, size_px), dtype="uint8")
    profile = {"width": size_px, "height": size_px, "count": bands, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", crs="EPSG:32632", transform=from_origin(690_000, 5_335_000, 1, 1), **profile) as dataset:
            dataset.write(pixels)
        return bytes(memory.read())
