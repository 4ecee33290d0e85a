"""A SAFE on local disk: unpacked from its zip, checked against its manifest, under the names that its readers expect."""

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from platform_assets.common.errors import LimitExceeded, MissingInput, PermanentError
from platform_assets.common.keys import UnsafeKey, shown
from platform_assets.sar import whole
from platform_assets.sar.manifest import LIMIT_BYTES, Manifest, read_manifest
from platform_assets.sar.naming import MANIFEST, ProductName, checked_path

_CHUNK_BYTES = 4 << 20
_RATIO_FLOOR_BYTES = 1 << 30
_ENCRYPTED = 0x1
_UPLOAD_AGAIN = "Upload the product again as ESA distributes it."


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """What a zipped product may announce; checked in its directory, before anything is written.

    Attributes:
        entries: Files and folders.
        unpacked_bytes: All files together.
        expansion: Unpacked bytes a packed byte, for zips that unpack to more than a gigabyte.
    """

    entries: int = 20_000
    unpacked_bytes: int = 32 << 30
    expansion: int = 100


# --- opening ------------------------------------------------------------------------------------------------------------


def manifest_of(folder: Path) -> Manifest:
    """Return the manifest of the SAFE in a folder that has the product's name.

    Raises:
        MissingInput: There is no such folder.
        PermanentError: `not_a_safe`: it is no folder, has no product's name, or no manifest; or as `read_manifest` raises.
    """
    product = ProductName.parse(folder.name)
    if not folder.exists():
        raise MissingInput(f"{folder.name} does not exist", remedy="Correct the path, or upload the product.")
    path = folder / MANIFEST
    if not path.is_file():
        raise PermanentError(f"{product.name} has no {MANIFEST}", code="not_a_safe", remedy=_UPLOAD_AGAIN)
    with path.open("rb") as file:
        return read_manifest(file.read(LIMIT_BYTES + 1), product.name)


def to_esa_names(folder: Path, manifest: Manifest, scratch: Path) -> Path:
    """Return a folder that has a product's files under ESA's names: the one given, or one of links to its files.

    Args:
        folder: The product's folder, with ESA's names or the public AWS bucket's; it is not changed.
        manifest: Its manifest.
        scratch: Where a folder of links may be made.
    """
    found = whole.find_files(manifest, sizes(folder))
    if folder.name == manifest.product.folder and all(path == place for path, place in found.items()):
        return folder
    view = scratch / manifest.product.folder
    for path, place in {MANIFEST: MANIFEST, **found}.items():
        link = view / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((folder / place).resolve())
    return view


def sizes(folder: Path) -> dict[str, int]:
    """Return the size of every file in a folder, by its path in it with forward slashes."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


# --- checking -----------------------------------------------------------------------------------------------------------


def check_files(folder: Path, manifest: Manifest, md5s: Mapping[str, str] | None = None) -> None:
    """Check that every listed file is there with its announced size and MD5.

    Args:
        folder: With ESA's names.
        manifest: Of the product.
        md5s: MD5 of files by path, in hexadecimal, where it is known already: taking it costs 1.4 s a gigabyte.

    Raises:
        PermanentError: `incomplete_safe`: files are missing or have another size. `checksum_mismatch`: one has another content.
    """
    if lacking := whole.missing(manifest, sizes(folder)):
        more = f", and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise PermanentError(
            f"{manifest.product.name} is not whole: {'; '.join(lacking[:3])}{more}",
            code="incomplete_safe",
            remedy="Upload what is missing.",
        )
    for file in manifest.files:
        found = (md5s or {}).get(file.path) or _md5(folder / file.path)
        if found != file.md5:
            raise PermanentError(
                f"{manifest.product.name}: {file.path} has MD5 {found}, {MANIFEST} says {file.md5}",
                code="checksum_mismatch",
                remedy="Upload the file again: it was damaged on its way, or is of another product.",
            )


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


# --- unpacking ----------------------------------------------------------------------------------------------------------


def unpack(zip_path: Path, folder: Path, limits: ZipLimits | None = None) -> Path:
    """Unpack a zipped SAFE and return its folder.

    Args:
        zip_path: A zip of one folder `NAME.SAFE`.
        folder: Where that folder is made; nothing is written outside it.
        limits: What the zip may announce.

    Raises:
        PermanentError: `not_a_zip`: it is none, or cut off. `unsafe_zip`: a path leads out of the folder or stands in it
            twice, or an entry is a link. `encrypted_zip`. `not_a_safe`: it does not hold exactly one SAFE. `corrupt_zip`: an
            entry cannot be unpacked, or is not what was packed.
        LimitExceeded: It announces more than the limits allow.
    """
    limits = limits or ZipLimits()
    if not zip_path.exists():
        raise MissingInput(f"{zip_path.name} does not exist", remedy="Correct the path, or upload the product.")
    try:
        archive = zipfile.ZipFile(zip_path)
    except zipfile.BadZipFile as error:
        raise PermanentError(f"{zip_path.name} is not a zip, or is cut off: {error}", code="not_a_zip", remedy=_UPLOAD_AGAIN) from error
    with archive:
        entries = archive.infolist()
        _check_limits(zip_path, entries, limits)
        for entry in entries:
            _check_entry(zip_path, entry)
        _check_places(zip_path, entries)
        root = _root(zip_path, entries)
        for entry in entries:
            try:
                _unpack(archive, entry, folder)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                message = f"{zip_path.name}: {shown(entry.filename)} cannot be unpacked: {error}"
                raise PermanentError(message, code="corrupt_zip", remedy=_UPLOAD_AGAIN) from error
    return folder / root


def check_name(zip_name: str, folder: Path, product: ProductName) -> None:
    """Check that a zip holds the product that its name says.

    Raises:
        PermanentError: `manifest_contradiction`: it holds another one.
    """
    if ProductName.parse(folder.name).name != product.name:
        raise PermanentError(
            f"{zip_name} holds {folder.name}, not the product that its name says",
            code="manifest_contradiction",
            remedy="Name the zip as the product in it.",
        )


def _check_limits(zip_path: Path, entries: list[zipfile.ZipInfo], limits: ZipLimits) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if len(entries) > limits.entries:
        raise LimitExceeded(f"{zip_path.name} has {len(entries)} entries; the limit `entries` is {limits.entries}")
    if unpacked > limits.unpacked_bytes:
        raise LimitExceeded(f"{zip_path.name} unpacks to {unpacked} bytes; the limit `unpacked_bytes` is {limits.unpacked_bytes}")
    if unpacked > _RATIO_FLOOR_BYTES and unpacked > limits.expansion * max(packed, zip_path.stat().st_size):
        raise LimitExceeded(f"{zip_path.name} unpacks {packed} bytes to {unpacked}; the limit `expansion` is {limits.expansion} times")


def _check_entry(zip_path: Path, entry: zipfile.ZipInfo) -> None:
    try:
        checked_path(entry.orig_filename.removesuffix("/"))
    except UnsafeKey as error:
        raise _unsafe(zip_path, entry, str(error)) from error
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(zip_path, entry, "it is a link or a device")
    if entry.flag_bits & _ENCRYPTED:
        raise PermanentError(
            f"{zip_path.name}: {shown(entry.filename)} is encrypted", code="encrypted_zip", remedy="Upload it without a password."
        )


def _unsafe(zip_path: Path, entry: zipfile.ZipInfo, problem: str) -> PermanentError:
    return PermanentError(f"{zip_path.name} has the entry {shown(entry.filename)}: {problem}", code="unsafe_zip", remedy=_UPLOAD_AGAIN)


def _check_places(zip_path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an entry in the place of another, or in a folder that is a file."""
    files = Counter(entry.filename.casefold() for entry in entries if not entry.is_dir())
    for entry in entries:
        path = PurePosixPath(entry.filename.casefold())
        if files[str(path)] > (not entry.is_dir()) or any(str(parent) in files for parent in path.parents):
            raise _unsafe(zip_path, entry, "another entry has its place")


def _root(zip_path: Path, entries: list[zipfile.ZipInfo]) -> str:
    """Return the name of the one folder that all entries lie in."""
    roots = sorted({PurePosixPath(entry.filename).parts[0] for entry in entries})
    if len(roots) != 1:
        found = ", ".join(shown(root, 80) for root in roots[:3]) or "nothing"
        raise PermanentError(f"{zip_path.name} holds {found} instead of one SAFE", code="not_a_safe", remedy="Zip each product by itself.")
    ProductName.parse(roots[0])
    return roots[0]


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    path = folder / entry.filename
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, path.open("xb") as unpacked:
        # zipfile stops at the announced size and checks the CRC, so an entry cannot be larger than it says.
        shutil.copyfileobj(packed, unpacked, _CHUNK_BYTES)
