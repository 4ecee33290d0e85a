"""The SDK for other environments: as a folder for the processes of tasks, as a wheel for those who develop packages."""

import base64
import hashlib
import shutil
import zipfile
from pathlib import Path
from uuid import uuid4

import platform_assets

DISTRIBUTION = "groundtrack-sdk"
_ROOT = Path(platform_assets.__file__).parents[1]
_PATTERNS = (
    "platform_assets/__init__.py",
    "platform_assets/workflows/__init__.py",
    "platform_assets/workflows/child.py",
    "platform_assets/workflows/sdk/*.py",
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def sdk_folder(cache: Path) -> Path:
    """Return a folder that has the SDK, for the path of a task's process; made once for each content.

    Args:
        cache: Where such folders are.
    """
    files = _files()
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + content + b"\0" for name, content in files.items())).hexdigest()
    folder = cache / digest[:32]
    if folder.is_dir():
        return folder
    new = cache / f".new-{uuid4().hex}"
    for name, content in files.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    try:
        new.rename(folder)
    except OSError:
        # Another process was faster, with the same content.
        shutil.rmtree(new)
    return folder


def write_sdk_wheel(folder: Path) -> Path:
    """Write the SDK's wheel into a folder, which is made, and return it; the same bytes every time."""
    version = platform_assets.__version__
    name = f"{DISTRIBUTION.replace('-', '_')}-{version}"
    about = f"{name}.dist-info"
    files = _files() | {
        f"{about}/METADATA": (
            f"Metadata-Version: 2.3\nName: {DISTRIBUTION}\nVersion: {version}\nLicense-Expression: Apache-2.0\n"
            "Summary: What workflows for Groundtrack are written against\nRequires-Python: >=3.11\n"
        ).encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: groundtrack\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_urlsafe(content)},{len(content)}" for path, content in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return wheel


def _files() -> dict[str, bytes]:
    paths = sorted(path for pattern in _PATTERNS for path in _ROOT.glob(pattern))
    return {path.relative_to(_ROOT).as_posix(): path.read_bytes() for path in paths}


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
