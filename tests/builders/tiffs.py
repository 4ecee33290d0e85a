"""TIFF files for tests: good ones of every kind, and bad ones that are bad in one way each."""

import base64
import gzip
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from PIL import Image, ImageCms
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter
from rasterio.rpc import RPC

from platform_assets.imagery.gdal import gdal_environment

Change = Callable[[DatasetWriter], None]

UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
WIDTH, HEIGHT, SAMPLES, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 277, 258, 259, 262
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
DEFLATE, UNKNOWN_CODEC = 8, 33003


# --- good ---------------------------------------------------------------------------------------------------------------


def scenery(bands: int = 1, height: int = 300, width: int = 530, dtype: str = "uint8", seed: int = 1) -> np.ndarray:
    """Return smooth hills with some noise; bands x lines x columns, spread over the type's middle."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 97.0
    hills = np.stack([np.sin(x + band) * np.cos(y * 1.3 - band) for band in range(bands)])
    values = 0.5 + 0.3 * hills + rng.normal(0, 0.02, hills.shape)
    kind = np.dtype("complex64" if dtype == "complex_int16" else dtype)
    if kind.kind == "c":
        scale = 1000 if dtype == "complex_int16" else 1
        return (np.round(values * scale) + 1j * np.round(hills * scale)).astype(kind)
    if kind.kind == "f":
        return (values * 900 - 100).astype(kind)
    low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if kind.itemsize < 8 else (0, 1 << 40)
    return (low + (high - float(low)) * np.clip(values, 0, 1)).astype(kind)


def write(path: Path, pixels: np.ndarray, change: Change | None = None, **profile: Any) -> Path:
    """Write a GeoTIFF of bands x lines x columns; `change` may add what a profile cannot say."""
    bands, height, width = pixels.shape
    settings = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": pixels.dtype.name, **profile}
    with gdal_environment(path.parent), rasterio.open(path, "w", **settings) as dataset:
        dataset.write(pixels)
        if change:
            change(dataset)
    return path


def palette(dataset: DatasetWriter) -> None:
    """Give a byte image 256 colours."""
    dataset.write_colormap(1, {value: (value, 255 - value, value * 7 % 256, 255) for value in range(256)})


def alpha_last(dataset: DatasetWriter) -> None:
    """Make the last band alpha."""
    colours = [ColorInterp.gray] if dataset.count == 2 else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    dataset.colorinterp = [*colours, ColorInterp.alpha]


def masked(dataset: DatasetWriter) -> None:
    """Mask the upper left corner, inside the file."""
    mask = np.full(dataset.shape, 255, "uint8")
    mask[: dataset.height // 3, : dataset.width // 2] = 0
    dataset.write_mask(mask)


def described(dataset: DatasetWriter) -> None:
    """Set all that can be said of a band and of the file."""
    dataset.scales, dataset.offsets, dataset.units, dataset.descriptions = (0.1,), (273.15,), ("K",), ("temperature",)
    dataset.update_tags(OBSERVER="Ada", TIFFTAG_SOFTWARE="scanner 3", TIFFTAG_DATETIME="1955:07:01 12:00:00", AREA_OR_POINT="Point")
    dataset.update_tags(1, SENSOR="left")


def control_points(dataset: DatasetWriter) -> None:
    """Georeference by ground control points instead of a geotransform."""
    corners = [(0, 0), (0, dataset.width), (dataset.height, 0), (dataset.height, dataset.width)]
    points = [GroundControlPoint(row, col, 10 + col / 1e4, 50 - row / 1e4, 3.5) for row, col in corners]
    dataset.gcps = (points, rasterio.CRS.from_epsg(4326))


def rational_polynomials(dataset: DatasetWriter) -> None:
    """Georeference by rational polynomial coefficients."""
    ones = [1.0, *[0.001] * 19]
    dataset.rpcs = RPC(
        height_off=100, height_scale=500, lat_off=45, lat_scale=1, long_off=7, long_scale=1, line_off=350, line_scale=350, samp_off=300,
        samp_scale=300, line_num_coeff=ones, line_den_coeff=ones, samp_num_coeff=ones, samp_den_coeff=ones,
    )  # fmt: skip


def with_external_mask(path: Path) -> Path:
    """Write an RGB image with its mask in a `.msk` file beside it."""
    write(path, scenery(3), **UTM)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        masked(dataset)
    assert path.with_name(f"{path.name}.msk").exists()
    return path


def with_world_file(path: Path) -> Path:
    """Write an image whose only georeferencing is a world file."""
    with gdal_environment(path.parent):
        write(path, scenery())
    path.with_suffix(".tfw").write_text("2.0\n0.0\n0.0\n-2.0\n1001.0\n1999.0\n")
    return path


def projected_crs(code: int) -> bytes:
    """Return how a GeoTIFF names its projected reference system."""
    return struct.pack("<HHHH", 3072, 0, 1, code)


def pages(path: Path, number: int) -> Path:
    """Write a document of several pages."""
    first, *rest = [Image.fromarray(scenery(seed=page)[0]) for page in range(number)]
    first.save(path, save_all=True, append_images=rest)
    return path


# --- bad: damaged -------------------------------------------------------------------------------------------------------


def truncated(path: Path, share: float = 0.6) -> Path:
    """Cut a file short."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damaged(path: Path, *, zeros: int = 600) -> Path:
    """Overwrite some bytes in the middle of a file."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + zeros] = bytes(zeros)
    path.write_bytes(data)
    return path


def flipped(path: Path, *, bits: int = 40) -> Path:
    """Flip single bits here and there in the second half of a file."""
    data = bytearray(path.read_bytes())
    for number, position in enumerate(range(len(data) // 2, len(data) - 1000, len(data) // 2 // bits)):
        data[position] ^= 1 << number % 8
    path.write_bytes(data)
    return path


# --- bad: announced -----------------------------------------------------------------------------------------------------


def tiff(tags: dict[int, int | Sequence[int]], data: bytes = b"", *, order: str = "<", big: bool = False, following: int = 0) -> bytes:
    """Return a TIFF with exactly these tags, all of 32-bit integers, and `data` at byte 16.

    Args:
        tags: Value or values of each tag.
        data: What lies between header and directory.
        order: Byte order, as `struct` writes it.
        big: Whether it is a BigTIFF.
        following: Where the next directory should be.
    """
    offset, long = ("Q", 8) if big else ("I", 4)
    data += bytes(-len(data) % 8)
    body, entries = bytearray(data), []
    for tag, value in sorted(tags.items()):
        values = [value] if isinstance(value, int) else list(value)
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > long:
            where = 16 + len(body)
            body += packed
            packed = struct.pack(order + offset, where)
        entries.append(struct.pack(f"{order}HH{offset}", tag, 4, len(values)) + packed.ljust(long, b"\0"))
    directory = struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries) + struct.pack(order + offset, following)
    mark = b"II" if order == "<" else b"MM"
    first = 16 + len(body)
    head = mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, first) if big else struct.pack(f"{order}HI", 42, first))
    return head.ljust(16, b"\0") + bytes(body) + directory


def plain(width: int = 16, height: int = 16, **tags: int | Sequence[int]) -> dict[int, int | Sequence[int]]:
    """Return the tags of an uncompressed byte image in one strip whose pixels begin at byte 16."""
    basic = {WIDTH: width, HEIGHT: height, BITS: 8, COMPRESSION: 1, PHOTOMETRIC: 1, SAMPLES: 1, STRIP_OFFSETS: 16}
    return {**basic, ROWS_PER_STRIP: height, STRIP_BYTES: width * height, **{int(tag[1:]): value for tag, value in tags.items()}}


def tiled(side: int, tile: int, offsets: Sequence[int], sizes: Sequence[int]) -> dict[int, int | Sequence[int]]:
    """Return the tags of a square deflate-compressed byte image in tiles."""
    return {
        WIDTH: side, HEIGHT: side, BITS: 8, COMPRESSION: DEFLATE, PHOTOMETRIC: 1, SAMPLES: 1,
        TILE_WIDTH: tile, TILE_LENGTH: tile, TILE_OFFSETS: offsets, TILE_BYTES: sizes,
    }  # fmt: skip


def bomb(side: int, tile: int = 4096) -> bytes:
    """Return a deflate bomb: every tile is the same few kilobytes of compressed zeros."""
    data = zlib.compress(bytes(tile * tile), 9)
    number = (-(-side // tile)) ** 2
    return tiff(tiled(side, tile, [16] * number, [len(data)] * number), data)


def sparse(side: int) -> bytes:
    """Return an image that stores no tile at all."""
    number = (-(-side // 4096)) ** 2
    return tiff(tiled(side, 4096, [0] * number, [0] * number))


def png() -> bytes:
    """Return a PNG image."""
    buffer = io.BytesIO()
    Image.fromarray(scenery()[0]).save(buffer, "PNG")
    return buffer.getvalue()


def vrt(names: Path) -> bytes:
    """Return a VRT that shows another file."""
    return f"""<VRTDataset rasterXSize="530" rasterYSize="300"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
        <SourceFilename>{names}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>""".encode()


HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not here</body></html>\n"
GZIP = gzip.compress(b"II*\0" * 1000, mtime=0)


# --- one of every kind --------------------------------------------------------------------------------------------------


def holed(pixels: np.ndarray, value: float) -> np.ndarray:
    """Set a part of all bands to one value."""
    pixels[:, 100:300, 50:400] = value
    return pixels


def srgb_profile() -> str:
    """Return the sRGB colour profile as GDAL takes it."""
    return base64.b64encode(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()).decode()


def with_overviews(path: Path) -> Path:
    """Write an image with overviews that do not show it."""
    write(path, scenery(), **UTM)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2], rasterio.enums.Resampling.nearest)
    with rasterio.open(path, "r+", overview_level=0) as overview:
        overview.write(np.zeros((1, *overview.shape), "uint8"))
    return path


KINDS: dict[str, Callable[[Path], Path]] = {
    "grey": lambda path: write(path, scenery(), **UTM),
    "rgb": lambda path: write(path, scenery(3), photometric="RGB", **UTM),
    "rgb in planes": lambda path: write(path, scenery(3), photometric="RGB", interleave="band"),
    "rgb of a photograph": lambda path: write(path, scenery(3), photometric="YCBCR", compress="JPEG"),
    "rgb and infrared": lambda path: write(path, scenery(4), photometric="RGB", alpha="UNSPECIFIED", **UTM),
    "rgb and alpha": lambda path: write(path, scenery(4), photometric="RGB", alpha="YES", **UTM),
    "grey and alpha": lambda path: write(path, scenery(2), photometric="MINISBLACK", alpha="YES"),
    "seven bands": lambda path: write(path, scenery(7, dtype="uint16"), **UTM),
    "palette": lambda path: write(path, scenery(), palette, photometric="PALETTE", **UTM),
    "one bit": lambda path: write(path, (scenery() > 128).astype("uint8"), nbits=1),
    "one bit, white first": lambda path: write(path, (scenery() > 128).astype("uint8"), nbits=1, photometric="MINISWHITE"),
    "negative": lambda path: write(path, scenery(), photometric="MINISWHITE"),
    "4 bits": lambda path: write(path, scenery() // 16, nbits=4),
    "12 bits": lambda path: write(path, scenery(dtype="uint16") // 16, nbits=12),
    "int8": lambda path: write(path, scenery(dtype="int8"), nodata=-128),
    "uint16": lambda path: write(path, scenery(3, dtype="uint16"), photometric="RGB", **UTM),
    "int16 with all that can be said": lambda path: write(path, scenery(dtype="int16"), described, nodata=-9999, **UTM),
    "int32": lambda path: write(path, scenery(dtype="int32")),
    "uint32": lambda path: write(path, scenery(dtype="uint32")),
    "int64": lambda path: write(path, scenery(dtype="int64")),
    "float32 with NaN": lambda path: write(path, holed(scenery(dtype="float32"), np.nan), nodata=np.nan, **UTM),
    "float64": lambda path: write(path, holed(scenery(dtype="float64"), -1e300), nodata=-1e300),
    "half floats": lambda path: write(path, scenery(dtype="float32"), nbits=16),
    "complex": lambda path: write(path, scenery(dtype="complex64")),
    "complex integers": lambda path: write(path, scenery(dtype="complex_int16"), dtype="complex_int16"),
    "nodata": lambda path: write(path, holed(scenery(3), 0), nodata=0, **UTM),
    "internal mask": lambda path: write(path, scenery(3), masked, **UTM),
    "external mask": with_external_mask,
    "world file": with_world_file,
    "control points": lambda path: write(path, scenery(), control_points),
    "rational polynomials": lambda path: write(path, scenery(), rational_polynomials),
    "colour profile": lambda path: write(path, scenery(3), photometric="RGB", SOURCE_ICC_PROFILE=srgb_profile()),
    "existing overviews": with_overviews,
    "several pages": lambda path: pages(path, 3),
    "BigTIFF, big-endian": lambda path: write(path, scenery(), BIGTIFF="YES", ENDIANNESS="BIG", compress="LZW", predictor=2),
    "one pixel": lambda path: write(path, scenery(1, 1, 1)),
    "one line": lambda path: write(path, scenery(1, 1, 513)),
    "one column": lambda path: write(path, scenery(1, 513, 1)),
    "as wide as a tile": lambda path: write(path, scenery(1, 1000, 512)),
    "overview as wide as a tile": lambda path: write(path, scenery(1, 2100, 1024)),
}
