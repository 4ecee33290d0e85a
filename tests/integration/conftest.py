"""Servers that integration tests share: started once, each test in a bucket of its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from resources.local_dask import local_dask
from resources.object_store import S3Bucket
from tests.builders.platform import Up, platform
from tests.builders.postgres import PostgresServer, postgres, postgres_programs
from tests.builders.servers import S3Server, has_radosgw, ministack, radosgw


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if not has_radosgw():
        pytest.fail("Ceph's radosgw is not installed; on Debian: apt-get install radosgw ceph-mon ceph-osd ceph-mgr ceph-common")
    with radosgw(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session", params=["embedded", "ceph"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
def bucket(s3_server: S3Server, request: pytest.FixtureRequest) -> S3Bucket:
    return new_bucket(s3_server, request.node.nodeid)


@pytest.fixture(scope="session")
def crowded(s3_server: S3Server) -> S3Bucket:
    bucket = new_bucket(s3_server, "crowded")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bucket.write(f"many/{number:05d}", b"", content_type="text/plain"), range(1205)))
    return bucket


def new_bucket(server: S3Server, seed: str) -> S3Bucket:
    name = f"b{abs(hash(seed)):x}"
    server.connection.client().create_bucket(Bucket=name)
    return server.connection.bucket(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if postgres_programs() is None:
        pytest.fail("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def package_index() -> None:
    """The index that environments are made from; who needs it is left out where it is not to be reached."""


@pytest.fixture(scope="session")
def dask_address() -> Iterator[str]:
    with local_dask(2) as address:
        yield address


@pytest.fixture(scope="session")
def small_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with platform(tmp_path_factory.mktemp("platform") / "home") as up:
        yield up
