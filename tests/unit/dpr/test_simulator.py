import json

import numpy as np
import pytest

from platform_assets.dpr.errors import PayloadError
from platform_assets.dpr.processors import ANY, ByName, ProcessorFailed, UnknownProcessor, reveal
from platform_assets.dpr.secrets import Secret
from platform_assets.dpr.simulator import Fault, Faults, Simulator, faults_of
from platform_assets.dpr.workflow import read_workflow
from tests.builders.dpr import as_json, storage, task_table
from tests.builders.processors import EVERYTHING, LOOKUP, MemoryBuckets, in_store, order


def filled():
    buckets = MemoryBuckets()
    buckets.put("s3://archive/slcs/A.SAFE/manifest.safe", b"manifest")
    buckets.put("s3://archive/slcs/A.SAFE/measurement/a.tiff", b"\x00\x01\x01")
    buckets.put("s3://archive/aux/ORB.EOF", b"orbits")
    return buckets


def wanted(scratch, **changes):
    given = {"stores": in_store(), "generated_product_to_collection_identifier": EVERYTHING} | changes
    return order(scratch, **given)


def attributes(buckets, key):
    return json.loads(buckets.bucket("products").read(key, limit_bytes=1 << 20)[0])


def geo_attributes(buckets):
    return [attributes(buckets, key) for key in buckets.keys("products") if key.endswith("zarr/.zattrs") and "/geos/" in key]


def test_products_of_every_step_are_written_and_tell_what_was_read(tmp_path):
    buckets = filled()
    processed = Simulator(buckets).run(wanted(tmp_path))
    roots = sorted(key for key in buckets.keys("products") if key.endswith(".zarr/.zattrs"))
    assert [key.split("/")[1] for key in roots] == ["cals", "dems", "geos", "geos"]
    read = {step["name"]: {row["name"]: (row["files"], row["bytes"]) for row in step["read"]} for step in processed.facts["steps"]}
    assert read["Calib.1"] == {"slc": (2, 11), "ORB": (1, 6)}
    assert read["Geo.3"].keys() == {"cal", "dem"}
    assert all(document["stac_discovery"]["properties"]["product:type"] == "GEO" for document in geo_attributes(buckets))
    assert len({document["stac_discovery"]["id"] for document in geo_attributes(buckets)}) == 2


def test_what_is_written_depends_on_every_byte_that_is_read(tmp_path):
    first, second = filled(), filled()
    second.put("s3://archive/aux/ORB.EOF", b"orbitS")
    for buckets in (first, second):
        Simulator(buckets).run(wanted(tmp_path))
    key = next(key for key in first.keys("products") if key.startswith("ana/cals/") and key.endswith(".zarr/.zattrs"))
    assert attributes(first, key) != attributes(second, key)


def test_run_again_it_writes_the_same_bytes_to_the_same_places(tmp_path):
    buckets = filled()
    Simulator(buckets).run(wanted(tmp_path))
    before = {ref.key: ref.etag for ref in buckets.bucket("products").list()}
    Simulator(buckets).run(wanted(tmp_path, attempt=2))
    assert {ref.key: ref.etag for ref in buckets.bucket("products").list()} == before


def test_two_requests_over_the_same_inputs_make_products_of_different_names(tmp_path):
    first, second, newer = filled(), filled(), filled()
    Simulator(first).run(wanted(tmp_path, request_id="one.0123abcd"))
    Simulator(second).run(wanted(tmp_path, request_id="two.0123abcd"))
    Simulator(newer).run(wanted(tmp_path, request_id="one.fedc4321"))
    names = [{key.split("/")[3] for key in buckets.keys("products") if "/geos/" in key} for buckets in (first, second, newer)]
    assert not names[0] & names[1]
    assert names[0] == names[2]


def test_the_array_of_a_product_has_the_counts_of_the_bytes(tmp_path):
    buckets = filled()
    Simulator(buckets).run(wanted(tmp_path))
    key = next(key for key in buckets.keys("products") if key.startswith("ana/dems/") and key.endswith("counts/0.0"))
    counts = np.frombuffer(buckets.bucket("products").read(key, limit_bytes=1 << 20)[0], "<i8").reshape(1, 256)
    described = attributes(buckets, key.replace("/0.0", "/.zarray"))
    assert (described["shape"], described["dtype"]) == ([1, 256], "<i8")
    assert (counts.sum(), counts[0, 1], counts[0, ord("m")]) == (11, 2, 1)


def test_a_payload_of_the_first_generation_runs_too(tmp_path):
    from tests.builders.dpr import first_task_table

    buckets = filled()
    named = [{"name": "cal", "product_type": "CAL", "collection_name": "cals"}]
    Simulator(buckets).run(wanted(tmp_path, table=first_task_table(), generated_product_to_collection_identifier=named))
    assert any(key.endswith("_001.zarr/.zattrs") for key in buckets.keys("products"))


def test_zarr_of_format_3_is_written_when_the_table_asks_for_it(tmp_path):
    table = task_table()
    table["io"]["output"][2]["writer_params"] = {"zarr_format": 3}
    buckets = filled()
    Simulator(buckets).run(wanted(tmp_path, table=table))
    roots = [key for key in buckets.keys("products") if "/geos/" in key and key.endswith(".zarr/zarr.json")]
    assert attributes(buckets, roots[0])["attributes"]["stac_discovery"]["type"] == "Feature"


def test_what_a_folder_has_is_made_as_often_as_the_step_says(tmp_path):
    table = task_table()
    table["pipelines"][0]["steps"][2]["parameters"] = {"simulator": {"products": 5}}
    buckets = filled()
    Simulator(buckets).run(wanted(tmp_path, table=table))
    assert len(geo_attributes(buckets)) == 5


def test_several_inputs_of_one_name_are_read_and_no_neighbour(tmp_path):
    buckets = filled()
    buckets.put("s3://archive/slcs/B.SAFE/manifest.safe", b"B")
    buckets.put("s3://archive/slcs/C.SAFE/manifest.safe", b"neighbour")
    both = {"slc": ["s3://archive/slcs/A.SAFE", "s3://archive/slcs/B.SAFE"]}
    facts = Simulator(buckets).run(wanted(tmp_path, inputs=both)).facts
    assert facts["steps"][0]["read"][0]["files"] == 3


def test_outputs_on_a_disk_are_read_by_the_next_step(tmp_path):
    stores = storage()
    stores["storage_configuration"][1]["absolute_path"] = str(tmp_path)
    buckets = filled()
    facts = Simulator(buckets).run(order(tmp_path, stores=stores)).facts
    assert [row["files"] > 0 for row in facts["steps"][2]["read"]] == [True, True]


@pytest.mark.parametrize(
    ("path", "what"), [("s3://archive/slcs/A.SAFE", "input 'slc'"), ("s3://archive/aux/ORB.EOF", "auxiliary file 'ORB'")]
)
def test_what_is_not_there_is_named(tmp_path, path, what):
    buckets = filled()
    for key in buckets.keys("archive"):
        if f"s3://archive/{key}".startswith(path):
            buckets.bucket("archive").delete(key)
    with pytest.raises(ProcessorFailed, match=path) as raised:
        Simulator(buckets).run(wanted(tmp_path))
    assert what in str(raised.value)
    assert raised.value.code == "missing_input"


def test_it_fails_when_it_is_told_to_and_works_at_the_next_attempt(tmp_path):
    buckets = filled()
    simulator = Simulator(buckets, Faults(share=1, kinds=(Fault.FAIL,)))
    lines = []
    with pytest.raises(ProcessorFailed, match="told to"):
        simulator.run(wanted(tmp_path, lines=lines))
    assert "failing, as told" in lines
    assert not geo_attributes(buckets)
    simulator.run(wanted(tmp_path, attempt=2))
    assert len(geo_attributes(buckets)) == 2


def test_partial_output_lacks_what_makes_a_product(tmp_path):
    buckets = filled()
    Simulator(buckets, Faults(share=1, kinds=(Fault.PARTIAL,))).run(wanted(tmp_path))
    assert any("/geos/" in key for key in buckets.keys("products"))
    assert not geo_attributes(buckets)


def test_a_seed_chooses_the_same_requests_every_time():
    faults = faults_of({"share": 0.25, "seed": 7, "kinds": ["fail", "crash"]})
    chosen = {name: faults.of(name, 1) for name in (f"request-{number}" for number in range(400))}
    assert chosen == {name: faults.of(name, 1) for name in chosen}
    assert 60 < sum(kind is not None for kind in chosen.values()) < 140
    assert set(chosen.values()) == {None, Fault.FAIL, Fault.CRASH}
    assert chosen != {name: Faults(0.25, (Fault.FAIL, Fault.CRASH), seed=8).of(name, 1) for name in chosen}


def test_only_requests_of_the_pattern_misbehave():
    faults = Faults(share=1, requests="bad-*")
    assert faults.of("bad-1", 1)
    assert faults.of("good-1", 1) is None


def test_no_secret_is_in_the_log_the_facts_or_the_products(tmp_path):
    buckets, lines = filled(), []
    buckets.put(f"s3://archive/slcs/{LOOKUP['CLOUD_KEY']}/a", b"x")
    inputs = {"slc": [f"s3://archive/slcs/{LOOKUP['CLOUD_KEY']}"]}
    processed = Simulator(buckets).run(wanted(tmp_path, lines=lines, inputs=inputs))
    written = [buckets.bucket("products").read(key, limit_bytes=1 << 20)[0].decode(errors="replace") for key in buckets.keys("products")]
    assert not any("7f3a" in text for text in (processed.log, json.dumps(processed.facts), *lines, *written))
    assert "canary" not in repr(wanted(tmp_path))


def test_secrets_are_masked_where_they_are_quoted_too(tmp_path):
    given = wanted(tmp_path)
    assert given.secrets == set(LOOKUP.values())
    assert given.shown("https://x/?s=canary%2Fsecret%2B7f3a and canary/secret+7f3a") == "https://x/?s=********** and **********"


def test_only_secrets_that_the_payload_has_are_known():
    document, used = reveal({"a": Secret("edh:${A}@x"), "b": "${B}"}, {"A": "1234", "B": "5678"})
    assert (document, used) == ({"a": "edh:1234@x", "b": "${B}"}, {"1234"})


def test_a_step_that_refers_to_what_is_not_there_is_an_error(tmp_path):
    payload = json.loads(as_json(wanted(tmp_path).stored))
    payload["workflow"][2]["inputs"]["cal"] = "Calib.9.cal"
    with pytest.raises(PayloadError, match=r"Calib\.9\.cal"):
        read_workflow(payload)


def test_steps_that_are_not_active_are_not_run(tmp_path):
    payload = json.loads(as_json(wanted(tmp_path).stored))
    payload["workflow"][2]["active"] = False
    assert [step.name for step in read_workflow(payload)] == ["Calib.1", "Terrain.2"]


def test_a_processor_is_chosen_by_the_name_in_the_request_or_is_any(tmp_path):
    simulator = Simulator(filled())
    assert ByName({ANY: simulator}).run(wanted(tmp_path)).facts["processor"] == "simulator"
    with pytest.raises(UnknownProcessor, match="processors: other"):
        ByName({"other": simulator}).run(wanted(tmp_path))
