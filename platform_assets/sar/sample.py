"""Synthetic SAFEs of which the truth is known: for the demo, and for comparing with what is computed from them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.windows import Window

from platform_assets.sar import sample_xml
from platform_assets.sar.manifest import ANNOTATION, CALIBRATION, MEASUREMENT, NOISE, product_id
from platform_assets.sar.naming import MANIFEST, POLARISATIONS, SAFE_SUFFIX
from platform_assets.sar.sample_truth import SafeSpec, Truth
from platform_assets.sar.sample_xml import Entry

_TIME = "%Y%m%dT%H%M%S"
_ROWS = 256
_SPECKLE_ROWS = 512
_CODES = {polarisations: code for code, polarisations in reversed(POLARISATIONS.items())}
_PROFILES: dict[str, dict[str, Any]] = {
    "strips": {"blockysize": 1},
    "strips-zstd": {"blockysize": 1, "compress": "ZSTD"},
    "tiled": {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "DEFLATE"},
}
# As the Copernicus Data Space does; its blocks of 1024 pixels would leave small images without overviews.
_COG = {"driver": "COG", "compress": "ZSTD", "blocksize": 512, "overview_count": 6}
_OVERVIEWS = {"cog": "RMS", "cog-average": "AVERAGE"}


def make_safe(folder: Path, spec: SafeSpec) -> Path:
    """Write a synthetic SAFE and return its folder; 0.1 s of one core for 2000 x 1500 pixels, 8 s for a full IW.

    Args:
        folder: Where the product's folder is made.
        spec: What to write.
    """
    scratch = Path(mkdtemp(prefix="safe-", dir=folder))
    scratch.chmod(0o755)
    for name in ("annotation/calibration", "measurement"):
        (scratch / name).mkdir(parents=True)
    entries = [entry for number in range(1, len(spec.polarisations) + 1) for entry in _write_channel(scratch, spec, number)]
    manifest = sample_xml.manifest(spec, entries).encode()
    (scratch / MANIFEST).write_bytes(manifest)
    cog = "_COG" if spec.layout in _OVERVIEWS else ""
    return scratch.rename(folder / f"{_stem(spec)}_{product_id(manifest)}{cog}.SAFE")


def _stem(spec: SafeSpec) -> str:
    """Return the product's name without its unique id, which comes of the manifest."""
    product = f"{spec.mission}_{spec.mode}_GRD{spec.resolution_class}_1S{_CODES[spec.polarisations]}"
    return f"{product}_{spec.start:{_TIME}}_{spec.stop:{_TIME}}_{spec.orbit:06d}_{spec.datatake:06X}"


def _write_channel(root: Path, spec: SafeSpec, number: int) -> list[Entry]:
    """Write the files of one polarisation."""
    polarisation = spec.polarisations[number - 1]
    when = f"{spec.start:{_TIME}}-{spec.stop:{_TIME}}-{spec.orbit:06d}-{spec.datatake:06x}"
    stem = f"{spec.mission}-{spec.mode}-grd-{polarisation}-{when}-{number:03d}".lower()
    texts = {
        (f"annotation/{stem}.xml", ANNOTATION): sample_xml.annotation(spec, number),
        (f"annotation/calibration/calibration-{stem}.xml", CALIBRATION): sample_xml.calibration(spec, number),
        (f"annotation/calibration/noise-{stem}.xml", NOISE): sample_xml.noise(spec, number),
    }
    for (path, _), text in texts.items():
        (root / path).write_text(text, encoding="utf-8")
    image = f"measurement/{stem}{'-cog' if spec.layout in _OVERVIEWS else ''}.tiff"
    _write_image(root / image, spec, number)
    return [_entry(root, path, schema) for path, schema in (*texts, (image, MEASUREMENT))]


def _entry(root: Path, path: str, schema: str) -> Entry:
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return Entry(path, schema, (root / path).stat().st_size, digest.hexdigest())


def _write_image(path: Path, spec: SafeSpec, number: int) -> None:
    shape = {"width": spec.samples, "height": spec.lines, "count": 1, "dtype": "uint16", "crs": "EPSG:4326", "gcps": _control_points(spec)}
    cog = spec.layout in _OVERVIEWS
    plain = path.with_suffix(".strips.tiff") if cog else path
    profile = {"nodata": 0} if cog else _PROFILES[spec.layout]
    with rasterio.open(plain, "w", driver="GTiff", **shape, **profile) as image:
        for line, rows in _rows(spec, number):
            image.write(rows, 1, window=Window(0, line, spec.samples, len(rows)))
    if cog:
        rasterio.shutil.copy(plain, path, overview_resampling=_OVERVIEWS[spec.layout], **_COG)
        plain.unlink()


def _rows(spec: SafeSpec, number: int) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Yield the digital numbers of some lines at a time, each with its first line."""
    truth, polarisation = Truth(spec), spec.polarisations[number - 1]
    speckle = _speckle(spec, number)
    samples = np.arange(spec.samples, dtype=np.float32)[None, :]
    signal_gain = (truth.sigma0_lut(samples) ** 2).astype(np.float32)
    range_noise = truth.range_noise(samples).astype(np.float32)
    for first in range(0, spec.lines, _ROWS):
        lines = np.arange(first, min(first + _ROWS, spec.lines), dtype=np.float32)[:, None]
        power = truth.sigma0(lines, samples, polarisation) * signal_gain + range_noise * truth.azimuth_noise(lines).astype(np.float32)
        # The same speckle in another place each time: drawing it anew would take most of the time.
        power *= np.roll(speckle, first * 7919 % spec.samples, axis=1)[first % _SPECKLE_ROWS :][: len(lines)]
        yield first, np.minimum(np.sqrt(power) + np.float32(0.5), 65535).astype(np.uint16)


def _speckle(spec: SafeSpec, number: int) -> NDArray[np.float32]:
    shape = (_SPECKLE_ROWS, spec.samples)
    if not spec.looks:
        return np.ones(shape, np.float32)
    random = np.random.default_rng((spec.seed, number))
    return random.standard_gamma(spec.looks, size=shape, dtype=np.float32) / np.float32(spec.looks)


def _control_points(spec: SafeSpec) -> list[GroundControlPoint]:
    lines, samples = sample_xml.geolocation_grid(spec)
    longitudes, latitudes = Truth(spec).lonlat(lines[:, None], samples[None, :])
    return [
        GroundControlPoint(row=float(line), col=float(sample), x=longitudes[row, column], y=latitudes[row, column], z=0.0)
        for row, line in enumerate(lines)
        for column, sample in enumerate(samples)
    ]


def write_safes(folder: Path) -> list[str]:
    """Write the sample products of the demo and return their partition keys: three good ones and one that is none.

    Args:
        folder: Where their folders are made.
    """
    specs = (
        SafeSpec(lines=1500, samples=1500),
        SafeSpec(mode="EW", polarisations=("HH", "HV"), lines=1500, samples=1500, latitude=70.0, longitude=20.0, datatake=0x64B00),
        SafeSpec(lines=1500, samples=1500, polarisations=("VV",), longitude=179.0, latitude=-17.0, layout="cog", datatake=0x64C00),
    )
    names = [make_safe(folder, spec).name.removesuffix(SAFE_SUFFIX) for spec in specs]
    error = folder / "error.SAFE"
    error.mkdir()
    (error / MANIFEST).write_text("This is not a product.\n")
    return [*names, error.name]
