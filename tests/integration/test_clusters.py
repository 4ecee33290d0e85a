"""Clusters of a real Dask Gateway, by label and by instance."""

from collections.abc import Iterator

import pytest

from tests.builders.gateway import GatewayServer, gateway_server, make_environment

_HEAD = """
import json
from resources.clusters import GatewayAccess, NoCluster, find_cluster
from platform_assets.common.errors import GroundtrackError
access = GatewayAccess(ADDRESS, username="ana", secret="${GATEWAY}")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package_index: None) -> Iterator[GatewayServer]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_server(make_environment(folder / "environment"), folder / "server") as running:
        yield running


def test_a_cluster_is_found_by_label_or_instance_and_has_a_worker(server):
    printed = server.run(
        _HEAD
        + """
with access.gateway({"GATEWAY": PASSWORD}) as gateway:
    try:
        find_cluster(gateway, "dask-l0")
    except NoCluster as error:
        print(error)
    old = gateway.new_cluster(cluster_name="dask-l0", shutdown_on_close=False)
    new = gateway.new_cluster(cluster_name="dask-l0", shutdown_on_close=False)
    other = gateway.new_cluster(cluster_name="dask-ard", shutdown_on_close=False)
    new.scale(2)
    new.get_client().wait_for_workers(2)
    found = find_cluster(gateway, "dask-l0")
    assert (found.instance, found.workers) == (new.name, 2), found
    named = find_cluster(gateway, "dask-l0", old.name, timeout_s=60)
    assert (named.instance, named.workers) == (old.name, 1), named
    print(named.dashboard)
    said = []
    for label, instance in (("dask-l1", ""), ("dask-l0", "gone"), ("", "")):
        try:
            find_cluster(gateway, label, instance)
        except NoCluster as error:
            said.append(str(error))
    assert all(f"{other.name} (dask-ard)" in text and new.name in text for text in said)
    print("\\n".join(said))
    for cluster in (old, new, other):
        cluster.shutdown()
"""
    )
    lines = printed.splitlines()
    assert lines[0] == "no cluster with the label 'dask-l0'; running are: none"
    assert lines[1].startswith(f"{server.address}/clusters/")
    assert lines[2].startswith("no cluster with the label 'dask-l1'; running are: ")
    assert lines[3].startswith("no cluster 'gone'; running are: ")
    assert lines[4].startswith("no cluster is named; running are: ")


def test_a_wrong_password_is_an_error_that_does_not_show_it(server):
    printed = server.run(
        _HEAD
        + """
try:
    with access.gateway({"GATEWAY": "wrong-77aa"}) as gateway:
        find_cluster(gateway, "dask-l0")
except GroundtrackError as error:
    print(type(error).__name__, error, access)
"""
    )
    assert printed.startswith("ConfigurationError")
    assert "wrong-77aa" not in printed


def test_a_gateway_that_does_not_answer_is_tried_again(server):
    printed = server.run(
        _HEAD.replace("ADDRESS,", "'http://127.0.0.1:9',", 1)
        + """
try:
    with access.gateway({"GATEWAY": PASSWORD}) as gateway:
        find_cluster(gateway, "dask-l0")
except GroundtrackError as error:
    print(type(error).__name__, error.code)
"""
    )
    assert printed.split() == ["TransientError", "gateway_unavailable"]
