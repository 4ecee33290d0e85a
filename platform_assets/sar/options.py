"""What a user may choose about an L1B file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_assets.common.errors import ConfigurationError
from platform_assets.sar.conventions import CHOICES, DEFAULT_VARIABLES


@dataclass(frozen=True, slots=True)
class L1bOptions:
    """The parameters that decide what an L1B file contains; an item made with others is not done.

    Attributes:
        resolution_m: Wanted side of a cell; cells are whole pixels, the file says their exact size.
        variables: Besides the coordinates; names of `conventions.CHOICES`.
        polarisations: Such as `VV`; empty for all that the product has.
        land_polygons: A file of land polygons instead of the packaged ones, on every worker.
    """

    resolution_m: float = 1000.0
    variables: tuple[str, ...] = DEFAULT_VARIABLES
    polarisations: tuple[str, ...] = ()
    land_polygons: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.resolution_m < 1e6:
            raise ConfigurationError(f"a resolution of {self.resolution_m} m makes no sense")
        if unknown := sorted({*self.variables} - {*CHOICES}):
            raise ConfigurationError(f"unknown variables: {', '.join(unknown)}", remedy=f"Choose from {', '.join(CHOICES)}.")
        if not self.variables:
            raise ConfigurationError("no variables are asked for", remedy=f"Choose from {', '.join(CHOICES)}.")


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """A function of the user's own and its options; an item made with others is not done.

    Attributes:
        function: An entry point's name, or `module:function`, importable on every worker.
        options: Its keyword arguments, in JSON types.
        version: What the user calls this version; another one makes everything again.
    """

    function: str
    options: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""


Processing = L1bOptions | OwnProcess
"""How products are processed."""
