"""What an L1B file of a full-size Sentinel-1 product costs, against the reference and against reading the pixels alone.

    python tests/benchmarks/sar_l1b.py [--rounds 3] [--lines 16676 --samples 26144] [SAFE ...]

The reference is the `l1b` of xsar's batch notebook, mended as little as it takes to run: `open_dataset` at 1000 m, four attributes to
text, `to_netcdf`. The floor is what no program can leave out: each XML file parsed once, the pixels read once and averaged, the result
written. Each runs in a process of its own, in turns; the CPU seconds are of the second product in a row, as on a worker that is warm,
and of the whole process, as on one that is not.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

LIMIT_RATIO_REFERENCE, LIMIT_RATIO_FLOOR, LIMIT_RSS_MB = 1 / 3, 1.3, 600
CELL = 100


def reference(safe: Path, out: Path) -> None:
    """Run the notebook's function, mended."""
    import xsar

    dataset = xsar.open_dataset(str(safe), resolution="1000m")
    for name in ("start_date", "stop_date", "footprint", "multidataset"):
        dataset.attrs[name] = str(dataset.attrs[name])
    dataset.to_netcdf(out)


def reference_setup() -> None:
    """Give xsar land polygons, without which it does not run; ours, with the same number of points."""
    import geopandas
    import shapely
    import xsar

    from platform_assets.sar.land import _packaged, _unpacked

    packed = _packaged()
    tiles = [polygon for index in range(len(packed["tiles"])) for polygon in _unpacked(packed, index)]
    path = Path(tempfile.mkdtemp(), "land.shp")
    geopandas.GeoDataFrame(geometry=[shapely.Polygon(tile) for tile in tiles], crs=4326).to_file(path)
    xsar.Sentinel1Meta.set_mask_feature("land", str(path))


def ours(safe: Path, out: Path) -> dict[str, Any]:
    """Run ours, with its checks."""
    from platform_assets.common.stages import Stages
    from platform_assets.sar.l1b import L1bOptions, make_l1b

    return make_l1b(safe, out, L1bOptions(), Stages())


def floor(safe: Path, out: Path) -> None:
    """Parse, read, average and write, and nothing else."""
    import netCDF4
    from lxml import etree

    for path in (safe / "manifest.safe", *safe.glob("annotation/*.xml"), *safe.glob("annotation/calibration/*.xml")):
        etree.fromstring(path.read_bytes())
    tables = [_mean_squares(path) for path in sorted(safe.glob("measurement/*.tiff"))]
    with netCDF4.Dataset(out, "w") as file:
        for name, size in zip(("line", "sample"), tables[0].shape, strict=True):
            file.createDimension(name, size)
        # As many variables as ours has on the grid.
        for number in range(12):
            file.createVariable(f"v{number}", "f4", ("line", "sample"), zlib=True, complevel=1)[...] = tables[number % len(tables)]


def _mean_squares(path: Path) -> np.ndarray[Any, Any]:
    import rasterio

    with rasterio.open(path) as image:
        height, width = image.shape
        offset = int(image.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    columns = width // CELL
    batch, squares = np.empty((20, width), "<u2"), np.empty((20, columns * CELL), "float32")
    power = np.zeros((height // CELL, columns))
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        for row in power:
            for _ in range(CELL // len(batch)):
                file.readinto(batch.view("u1").data)
                np.copyto(squares, batch[:, : columns * CELL])
                by_cell = squares.reshape(len(batch), columns, CELL)
                row += np.einsum("ijk,ijk->ij", by_cell, by_cell).sum(axis=0, dtype="float64")  # noqa: PLW2901
    return power / CELL**2


KINDS = {"reference": reference, "ours": ours, "floor": floor}


def one(kind: str, safe: Path) -> None:
    """Make the same product twice and print what each and the process cost."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="groundtrack-") as folder:
        if kind == "reference":
            reference_setup()
        costs = []
        for number in range(2):
            out = Path(folder, f"{number}.nc")
            cpu, wall = time.process_time(), time.perf_counter()
            KINDS[kind](safe, out)
            costs.append({"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall})
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found = {"first": costs[0], "second": costs[1], "rss_mb": usage.ru_maxrss / 1024, "bytes": out.stat().st_size}
    print(json.dumps(found))


def compare(safe: Path, rounds: int) -> bool:
    """Print one product's figures and return whether they are within the limits."""
    kinds = [kind for kind in KINDS if kind != "floor" or not _is_compressed(safe)]
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            done = subprocess.run([sys.executable, __file__, "--one", kind, str(safe)], capture_output=True, text=True, check=True)
            found[kind].append(json.loads(done.stdout.splitlines()[-1]))
    size = sum(path.stat().st_size for path in safe.rglob("*") if path.is_file())
    print(f"\n{safe.name}: {size / 1e9:.2f} GB\n{'':12}{'CPU-s':>8}{'cold':>8}{'wall s':>8}{'peak MB':>9}{'MB':>7}")
    cpu: dict[str, float] = {}
    for kind, runs in found.items():
        cpu[kind] = statistics.median(run["second"]["cpu_s"] for run in runs)
        cold = statistics.median(run["first"]["cpu_s"] for run in runs)
        wall, rss = min(run["second"]["wall_s"] for run in runs), max(run["rss_mb"] for run in runs)
        print(f"{kind:12}{cpu[kind]:8.2f}{cold:8.2f}{wall:8.2f}{rss:9.0f}{runs[0]['bytes'] / 1e6:7.1f}", flush=True)
    rss = max(run["rss_mb"] for run in found["ours"])
    checks = {
        f"{cpu['ours'] / cpu['reference']:.2f} of the reference's CPU (at most 0.33)": cpu["ours"]
        <= LIMIT_RATIO_REFERENCE * cpu["reference"]
    }
    if "floor" in cpu:
        checks[f"{cpu['ours'] / cpu['floor']:.2f} of the floor (at most 1.3)"] = cpu["ours"] <= LIMIT_RATIO_FLOOR * cpu["floor"]
    checks[f"{rss:.0f} MB at its peak (less than 600)"] = rss < LIMIT_RSS_MB
    for words, passed in checks.items():
        print(f"{'ok  ' if passed else 'MISS'} {words}")
    return all(checks.values())


def _is_compressed(safe: Path) -> bool:
    import rasterio

    with rasterio.open(next(iter(safe.glob("measurement/*.tiff")))) as image:
        return image.compression is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("safes", nargs="*", type=Path, help="products to measure instead of a synthetic one")
    parser.add_argument("--lines", type=int, default=16676)
    parser.add_argument("--samples", type=int, default=26144)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one[0], Path(arguments.one[1]))
        return
    with tempfile.TemporaryDirectory(prefix="groundtrack-") as folder:
        from platform_assets.sar.sample import make_safe
        from platform_assets.sar.sample_truth import SafeSpec

        safes = arguments.safes or [make_safe(Path(folder), SafeSpec(lines=arguments.lines, samples=arguments.samples))]
        within = [compare(safe, arguments.rounds) for safe in safes]
    raise SystemExit(0 if all(within) else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
