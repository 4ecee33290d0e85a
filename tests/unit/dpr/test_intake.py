"""How requests come in: what is read of a bucket, what is refused, what waits."""

import json

import pytest

from platform_assets.common.values import Failure, Outcome, State
from platform_assets.dpr import naming
from platform_assets.dpr.claim import ClaimedRequest, RequestBatch, RequestRecords
from platform_assets.dpr.errors import MalformedRequest
from platform_assets.dpr.intake import arrivals, examine, find_requests, missing_inputs, task_tables
from platform_assets.dpr.model import read_request
from platform_assets.dpr.report import row_of, settle
from tests.builders import dpr as documents
from tests.builders.bucket import MemoryBucket

TABLE = "dpr/tasktables/wave.json"


@pytest.fixture
def source() -> MemoryBucket:
    bucket = MemoryBucket()
    put(bucket, TABLE, documents.task_table())
    return bucket


def put(bucket: MemoryBucket, key: str, document: object) -> None:
    bucket.write(key, json.dumps(document).encode(), content_type="application/json")


def examined(bucket: MemoryBucket) -> list[ClaimedRequest]:
    tables = task_tables(bucket, "dpr/")
    return [claim for arrival in arrivals(bucket, "requests/") if (claim := examine(bucket, arrival, tables))]


def test_a_request_is_claimed_with_its_task_table_in_the_version_that_was_listed(source):
    put(source, "requests/a.json", documents.request())
    [claim] = examined(source)
    assert claim.problem is None
    assert claim.job is not None
    ref = source.stat("requests/a.json")
    assert ref is not None
    assert (claim.job.table, claim.job.etag) == (TABLE, ref.etag)
    assert claim.partition == naming.request_id("requests/a.json", ref.etag)


def test_what_is_claimed_is_the_request_again(source):
    put(source, "requests/a.json", documents.request(processing_mode=["nrt"], reference_date="2026-05-01"))
    [claim] = examined(source)
    assert claim.job is not None
    asked = read_request(source.read("requests/a.json", limit_bytes=1 << 20)[0], "a")
    assert read_request(json.dumps(claim.job.document).encode(), "claim") == asked


def test_a_malformed_request_is_refused_and_the_reason_names_the_field(source):
    put(source, "requests/a.json", documents.request(priority="urgent"))
    [claim] = examined(source)
    assert claim.job is None
    assert claim.problem is not None
    assert claim.problem.code == "malformed_request"
    assert "priority" in claim.problem.message


def test_a_key_in_clear_is_refused_and_not_quoted(source):
    put(source, "requests/a.json", documents.request(edh_api_key="canary-4711"))
    [claim] = examined(source)
    assert claim.problem is not None
    assert "canary-4711" not in repr(claim)
    assert "edh_api_key" in claim.problem.message


@pytest.mark.parametrize("name", ["wave", "WAVE"])
def test_a_request_without_a_version_takes_the_only_table_of_its_processor(source, name):
    request = read_request(json.dumps(documents.request(processor_name=name, processor_version=None)).encode(), "a")
    assert task_tables(source, "dpr/").choose(request) == TABLE


def test_a_processor_without_a_task_table_is_refused_and_the_reason_lists_those_that_have_one(source):
    put(source, "dpr/tasktables/notes.json", {"a": 1})
    request = read_request(json.dumps(documents.request(processor_name="s9_l0")).encode(), "a")
    with pytest.raises(MalformedRequest, match=r"s9_l0 1\.2; task tables: wave 1\.2; passed over, since they are none: notes\.json"):
        task_tables(source, "dpr/").choose(request)


def test_only_json_and_yaml_are_requests(source):
    for name in ("a.json", "deep/b.yaml", "c.yml", "readme.txt", "d.json.part"):
        put(source, f"requests/{name}", documents.request(owner_id=name.replace("/", "-")))
    assert [row.ref.key for row in arrivals(source, "requests/")] == ["requests/a.json", "requests/c.yml", "requests/deep/b.yaml"]


def test_the_same_document_twice_is_one_request(source):
    for folder in ("x", "y"):
        put(source, f"requests/{folder}/a.json", documents.request())
    assert [row.ref.key for row in arrivals(source, "requests/")] == ["requests/x/a.json"]


def test_a_document_that_is_replaced_while_it_is_read_is_left_to_the_next_look(source):
    put(source, "requests/a.json", documents.request())
    [arrival] = arrivals(source, "requests/")
    put(source, "requests/a.json", documents.request(owner_id="eve"))
    assert examine(source, arrival, task_tables(source, "dpr/")) is None


def test_a_version_of_a_request_is_read_once_however_often_it_is_looked_at(source):
    put(source, "requests/a.json", documents.request())
    before, again = examined(source), examined(source)
    assert before == again
    assert source.calls.count("read") == 2  # it and the task table


def test_a_request_lacks_the_items_that_are_not_in_the_catalogue(source):
    put(source, "requests/a.json", documents.request())
    [claim] = examined(source)
    target = MemoryBucket("out")
    key = naming.item_key("slcs", "S1C_A", "p/")
    assert missing_inputs(target, "p/", [claim]) == {claim.partition: (key,)}
    target.write(key, b"{}", content_type="application/json")
    assert missing_inputs(target, "p/", [claim]) == {}


def test_an_input_that_cannot_be_an_item_is_refused(source):
    row = {"name": "slc", "item_id": "../a", "collection_name": "slcs"}
    put(source, "requests/a.json", documents.request(input_products=[row]))
    [claim] = examined(source)
    assert claim.problem is not None
    assert claim.problem.code == "unsafe_key"


def test_requests_are_found_by_their_partition_keys(source):
    put(source, "requests/a.json", documents.request())
    put(source, "requests/b.json", documents.request())
    wanted = next(row.partition for row in arrivals(source, "requests/") if row.ref.key == "requests/b.json")
    found = find_requests(source, "requests/", "dpr/", [wanted, "other.00000000"])
    assert {key: claim.ref.key for key, claim in found.items()} == {wanted: "requests/b.json"}


# --- claims -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch(source: MemoryBucket) -> RequestBatch:
    put(source, "requests/a.json", documents.request())
    put(source, "requests/b.json", {"processor_name": "wave"})
    return RequestBatch.of(examined(source), 1_800_000_000.0)


def test_a_claim_is_read_as_it_was_written(batch):
    records = RequestRecords(MemoryBucket(), "p/")
    assert records.put_claim(batch)
    assert list(records.open()) == [batch.id]
    assert records.claim(batch.id) == batch


def test_a_settled_batch_is_closed_and_remembers_what_failed(batch):
    records = RequestRecords(MemoryBucket(), "p/")
    records.put_claim(batch)
    good, bad = batch.requests
    facts = {"items": [{"key": "_stac/maps/items/x.json"}], "log_key": "log"}
    outcomes = [Outcome(good.partition, State.DONE, facts, attempts=1), Outcome(bad.partition, State.FAILED, {}, bad.problem)]
    records.put_outcomes(batch.id, 1, outcomes, {"id": "run"})
    keys = settle(records, batch)
    assert list(records.open()) == []
    assert records.failed() == {bad.partition: bad.digest}
    rows = json.loads(records.bucket.read(keys["json"], limit_bytes=1 << 20)[0])["requests"]
    assert [(row["state"], row["document"]) for row in rows] == [("done", "requests/a.json"), ("failed", "requests/b.json")]
    assert rows[0]["items"] == ["_stac/maps/items/x.json"]
    assert rows[1]["error_class"] == "malformed_request"


def test_a_request_that_is_done_after_it_failed_is_no_longer_remembered_as_failed(batch):
    records = RequestRecords(MemoryBucket(), "")
    records.note_ends({"a.1": ("11", True), "b.2": ("22", True)})
    records.note_ends({"a.1": ("11", False), "b.2": ("33", True)})
    assert records.failed() == {"b.2": "33"}


def test_a_row_says_how_to_try_again(batch):
    claim = batch.requests[0]
    row = row_of(claim, Outcome(claim.partition, State.FAILED, {}, Failure("process", "processor_failed", "no")))
    assert row["how_to_retry"].endswith(f"--partition {claim.partition}")


@pytest.mark.parametrize("collection", ["a/b", "s01-cadip-session"])
def test_a_collection_that_products_cannot_go_to_is_refused_before_anything_is_run(source, collection):
    rows = [{"name": name, "product_type": "*", "collection_name": collection} for name in ("cal", "DEM", "geo")]
    put(source, "requests/a.json", documents.request(generated_product_to_collection_identifier=rows))
    [claim] = examined(source)
    assert claim.problem is not None
    assert collection in claim.problem.message
