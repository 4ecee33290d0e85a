"""A raw image to a cloud-optimised GeoTIFF, by GDAL's COG driver with the cheapest settings that lose nothing."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from shutil import disk_usage

import rasterio
from rasterio.shutil import copy

from platform_assets.common.errors import PermanentError
from platform_assets.imagery import recompress
from platform_assets.imagery.gdal import cache_for, decode_all, pixel_bytes, strict
from platform_assets.imagery.inspect import private_domains
from platform_assets.imagery.model import Conversion, ImageFacts, Profile
from platform_assets.imagery.tiff import CorruptImage, check_deflate

BLOCK_PX = 512
_SMALLEST_BLOCK_PX = 128
_MOST_BLOCK_BYTES = 64 << 20

_COMPRESSION: dict[Profile, dict[str, str | int]] = {
    # Level 1: on photographs the higher ones take up to three times the time for one percent of size.
    Profile.DEFLATE: {"COMPRESS": "DEFLATE", "LEVEL": 1},
    Profile.ZSTD: {"COMPRESS": "ZSTD", "LEVEL": 1},
    Profile.LZW: {"COMPRESS": "LZW"},
    Profile.JPEG: {"COMPRESS": "JPEG"},
    Profile.WEBP: {"COMPRESS": "WEBP"},
    Profile.LERC: {"COMPRESS": "LERC", "MAX_Z_ERROR": 0},
}
_PREDICTED = (Profile.DEFLATE, Profile.ZSTD, Profile.LZW)
_COMPRESSING = ("LEVEL", "PREDICTOR", "OVERVIEW_PREDICTOR")
_MOST_PLAIN_BYTES = 2 << 30
"""An uncompressed COG that is compressed again is no BigTIFF, and has room on the worker's disk."""


class ProfileUnsuitable(PermanentError):
    """The profile's compression cannot hold this kind of image without losing more than detail."""

    code = "profile_unsuitable"
    remedy = "Convert this image with the profile `deflate` or `zstd`: they hold every image."


class ConversionFailed(PermanentError):
    """GDAL can read the image, but not write its COG."""

    code = "conversion_failed"
    remedy = "Report it with the input."


def write_cog(source: Path, target: Path, facts: ImageFacts, conversion: Conversion) -> None:
    """Write the COG of an image; nothing is written beside it.

    Args:
        source: The image, inspected before.
        target: The file to write.
        facts: What the image says of itself.
        conversion: How to write it.

    Raises:
        ProfileUnsuitable: The profile cannot hold such an image.
        CorruptImage: The image's pixels cannot be read.
        ConversionFailed: They can, but GDAL does not write the COG.
    """
    check_profile(source.name, facts, conversion.profile)
    check_deflate(source)
    options = creation_options(facts, conversion)
    if conversion.profile is not Profile.DEFLATE or "PREDICTOR" not in options or _plain_bytes(facts) > _MOST_PLAIN_BYTES:
        _copy(source, target, facts, options)
        return
    plain = target.with_name(f"{target.name}.plain")
    try:
        _copy(source, plain, facts, {name: value for name, value in options.items() if name not in _COMPRESSING} | {"COMPRESS": "NONE"})
        recompress.deflate(plain, target)
    finally:
        plain.unlink(missing_ok=True)


def _plain_bytes(facts: ImageFacts) -> int:
    """Return the size of the tiles of an image and its overviews without compression."""
    side = block_px(facts)
    return sum(-(-width // side) * -(-height // side) for width, height in pyramid(facts)) * side * side * pixel_bytes(facts.dtypes)


def _copy(source: Path, target: Path, facts: ImageFacts, options: Mapping[str, str | int]) -> None:
    try:
        with strict(source, ConversionFailed), rasterio.open(source, driver="GTiff") as dataset, cache_for(dataset):
            # With YES, GDAL 3.10 loses the tags of bands, and copies the list of pages with this machine's paths in it.
            all_domains = private_domains(dataset) and not any(facts.band_tags) and facts.pages == 1
            copy(dataset, target, driver="COG", COPY_SRC_MDD="YES" if all_domains else "AUTO", **options)
    except ConversionFailed:
        _find_culprit(source, target, facts)
        raise
    finally:
        # What a GeoTIFF cannot hold, such as a raster attribute table, GDAL writes to a side file that nobody would fetch.
        target.with_name(f"{target.name}.aux.xml").unlink(missing_ok=True)


def _find_culprit(source: Path, target: Path, facts: ImageFacts) -> None:
    """Raise what made a conversion fail, if it was the image or the disk: GDAL's words often name neither."""
    target.unlink(missing_ok=True)
    decode_all(source, CorruptImage)
    free = disk_usage(target.parent).free
    if free < 2 * facts.width * facts.height * pixel_bytes(facts.dtypes):
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {free:,} bytes are left for the COG of {source.name} and its overviews")


def check_profile(name: str, facts: ImageFacts, profile: Profile) -> None:
    """Check that a profile can hold an image.

    Raises:
        ProfileUnsuitable: It cannot; the message says why.
    """
    obstacle = {Profile.JPEG: _obstacle_to_jpeg, Profile.WEBP: _obstacle_to_webp, Profile.LERC: _obstacle_to_lerc}.get(profile)
    if obstacle and (reason := obstacle(facts)):
        raise ProfileUnsuitable(f"{name}: profile `{profile}` cannot hold it: {reason}")


def creation_options(facts: ImageFacts, conversion: Conversion) -> dict[str, str | int]:
    """Return the COG driver's creation options for an image."""
    options: dict[str, str | int] = {
        **_COMPRESSION[conversion.profile],
        "BIGTIFF": "IF_SAFER",
        "BLOCKSIZE": block_px(facts),
        "OVERVIEWS": "IGNORE_EXISTING",
        "OVERVIEW_RESAMPLING": "nearest" if is_categorical(facts) or _is_complex(facts) else conversion.resampling,
    }
    if conversion.profile in _PREDICTED and not (facts.bits or facts.colormap or _is_complex(facts)):
        options |= {"PREDICTOR": "YES", "OVERVIEW_PREDICTOR": "YES"}
    if not conversion.profile.lossless:
        options |= {"QUALITY": conversion.jpeg_quality, "OVERVIEW_QUALITY": conversion.jpeg_quality}
    return options


def block_px(facts: ImageFacts) -> int:
    """Return the side of the COG's tiles: 512 pixels, less when hundreds of bands would make them too large to hold."""
    side = BLOCK_PX
    while side > _SMALLEST_BLOCK_PX and side * side * pixel_bytes(facts.dtypes) > _MOST_BLOCK_BYTES:
        side //= 2
    return side


def pyramid(facts: ImageFacts) -> list[tuple[int, int]]:
    """Return width and height of the COG's images: full resolution, then each half of the one before, until one tile holds it."""
    side = block_px(facts)
    sizes = [(facts.width, facts.height)]
    while max(sizes[-1]) > side:
        width, height = sizes[-1]
        sizes.append((max(1, width // 2), max(1, height // 2)))
    return sizes


def is_categorical(facts: ImageFacts) -> bool:
    """Whether values are names of colours or classes, between which nothing can be interpolated."""
    return facts.colormap or facts.bits == 1


def _is_complex(facts: ImageFacts) -> bool:
    return facts.dtypes[0].startswith("complex")


def _is_plain_byte(facts: ImageFacts) -> bool:
    return set(facts.dtypes) == {"uint8"} and not facts.bits and not facts.colormap


def _obstacle_to_jpeg(facts: ImageFacts) -> str:
    if not _is_plain_byte(facts) or facts.bands not in (1, 3):
        return "JPEG takes 8-bit images with 1 or 3 bands and no palette"
    return _obstacle_of_mask(facts, ("all_valid", "per_dataset"))


def _obstacle_to_webp(facts: ImageFacts) -> str:
    if not _is_plain_byte(facts) or (facts.bands, facts.mask == "alpha") not in ((3, False), (4, True)):
        return "WebP takes 8-bit images with 3 bands, or 3 and alpha"
    return _obstacle_of_mask(facts, ("all_valid", "per_dataset", "alpha"))


def _obstacle_of_mask(facts: ImageFacts, able: tuple[str, ...]) -> str:
    return "" if facts.mask in able else f"lossy compression would blur what its {facts.mask} values mark as missing"


def _obstacle_to_lerc(facts: ImageFacts) -> str:
    # GDAL 3.10 frees memory twice when it is given half floats (NBITS=16) to compress with LERC.
    able = not facts.bits and not _is_complex(facts) and facts.dtypes[0] not in ("int64", "uint64")
    return "" if able else "LERC takes whole samples of 8 to 32 bits, and floats of 32 and 64 bits"
