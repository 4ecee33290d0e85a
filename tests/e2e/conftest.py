"""Platforms as users start them; a test that fails shows the last lines of all their logs."""

from collections.abc import Iterator

import pytest

from tests.builders.servers import S3Server, has_radosgw, radosgw
from tests.builders.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform that nobody hurts; it takes a fifth of a core from other tests, so it ends with its module."""
    site = Site(tmp_path_factory.mktemp("site") / "home", dask_workers=2, sensor_interval_s=1)
    yield site
    site.end()


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if not has_radosgw():
        pytest.fail("Ceph's radosgw is not installed: `make servers`")
    with radosgw(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        sites = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Site)]
        report.sections += [("logs of the platform", site.logs()) for site in sites]
