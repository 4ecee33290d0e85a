"""L1B files made inside Dask tasks, where xsar by itself waits for ever or mixes its products."""

from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from distributed import Client, LocalCluster, as_completed

from platform_assets.common.stages import Stages
from platform_assets.sar.options import L1bOptions
from platform_assets.sar.sample import make_safe
from platform_assets.sar.sample_truth import SafeSpec
from tests.builders.coasts import coast, rectangle

PRODUCTS = 6


def make(safe: str, out: str, land: str) -> dict[str, Any]:
    """Run as a task."""
    from platform_assets.sar.l1b import make_l1b

    return make_l1b(Path(safe), Path(out), L1bOptions(resolution_m=200.0, land_polygons=land), Stages())


@pytest.mark.parametrize("threads", [1, 2])
def test_products_made_at_once_on_a_cluster_are_those_made_one_after_the_other(tmp_path: Path, threads: int) -> None:
    land = str(coast(tmp_path / "land.geojson", *(rectangle(10 * n + 0.02 * n, 40, 10 * n + 5, 50) for n in range(PRODUCTS))))
    specs = [SafeSpec(lines=600, samples=500 + 20 * n, longitude=10.0 * n, latitude=45.0, seed=n) for n in range(PRODUCTS)]
    safes = [str(make_safe(tmp_path, spec)) for spec in specs]
    with (
        LocalCluster(n_workers=2, threads_per_worker=threads, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        futures = [client.submit(make, safe, f"{safe}.cluster.nc", land) for safe in safes]
        failing = client.submit(make, str(tmp_path / "error.SAFE"), str(tmp_path / "error.nc"), land)
        for future in as_completed([*futures, failing], timeout=120):
            assert future.status == ("error" if future.key == failing.key else "finished")
        assert "error.SAFE" in str(failing.exception())
    for safe in safes:
        make(safe, f"{safe}.alone.nc", land)
        with xr.open_dataset(f"{safe}.cluster.nc") as ours, xr.open_dataset(f"{safe}.alone.nc") as alone:
            xr.testing.assert_identical(ours, alone)
