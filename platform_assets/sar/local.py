"""One product on local disk: from its folder or zip to a netCDF file beside others, without a bucket."""

import glob
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import netCDF4

from platform_assets.common.errors import MissingInput
from platform_assets.common.provenance import parameters_digest
from platform_assets.common.stages import Stages
from platform_assets.common.values import State
from platform_assets.sar.manifest import Manifest
from platform_assets.sar.naming import MANIFEST, ProductName, locate
from platform_assets.sar.options import Processing
from platform_assets.sar.process import process, signature
from platform_assets.sar.stac import CODE_VERSION
from platform_assets.sar.stage import check_files, check_name, manifest_of, to_esa_names, unpack
from platform_assets.sar.support import check_channels, check_supported

_INPUT, _PARAMETERS = "groundtrack_input", "groundtrack_parameters"


@dataclass(frozen=True, slots=True)
class LocalShop:
    """What all products of a batch have in common.

    Attributes:
        processing: How to process.
        verify: Whether every file's MD5 is checked, at 1.6 s a gigabyte.
        institution: Who processes; empty for not saying so.
    """

    processing: Processing
    verify: bool = True
    institution: str = ""


@dataclass(frozen=True, slots=True)
class LocalJob:
    """A product and the file to be made of it, as absolute paths that every worker sees.

    Attributes:
        safe: A folder `NAME.SAFE`, or a zip of one.
        out: The netCDF file.
    """

    safe: str
    out: str


def process_local(shop: LocalShop, job: LocalJob, stages: Stages) -> tuple[State, dict[str, Any]]:
    """Process one product unless its file is there, made of this input in this way; the file appears when it is complete.

    Args:
        shop: What all products have in common.
        job: The product.
        stages: Told of `look_up`, `stage_in`, those of `process`, and `publish`.

    Raises:
        PermanentError: The product cannot be processed as it is.
    """
    source, out = Path(job.safe), Path(job.out)
    with stages("look_up"):
        marks = _marks(source, shop.processing)
        if _is_signed(out, marks):
            return State.CARRIED_OVER, {"output": job.out}
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="groundtrack-") as folder:
        with stages("stage_in"):
            safe, manifest = _stage_in(source, Path(folder), verify=shop.verify)
        for left_behind in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
            left_behind.unlink(missing_ok=True)
        part = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            facts = process(safe, part, manifest, shop.processing, stages, marks | signature(shop.institution))
            with stages("publish"), part.open("rb+") as file:
                os.fsync(file.fileno())
                part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return State.DONE, {"output": job.out, "l1b": facts}


def is_done(shop: LocalShop, job: LocalJob) -> bool:
    """Whether a product's file is there, made of this input in this way.

    Raises:
        MissingInput: The product does not exist.
    """
    return _is_signed(Path(job.out), _marks(Path(job.safe), shop.processing))


def _is_signed(out: Path, marks: dict[str, str]) -> bool:
    if not out.is_file():
        return False
    try:
        with netCDF4.Dataset(out) as file:
            return {name: getattr(file, name, "") for name in marks} == marks
    except OSError:
        return False


def _stage_in(source: Path, scratch: Path, *, verify: bool) -> tuple[Path, Manifest]:
    folder = unpack(source, scratch / "unpacked") if source.suffix == ".zip" else source
    if folder is not source and (named := locate(source.name)):
        check_name(source.name, folder, named.product)
    check_supported(ProductName.parse(folder.name))
    manifest = manifest_of(folder)
    check_channels(manifest)
    safe = to_esa_names(folder, manifest, scratch)
    if verify:
        check_files(safe, manifest)
    return safe, manifest


def _marks(source: Path, processing: Processing) -> dict[str, str]:
    """Return what the file is signed with: what it was made of, and how."""
    if not source.exists():
        raise MissingInput(f"{source.name} does not exist", remedy="Correct the path.")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.name != MANIFEST]
    manifest = source / MANIFEST
    content = manifest.read_bytes() if manifest.is_file() else b""
    digest = hashlib.sha256(content + repr(state).encode()).hexdigest()
    return {_INPUT: digest, _PARAMETERS: f"{parameters_digest(processing)}-{CODE_VERSION}"}
