"""What a product was made with, in forms that can be compared: software versions, parameters, checksums."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rasterio

_CHUNK_BYTES = 8 << 20
_SHA2_256 = "1220"  # multihash: code 0x12, 32 bytes
_MD5 = "d50110"  # multihash: code 0xd5 as a variable-length integer, 16 bytes


def software(packages: Iterable[str] = ("rasterio", "rio-cogeo", "numpy", "isal")) -> dict[str, str]:
    """Return the versions of Groundtrack, GDAL and those packages that are installed.

    Args:
        packages: Names of distributions.
    """
    versions = {"groundtrack": _version("groundtrack"), "GDAL": str(rasterio.__gdal_version__)}
    versions |= {package: _version(package) for package in packages}
    return {name: found for name, found in versions.items() if found}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def parameters_digest(parameters: Any) -> str:
    """Return the SHA-256 of a dataclass of JSON values, in hexadecimal; the same in every process and on every machine.

    Args:
        parameters: A dataclass instance of strings, numbers, booleans, None and nested dataclasses, mappings and sequences.
    """
    canonical = json.dumps(asdict(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def multihash_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as a multihash in hexadecimal, as STAC's `file:checksum` has it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return _SHA2_256 + digest.hexdigest()


def multihash_md5(hexadecimal: str) -> str:
    """Return an MD5 in hexadecimal as a multihash in hexadecimal."""
    return _MD5 + hexadecimal.lower()
