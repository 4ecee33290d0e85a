"""What a tick of the sensor costs: 100,000 objects under the prefix and 10 new manifests; and the decision over a million keys.

    python tests/benchmarks/sensor.py [--objects 100000] [--servers embedded ceph]

The first tick claims the ten; the second finds nothing new. Memory is the peak of a process of its own that does nothing but
the ticks. The peer is boto3's own paginator over the same bucket, in the same process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

from platform_assets.common.values import ObjectRef  # noqa: E402
from platform_assets.imagery.intake import sort_listing  # noqa: E402

_MANIFESTS, _ROWS = 10, 5


def decision(keys: int) -> str:
    """Time the decision over a listing that is made as it goes."""

    def listing() -> Iterator[ObjectRef]:
        for number in range(keys):
            ending = "raw.csv" if number % 100_000 == 7 else "tif"
            yield ObjectRef(f"archive/county-{number % 97:02d}/1955/frame-{number:07d}.{ending}", "0" * 32, 1, "2026-04-01T00:00:00Z")

    began_s = time.perf_counter()
    for _ in listing():
        pass
    made_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    found = sort_listing(listing(), "*raw.csv")
    decided_s = time.perf_counter() - began_s - made_s
    assert len(found.drops) == keys // 100_000
    return f"decision over {keys:,} keys: {decided_s:.2f} s (making the listing: {made_s:.2f} s)"


def fill(centre: "object", objects: int) -> None:
    source = centre.source  # type: ignore[attr-defined]
    with ThreadPoolExecutor(16) as pool:
        keys = (f"archive/county-{number % 37:02d}/1955/frame-{number:06d}.tif" for number in range(objects))
        list(pool.map(lambda key: source.write(key, b"x", content_type="image/tiff"), keys))


def ticks(endpoint: str, region: str, folder: str) -> None:
    """Run in a process of its own: ticks, and boto3's paginator as the peer."""
    from dagster import DagsterInstance

    from resources.settings import load
    from tests.builders.centre import Centre
    from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Connection, S3Server

    server = S3Server("", S3Connection(endpoint, region, "", ACCESS_KEY, SECRET_KEY), lambda: None, lambda: None)
    settings = load(home=folder, s3_endpoint_url=endpoint, s3_region=region, input_bucket="bench-raw", output_bucket="bench-out")
    with DagsterInstance.local_temp(folder) as instance:
        centre = Centre(server, settings, instance, "")
        for number in range(_MANIFESTS):
            rows = [(f"archive/county-{row % 37:02d}/1955/frame-{row:06d}.tif", 1) for row in range(number * _ROWS, (number + 1) * _ROWS)]
            centre.drop(f"archive/county-{number:02d}/1955/new_raw.csv", rows)
        for what in ("with 10 new manifests", "with nothing new"):
            began_s, cpu_s = time.perf_counter(), time.process_time()
            centre.tick()
            took, cpu = time.perf_counter() - began_s, time.process_time() - cpu_s
            print(f"  tick {what}: {took:.2f} s, {cpu:.2f} s CPU, peak {getrusage(RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        assert len(centre.requested) == _MANIFESTS, len(centre.requested)
    plain = server.connection.client()
    plain.meta.events.unregister("before-parse.s3.ListObjectsV2", _hook())
    began_s, cpu_s = time.perf_counter(), time.process_time()
    listed = sum(len(page.get("Contents", ())) for page in plain.get_paginator("list_objects_v2").paginate(Bucket="bench-raw"))
    print(f"  peer, boto3's paginator over {listed:,}: {time.perf_counter() - began_s:.2f} s, {time.process_time() - cpu_s:.2f} s CPU")


def _hook() -> object:
    from resources import object_store

    return object_store._keep_page


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of a tick.")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--servers", nargs="+", default=["embedded", "ceph"])
    parser.add_argument("--ticks", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ticks:
        ticks(*asked.ticks)
        return
    from tests.builders.servers import ACCESS_KEY, SECRET_KEY, ministack, radosgw

    print(decision(1_000_000))
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "DAGSTER_EVENT_BATCH_SIZE": "1000"}
    for name in asked.servers:
        start = {"embedded": ministack, "ceph": radosgw}[name]
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as server:
            for bucket in ("bench-raw", "bench-out"):
                with suppress(Exception):
                    server.connection.client().create_bucket(Bucket=bucket)
            source = server.connection.bucket("bench-raw")
            fill(type("Centre", (), {"source": source}), asked.objects)
            print(f"{name}, {asked.objects:,} objects:", flush=True)
            home = Path(folder, "home")
            home.mkdir()
            command = [sys.executable, __file__, "--ticks", server.connection.endpoint_url, server.connection.region, str(home)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
