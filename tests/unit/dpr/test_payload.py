import copy
from uuid import UUID

import pytest
import yaml

from platform_assets.dpr.errors import MissingInputProduct, MissingMapping, NoBucket, PayloadError, UnknownInput
from platform_assets.dpr.model import read_request
from platform_assets.dpr.payload import BEFORE, CPM3, Destination, build_payload, merged, to_yaml
from platform_assets.dpr.secrets import masked, revealed, stored
from platform_assets.dpr.storage import BucketRule, read_storage
from platform_assets.dpr.tasktable import read_task_table
from platform_assets.dpr.units import build_units
from tests.builders.dpr import as_json, first_task_table, product, request, storage, task_table

CANARY = "canary-7f3a"
INPUTS = {"slc": ["s3://archive/slcs/A.SAFE"]}
ADFS = {"ORB": ["s3://archive/aux/ORB.EOF"]}
RULES = [BucketRule("*", "*", "*", "90", "products")]
RUN = str(UUID(int=1))
OPTIONS = {
    "storage_options": {
        "key": "${CLOUD_KEY}",
        "secret": "${CLOUD_SECRET}",
        "client_kwargs": {"endpoint_url": "https://s3.example.org", "region_name": "north"},
    }
}


def build(document=None, inputs=INPUTS, adfs=ADFS, key=CPM3, stores=None, rules=RULES, modes=(), **asked):
    table = read_task_table(as_json(document or task_table()), "wave.json")
    wanted = read_request(as_json(request(**asked)), "request.json")
    units = build_units(table, pipeline=wanted.pipeline, unit=wanted.unit, modes=modes, variables=wanted.external_variables).units
    destination = Destination(read_storage(as_json(stores or storage()), "storage.json"), rules, lambda name: f"id-{name}", RUN)
    return build_payload(wanted, table, units, inputs, adfs, destination, key)


def entries(payload, section, key=CPM3):
    return {entry["id"]: entry for entry in masked(payload.document)[key][section]}


def test_c1_the_payload_of_a_pipeline():
    expected = f"""
general_configuration: {{logging__progress_level: INFO, triggering__wait_before_exit: 10, triggering__temporary_shared: false}}
external_modules: [{{name: wave.readers, star_import: true}}]
workflow:
- name: Calib.1
  active: true
  validate: false
  module: wave.calib
  processing_unit: Calib
  inputs: {{slc: slc}}
  outputs: {{cal: cal}}
  adfs: {{ORB: ORB}}
  parameters: {{day: '2026-05-01T04:10:00.000Z', looks: 3}}
- name: Terrain.2
  active: true
  validate: false
  module: wave.terrain
  processing_unit: Terrain
  inputs: {{slc: slc}}
  outputs: {{DEM: DEM}}
- name: Geo.3
  active: true
  validate: false
  module: wave.geo
  processing_unit: Geo
  inputs: {{cal: Calib.1.cal, dem: Terrain.2.DEM}}
  outputs: {{^final_.*: geo}}
io:
  input_products:
  - {{id: slc, path: 's3://archive/slcs/A.SAFE', type: folder, engine: cpm_safe, reader_params: OPTIONS}}
  output_products:
  - {{id: DEM, path: /share/work/{RUN}/DEM, engine: cpm_zarr, type: file, apply_eoqc: false}}
  - {{id: cal, path: /share/work/{RUN}/cal, engine: cpm_zarr, type: file, apply_eoqc: false}}
  - {{id: geo, path: 's3://products/ana/maps/id-geo', engine: cpm_zarr, writer_params: WRITER, type: folder, apply_eoqc: false}}
  adfs:
  - {{id: ORB, path: 's3://archive/aux/ORB.EOF', adf_params: OPTIONS}}
context_managers: []
dask_config: {{distributed.worker.local_directory: ~/eopf/output}}
"""
    golden = yaml.safe_load(expected.replace("OPTIONS", str(OPTIONS)).replace("WRITER", str({**OPTIONS, "mode": "w"})))
    made = yaml.safe_load(to_yaml(stored(build().document)))
    assert made == golden
    assert list(made) == list(golden)


def test_both_keys_of_inputs_and_outputs_hold_the_same():
    new, old = build().document, build(key=BEFORE).document
    assert masked(new["io"]) == masked(old["I/O"])
    assert "io" not in old


def test_the_payload_of_a_table_of_1_0_has_the_keys_of_that_time():
    payload = build(first_task_table(), key=BEFORE)
    assert masked(payload.document) == {
        "general_configuration": {
            "logging": {"level": "INFO"},
            "triggering__use_basic_logging": True,
            "triggering__wait_before_exit": 10,
        },
        "workflow": [
            {
                "name": "Calib.1",
                "active": True,
                "validate": False,
                "module": "wave.calib",
                "processing_unit": "Calib",
                "inputs": {"slc": "slc"},
                "outputs": {"cal": "cal"},
                "adfs": {"ORB": "ORB"},
            }
        ],
        "I/O": {
            "input_products": [
                {"id": "slc", "path": "s3://archive/slcs/A.SAFE", "type": "folder", "store_type": "safe", "store_params": OPTIONS}
            ],
            "output_products": [
                {
                    "id": "cal",
                    "path": "s3://products/ana/calibrated/id-cal",
                    "store_type": "zarr",
                    "store_params": {**OPTIONS, "consolidate": True},
                    "type": "folder",
                    "opening_mode": "CREATE",
                    "apply_eoqc": False,
                }
            ],
            "adfs": [{"id": "ORB", "path": "s3://archive/aux/ORB.EOF", "store_params": OPTIONS}],
        },
    }


def test_the_payload_of_a_table_of_1_x_with_engines_has_the_keys_of_today():
    table = first_task_table()
    for row in table["io"]:
        row["engine"] = {"safe": "cpm_safe", "zarr": "cpm_zarr"}[row.pop("store_type")]
    payload = build(table)
    assert entries(payload, "output_products")["cal"] == {
        "id": "cal",
        "path": "s3://products/ana/calibrated/id-cal",
        "engine": "cpm_zarr",
        "writer_params": {**OPTIONS, "consolidate": True},
        "type": "folder",
        "apply_eoqc": False,
    }
    assert "logging__progress_level" in payload.document["general_configuration"]


def test_what_the_request_says_of_temporary_files_and_logging_is_passed_on():
    general = build(temporary_folder="/scratch", temporary_shared=True, logging_level="DEBUG").document["general_configuration"]
    assert general == {
        "logging__progress_level": "DEBUG",
        "triggering__wait_before_exit": 10,
        "triggering__temporary_shared": True,
        "temporary__folder": "/scratch",
    }


def test_c12_inputs_of_one_name_become_one_with_a_regular_expression():
    entry = entries(build(inputs={"slc": ["s3://path/to/item1", "s3://path/to/item2"]}), "input_products")["slc"]
    assert (entry["path"], entry["regex"], entry["multiplicity"], entry["type"]) == ("s3://path/to/", "(item1|item2)", 2, "regex")


def test_c12_in_payloads_of_1_0_the_regular_expression_is_among_the_parameters_of_the_store():
    payload = build(first_task_table(), {"slc": ["s3://path/to/item1", "s3://path/to/item2"]}, key=BEFORE)
    entry = entries(payload, "input_products", BEFORE)["slc"]
    assert entry["store_params"] == {**OPTIONS, "regex": "(item1|item2)", "multiplicity": 2}


def test_an_input_that_is_given_twice_is_one():
    entry = entries(build(inputs={"slc": ["s3://path/to/item1"] * 2}), "input_products")["slc"]
    assert (entry["path"], "regex" in entry) == ("s3://path/to/item1", False)


def test_the_regular_expression_of_a_table_is_passed_on():
    table = task_table()
    table["io"]["input"][0] |= {"type": "regex", "regex_expression": "S1.*", "regex_multiplicity": "exactly_one"}
    entry = entries(build(table), "input_products")["slc"]
    assert (entry["type"], entry["regex"], entry["multiplicity"]) == ("regex", "S1.*", "exactly_one")


def test_places_are_merged_at_the_folder_they_have_in_common():
    assert merged(["s3://b/x/a/f.1", "s3://b/x/c/f.2"]) == ("s3://b/x/", r"(a/f\.1|c/f\.2)")
    assert merged(["s3://b/x", "s3://c/x"]) == ("s3://", "(b/x|c/x)")


@pytest.mark.parametrize(
    ("kind", "paths", "path", "regex"),
    [
        ("folder", ["s3://b/d/file1.txt"], "s3://b/d", None),
        ("file", ["s3://b/d/file1.txt"], "s3://b/d/file1.txt", None),
        ("file", ["s3://b/d/file1.txt", "s3://b/d/file2.txt"], "s3://b/d/", r"(file1\.txt|file2\.txt)"),
        ("folder", ["s3://b/d/file1.txt", "s3://b/e/file2.txt"], "s3://b/", "(d|e)"),
        ("folder", ["s3://b/d/file1.txt", "s3://b/d/file2.txt"], "s3://b/d", None),
    ],
)
def test_c13_an_auxiliary_file_is_its_folder_itself_or_a_regular_expression(kind, paths, path, regex):
    table = task_table()
    table["io"]["adfs"][0]["type"] = kind
    entry = entries(build(table, adfs={"ORB": paths}), "adfs")["ORB"]
    assert entry["path"] == path
    assert entry["adf_params"].get("regex") == regex
    assert entry["adf_params"].get("multiplicity") == (2 if regex else None)


def test_c13_a_file_of_earth_data_hub_gets_the_reference_to_its_key_and_no_other_credentials():
    adfs = {"ORB": ["https://data.earthdatahub.destine.eu/dem/GLO-30.zarr"]}
    payload = build(adfs=adfs, edh_api_key="${EDH_KEY}")
    assert entries(payload, "adfs")["ORB"] == {
        "id": "ORB",
        "path": "https://edh:${EDH_KEY}@api.earthdatahub.destine.eu/dem/GLO-30.zarr",
    }
    secrets = {"EDH_KEY": CANARY, "CLOUD_KEY": "k", "CLOUD_SECRET": "s"}
    assert CANARY not in str(payload)
    assert (
        revealed(payload.document, secrets)["io"]["adfs"][0]["path"] == f"https://edh:{CANARY}@api.earthdatahub.destine.eu/dem/GLO-30.zarr"
    )


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("https://data.earthdatahub.destine.eu/dem.zarr", None),
        ("https://example.org/dem.zarr", "${EDH_KEY}"),
        ("https://earthdatahub.destine.eu.example.org/dem.zarr", "${EDH_KEY}"),
    ],
)
def test_c13_without_a_key_and_of_another_host_a_path_stays_as_it_is(path, key):
    assert entries(build(adfs={"ORB": [path]}, edh_api_key=key), "adfs")["ORB"] == {"id": "ORB", "path": path}


def test_c14_an_output_without_a_collection_is_refused_with_those_that_have_one():
    rows = [{"name": "other", "product_type": "X"}]
    with pytest.raises(MissingMapping, match="has no row for the output 'geo'; it has: other"):
        build(generated_product_to_collection_identifier=rows)
    with pytest.raises(MissingMapping, match="'geo' is for any type, so it needs a collection_name"):
        build(generated_product_to_collection_identifier=[{"name": "geo", "product_type": "*"}])


def test_c14_a_row_for_an_output_that_is_not_made_is_ignored_and_a_type_is_its_own_collection():
    rows = [{"name": "other", "product_type": "X"}, {"name": "geo", "product_type": "GEO"}]
    payload = build(generated_product_to_collection_identifier=rows)
    assert entries(payload, "output_products")["geo"]["path"] == "s3://products/ana/GEO/id-geo"


def test_c14_an_output_on_a_disk_has_a_folder_of_its_own_there_and_no_credentials():
    by_name = {output.name: output for output in build().outputs}
    assert (by_name["cal"].path, by_name["cal"].autoclean, by_name["cal"].is_final) == (f"/share/work/{RUN}/cal", True, False)
    assert (by_name["geo"].collection, by_name["geo"].product_type, by_name["geo"].is_final) == ("maps", "*", True)


def test_c14_in_payloads_of_1_0_an_output_on_a_disk_says_so():
    stores = storage()
    stores["product"]["specific"] = [{"product_name": "cal", "storage": "share"}]
    table = first_task_table()
    table["units"][0]["output_products"][0]["final_product"] = False
    (entry,) = entries(build(table, key=BEFORE, stores=stores), "output_products", BEFORE).values()
    assert (entry["opening_mode"], entry["final_product"], entry["autoclean"]) == ("CREATE_OVERWRITE", False, True)
    assert entry["store_params"] == {"consolidate": True}


def test_a_product_without_a_bucket_is_refused():
    with pytest.raises(NoBucket):
        build(rules=[])


def test_a_zarr_store_that_is_no_folder_of_products_is_called_so():
    table = task_table()
    table["io"]["output"][2]["type"] = "file"
    assert entries(build(table), "output_products")["geo"]["path"] == "s3://products/ana/maps/id-geo.zarr"


def test_c15_what_several_units_take_or_make_is_there_once():
    table = task_table()
    table["units"][1]["input_adfs"] = [product("ORB")]
    table["units"][1]["output_products"].append(product("cal"))
    table["pipelines"][0]["steps"][1]["output_products"]["cal"] = "pipeline_output"
    payload = build(table)
    lists = [[entry["id"] for entry in payload.document["io"][name]] for name in ("input_products", "output_products", "adfs")]
    assert lists == [["slc"], ["DEM", "cal", "geo"], ["ORB"]]
    assert entries(payload, "output_products")["cal"]["path"].startswith("s3://products/")


def test_an_auxiliary_file_that_was_not_found_is_in_neither_step_nor_list():
    payload = build(adfs={})
    assert "adfs" not in payload.document["workflow"][0]
    assert payload.document["io"]["adfs"] == []


def test_an_input_that_no_unit_takes_is_refused_with_those_that_are_taken():
    with pytest.raises(UnknownInput, match="no unit takes 'slcs' from outside; inputs: slc"):
        build(inputs={"slcs": ["s3://a/b"]})
    with pytest.raises(UnknownInput, match="no unit takes 'dem' from outside"):
        build(inputs=INPUTS | {"dem": ["s3://a/b"]})


def test_a_mandatory_input_must_be_given_and_an_optional_one_need_not():
    with pytest.raises(MissingInputProduct, match=r"lacks 'slc', which unit Calib\.1 needs; given are: none"):
        build(inputs={})
    table = task_table()
    for unit in table["units"]:
        unit["input_products"][0]["mandatory"] = False
    payload = build(table, inputs={})
    assert "inputs" not in payload.document["workflow"][0]
    assert payload.document["io"]["input_products"] == []


def test_two_outputs_of_one_regular_expression_are_refused():
    table = task_table()
    table["units"][2]["output_products"][1] = product("log", regex="^final_.*")
    with pytest.raises(PayloadError, match=r"unit Geo\.3: the outputs 'geo' and 'log' are both"):
        build(
            table,
            generated_product_to_collection_identifier=[{"name": name, "product_type": "X"} for name in ("geo", "log")],
        )


def test_a_secret_in_clear_is_in_no_text_of_a_payload():
    stores = copy.deepcopy(storage())
    stores["storage_configuration"][0]["storage_options"] |= {"key": CANARY, "secret": f"{CANARY}-2"}
    payload = build(stores=stores)
    for text in (repr(payload), str(payload.document), to_yaml(masked(payload.document))):
        assert CANARY not in text
    assert revealed(payload.document, {})["io"]["adfs"][0]["adf_params"]["storage_options"]["secret"] == f"{CANARY}-2"
