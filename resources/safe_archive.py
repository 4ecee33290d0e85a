"""The sar domain's view of a deployment: its buckets, and how products are processed."""

from typing import Any

from pydantic import Field

from platform_assets.sar.options import L1bOptions, OwnProcess, Processing
from resources.archive import Archive


class SafeArchive(Archive):
    """Sentinel-1 products in one bucket, what is made of them in another."""

    safe_prefix: str = Field(description="Products are looked for under this prefix.")
    institution: str = Field(description="Who processes, as it stands in the files.")
    resolution_m: float = Field(description="Cell size of the grid in metres, about.")
    process: str = Field(description="What processes: empty for the built-in, an entry point's name, or `module:function`.")
    options: dict[str, Any] = Field(description="Keyword arguments of a function of the user's own.")
    land: str = Field(description="Land polygons for the land mask; empty for Natural Earth's.")

    @property
    def processing(self) -> Processing:
        """How products are processed unless a run asks for something else."""
        if self.process:
            return OwnProcess(self.process, self.options)
        return L1bOptions(resolution_m=self.resolution_m, land_polygons=self.land)
