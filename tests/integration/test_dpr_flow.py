"""A request's way from its document to published items, on a real S3 server, a real Dask cluster and a real Dagster instance."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from platform_assets.cli.demo_dpr import put_adfs
from platform_assets.cli.deployment import Deployment
from platform_assets.dpr import naming
from platform_assets.dpr.claim import RequestRecords
from platform_assets.dpr.partitions import requests
from platform_assets.dpr.sample import PROCESSOR, make_adfs, make_request, make_session, make_task_table
from platform_assets.dpr.session import read_session
from platform_assets.dpr.session_stac import session_item
from resources.settings import Settings, load
from tests.builders.centre import Centre
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server

STEPS = ("task_table", "processing_units", "auxiliary_files", "payload", "dpr_products", "published_items")
SESSION = make_session()
ITEM_KEY = naming.item_key(naming.session_collection(SESSION.id), SESSION.id)


@pytest.fixture
def empty(
    embedded_server: S3Server, dask_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Centre]:
    """A deployment without anything in it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    name = f"{abs(hash(request.node.nodeid)):x}"
    settings: Settings = load(
        home=tmp_path,
        s3_endpoint_url=embedded_server.connection.endpoint_url,
        input_bucket=f"dpr-{name}",
        output_bucket=f"out-{name}",
    )
    for bucket in (settings.input_bucket, settings.output_bucket):
        embedded_server.connection.client().create_bucket(Bucket=bucket)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Centre(embedded_server, settings, instance, dask_address, sensor="processing_requests")


@pytest.fixture
def centre(empty: Centre) -> Centre:
    """A deployment with a task table, auxiliary files and a session."""
    put(empty, f"dpr/tasktables/{PROCESSOR}.json", make_task_table())
    put_adfs(Deployment(empty.settings, empty.server.connection), make_adfs())
    put_session(empty)
    return empty


def put(centre: Centre, key: str, document: Any) -> str:
    return centre.source.write(key, json.dumps(document).encode(), content_type="application/json")


def put_session(centre: Centre) -> None:
    for name, content in SESSION.blocks.items():
        centre.source.write(f"sessions/{SESSION.id}/{name}", content, content_type="application/octet-stream")
    found = {ref.key.rpartition("/")[2]: ref for ref in centre.source.list(f"sessions/{SESSION.id}/")}
    item = session_item(read_session(json.dumps(SESSION.document).encode(), SESSION.id), found, centre.settings.input_bucket)
    centre.target.write(ITEM_KEY, json.dumps(item).encode(), content_type="application/json")


def drop(centre: Centre, name: str = "a", **changes: Any) -> str:
    """Drop a request and return its partition."""
    document = {key: value for key, value in (make_request(SESSION) | changes).items() if value is not None}
    return naming.request_id(name, put(centre, f"requests/{name}.json", document))


def process(centre: Centre) -> None:
    centre.tick()
    centre.run_requested()


def statuses(centre: Centre, asset: str, *names: str) -> list[str]:
    found = centre.instance.get_status_by_partition(dg.AssetKey(asset), list(names), requests) or {}
    return [status.value if (status := found.get(name)) else "MISSING" for name in names]


def row(centre: Centre, partition: str) -> dict[str, Any]:
    """The newest report's row of a request."""
    rows: dict[str, dict[str, Any]] = {}
    for ref in centre.target.list("_groundtrack/requests/", ending=("report.json",)):
        document = json.loads(centre.target.read(ref.key, limit_bytes=1 << 24)[0])
        rows |= {entry["request"]: entry for entry in document["requests"]}
    return rows[partition]


def reasons(centre: Centre, asset: str, name: str) -> list[str]:
    records = centre.instance.fetch_observations(dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[name]), limit=10).records
    return [record.asset_observation.description or "" for record in records if record.asset_observation]


def metadata(centre: Centre, asset: str, name: str) -> dict[str, Any]:
    filter_ = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[name])
    [record, *_] = centre.instance.fetch_materializations(filter_, limit=1).records
    assert record.asset_materialization
    return {key: value.value for key, value in record.asset_materialization.metadata.items()}


def test_a_request_becomes_published_items_that_lead_back_to_session_and_auxiliary_files(centre):
    name = drop(centre)
    process(centre)
    assert row(centre, name)["state"] == "done", row(centre, name)
    assert [statuses(centre, asset, name) for asset in ("request", *STEPS)] == [["MATERIALIZED"]] * 7
    [key] = row(centre, name)["items"]
    item = json.loads(centre.target.read(key, limit_bytes=1 << 24)[0])
    origins = {link["href"].rpartition("/")[2].removesuffix(".json") for link in item["links"] if link["rel"] == "derived_from"}
    newest, _, restituted = sorted(make_adfs(), key=lambda adf: (adf.product_type != "MPL_ORBSCT", -adf.created.timestamp()))
    assert origins == {SESSION.id, newest.name, restituted.name}


def test_every_search_that_was_tried_is_shown(centre):
    name = drop(centre)
    process(centre)
    shown = metadata(centre, "auxiliary_files", name)
    assert "| ORB | 1 | nothing |" in shown["tried"]
    assert "| ORB | 2 | S1A_OPER_AUX_RESORB_" in shown["tried"]
    assert "${AWS_SECRET_ACCESS_KEY}" in metadata(centre, "payload", name)["payload"]


def test_a_request_waits_for_its_session_and_says_so(centre):
    centre.target.delete(ITEM_KEY)
    name = drop(centre)
    centre.tick()
    centre.tick()
    assert centre.requested == []
    assert reasons(centre, "request", name) == [f"waiting: {SESSION.id} not in the catalogue"]
    put_session(centre)
    process(centre)
    assert row(centre, name)["state"] == "done"


def test_a_request_that_waited_too_long_fails_and_is_taken_again_when_its_session_comes(centre):
    centre = centre.with_settings(request_grace_s=0.0)
    centre.target.delete(ITEM_KEY)
    name = drop(centre)
    process(centre)
    assert row(centre, name)["error_class"] == "missing_input_product"
    centre.tick()
    assert centre.requested == []
    put_session(centre)
    process(centre)
    assert row(centre, name)["state"] == "done"
    assert statuses(centre, "published_items", name) == ["MATERIALIZED"]


def test_a_malformed_request_fails_with_the_field_and_harms_no_other(centre):
    good, bad = drop(centre, "good"), drop(centre, "bad", priority="urgent")
    process(centre)
    assert (row(centre, good)["state"], row(centre, bad)["error_class"]) == ("done", "malformed_request")
    assert "priority" in row(centre, bad)["message"]
    assert statuses(centre, "published_items", good, bad) == ["MATERIALIZED", "FAILED"]
    centre.tick()
    assert centre.requested == []


def test_of_a_request_without_a_mandatory_file_the_searches_are_shown(centre):
    for ref in list(centre.target.list("_stac/s01-aux/")):
        centre.target.delete(ref.key)
    name = drop(centre)
    process(centre)
    assert row(centre, name)["error_class"] == "auxiliary_not_found"
    assert statuses(centre, "published_items", name) == ["FAILED"]
    assert statuses(centre, "task_table", name) == ["MATERIALIZED"]
    assert "nothing" in metadata(centre, "auxiliary_files", name)["tried"]


def test_a_request_that_failed_is_tried_again_when_the_same_document_is_dropped_again(centre):
    put(centre, f"dpr/tasktables/{PROCESSOR}.json", make_task_table() | {"pipelines": []})
    name = drop(centre)
    process(centre)
    assert row(centre, name)["state"] == "failed"
    put(centre, f"dpr/tasktables/{PROCESSOR}.json", make_task_table())
    time.sleep(1.1)  # S3 tells times in seconds
    assert drop(centre) == name
    process(centre)
    assert row(centre, name)["state"] == "done"
    assert list(centre.target.list("_groundtrack/requests/failed/")) == []


def test_a_request_of_higher_priority_goes_first(centre):
    low, high = drop(centre, "low"), drop(centre, "high", priority="high")
    centre.tick()
    [request] = centre.requested
    assert request.tags["dagster/priority"] == "10"
    batch = RequestRecords(centre.target, "").claim(request.tags["groundtrack/requests"])
    assert batch
    assert [claim.partition for claim in batch.requests] == [high, low]


def test_a_second_run_finds_the_request_done(centre):
    name = drop(centre)
    process(centre)
    made = {ref.key: ref.etag for ref in centre.target.list("_stac/s01siwraw/items/")}
    assert materialize(centre, name).success
    assert {ref.key: ref.etag for ref in centre.target.list("_stac/s01siwraw/items/")} == made
    assert metadata(centre, "published_items", name)["carried_over"] is True


def test_an_interrupted_batch_is_run_again(centre):
    name = drop(centre)
    centre.tick()
    centre.lose(centre.requested[0])
    centre.tick()
    assert [request.tags["groundtrack/attempt"] for request in centre.requested] == ["2"]
    centre.run_requested()
    assert row(centre, name)["state"] == "done"
    assert list(centre.target.list("_groundtrack/requests/open/")) == []


def test_a_batch_that_is_given_up_tells_what_became_of_every_request(centre):
    centre = centre.with_settings(batch_attempts=1)
    name = drop(centre)
    centre.tick()
    centre.lose(centre.requested[0])
    centre.tick()
    assert row(centre, name)["error_class"] == "batch_interrupted"
    assert any("interrupted" in reason for reason in reasons(centre, "published_items", name))
    centre.tick()
    assert centre.requested == []


def test_a_rule_makes_a_request_of_a_session_by_itself(centre):
    request = {name: value for name, value in make_request(SESSION).items() if name not in ("input_products", "satellite")}
    put(centre, "dpr/rules/l0.json", {"name": "l0", "platforms": ["sentinel-1*"], "input": "S1CADUS", "request": request})
    process(centre)
    [ref] = centre.source.list("requests/")
    assert ref.key == f"requests/systematic/l0.{SESSION.id}.json"
    assert row(centre, naming.request_id(ref.key, ref.etag))["state"] == "done"
    centre.tick()
    assert centre.requested == []


def test_a_storage_configuration_with_a_secret_in_clear_is_refused_and_not_shown(centre):
    store = {"name": "s3", "kind": "obs", "storage_options": {"key": "canary-a", "secret": "canary-b"}}
    default = {"adfs": {"storage": "s3"}, "unit": [], "pipeline": []}
    put(centre, "dpr/storage.json", {"product": {"default": default}, "storage_configuration": [store]})
    name = drop(centre)
    process(centre)
    assert row(centre, name)["error_class"] == "secret_in_clear"
    assert "storage s3" in row(centre, name)["message"]
    assert "canary" not in str(row(centre, name))
    assert statuses(centre, "published_items", name) == ["FAILED"]
    centre.source.delete("dpr/storage.json")
    assert materialize(centre, name).success


def test_a_request_in_the_launchpad_is_checked_and_put_where_the_sensor_looks(centre):
    job = centre.definitions.resolve_job_def("dpr_request")
    config = {"ops": {"submit": {"config": {"name": "mine", "request": make_request(SESSION)}}}}
    assert job.execute_in_process(run_config=config, instance=centre.instance).success
    [ref] = centre.source.list("requests/")
    process(centre)
    assert row(centre, naming.request_id(ref.key, ref.etag))["state"] == "done"


def test_of_two_requests_in_the_launchpad_the_second_does_not_take_the_place_of_the_first(centre):
    job = centre.definitions.resolve_job_def("dpr_request")
    for owner in ("ana", "ben"):
        config = {"ops": {"submit": {"config": {"request": make_request(SESSION) | {"owner_id": owner}}}}}
        assert job.execute_in_process(run_config=config, instance=centre.instance).success
    names = [naming.request_id(ref.key, ref.etag) for ref in centre.source.list("requests/")]
    assert len(names) == 2
    assert {name.partition(".")[0] for name in names} == {"launchpad"}


def test_a_wrong_request_in_the_launchpad_is_refused_by_name(centre):
    job = centre.definitions.resolve_job_def("dpr_request")
    config = {"ops": {"submit": {"config": {"request": make_request(SESSION) | {"unit": "Level0"}}}}}
    done = job.execute_in_process(run_config=config, instance=centre.instance, raise_on_error=False)
    assert not done.success
    assert "pipeline" in str(done.failure_data_for_node("submit"))
    assert list(centre.source.list("requests/")) == []


def materialize(centre: Centre, name: str) -> dg.ExecuteInProcessResult:
    """Materialize one request, as the web UI does."""
    job = centre.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=[dg.AssetKey(asset) for asset in STEPS], partition_key=name, instance=centre.instance, raise_on_error=False
    )
