"""The manifest of a SAFE: what the product holds, file by file with size and MD5, and what it says of itself.

A manifest is a stranger's XML: it is bounded in size, must not declare entities, and must not name a file outside its
folder. What it says must agree with the product's name.
"""

import binascii
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from platform_assets.common.errors import LimitExceeded, PermanentError
from platform_assets.common.keys import UnsafeKey, shown
from platform_assets.sar.naming import MANIFEST, ProductName, checked_path

LIMIT_BYTES = 8 << 20
"""Of a manifest: those of GRD have 25 kB, those of Wave mode with hundreds of images less than 1 MB."""

MEASUREMENT = "s1Level1MeasurementSchema"
ANNOTATION = "s1Level1ProductSchema"
CALIBRATION = "s1Level1CalibrationSchema"
NOISE = "s1Level1NoiseSchema"

_MD5 = re.compile(r"[0-9a-f]{32}")
_ROUNDING = timedelta(seconds=1)  # names end times in whole seconds
_REMEDY = "Upload the product again as ESA distributes it."

_Value = TypeVar("_Value")
Ring = tuple[tuple[float, float], ...]
"""Longitude and latitude of the corners, in degrees, not closed."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file that the manifest lists.

    Attributes:
        path: Relative to the product's folder, with forward slashes.
        size_bytes: Its size.
        md5: MD5 of its content, in hexadecimal.
        schema: What it is, by the schema it follows, such as `s1Level1MeasurementSchema`.
    """

    path: str
    size_bytes: int
    md5: str
    schema: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest of a product says.

    Attributes:
        product: The product's name, which it agrees with.
        files: What it lists, in its order; the schemas in `support/`, which it refers to but does not list, are not among them.
        is_original: Whether it is as ESA wrote it: the product's unique id is its CRC-16.
        platform: `S1A` to `S1D`.
        platform_designator: The satellite's international designator, such as `2014-016A`; empty when it has none.
        instrument_mode: `SM`, `IW`, `EW` or `WV`.
        swaths: Such as `IW`, or `S4` of Stripmap.
        product_type: Such as `GRD`.
        polarisations: In the order of its images.
        start: Of the acquisition, in UTC.
        stop: Its end.
        footprints: The outline of each frame.
        orbit: Absolute orbit number at its start.
        relative_orbit: Relative orbit number at its start.
        cycle: Cycle number; 0 when it has none.
        orbit_state: `ascending` or `descending`.
        ascending_node_time: When the orbit crossed the equator northwards; None when it does not say.
        datatake: The mission's data take.
        slice_number: Which slice of the data take; 0 when it was not sliced.
        slices: How many slices the data take has; 0 when it was not sliced.
        timeliness: Such as `Fast-24h`; empty when it does not say.
        ipf_version: Of the Instrument Processing Facility that made the product, such as `003.31`.
        processed: When it was made.
        facility: Where; empty when it does not say.
    """

    product: ProductName
    files: tuple[ManifestFile, ...]
    is_original: bool
    platform: str
    platform_designator: str
    instrument_mode: str
    swaths: tuple[str, ...]
    product_type: str
    polarisations: tuple[str, ...]
    start: datetime
    stop: datetime
    footprints: tuple[Ring, ...]
    orbit: int
    relative_orbit: int
    cycle: int
    orbit_state: str
    ascending_node_time: datetime | None
    datatake: int
    slice_number: int
    slices: int
    timeliness: str
    ipf_version: str
    processed: datetime
    facility: str

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    def of(self, schema: str) -> tuple[ManifestFile, ...]:
        """Return the files that follow a schema."""
        return tuple(file for file in self.files if file.schema == schema)


def read_manifest(data: bytes, name: str) -> Manifest:
    """Return what a manifest says.

    Args:
        data: The file `manifest.safe`.
        name: The product's name, with or without `.SAFE`.

    Raises:
        PermanentError: `not_a_safe`: the name is no product's. `bad_manifest`: it is not XML, declares entities, or lacks
            or garbles what every product has. `unsafe_manifest`: a path leads out of the folder, or stands in it twice.
            `manifest_contradiction`: it is the manifest of another product.
        LimitExceeded: It is larger than any manifest.
    """
    product = ProductName.parse(name)
    read = _Reader(_parsed(data, product.name), product.name)
    manifest = Manifest(
        product=product,
        files=read.files(),
        is_original=product_id(data) == product.unique_id,
        platform="S1" + read.value("platform/number", _text),
        platform_designator=read.value("platform/nssdcIdentifier", _text, ""),
        instrument_mode=read.value("instrumentMode/mode", _text),
        swaths=read.texts("instrumentMode/swath"),
        product_type=read.value("productType", _text),
        polarisations=read.texts("transmitterReceiverPolarisation"),
        start=read.value("acquisitionPeriod/startTime", _utc),
        stop=read.value("acquisitionPeriod/stopTime", _utc),
        footprints=read.footprints(),
        orbit=read.value("orbitReference/orbitNumber", int),
        relative_orbit=read.value("orbitReference/relativeOrbitNumber", int),
        cycle=read.value("orbitReference/cycleNumber", int, 0),
        orbit_state=read.value("orbitProperties/pass", _orbit_state),
        ascending_node_time=read.value("orbitProperties/ascendingNodeTime", _utc, None),
        datatake=read.value("missionDataTakeID", int),
        slice_number=read.value("sliceNumber", int, 0),
        slices=read.value("totalSlices", int, 0),
        timeliness=read.value("productTimelinessCategory", _text, ""),
        ipf_version=read.value("processing/facility/software@version", _text),
        processed=read.value("processing@stop", _utc),
        facility=read.value("processing/facility@name", _text, ""),
    )
    _check_agreement(manifest)
    return manifest


def product_id(data: bytes) -> str:
    """Return the unique id that ends the name of the product with this manifest: its CRC-16."""
    return f"{binascii.crc_hqx(data, 0xFFFF):04X}"


def _parsed(data: bytes, name: str) -> ET.Element:
    if len(data) > LIMIT_BYTES:
        raise LimitExceeded(f"{name}: {MANIFEST} has {len(data)} bytes; no manifest has more than {LIMIT_BYTES}", remedy=_REMEDY)
    try:
        return ET.fromstring(data, ET.XMLParser(target=_WithoutEntities()))  # noqa: S314 -- the target refuses what could define entities
    except (ET.ParseError, ValueError, LookupError) as error:
        raise _bad(name, f"is not XML as ESA writes it: {error}") from error


class _WithoutEntities(ET.TreeBuilder):
    def doctype(self, name: str, *_: object) -> None:
        """Refuse a document type: in it, entities are defined that name other files, or expand without bound."""
        raise ValueError(f"it declares the document type {shown(name, 40)}")


def _bad(name: str, problem: str, code: str = "bad_manifest") -> PermanentError:
    return PermanentError(f"{name}: {MANIFEST} {problem}", code=code, remedy=_REMEDY)


class _Reader:
    """Reads the elements of a manifest; what is missing or garbled is an error that names it.

    A place is the path of an element without namespaces, which differ between levels, and `@attribute` where it is in one.
    """

    def __init__(self, root: ET.Element, name: str) -> None:
        self._root = root
        self._name = name

    def value(self, place: str, convert: Callable[[str], _Value], *default: _Value | None) -> Any:
        """Return the first such text, converted; the default, if there is one, when there is none."""
        found = next(self._found(place), None)
        if found is None:
            if default:
                return default[0]
            raise _bad(self._name, f"has no {place}")
        return self._converted(place, found, convert)

    def texts(self, place: str) -> tuple[str, ...]:
        """Return all such texts in their order, each once."""
        texts = tuple(dict.fromkeys(self._converted(place, found, _text) for found in self._found(place)))
        if not texts:
            raise _bad(self._name, f"has no {place}")
        return texts

    def files(self) -> tuple[ManifestFile, ...]:
        """Return the data objects.

        Raises:
            PermanentError: There is none, or one lacks its path, size or MD5, leads out of the folder or stands twice.
        """
        files = tuple(self._file(found) for found in self._root.iterfind(".//{*}dataObject"))
        if not files:
            raise _bad(self._name, "lists no files")
        taken: set[str] = set()
        for file in files:
            if file.path.casefold() in taken:
                raise _bad(self._name, f"lists {shown(file.path)} twice", "unsafe_manifest")
            taken.add(file.path.casefold())
        return files

    def footprints(self) -> tuple[Ring, ...]:
        """Return the outline of each frame."""
        found = [self._converted("footPrint/coordinates", text, _ring) for text in self._found("footPrint/coordinates")]
        if not found:
            raise _bad(self._name, "has no footPrint/coordinates")
        return tuple(found)

    def _file(self, data_object: ET.Element) -> ManifestFile:
        here = _Reader(data_object, self._name)
        path = self._path(here.value("fileLocation@href", _text))
        checksum = data_object.find(".//{*}checksum")
        if checksum is None or checksum.get("checksumName", "MD5").upper() != "MD5":
            raise _bad(self._name, f"has no MD5 of {shown(path)}")
        return ManifestFile(
            path=path,
            size_bytes=here.value("byteStream@size", _size),
            md5=here.value("checksum", _md5),
            schema=data_object.get("repID", ""),
        )

    def _path(self, href: str) -> str:
        try:
            path = checked_path(href.removeprefix("./"))
        except UnsafeKey as error:
            raise _bad(self._name, f"lists the file {shown(href)}: {error}", "unsafe_manifest") from error
        if path == MANIFEST:
            raise _bad(self._name, "lists itself", "unsafe_manifest")
        return path

    def _found(self, place: str) -> Iterator[str]:
        elements, _, attribute = place.partition("@")
        for element in self._root.iterfind(".//" + "/".join(f"{{*}}{step}" for step in elements.split("/"))):
            yield (element.get(attribute) if attribute else element.text) or ""

    def _converted(self, place: str, text: str, convert: Callable[[str], _Value]) -> _Value:
        try:
            return convert(text.strip())
        except ValueError as error:
            raise _bad(self._name, f"has {shown(text.strip(), 60)} as {place}") from error


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _size(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError
    return int(text)


def _md5(text: str) -> str:
    if not _MD5.fullmatch(text.lower()):
        raise ValueError
    return text.lower()


def _orbit_state(text: str) -> str:
    if text.lower() not in ("ascending", "descending"):
        raise ValueError
    return text.lower()


def _ring(text: str) -> Ring:
    """Read `latitude,longitude latitude,longitude ...`."""
    pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split()]
    corners = tuple((pair[1], pair[0]) for pair in pairs if len(pair) == 2 and abs(pair[0]) <= 90 and abs(pair[1]) <= 360)
    if len(corners) != len(pairs) or len(corners) < 3:
        raise ValueError
    return corners[:-1] if corners[0] == corners[-1] else corners


def _check_agreement(manifest: Manifest) -> None:
    """Refuse a manifest of another product than the one whose name the folder has."""
    product = manifest.product
    pairs = {
        "platform": (product.mission, manifest.platform),
        "mode": (product.instrument_mode, manifest.instrument_mode),
        "product type": (product.product_type, manifest.product_type),
        "orbit": (product.orbit, manifest.orbit),
        "data take": (product.datatake, manifest.datatake),
    }
    disagreements = [f"{what} {found}, the name says {named}" for what, (named, found) in pairs.items() if named != found]
    if product.instrument_mode == "SM" and product.mode not in manifest.swaths:
        disagreements.append(f"swath {', '.join(manifest.swaths)}, the name says {product.mode}")
    # One that was cut to some of its polarisations is still this product.
    if not set(manifest.polarisations) <= set(product.polarisations):
        disagreements.append(f"polarisations {', '.join(manifest.polarisations)}, the name says {product.code}")
    for end, named, found in (("start", product.start, manifest.start), ("stop", product.stop, manifest.stop)):
        if abs(found - named) > _ROUNDING:
            disagreements.append(f"{end} {found:%Y-%m-%dT%H:%M:%S}, the name says {named:%Y-%m-%dT%H:%M:%S}")
    if disagreements:
        raise _bad(product.name, f"is of another product: {'; '.join(disagreements)}", "manifest_contradiction")
