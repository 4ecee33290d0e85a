import copy

import pytest

from platform_assets.dpr.cpm2 import for_cpm2, glob_of
from platform_assets.dpr.errors import PayloadError
from platform_assets.dpr.payload import merged
from tests.builders.dpr import first_task_table, task_table
from tests.builders.processors import EVERYTHING, in_store, order

TOLD = [{"name": "geo", "product_type": "*", "collection_name": "maps"}]


def adapted(tmp_path, **changes):
    return for_cpm2(order(tmp_path, **changes).payload)


def entry(payload, section, name):
    [found] = [row for row in payload["io"][section] if row["id"] == name]
    return found


def test_names_of_steps_have_no_dots_and_references_follow(tmp_path):
    calib, terrain, geo = adapted(tmp_path)["workflow"]
    assert [step["name"] for step in (calib, terrain, geo)] == ["Calib_1", "Terrain_2", "Geo_3"]
    assert geo["inputs"] == {"cal": "Calib_1.cal", "dem": "Terrain_2.DEM"}
    assert calib["inputs"] == {"slc": "slc"}


def test_a_product_that_a_pattern_stands_for_is_referred_to_by_where_it_is_written(tmp_path):
    table = task_table()
    table["units"][0]["output_products"][0]["regex"] = "^cal_.*"
    assert adapted(tmp_path, table=table)["workflow"][2]["inputs"]["cal"] == "cal"


def test_engines_are_store_types(tmp_path):
    payload = adapted(tmp_path)
    assert entry(payload, "input_products", "slc")["store_type"] == "safe"
    geo = entry(payload, "output_products", "geo")
    assert (geo["store_type"], geo["opening_mode"], geo["type"]) == ("zarr", "CREATE_OVERWRITE", "folder")
    assert entry(payload, "output_products", "cal")["type"] == "filename"
    assert "mode" not in geo["store_params"]
    assert geo["store_params"]["storage_options"]["client_kwargs"]["region_name"] == "north"


def test_an_engine_that_there_is_not_is_an_error_that_names_it(tmp_path):
    with pytest.raises(PayloadError, match=r"'log' has the engine 's3_cache'.*cadu, cpm_safe") as raised:
        adapted(
            tmp_path,
            processing_mode=["nrt"],
            generated_product_to_collection_identifier=[*TOLD, {"name": "log", "product_type": "LOG"}],
        )
    assert raised.value.code == "unsupported_engine"


def test_a_payload_of_before_keeps_what_it_has(tmp_path):
    given = order(tmp_path, table=first_task_table()).payload
    before = copy.deepcopy(given)
    cal = entry(for_cpm2(given), "output_products", "cal")
    assert (cal["store_type"], cal["store_params"]["consolidate"]) == ("zarr", True)
    assert given == before


def test_several_inputs_are_a_pattern_of_file_names(tmp_path):
    slc = entry(adapted(tmp_path, inputs={"slc": ["s3://a/x/S1A_1.SAFE", "s3://a/x/S1A_2.SAFE"]}), "input_products", "slc")
    assert (slc["path"], slc["type"]) == ("s3://a/x/", "regex")
    assert (slc["store_params"]["regex"], slc["store_params"]["multiplicity"]) == ("S1A_*.SAFE", "2")


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["S1A_1.zarr", "S1A_2.zarr"], "S1A_*.zarr"),
        (["aa", "a"], "a*"),
        (["aba", "a"], "a*"),
        (["a*1", "a*2"], "a[*]*"),
        (["x", "y"], "*"),
    ],
)
def test_a_list_of_names_is_what_they_have_in_common(names, pattern):
    assert glob_of(merged([f"s3://b/{name}" for name in names])[1]) == pattern


def test_a_simple_regular_expression_is_a_pattern():
    assert glob_of(r"S1A_.*\.zarr") == "S1A_*.zarr"


def test_another_regular_expression_is_an_error():
    with pytest.raises(PayloadError, match="only"):
        glob_of(r"S1[AB]_\d+")


def test_nobody_waits_for_a_dashboard_and_the_log_has_the_level_that_was_asked_for(tmp_path):
    general = adapted(tmp_path, logging_level="DEBUG")["general_configuration"]
    assert general["triggering__wait_before_exit"] == 0
    assert general["logging"] == {"level": "DEBUG"}


def test_an_object_store_without_an_address_is_that_of_amazon(tmp_path):
    payload = adapted(tmp_path, stores=in_store(), generated_product_to_collection_identifier=EVERYTHING)
    options = entry(payload, "input_products", "slc")["store_params"]["storage_options"]
    assert options["client_kwargs"] == {"region_name": "us-east-1", "endpoint_url": "https://s3.us-east-1.amazonaws.com"}
