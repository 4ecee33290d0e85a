"""SAFEs that are small, and what can be wrong with them."""

import hashlib
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platform_assets.common.values import ObjectRef
from platform_assets.sar import stage
from platform_assets.sar.manifest import ANNOTATION, CALIBRATION, MEASUREMENT, NOISE
from platform_assets.sar.model import SafeJob
from platform_assets.sar.naming import MANIFEST, short_path
from platform_assets.sar.sample import make_safe
from platform_assets.sar.sample_truth import SafeSpec

NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8"
"""Of a product that exists."""

_DATA_OBJECT = re.compile(rb"<dataObject .*?</dataObject>", re.DOTALL)
_HREF = re.compile(rb'href="\./([^"]+)"')
_SIZE = re.compile(rb'size="\d+"')
_CHECKSUM = re.compile(rb">[0-9A-Fa-f]*</checksum>")


def small_safe(folder: Path, **changes: Any) -> Path:
    """Write a SAFE of 300 x 260 pixels; 20 ms."""
    return make_safe(folder, SafeSpec(**({"lines": 300, "samples": 260} | changes)))


def seal(safe: Path) -> None:
    """Make a SAFE's manifest list exactly the files that are there, as they are; its unique id is then another's."""

    def agreeing(found: re.Match[bytes]) -> bytes:
        path = safe / _HREF.findall(found[0])[0].decode()
        if not path.is_file():
            return b""
        content = path.read_bytes()
        sized = _SIZE.sub(b'size="%d"' % len(content), found[0])
        return _CHECKSUM.sub(b">%s</checksum>" % hashlib.md5(content).hexdigest().encode(), sized)

    manifest = safe / MANIFEST
    manifest.write_bytes(_DATA_OBJECT.sub(agreeing, manifest.read_bytes()))


def file_of(safe: Path, schema: str) -> Path:
    """Return the first file of a SAFE that follows a schema."""
    return safe / stage.manifest_of(safe).of(schema)[0].path


def edit(safe: Path, old: str, new: str, path: Path | None = None) -> None:
    """Replace a text in a SAFE's manifest or in another of its files."""
    path = path or safe / MANIFEST
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def to_short_names(safe: Path) -> Path:
    """Name a SAFE and its files as the public AWS bucket does."""
    for path in stage.sizes(safe):
        (safe / path).rename(safe / short_path(path))
    return safe.rename(safe.with_name(safe.name.removesuffix(".SAFE")))


def zipped(safe: Path, path: Path | None = None) -> Path:
    """Zip a SAFE as ESA distributes it."""
    path = path or safe.with_name(f"{safe.name.removesuffix('.SAFE')}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(safe.rglob("*")):
            archive.write(file, f"{safe.name}/{file.relative_to(safe).as_posix()}")
    return path


def job_of(safe: Path, prefix: str = "in") -> SafeJob:
    """Return a SAFE as if it lay in a bucket."""
    root = f"{prefix}/{safe.name}"
    files = {MANIFEST: (safe / MANIFEST).stat().st_size} | {file.path: file.size_bytes for file in stage.manifest_of(safe).files}
    objects = tuple(ObjectRef(f"{root}/{path}", hashlib.md5(path.encode()).hexdigest(), size) for path, size in files.items())
    return SafeJob(safe.name.removesuffix(".SAFE"), "folder", root, objects)


def _truncate(schema: str) -> Callable[[Path], None]:
    def truncate(safe: Path) -> None:
        path = file_of(safe, schema)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])

    return truncate


def _remove(schema: str) -> Callable[[Path], None]:
    return lambda safe: file_of(safe, schema).unlink()


def _flip(safe: Path) -> None:
    path = file_of(safe, MEASUREMENT)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    **{f"{name} missing": (_remove(schema), "incomplete_safe") for name, schema in
       {"image": MEASUREMENT, "annotation": ANNOTATION, "calibration": CALIBRATION, "noise": NOISE}.items()},
    **{f"{name} cut off": (_truncate(schema), "incomplete_safe") for name, schema in
       {"image": MEASUREMENT, "annotation": ANNOTATION, "calibration": CALIBRATION, "noise": NOISE}.items()},
    "a bit flipped in the image": (_flip, "checksum_mismatch"),
    "manifest missing": (lambda safe: (safe / MANIFEST).unlink(), "not_a_safe"),
    "manifest empty": (lambda safe: (safe / MANIFEST).write_bytes(b""), "bad_manifest"),
    "manifest a web page": (lambda safe: (safe / MANIFEST).write_text("<!DOCTYPE html><p>503"), "bad_manifest"),
    "manifest cut off": (lambda safe: (safe / MANIFEST).write_bytes((safe / MANIFEST).read_bytes()[:3000]), "bad_manifest"),
    "manifest of another product": (lambda safe: edit(safe, "<safe:number>A<", "<safe:number>B<"), "manifest_contradiction"),
    "path that climbs out": (lambda safe: edit(safe, "./measurement/", "./../"), "unsafe_manifest"),
}  # fmt: skip
"""What can be wrong with the files of a SAFE, and the code of the error."""

MOMENT = datetime(2026, 4, 1, 10, 15, tzinfo=UTC)
