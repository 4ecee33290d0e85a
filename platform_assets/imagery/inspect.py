"""What a raster file is and says of itself: decided from its header, before memory is spent on its pixels."""

from pathlib import Path

import rasterio
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from platform_assets.common.errors import LimitExceeded, PermanentError
from platform_assets.common.keys import shown
from platform_assets.imagery.gdal import pixel_bytes, strict
from platform_assets.imagery.model import ImageFacts, Limits
from platform_assets.imagery.tiff import CorruptImage, Header, read_header

KEPT_DOMAINS = frozenset({"COLOR_PROFILE", "xml:XMP"})
"""Metadata domains that have a TIFF tag of their own."""

_DERIVED_DOMAINS = frozenset({"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC"})
_BOMB_BYTES = 1 << 30
"""Images that decode to less are let pass however well they are compressed: a blank scan may be."""


class MissingCodec(PermanentError):
    """The pixels are compressed in a way that this build of GDAL cannot decode."""

    code = "missing_codec"
    remedy = "Convert the image to another compression, such as DEFLATE, then submit the row again."


class BandMismatch(PermanentError):
    """The manifest and the file disagree about the number of bands."""

    code = "band_mismatch"
    remedy = "Correct the band count of the row, or upload the image that was meant."


def inspect(path: Path, limits: Limits) -> ImageFacts:
    """Return what a TIFF file says of itself; no pixel is read.

    Args:
        path: The file; a mask beside it (`.msk`) is checked too.
        limits: What it may announce.

    Raises:
        NotATiff: It is something else.
        CorruptImage: It is damaged.
        MissingCodec: GDAL cannot decode its pixels.
        LimitExceeded: It announces more than a limit allows; the message names the setting.
    """
    header = read_header(path)
    _check_announced(path, header, limits)
    _check_mask(path, header, limits)
    with strict(path, _unreadable), rasterio.open(path, driver="GTiff") as dataset:
        lines, pixels = dataset.block_shapes[0]
        block_bytes = lines * pixels * pixel_bytes(dataset.dtypes)
        _allow(path, "bytes in one tile or strip", block_bytes, "MAX_BLOCK_BYTES", limits.block_bytes)
        return facts_of(dataset, pages=header.pages)


def control_points(path: Path) -> tuple[tuple[float, float, float, float], ...]:
    """Return the ground control points of a TIFF: column, line, and x and y in its reference system."""
    with strict(path, _unreadable), rasterio.open(path, driver="GTiff") as dataset:
        return tuple((point.col, point.row, point.x, point.y) for point in dataset.gcps[0])


def check_bands(facts: ImageFacts, claimed: int | None, key: str) -> None:
    """Check a manifest's claim against the file.

    Raises:
        BandMismatch: They differ.
    """
    if claimed is not None and claimed != facts.bands:
        raise BandMismatch(f"{shown(key)}: the manifest says {claimed} bands, the file has {facts.bands}")


def facts_of(dataset: DatasetReader, *, pages: int = 1) -> ImageFacts:
    """Return what an open dataset says of itself."""
    points, points_crs = dataset.gcps
    crs = dataset.crs or (points_crs if points else None)
    tags = dataset.tags()
    return ImageFacts(
        width=dataset.width,
        height=dataset.height,
        dtypes=tuple(dataset.dtypes),
        bits=int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0)),
        nodata=tuple("" if value is None else repr(value) for value in dataset.nodatavals),
        mask=_mask_of(dataset),
        colorinterp=tuple(interpretation.name for interpretation in dataset.colorinterp),
        colormap=bool(palette_of(dataset)),
        crs_wkt=crs.to_wkt(version="WKT2_2019") if crs else "",
        transform=None if dataset.transform.is_identity else dataset.transform.to_gdal(),
        gcps=len(points),
        rpcs=dataset.rpcs is not None,
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        units=tuple(unit or "" for unit in dataset.units),
        descriptions=tuple(description or "" for description in dataset.descriptions),
        area_or_point=tags.pop("AREA_OR_POINT", "Area"),
        tags=tuple(sorted(tags.items())),
        band_tags=tuple(tuple(sorted(dataset.tags(band).items())) for band in dataset.indexes),
        pages=pages,
    )


def palette_of(dataset: DatasetReader) -> dict[int, tuple[int, int, int, int]]:
    """Return the colours of the first band's palette; empty for none."""
    try:
        return dict(dataset.colormap(1))
    except ValueError:
        return {}


def private_domains(dataset: DatasetReader) -> frozenset[str]:
    """Return the metadata domains that somebody added to an image and that only GDAL knows."""
    return frozenset(dataset.tag_namespaces()) - _DERIVED_DOMAINS - KEPT_DOMAINS


def _mask_of(dataset: DatasetReader) -> str:
    flags = dataset.mask_flag_enums[0]
    return next((flag.name for flag in (MaskFlags.alpha, MaskFlags.nodata, MaskFlags.per_dataset) if flag in flags), "all_valid")


def _unreadable(said: str) -> PermanentError:
    return (MissingCodec if "missing codec" in said else CorruptImage)(said)


def _check_announced(path: Path, header: Header, limits: Limits) -> None:
    size = path.stat().st_size
    _allow(path, "bytes", size, "MAX_FILE_BYTES", limits.file_bytes)
    _allow(path, "bands", header.bands, "MAX_BANDS", limits.bands)
    _allow(path, "pixels", header.width * header.height, "MAX_PIXELS", limits.pixels)
    _allow(path, "bytes when decoded", header.decoded_bytes, "MAX_DECODED_BYTES", limits.decoded_bytes)
    if header.decoded_bytes > _BOMB_BYTES:
        _allow(path, "decoded bytes a stored byte", header.decoded_bytes // size, "MAX_EXPANSION", limits.expansion)


def _check_mask(path: Path, header: Header, limits: Limits) -> None:
    """GDAL opens what lies beside an image with any driver, so it must be a TIFF, and fit."""
    mask_path = path.with_name(f"{path.name}.msk")
    if mask_path.exists():
        mask = read_header(mask_path)
        _check_announced(mask_path, mask, limits)
        if (mask.width, mask.height) != (header.width, header.height):
            raise CorruptImage(
                f"{mask_path.name}: the mask has {mask.width} x {mask.height} pixels, its image {header.width} x {header.height}"
            )


def _allow(path: Path, what: str, announced: int, setting: str, limit: int) -> None:
    if announced > limit:
        raise LimitExceeded(f"{path.name}: it announces {announced:,} {what}; GROUNDTRACK_{setting} allows {limit:,}")
