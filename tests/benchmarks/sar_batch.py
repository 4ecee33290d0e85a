"""Products a minute of `groundtrack sar batch`, against a bare two-process loop over our own function and against the notebook's batch.

    python tests/benchmarks/sar_batch.py [--products 30] [--lines 8000 --samples 8000]

All take the same synthetic IW products from the same disk, on two workers:

* loop: `process_local` in a bare `multiprocessing.Pool` of two, without Dask;
* groundtrack: the command, from its start to its summary;
* notebook: the batch of xsar's notebook, mended so that it runs: `l1b` in Dask tasks on two workers of one thread, `get_client` hidden
  and the synchronous scheduler, which alone keep it from waiting for itself; without its checks, as it has none.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

from platform_assets.common.stages import Stages  # noqa: E402
from platform_assets.sar.local import LocalJob, LocalShop, process_local  # noqa: E402
from platform_assets.sar.options import L1bOptions  # noqa: E402
from platform_assets.sar.sample import SafeSpec, make_safe  # noqa: E402
from tests.benchmarks import sar_l1b  # noqa: E402

_WORKERS = 2


def loop_one(job: LocalJob) -> None:
    process_local(LocalShop(L1bOptions()), job, Stages())


def loop(safes: list[Path], out: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(_WORKERS) as pool:
        pool.map(loop_one, [LocalJob(str(safe), str(out / f"{safe.stem}.nc")) for safe in safes], chunksize=1)


def groundtrack(safes: list[Path], out: Path) -> None:
    command = [str(Path(sys.executable).parent / "groundtrack"), "sar", "batch", str(safes[0].parent), "--out", str(out)]
    subprocess.run([*command, "--workers", str(_WORKERS)], check=True, capture_output=True, cwd=out.parent)


def notebook_one(safe: str, out: str) -> None:
    import dask
    import xsar

    def no_client() -> None:
        raise ValueError

    if not hasattr(xsar, "_mended"):
        sar_l1b.reference_setup()
        xsar.utils.get_client = no_client
        xsar._mended = True
    with dask.config.set(scheduler="synchronous"):
        sar_l1b.reference(Path(safe), Path(out))


def notebook(safes: list[Path], out: Path) -> None:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather([client.submit(notebook_one, str(safe), str(out / f"{safe.stem}.nc"), pure=False) for safe in safes])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--products", type=int, default=30)
    parser.add_argument("--lines", type=int, default=8000)
    parser.add_argument("--samples", type=int, default=8000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundtrack-", dir="/var/tmp") as folder:
        inputs = Path(folder, "in")
        inputs.mkdir()
        specs = (SafeSpec(lines=asked.lines, samples=asked.samples, datatake=0x100 + number) for number in range(asked.products))
        safes = [make_safe(inputs, spec) for spec in specs]
        size = sum(path.stat().st_size for path in inputs.rglob("*") if path.is_file())
        print(f"{len(safes)} products, {size / 1e9:.1f} GB", flush=True)
        contenders: dict[str, Callable[[list[Path], Path], None]] = {"loop": loop, "groundtrack": groundtrack, "notebook": notebook}
        seconds = {}
        for name, run in contenders.items():
            out = Path(folder, name)
            out.mkdir()
            began = time.perf_counter()
            run(safes, out)
            seconds[name] = time.perf_counter() - began
            made = len(list(out.glob("*.nc")))
            print(f"{name:12} {seconds[name]:7.1f} s {60 * made / seconds[name]:7.1f} products/min, {made} made", flush=True)
        print(f"groundtrack is {seconds['notebook'] / seconds['groundtrack']:.2f} times the notebook (at least 2.5)")
        print(f"and has {100 * seconds['loop'] / seconds['groundtrack']:.0f} % of the loop's throughput (at least 90)")


if __name__ == "__main__":
    main()
