"""From mean power to backscatter: calibration, noise and what remains without it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.sar.annotation import Channel, Floats
from platform_assets.sar.grid import Grid, at, noise

_KINDS = (("sigma0", "nesz"), ("gamma0", "negz"))


def backscatter(channel: Channel, grid: Grid, power: Floats) -> dict[str, NDArray[np.float32]]:
    """Return all variables of one polarisation, by the names of the conventions' table.

    Args:
        channel: Its annotations.
        grid: The cells.
        power: Mean power in the cells, NaN where there is no image.
    """
    luts = {"sigma0": at(channel.sigma0_lut, grid), "gamma0": at(channel.gamma0_lut, grid)}
    noise_power = noise(channel, grid)
    values: dict[str, Any] = {"digital_number": np.sqrt(power), "noise_lut": noise_power}
    for kind, noise_name in _KINDS:
        squared = luts[kind] ** 2
        raw, floor = power / squared, noise_power / squared
        values |= {f"{kind}_lut": luts[kind], f"{kind}_raw": raw, noise_name: floor, kind: raw if channel.denoised else raw - floor}
    return {name: table.astype("float32") for name, table in values.items()}
