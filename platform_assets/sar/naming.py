"""The names of the sar domain: of SAFEs and their files, and of what is made of them.

A product is a folder `S1A_IW_GRDH_1SDV_..._6FF8.SAFE`, such a folder in a zip, or a folder of that name without the suffix,
as the public bucket `sentinel-s1-l1c` has it, whose files have short names:

    measurement/s1a-iw-grd-vv-20210809t173953-20210809t174018-039156-049f13-001.tiff     as ESA names it
    measurement/iw-vv.tiff                                                               in the bucket

What is made of it, with the output prefix empty:

    sentinel-1-iw-grd-l1b/2021-08-09/S1A_..._6FF8.nc                                     the L1B
    sentinel-1-iw-grd-l1b/2021-08-09/S1A_..._6FF8.png                                    the quicklook
    _stac/sentinel-1-iw-grd-l1b/2021-08-09/S1A_..._6FF8.json                             the item
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from platform_assets.common import stac
from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import UnsafeKey, checked_object_key, shown

MANIFEST = "manifest.safe"
SAFE_SUFFIX = ".SAFE"

POLARISATIONS = {
    "SH": ("HH",),
    "SV": ("VV",),
    "DH": ("HH", "HV"),
    "DV": ("VV", "VH"),
    "HH": ("HH",),
    "HV": ("HV",),
    "VV": ("VV",),
    "VH": ("VH",),
}
"""What the polarisation code of a product's name stands for: single, dual, or one of a dual."""

_TIME = "%Y%m%dT%H%M%S"
_PRODUCT = re.compile(
    r"(?P<mission>S1[A-D])_(?P<mode>IW|EW|WV|EN|AN|IM|S[1-6])_(?P<type>RAW|SLC|GRD|OCN)(?P<resolution>[FHM_])_"
    r"(?P<level>[012])(?P<class>[SANC])(?P<code>[SDHV][HV])_"
    r"(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})_(?P<orbit>\d{6})_(?P<datatake>[0-9A-F]{6})_(?P<id>[0-9A-F]{4})(?P<cog>_COG)?"
)
_FILE = re.compile(
    r"(?P<prefix>(?:calibration-|noise-|rfi-)?)s1[a-d]-(?P<swath>[a-z0-9]+)-(?:slc|grd|ocn)-(?P<polarisation>[hv]{2})-"
    r"\d{8}t\d{6}-\d{8}t\d{6}-\d{6}-[0-9a-f]{6}-\d{3}(?:-cog)?(?P<suffix>\.[a-z]+)"
)
_ROOT = re.compile(r"(?P<name>S1[A-D]_[A-Z0-9_]+)(?:\.SAFE)?(?P<zip>\.zip)?")
_MOST_NAME_BYTES = 255  # of a file, on every file system in use
_NOT_A_SAFE = "Give the folder NAME.SAFE of a Sentinel-1 product, or that folder in a zip, under the name that ESA gave it."

Packaging = Literal["folder", "zip"]


@dataclass(frozen=True, slots=True)
class ProductName:
    """A Sentinel-1 product name, in its parts.

    Attributes:
        name: The whole, without `.SAFE`; the product's identity.
        mission: `S1A` to `S1D`.
        mode: `IW`, `EW`, `WV`, or the swath of Stripmap, `S1` to `S6`.
        product_type: `RAW`, `SLC`, `GRD` or `OCN`.
        resolution: `F`, `H` or `M`; empty where there is none.
        level: `0`, `1` or `2`.
        product_class: `S` for the standard product; `A`, `N` and `C` for those without an image.
        code: The polarisation code, such as `DV`.
        start: Of the acquisition, to the second, in UTC.
        stop: Its end.
        orbit: Absolute orbit number at its start.
        datatake: The mission's data take.
        unique_id: Four hexadecimal digits: the CRC-16 of the manifest that ESA wrote.
        cog: Whether it was repackaged with cloud-optimised GeoTIFFs, as the Copernicus Data Space does.
    """

    name: str
    mission: str
    mode: str
    product_type: str
    resolution: str
    level: str
    product_class: str
    code: str
    start: datetime
    stop: datetime
    orbit: int
    datatake: int
    unique_id: str
    cog: bool = False

    @classmethod
    def parse(cls, name: str) -> "ProductName":
        """Return the parts of a product name, with or without `.SAFE`.

        Raises:
            PermanentError: `not_a_safe`: it is no Sentinel-1 product name.
        """
        found = _PRODUCT.fullmatch(name.removesuffix(SAFE_SUFFIX))
        if not found:
            raise PermanentError(f"{shown(name)} is not the name of a Sentinel-1 product", code="not_a_safe", remedy=_NOT_A_SAFE)
        try:
            start, stop = (datetime.strptime(found[end], _TIME).replace(tzinfo=UTC) for end in ("start", "stop"))
        except ValueError as error:
            raise PermanentError(
                f"{shown(name)} names a time that does not exist: {error}", code="not_a_safe", remedy=_NOT_A_SAFE
            ) from error
        if stop < start:
            raise PermanentError(f"{shown(name)} stops before it starts", code="not_a_safe", remedy=_NOT_A_SAFE)
        return cls(
            name=found[0],
            mission=found["mission"],
            mode=found["mode"],
            product_type=found["type"],
            resolution=found["resolution"].strip("_"),
            level=found["level"],
            product_class=found["class"],
            code=found["code"],
            start=start,
            stop=stop,
            orbit=int(found["orbit"]),
            datatake=int(found["datatake"], 16),
            unique_id=found["id"],
            cog=bool(found["cog"]),
        )

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Its polarisations, such as `VV` and `VH`."""
        return POLARISATIONS.get(self.code, ())

    @property
    def instrument_mode(self) -> str:
        """The mode of the instrument: `SM` for every swath of Stripmap."""
        return "SM" if self.mode.startswith("S") else self.mode

    @property
    def data_take_key(self) -> str:
        """What processings of the same data into the same product have in common: all of the name but its unique id."""
        return self.name.removesuffix("_COG").rpartition("_")[0]

    @property
    def folder(self) -> str:
        """The name of its folder, with `.SAFE`."""
        return self.name + SAFE_SUFFIX


@dataclass(frozen=True, slots=True)
class Location:
    """An object of a product, in a bucket or archive.

    Attributes:
        product: The product it belongs to.
        root: The key of the product's folder without a slash at its end, or of its zip.
        path: The object's path in the product; empty for the folder itself and for a zip.
        packaging: Whether the product is a folder of objects or one zip.
    """

    product: ProductName
    root: str
    path: str
    packaging: Packaging


def locate(key: str) -> Location | None:
    """Return the product that an object belongs to, or None when it belongs to none.

    The outermost folder or zip with a product's name counts.

    Args:
        key: An object key, such as `in/S1A_..._6FF8.SAFE/manifest.safe` or `S1A_..._6FF8.zip`; or a folder's, without a slash.
    """
    segments = key.split("/")
    for depth, segment in enumerate(segments):
        found = _ROOT.fullmatch(segment)
        zipped, last = bool(found and found["zip"]), depth == len(segments) - 1
        if not found or (zipped and not last):
            continue
        try:
            product = ProductName.parse(found["name"])
        except PermanentError:
            continue
        return Location(product, "/".join(segments[: depth + 1]), "/".join(segments[depth + 1 :]), "zip" if zipped else "folder")
    return None


def checked_path(path: str) -> str:
    """Return the path of a file in a product's folder itself if it is one on every system.

    Raises:
        UnsafeKey: It is empty or absolute, leads out of the folder, or has a name that some system refuses or reads otherwise.
    """
    checked_object_key(path)
    if "\\" in path or ":" in path:
        raise UnsafeKey(f"{shown(path)}: the path has a backslash or a colon")
    if any(len(segment.encode()) > _MOST_NAME_BYTES for segment in path.split("/")):
        raise UnsafeKey(f"{shown(path)}: a name in the path has more than {_MOST_NAME_BYTES} bytes")
    return path


def short_path(path: str) -> str:
    """Return what the public AWS bucket calls a file of a product.

    Args:
        path: Its path in the product as ESA names it; other files keep theirs.
    """
    folder, slash, name = path.rpartition("/")
    found = _FILE.fullmatch(name)
    if not found:
        return path
    return f"{folder}{slash}{found['prefix']}{found['swath']}-{found['polarisation']}{found['suffix']}"


def collection_id(product: ProductName) -> str:
    """Return the collection of what is made of a product: one a mode, such as `sentinel-1-iw-grd-l1b`."""
    return mode_collection_id(product.instrument_mode)


def mode_collection_id(mode: str) -> str:
    """Return the collection of an instrument mode: `IW`, `EW` or `SM`."""
    return f"sentinel-1-{mode}-grd-l1b".lower()


def item_folder(product: ProductName) -> str:
    """Return the folder of the catalogue that has a product's item: the day its acquisition began."""
    return f"{product.start:%Y-%m-%d}"


def item_key(product: ProductName, prefix: str = "") -> str:
    """Return the key of a product's item."""
    return stac.item_key(prefix, collection_id(product), item_folder(product), product.name)


def output_key(product: ProductName, suffix: str, prefix: str = "") -> str:
    """Return the key of what is made of a product.

    Args:
        product: The product.
        suffix: Of the file, such as `.nc`.
        prefix: The output prefix.
    """
    return f"{prefix}{collection_id(product)}/{item_folder(product)}/{product.name}{suffix}"


def item_product(key: str, prefix: str = "") -> ProductName:
    """Return the product whose item has this key.

    Raises:
        UnsafeKey: It is not the key of an item.
    """
    try:
        product = ProductName.parse(key.rpartition("/")[2].removesuffix(".json"))
    except PermanentError:
        product = None
    if product is None or item_key(product, prefix) != key:
        raise UnsafeKey(f"{shown(key)} is not the key of an item of sar", remedy="Take the key from the catalogue.")
    return product
