"""The imagery domain's view of a deployment: its buckets, and how images are converted."""

from typing import Any

from pydantic import Field

from platform_assets.imagery.model import Conversion, Limits, Profile
from resources.archive import Archive


class ImageArchive(Archive):
    """Raw images in one bucket, products in another."""

    input_prefix: str = Field(description="Only what lies under this prefix is looked at.")
    manifest_pattern: str = Field(description="Which keys are manifests.")
    manifest_grace_s: float = Field(description="How long a manifest waits for images that have not arrived.")
    manifest_bytes: int = Field(description="Largest manifest that is read.")
    profile: str = Field(description="Compression of the COGs.")
    overview_resampling: str = Field(description="How overviews are made.")
    jpeg_quality: int = Field(description="Quality of the JPEGs.")
    thumbnail_px: int = Field(description="Longer side of the thumbnails.")
    limits: dict[str, int] = Field(description="What an image may announce.")

    @property
    def conversion(self) -> Conversion:
        """How images are converted unless a run asks for something else."""
        resampling: Any = self.overview_resampling
        return Conversion(Profile(self.profile), resampling, self.jpeg_quality, self.thumbnail_px)

    @property
    def image_limits(self) -> Limits:
        """What images may announce."""
        return Limits(**self.limits)
