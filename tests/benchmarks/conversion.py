"""What a conversion costs, against the reference's own commands on the same image in the same run.

    python tests/benchmarks/conversion.py [--side 10000] [--rounds 3] [--giant]

The reference is Debian's GDAL: `gdal_translate -of COG -co COMPRESS=LZW`, then a JPEG of the COG. Rounds alternate, so that a
busy machine slows both; CPU seconds and ratios count. Ours includes the start of Python with its imports, which a worker pays
once; it is listed so that it can be taken off.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).parents[2]))

from platform_assets.common.stages import Stages
from platform_assets.common.values import ObjectRef
from platform_assets.imagery.convert import write_cog
from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.inspect import inspect
from platform_assets.imagery.model import Conversion, ImageJob, Limits, Product, Profile
from platform_assets.imagery.products import make_products
from platform_assets.imagery.scenery import landscape

PROFILES = ("deflate", "zstd", "lzw")
SMALL_SIDE, SMALL_IMAGES = 2000, 20
GRAIN = 6.0
"""Standard deviation of the noise of a scanned photograph, in levels; LZW without predictor then makes the image larger."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took.

    Attributes:
        cpu_s: User and system time of the process.
        rss_mb: Its largest resident memory.
        size_mb: What it wrote.
    """

    cpu_s: float
    rss_mb: float
    size_mb: float


def write_photograph(path: Path, side: int) -> None:
    """Write an uncompressed RGB photograph in strips; a landscape that is repeated with fresh noise."""
    part = min(side, 2500)
    colours = 255 * landscape(part, part, seed=7, noise=0).bands[:3] ** 0.7
    rng = np.random.default_rng(7)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "interleave": "pixel"}
    georeference = {"crs": "EPSG:32615", "transform": Affine(0.5, 0, 300_000, 0, -0.5, 4_780_000)}
    with rasterio.open(path, "w", photometric="RGB", BIGTIFF="IF_SAFER", **profile, **georeference) as dataset:
        for top in range(0, side, part):
            for left in range(0, side, part):
                height, width = min(part, side - top), min(part, side - left)
                noise = rng.standard_normal((1, height, width), dtype="float32") * GRAIN
                pixels = np.clip(colours[:, :height, :width] + noise, 0, 255).astype("uint8")
                dataset.write(pixels, window=((top, top + height), (left, left + width)))


def measured(command: list[str], folder: Path) -> Cost:
    """Run a command that fills a folder.

    This process must stay small: what it has resident when it forks counts as the child's peak.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size / 1e6)


def reference(source: Path, folder: Path, *, jpeg: bool) -> list[str]:
    """Return the reference's commands as one."""
    cog = f"gdal_translate -q {source} {folder}/cog.tif -of COG -co COMPRESS=LZW"
    return ["sh", "-ec", f"{cog}; gdal_translate -q {folder}/cog.tif {folder}/cog.jpg -of JPEG -co QUALITY=75" if jpeg else cog]


def ours(what: str, profile: str, source: Path, folder: Path) -> list[str]:
    """Return the command that runs `one` in a process of its own."""
    return [sys.executable, __file__, "--one", what, profile, str(source), str(folder)]


def photographed(path: Path, side: int) -> Path:
    """Write a photograph in another process."""
    subprocess.run([sys.executable, __file__, "--one", "photograph", str(side), str(path), str(path.parent)], check=True)
    return path


def one(what: str, profile: str, source: Path, folder: Path) -> None:
    """Write a photograph, or convert one: its COG alone, everything, or nothing but start."""
    if what == "photograph":
        write_photograph(source, int(profile))
        return
    conversion = Conversion(Profile(profile))
    if what == "cog":
        with gdal_environment(folder):
            write_cog(source, folder / "cog.tif", inspect(source, Limits()), conversion)
    elif what == "all":
        make(source, folder, conversion)


def make(source: Path, folder: Path, conversion: Conversion) -> Stages:
    """Make all products of one image."""
    stages = Stages()
    job = ImageJob(ObjectRef(source.name, "etag", source.stat().st_size), 3)
    make_products(source, folder, job, frozenset(Product), conversion, Limits(), stages)
    return stages


def compare(source: Path, scratch: Path, rounds: int) -> None:
    """Print ours against the reference, for the COG alone and for everything."""
    start = statistics.median(measured(ours("start", "zstd", source, scratch), scratch).cpu_s for _ in range(rounds))
    for what in ("cog", "all"):
        commands = {"reference": reference(source, scratch, jpeg=what == "all")}
        commands |= {profile: ours(what, profile, source, scratch) for profile in PROFILES}
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                costs[name].append(measured(command, scratch))
        print(f"\n{what}: {source.name}, {source.stat().st_size / 1e6:.0f} MB; ours starts in {start:.2f} CPU-s")
        print(f"{'':12}{'CPU-s':>8}{'ratio':>8}{'ratio without start':>21}{'peak MB':>9}{'MB':>8}")
        base = statistics.median(cost.cpu_s for cost in costs["reference"])
        for name, of in costs.items():
            cpu = statistics.median(cost.cpu_s for cost in of)
            warm = base / (cpu - start) if name != "reference" else 1.0
            peak, size = max(cost.rss_mb for cost in of), of[0].size_mb
            print(f"{name:12}{cpu:8.2f}{base / cpu:8.2f}{warm:21.2f}{peak:9.0f}{size:8.1f}", flush=True)


def compare_small(scratch: Path) -> None:
    """Print what a small image costs in a worker that runs, stage by stage, against the reference's two commands."""
    source = photographed(scratch.parent / "small.tif", SMALL_SIDE)
    base = statistics.median(measured(reference(source, scratch, jpeg=True), scratch).cpu_s for _ in range(5))
    print(f"\n{SMALL_SIDE} x {SMALL_SIDE}, {SMALL_IMAGES} images one after the other; reference {base * 1000:.0f} CPU-ms an image")
    for profile in PROFILES:
        make(source, scratch, Conversion(Profile(profile)))
        spent: dict[str, float] = {}
        began = time.process_time()
        for _ in range(SMALL_IMAGES):
            for stage, seconds in make(source, scratch, Conversion(Profile(profile))).seconds.items():
                spent[stage] = spent.get(stage, 0.0) + seconds
        cpu = (time.process_time() - began) / SMALL_IMAGES
        stages = ", ".join(f"{stage} {1000 * seconds / SMALL_IMAGES:.0f}" for stage, seconds in spent.items())
        print(f"{profile:12}{1000 * cpu:6.0f} CPU-ms, ratio {base / cpu:5.2f}   (wall ms: {stages})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=10_000, help="pixels a side of the photograph")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--giant", action="store_true", help="also convert a BigTIFF of 10.8 GB (60,000 x 60,000); takes minutes and 30 GB of disk"
    )
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, profile, source, folder = arguments.one
        one(what, profile, Path(source), Path(folder))
        return
    with tempfile.TemporaryDirectory(prefix="groundtrack-") as folder:
        scratch = Path(folder, "scratch")
        source = photographed(Path(folder, "photograph.tif"), arguments.side)
        compare(source, scratch, arguments.rounds)
        if arguments.giant:
            photographed(source, 60_000)
            cost = measured(ours("all", "zstd", source, scratch), scratch)
            size = source.stat().st_size / 1e9
            print(f"\ngiant, {size:.1f} GB: {cost.cpu_s:.0f} CPU-s, peak {cost.rss_mb:.0f} MB, products {cost.size_mb:.0f} MB", flush=True)
        compare_small(scratch)


if __name__ == "__main__":
    main()
