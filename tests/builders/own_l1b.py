"""Functions as users write them, for the tests of the entry point."""

from pathlib import Path

import netCDF4
import rasterio


def mean_of_first_image(safe: Path, out: Path, factor: float = 1.0) -> dict[str, float]:
    with rasterio.open(next(safe.glob("measurement/*"))) as image, netCDF4.Dataset(out, "w") as file:
        small = image.read(1, out_shape=(20, 30)) * factor
        file.createDimension("line", 20)
        file.createDimension("sample", 30)
        file.createVariable("mean", "f4", ("line", "sample"))[:] = small
    return {"factor": factor}


def nothing(safe: Path, out: Path) -> None:
    pass
