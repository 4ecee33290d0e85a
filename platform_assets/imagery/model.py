"""What the imagery domain speaks of."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from platform_assets.common.values import ObjectRef

Resampling = Literal["average", "cubic", "bilinear", "nearest", "mode", "gauss", "rms", "lanczos"]
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)


class Profile(StrEnum):
    """How the pixels of a COG are compressed."""

    DEFLATE = "deflate"
    ZSTD = "zstd"
    LZW = "lzw"
    JPEG = "jpeg"
    WEBP = "webp"
    LERC = "lerc"

    @property
    def lossless(self) -> bool:
        """Whether the COG's pixels are exactly the source's."""
        return self not in (Profile.JPEG, Profile.WEBP)


class Product(StrEnum):
    """What is made of a raw image; the values are the names of the Dagster assets."""

    COG = "cog"
    JPEG = "jpeg"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True, slots=True)
class Conversion:
    """The parameters that decide what the products contain; an item made with others is not done.

    Attributes:
        profile: The compression of the COG.
        resampling: How overviews are made; palettes, masks and 1-bit images take `nearest` instead.
        jpeg_quality: Quality of the JPEG, and of a COG with the `jpeg` or `webp` profile.
        thumbnail_px: Longer side of the thumbnail.
    """

    profile: Profile = Profile.DEFLATE
    resampling: Resampling = "average"
    jpeg_quality: int = 75
    thumbnail_px: int = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may announce; checked in its header, before memory is spent.

    Attributes:
        file_bytes: Size of the raw object.
        pixels: Width times height.
        decoded_bytes: All bands, decoded.
        bands: Bands.
        block_bytes: One tile or strip of all its bands, decoded.
        expansion: Decoded bytes a stored byte, for images that decode to more than a gigabyte.
    """

    file_bytes: int = 64 << 30
    pixels: int = 40_000_000_000
    decoded_bytes: int = 64 << 30
    bands: int = 512
    block_bytes: int = 256 << 20
    expansion: int = 1000


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a raster file says of itself: read from the source, and again from the COG, which must keep it.

    Attributes:
        width: Pixels a line.
        height: Lines.
        dtypes: GDAL's data type of each band, by rasterio's name, such as `uint8`.
        bits: Significant bits of a sample when the file stores fewer than its type has (TIFF's NBITS), else 0.
        nodata: Nodata value of each band, as text so that NaN equals NaN; empty for none.
        mask: How validity is told: `all_valid`, `nodata`, `alpha` or `per_dataset`.
        colorinterp: Colour interpretation of each band.
        colormap: Whether the first band has a palette; GDAL gives one to negatives (MINISWHITE) and to 1-bit images.
        crs_wkt: The coordinate reference system of transform or ground control points, in WKT 2; empty for none.
        transform: The affine geotransform in GDAL's order; None for none.
        gcps: Number of ground control points.
        rpcs: Whether there are rational polynomial coefficients.
        scales: Scale of each band.
        offsets: Offset of each band.
        units: Unit of each band.
        descriptions: Description of each band.
        area_or_point: GDAL's AREA_OR_POINT, `Area` when unset.
        tags: The dataset's own metadata, without what GDAL derives.
        band_tags: The same of each band.
        pages: Images in the file that are neither overviews nor masks; all but the first are ignored.
    """

    width: int
    height: int
    dtypes: tuple[str, ...]
    bits: int
    nodata: tuple[str, ...]
    mask: str
    colorinterp: tuple[str, ...]
    colormap: bool
    crs_wkt: str
    transform: tuple[float, ...] | None
    gcps: int
    rpcs: bool
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str, ...]
    descriptions: tuple[str, ...]
    area_or_point: str
    tags: tuple[tuple[str, str], ...]
    band_tags: tuple[tuple[tuple[str, str], ...], ...]
    pages: int = 1

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.dtypes)


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of the valid pixels of one band, over the overview that the thumbnail is made from.

    Attributes:
        minimum: Smallest value.
        maximum: Largest value.
        mean: Mean.
        stddev: Standard deviation.
        valid_percent: Share of valid pixels, 0 to 100.
    """

    minimum: float | None
    maximum: float | None
    mean: float | None
    stddev: float | None
    valid_percent: float


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One raw image to convert.

    Attributes:
        source: The version of the raw object that was claimed.
        bands: The band count that the manifest claims; None when no manifest names the image.
        sidecars: World file, mask and auxiliary files beside it, claimed with it.
    """

    source: ObjectRef
    bands: int | None = None
    sidecars: tuple[ObjectRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """One product file in the scratch folder, checked and ready to be published.

    Attributes:
        product: Which one.
        path: The local file.
        media_type: Its media type.
        details: What is worth knowing of it, in JSON types: dimensions, checks, reductions.
    """

    product: Product
    path: str
    media_type: str
    details: dict[str, Any] = field(default_factory=dict)
