"""Images a minute of the whole platform, against the reference's script and against a bare process pool, in one run.

    python tests/benchmarks/platform_throughput.py [--scale 1.0] [--profiles zstd deflate] [--server ceph]

A mixed archive of photographs (2k x 2k to 10k x 10k; colour, grey and with infrared; uncompressed, LZW and DEFLATE; 66 at scale 1)
lies on an S3 server; each contender takes it from there and puts its products back, on the same two cores:

* reference: GNU parallel, one job an image and core: download, `gdal_translate` to COG (LZW) and to JPEG, upload by curl;
* pool: our own stage-convert-publish function in a bare `multiprocessing.Pool`;
* platform: from the drop of the manifest to the settled report, with sensor, daemon, run, Dask, events and catalogue.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

from platform_assets.cli.supervisor import Platform  # noqa: E402
from platform_assets.common.stages import Stages  # noqa: E402
from platform_assets.common.values import State  # noqa: E402
from platform_assets.imagery.claim import drop_id, find_images  # noqa: E402
from platform_assets.imagery.model import ImageJob, Product, Profile  # noqa: E402
from platform_assets.imagery.pipeline import Workshop, convert_image, work_of  # noqa: E402
from platform_assets.imagery.report import rows_csv  # noqa: E402
from resources.object_store import S3Bucket, S3Connection  # noqa: E402
from resources.settings import Settings, load  # noqa: E402
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server, ministack, radosgw  # noqa: E402

_ARCHIVE = {2000: 36, 4000: 18, 6000: 8, 10_000: 4}
_KINDS: list[tuple[int, dict[str, str]]] = [
    (3, {"photometric": "rgb"}),
    (1, {}),
    (3, {"photometric": "rgb", "compress": "lzw"}),
    (4, {"photometric": "rgb", "compress": "deflate", "alpha": "unspecified"}),
]
_RAW = "bench-raw"
_CORES = 2
_LOOK_S = 0.5

_REFERENCE = r"""
set -eu
work=$(mktemp -d) && cd "$work"
curl -sSf -o image.tif "$1"
gdal_translate -q image.tif temp.tif -of COG -co compress=lzw && mv temp.tif image.tif
gdal_translate -q image.tif image.jpg -of jpeg -co quality=75
rm -f ./*.xml
curl -sSf -T image.tif "$2"
curl -sSf -T image.jpg "$3"
rm -rf "$work"
"""


def photograph(path: Path, side: int, seed: int) -> int:
    """Write a raw scan, large shapes and the grain of film in strips, and return its number of bands."""
    bands, compression = _KINDS[seed % len(_KINDS)]
    generator = np.random.default_rng(seed)
    coarse = generator.integers(30, 220, (bands, side // 50 + 2, side // 50 + 2)).astype("float32")
    profile = {"driver": "GTiff", "width": side, "height": side, "count": bands, "dtype": "uint8", **compression}
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=from_origin(4e5 + seed * 1e4, 5e6, 0.5, 0.5)) as file:
        columns = np.arange(side) / 50
        left, share = columns.astype(int), (columns % 1).astype("float32")
        for top in range(0, side, 500):
            rows = np.arange(top, min(side, top + 500)) / 50
            above, part = rows.astype(int), (rows % 1).astype("float32")[:, None]
            lines = coarse[:, above] * (1 - part) + coarse[:, above + 1] * part
            smooth = lines[:, :, left] * (1 - share) + lines[:, :, left + 1] * share
            pixels = np.clip(smooth + generator.normal(0, 4, smooth.shape).astype("float32"), 0, 255).astype("uint8")
            file.write(pixels, window=((top, top + pixels.shape[1]), (0, side)))
    return bands


def fill(bucket: S3Bucket, scale: float) -> dict[str, int]:
    """Put the archive into the bucket and return the number of bands of each image by its key."""
    keys = {}
    with tempfile.TemporaryDirectory() as folder:
        for side, number in _ARCHIVE.items():
            for index in range(max(1, round(number * scale))):
                key = f"county/{side}/frame-{index:03d}.tif"
                keys[key] = photograph(Path(folder, "raw.tif"), side, side + index)
                bucket.upload(Path(folder, "raw.tif"), key, content_type="image/tiff", metadata={})
    return keys


def new_bucket(server: S3Server, name: str) -> S3Bucket:
    server.connection.client().create_bucket(Bucket=name)
    return server.connection.bucket(name)


def reference(server: S3Server, keys: dict[str, int], out: str, script: Path) -> None:
    """Run the reference's commands on every image; addresses are signed beforehand."""
    script.write_text(_REFERENCE)
    client = server.connection.client()

    def signed(verb: str, bucket: str, key: str) -> str:
        return client.generate_presigned_url(verb, Params={"Bucket": bucket, "Key": key}, ExpiresIn=86_400)

    lines = (
        f"{signed('get_object', _RAW, key)}\t{signed('put_object', out, key)}\t{signed('put_object', out, f'{key[:-4]}.jpg')}"
        for key in keys
    )
    command = ["parallel", "--will-cite", "--halt", "now,fail=1", "-j", str(_CORES), "--colsep", "\t", "bash", str(script)]
    subprocess.run(command, input="\n".join(lines), text=True, check=True)


def _convert(task: tuple[Workshop, ImageJob]) -> bool:
    state, _ = convert_image(*task, Stages())
    return state is State.DONE


def pool(shop: Workshop, jobs: list[ImageJob]) -> None:
    context = multiprocessing.get_context("spawn")
    largest_first = sorted(jobs, key=lambda job: -work_of(job).cost_s)
    with context.Pool(_CORES) as workers:
        assert all(workers.imap_unordered(_convert, [(shop, job) for job in largest_first]))


def platform(running: Platform, keys: dict[str, int], settings: Settings) -> None:
    source = running.s3.bucket(settings.input_bucket)
    manifest = f"{settings.output_bucket}_raw.csv"
    source.write(manifest, rows_csv((key, str(bands)) for key, bands in keys.items()), content_type="text/csv")
    dropped = source.stat(manifest)
    assert dropped
    _, stem, timestamp = drop_id(dropped, settings.manifest_pattern)
    report = f"{stem}report-{timestamp}.json"
    while source.stat(report) is None:
        time.sleep(_LOOK_S)
    totals = json.loads(source.read(report, limit_bytes=1 << 30)[0])["totals"]
    assert totals["done"] == len(keys), totals


def timed(action: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    action()
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a minute of the whole platform.")
    parser.add_argument("--scale", type=float, default=1.0, help="Size of the archive; 1.0 is 66 images.")
    parser.add_argument("--profiles", nargs="+", default=["zstd", "deflate"])
    parser.add_argument("--server", choices=["ceph", "embedded"], default="ceph")
    asked = parser.parse_args()
    assert shutil.which("parallel"), "GNU parallel is needed: apt-get install parallel"
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    start = {"ceph": radosgw, "embedded": ministack}[asked.server]
    with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as server:
        keys = fill(new_bucket(server, _RAW), asked.scale)
        print(f"{len(keys)} images on {asked.server}", flush=True)
        new_bucket(server, "bench-reference")
        base = show(
            "reference, GNU parallel", len(keys), timed(lambda: reference(server, keys, "bench-reference", Path(folder, "reference.sh")))
        )
        for profile in asked.profiles:
            compare(server, keys, profile, base)


def compare(server: S3Server, keys: dict[str, int], profile: str, base: float) -> None:
    connection: S3Connection = server.connection
    source = connection.bucket(_RAW)
    jobs = list(find_images(source, keys).values())
    settings = load(
        home=Path(tempfile.mkdtemp(prefix="groundtrack-bench-")),
        s3_endpoint_url=connection.endpoint_url,
        s3_region=connection.region,
        input_bucket=_RAW,
        output_bucket=f"bench-platform-{profile}",
        profile=profile,
        dask_workers=_CORES,
    )
    target = new_bucket(server, f"bench-pool-{profile}")
    shop = Workshop(source, target, "", settings.conversion, settings.limits, frozenset(Product), "bench")
    assert settings.conversion.profile is Profile(profile)
    bare = show(f"pool, {profile}", len(keys), timed(lambda: pool(shop, jobs)), base)
    new_bucket(server, settings.output_bucket)
    with Platform(settings) as running:
        show(f"platform, {profile}", len(keys), timed(lambda: platform(running, keys, settings)), base, bare)
    shutil.rmtree(settings.home)


def show(what: str, images: int, seconds: float, base: float = 0.0, bare: float = 0.0) -> float:
    rate = 60 * images / seconds
    against = f", {rate / base:.2f} x reference" if base else ""
    against += f", {100 * rate / bare:.0f} % of the pool" if bare else ""
    print(f"{what}: {seconds:.1f} s, {rate:.1f} images/min{against}", flush=True)
    return rate


if __name__ == "__main__":
    main()
