import copy

import pytest

from platform_assets.dpr.errors import DuplicateName, MalformedTaskTable, UnsupportedSpecification
from platform_assets.dpr.tasktable import ADF, INPUT, OUTPUT, read_task_table
from tests.builders.dpr import as_json, first_task_table, task_table, val_cover


def read(document):
    return read_task_table(as_json(document), "wave.json")


def changed(document, path, value):
    """Return a document in which one place has another value, or is left out when the value is `...`."""
    document = copy.deepcopy(document)
    *parents, last = path
    place = document
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


def test_a_task_table_of_2_0_is_read():
    table = read(task_table())
    assert (table.name, table.version, table.specification, table.is_first_generation) == ("wave", "1.2", "2.0_draftA", False)
    assert list(table.units) == ["Calib", "Terrain", "Geo"]
    assert table.units["Geo"].outputs[0].fields == {"regex": "^final_.*"}
    assert (list(table.io[INPUT]), list(table.io[ADF])) == (["slc", "dem"], ["ORB", "GAIN", "INTERNAL"])
    assert table.pipelines["full"][2].inputs == {"cal": "Calib.1.cal", "dem": "Terrain.2.DEM"}
    assert table.queries == {"ValCover": val_cover()["stac"]}


def test_a_task_table_of_1_0_is_read():
    table = read(first_task_table())
    assert table.is_first_generation
    assert table.io[INPUT] == table.io[OUTPUT]
    assert table.pipelines["full"][0].inputs == {"slc": "pipeline_input"}
    assert table.pipelines["full"][0].outputs == {"cal": "pipeline_output"}


def test_a_draft_of_1_0_with_sections_and_keys_of_its_own_is_read():
    table = first_task_table()
    table["io"] = {"input": table["io"][:1], "adfs": table["io"][1:4], "output": table["io"][4:]}
    table["units"][0]["nested"] = table["more"] = True
    table["tasktable"]["version"] = 1.0
    assert list(read(table).io[ADF]) == ["ORB", "GAIN", "INTERNAL"]
    assert read(table).version == "1.0"


def test_a_table_of_1_x_with_engines_has_payloads_of_today():
    table = first_task_table()
    table["io"][0] |= {"engine": "cpm_safe"}
    assert not read(table).is_first_generation


@pytest.mark.parametrize("first", [True, False], ids=["1.0", "2.0"])
@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["pipelines"], ..., "the document: pipelines is missing"),
        (["units"], ..., "the document: units is missing"),
        (["io"], ..., "the document: io is missing"),
        (["units"], {}, "units: '{}' is not a list"),
        (["pipelines"], "full", "pipelines: 'full' is not a list"),
        (["io"], 3, "io: '3' is not"),
        (["units", 0, "module"], ..., "units[0]: module is missing"),
        (["units", 0, "module"], 5, "units[0].module: '5' is not a text"),
        (["units", 0, "input_products", 0, "mandatory"], ..., "units[0].input_products[0]: mandatory is missing"),
        (["units", 0, "input_products", 0, "mandatory"], "yes", "units[0].input_products[0].mandatory: 'yes' is not true or false"),
        (["units", 0, "input_products", 0, "name"], ..., "units[0].input_products[0]: name is missing"),
        (["units", 0, "input_adfs", 0, "mode"], "fast", "units[0].input_adfs[0].mode: 'fast' is not valid; valid are: always, nrt"),
        (["pipelines", 0, "steps", 0, "step_id"], 0, "pipelines[0].steps[0].step_id: '0' breaks the rule"),
        (["pipelines", 0, "steps", 0, "unit_name"], ..., "pipelines[0].steps[0]: unit_name is missing"),
        (["pipelines", 0, "steps", 0], "Calib", "pipelines[0].steps[0]: 'Calib' is not a mapping"),
        (["pipelines", 0, "steps", 0, "input_products"], ["slc"], "pipelines[0].steps[0].input_products: "),
        (["tasktable", "specification_version"], ..., "tasktable.specification_version is missing"),
        (["tasktable"], 3, "tasktable.specification_version is missing"),
        (["tasktable", "name"], ..., "tasktable: name is missing"),
        (["queries", 0, "stac"], ..., "queries[0]: stac is missing"),
    ],
)
def test_c6_a_malformed_table_is_refused_by_its_place(first, path, value, said):
    with pytest.raises(MalformedTaskTable) as refused:
        read(changed(first_task_table() if first else task_table(), path, value))
    assert str(refused.value).startswith("wave.json: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["units", 0, "colour"], "red", "units[0]: colour is unknown; known are: input_adfs, input_products, module, name"),
        (["io", "output", 0, "engine"], "netcdf", "io.output[0].engine: 'netcdf' is not valid; valid are: cpm_zarr, fast_zarr, s3_cache"),
        (["units", 0, "name"], "a unit", r"units[0].name: 'a unit' does not match ^[^\s]+$"),
        (["units", 0, "resources_min", "disk", "size_per_worker"], "lots", "units[0].resources_min.disk.size_per_worker: 'lots'"),
        (["pipelines", 0, "steps", 2, "input_products", "cal"], "Calib", "'Calib' is neither `pipeline_input` nor a reference such as"),
        (["pipelines", 0, "steps", 2, "output_products", "geo"], "out", "valid are: pipeline_internal, pipeline_output"),
        (["io", "adfs", 0, "alternatives", 0, "order"], 0, "io.adfs[0].alternatives[0].order: '0' breaks the rule minimum: '1'"),
        (["external_variables"], ["color"], "external_variables[0]: 'color' is not valid; valid are: end_datetime, instrument_mode"),
    ],
)
def test_a_table_of_2_0_is_held_to_the_schema(path, value, said):
    with pytest.raises(MalformedTaskTable) as refused:
        read(changed(task_table(), path, value))
    assert said in str(refused.value)


def test_of_many_findings_the_first_few_are_told():
    table = task_table()
    for unit in table["units"]:
        unit["colour"] = unit["weight"] = unit["name"] = 1
    table["tasktable"]["name"] = table["tasktable"]["version"] = 7
    with pytest.raises(MalformedTaskTable, match=r"; and 3 more$"):
        read(table)


@pytest.mark.parametrize("version", ["3.0", "draft"])
def test_a_specification_that_is_not_known_is_refused(version):
    with pytest.raises(UnsupportedSpecification, match=r"known are: 1\.x, 2\.x"):
        read(changed(task_table(), ["tasktable", "specification_version"], version))


@pytest.mark.parametrize("section", ["units", "queries", "pipelines"])
def test_two_entries_of_one_name_are_refused(section):
    table = task_table()
    table[section].append(copy.deepcopy(table[section][0]))
    with pytest.raises(DuplicateName, match=rf"{section}\[0\] and {section}\[\d\] are both called"):
        read(table)


def test_two_products_of_one_name_are_refused():
    table = task_table()
    table["io"]["adfs"].append({"name": "ORB", "type": "file"})
    with pytest.raises(DuplicateName, match=r"io\.adfs\[0\] and io\.adfs\[3\] are both called 'ORB'"):
        read(table)
