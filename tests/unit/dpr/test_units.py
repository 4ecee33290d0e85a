import copy

import pytest

from platform_assets.dpr.errors import (
    AmbiguousReference,
    InvalidSelection,
    MissingOrigin,
    MissingVariable,
    StepCycle,
    TaskTableError,
    UnknownOutput,
    UnknownPipeline,
    UnknownProduct,
    UnknownStep,
    UnknownUnit,
    UnknownVariable,
)
from platform_assets.dpr.tasktable import read_task_table
from platform_assets.dpr.units import build_units
from tests.builders.dpr import as_json, first_task_table, full_steps, product, step, task_table

VARIABLES = {"start_datetime": "2026-05-01T04:10:00.000Z", "end_datetime": "2026-05-01T04:22:00.000Z"}


def build(table, pipeline="full", unit=None, modes=(), variables=VARIABLES):
    return build_units(read_task_table(as_json(table), "wave.json"), pipeline=pipeline, unit=unit, modes=modes, variables=variables)


def chain(*steps):
    """Return units of a pipeline of `Turn` units, each of which turns `x` into `y`."""
    table = task_table(list(steps))
    turn = copy.deepcopy(table["units"][1])
    table["units"] = [turn | {"name": "Turn", "input_products": [product("x")], "output_products": [product("y")]}]
    table["io"]["input"] = [{"name": "x", "type": "file"}]
    table["io"]["output"] = [{"name": "y", "type": "file", "engine": "cpm_zarr"}]
    return build(table)


def turn(number, source="pipeline_input", to="pipeline_internal"):
    return step(number, "Turn", {"x": source}, {"y": to})


def test_c3_the_units_of_a_pipeline_are_those_of_the_reference_system():
    expected = {
        "name": "Calib.1",
        "module": "wave.calib",
        "input_products": [{"name": "slc", "origin": "pipeline_input", "mandatory": True, "type": "folder", "store_type": "safe"}],
        "input_adfs": [
            {
                "name": "ORB",
                "mandatory": True,
                "type": "filename",
                "store_type": "safe",
                "alternatives": [
                    {
                        "order": 1,
                        "timeout_seconds": 0,
                        "query": {
                            "name": "ValCover",
                            "parameters": {
                                "product_type": "ORB_RES",
                                "start_datetime": "2026-05-01T04:10:00.000Z",
                                "end_datetime": "2026-05-01T04:22:00.000Z",
                                "dTa": 60,
                                "dTb": 0,
                            },
                        },
                    }
                ],
            },
            {"name": "INTERNAL", "mandatory": False, "type": "filename", "store_type": "safe"},
        ],
        "output_products": [
            {
                "name": "cal",
                "origin": "pipeline_output",
                "mandatory": True,
                "regex": ".*",
                "type": "folder",
                "store_type": "zarr",
                "store_params": {"consolidate": True},
            }
        ],
    }
    table = first_task_table()
    table["units"][0]["output_products"][0]["regex"] = ".*"
    del table["units"][0]["input_adfs"][1]
    assert [unit.to_json() for unit in build(table).units] == [expected]


@pytest.mark.parametrize(("pipeline", "unit"), [("full", None), (None, "Calib"), (None, "Terrain"), (None, "Geo")])
@pytest.mark.parametrize("modes", [(), ("nrt",), ("ntc", "reprocessing")])
def test_c4_every_unit_has_the_five_keys(pipeline, unit, modes):
    table = task_table()
    table["pipelines"][0]["steps"][2]["output_products"]["log"] = "pipeline_output"
    table["io"]["input"].append({"name": "cal", "type": "file"})
    for built in build(table, pipeline, unit, modes).units:
        assert {"name", "module", "input_products", "input_adfs", "output_products"} <= set(built.to_json())


@pytest.mark.parametrize(
    ("modes", "kept"), [((), ["a", "none"]), (("nrt",), ["a", "none", "n"]), (("ntc",), ["a", "none", "t"]), (("always",), ["a", "none"])]
)
def test_c5_products_of_modes_that_are_not_asked_for_take_no_part(modes, kept):
    table = task_table()
    modes_of = {"a": {"mode": "always"}, "none": {}, "n": {"mode": "nrt"}, "t": {"mode": "ntc"}}
    table["units"][1]["output_products"] = [product(name, **mode) for name, mode in modes_of.items()]
    table["io"]["output"] = [{"name": name, "type": "file", "engine": "cpm_zarr"} for name in modes_of]
    (unit,) = build(table, None, "Terrain", modes).units
    assert [output.name for output in unit.outputs] == kept


def test_c6_neither_or_both_of_pipeline_and_unit_are_refused():
    for pipeline, unit in ((None, None), ("full", "Calib"), ("", "")):
        with pytest.raises(InvalidSelection):
            build(task_table(), pipeline, unit)


def test_c6_a_ghost_unit_or_pipeline_is_refused_with_those_there_are():
    with pytest.raises(UnknownUnit, match="no unit 'Ghost', which the request names; units: Calib, Geo, Terrain"):
        build(task_table(), None, "Ghost")
    with pytest.raises(UnknownUnit, match="no unit 'Ghost', which a step of pipeline 'full' names; units: Calib, Geo, Terrain"):
        build(task_table([step(1, "Ghost", {}, {})]))
    with pytest.raises(UnknownPipeline, match="no pipeline 'ghost'; pipelines: full"):
        build(task_table(), "ghost")


def test_c6_a_table_without_units_or_steps_is_refused():
    with pytest.raises(TaskTableError, match="has no steps"):
        build(task_table([]))
    with pytest.raises(UnknownUnit, match="units: none"):
        build(task_table() | {"units": []}, None, "Calib")


def test_a_product_that_io_does_not_describe_is_refused_with_those_it_does():
    table = task_table()
    del table["io"]["adfs"][0]
    with pytest.raises(
        UnknownProduct, match=r"unit 'Calib' uses 'ORB', which io.adfs does not describe; products of io.adfs: GAIN, INTERNAL"
    ):
        build(table)


def test_a_single_unit_takes_all_from_outside_and_gives_all_away():
    table = task_table()
    table["io"]["input"].append({"name": "cal", "type": "file"})
    (unit,) = build(table, None, "Geo").units
    assert (unit.name, unit.unit, dict(unit.parameters)) == ("Geo", "Geo", {})
    assert {product.origin for product in unit.inputs} == {"pipeline_input"}
    assert {product.origin for product in unit.outputs} == {"pipeline_output"}


def test_what_the_unit_says_of_a_product_goes_before_io():
    table = task_table()
    table["units"][2]["output_products"][0]["final_product"] = False
    table["io"]["output"][2]["writer_params"]["final_product"] = True
    geo = build(table).units[2].outputs[0]
    assert geo.fields == {
        "type": "folder",
        "engine": "cpm_zarr",
        "writer_params": {"mode": "w", "final_product": True},
        "regex": "^final_.*",
        "final_product": False,
    }


def test_what_the_unit_and_io_say_differently_is_as_the_unit_says():
    table = first_task_table()
    table["units"][0]["output_products"][0]["regex"] = "^unit$"
    table["io"][4]["regex"] = "^io$"
    assert build(table).units[0].outputs[0].fields["regex"] == "^unit$"


def test_external_variables_are_filled_in_anywhere_in_a_text_and_in_parameters():
    table = task_table()
    table["io"]["adfs"][0]["alternatives"][0]["query"]["parameters"]["product_type"] = (
        "{external_variable.satellite}_{external_variable.satellite}_X"
    )
    units = build(table, variables=VARIABLES | {"satellite": "s1c"}).units
    assert units[0].adfs[0].fields["alternatives"][0]["query"]["parameters"]["product_type"] == "s1c_s1c_X"
    assert units[0].parameters == {"day": "2026-05-01T04:10:00.000Z", "looks": 3}


def test_an_external_variable_without_a_value_is_asked_for():
    with pytest.raises(MissingVariable, match=r"'ORB' needs the external variable end_datetime, .* given are: start_datetime") as refused:
        build(task_table(), variables={"start_datetime": "2026-05-01T04:10:00.000Z"})
    assert refused.value.remedy == "Give `end_datetime` in the request."


def test_an_external_variable_that_there_is_not_is_refused():
    table = task_table()
    table["pipelines"][0]["steps"][0]["parameters"]["day"] = "{external_variable.weather}"
    with pytest.raises(UnknownVariable, match="uses the external variable 'weather'; external variables: end_datetime, instrument_mode"):
        build(table)


@pytest.mark.parametrize("reference", ["Terrain.2.DEM", "Terrain_2.DEM", "Terrain.DEM"])
def test_a_reference_is_resolved_by_what_its_source_makes_however_it_is_written(reference):
    steps = full_steps()
    steps[2]["input_products"]["dem"] = reference
    assert build(task_table(steps)).units[2].inputs[1].origin == "Terrain.2.DEM"


def test_a_step_that_is_listed_too_early_is_run_after_what_it_reads_from():
    first, second, third = full_steps()
    units = build(task_table([third, first, second]))
    assert [unit.name for unit in units.units] == ["Calib.1", "Terrain.2", "Geo.3"]
    assert units.notes == (
        "wave.json: pipeline 'full': step Geo.3 is listed before Calib.1, which it reads from; it is run after it",
        "wave.json: pipeline 'full': step Geo.3 is listed before Terrain.2, which it reads from; it is run after it",
    )


def test_steps_that_do_not_depend_on_each_other_stay_in_the_order_of_the_table():
    assert [unit.name for unit in chain(turn(3), turn(1), turn(2)).units] == ["Turn.3", "Turn.1", "Turn.2"]


def test_a_unit_that_is_used_twice_keeps_the_origins_of_each_step():
    twice = chain(turn(1), turn(2, "Turn.1.y", "pipeline_output"))
    assert twice.notes == ("wave.json: pipeline 'full': Turn.1 and Turn.2 make y, which is one product in one place",)
    units = twice.units
    assert [(unit.inputs[0].origin, unit.outputs[0].origin) for unit in units] == [
        ("pipeline_input", "pipeline_internal"),
        ("Turn.1.y", "pipeline_output"),
    ]


def test_a_reference_that_may_be_either_of_two_steps_is_refused():
    with pytest.raises(AmbiguousReference, match=r"it may be: Turn\.1\.y, Turn\.2\.y, Turn\.3\.y"):
        chain(turn(1), turn(2), turn(3, "Turn.y"))


def test_steps_in_a_circle_are_refused_with_the_circle():
    with pytest.raises(StepCycle, match=r": Turn\.2 -> Turn\.3 -> Turn\.4 -> Turn\.2$"):
        chain(turn(1), turn(2, "Turn.4.y"), turn(3, "Turn.2.y"), turn(4, "Turn.3.y"))
    with pytest.raises(StepCycle, match=r"Turn\.1 -> Turn\.1$"):
        chain(turn(1, "Turn.1.y"))


def test_a_step_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(UnknownStep, match=r"step Turn\.2: 'x' comes from 'Turn9\.7\.y', which is no step of it; steps: Turn\.1, Turn\.2"):
        chain(turn(1), turn(2, "Turn9.7.y"))


def test_a_product_that_the_source_does_not_make_is_refused_with_those_it_does():
    with pytest.raises(UnknownOutput, match=r"'x' comes from 'Turn\.1\.z', .* it makes: Turn\.1\.y, Turn\.2\.y"):
        chain(turn(1), turn(2, "Turn.1.z"))


def test_a_product_that_the_mode_leaves_out_cannot_be_read():
    table = task_table()
    table["units"][1]["output_products"][0]["mode"] = "nrt"
    with pytest.raises(
        UnknownOutput, match=r"'dem' comes from 'Terrain\.2\.DEM', which that step does not make in this mode; it makes: none"
    ):
        build(table)


def test_a_step_must_say_where_each_product_comes_from_and_goes_to():
    steps = full_steps()
    del steps[2]["input_products"]["dem"]
    with pytest.raises(MissingOrigin, match=r"step Geo\.3: input_products does not tell of 'dem', which the unit has; it tells of: cal"):
        build(task_table(steps))
    steps = full_steps()
    del steps[0]["output_products"]
    with pytest.raises(MissingOrigin, match=r"step Calib\.1: output_products does not tell of 'cal'"):
        build(task_table(steps))


def test_a_step_may_tell_of_products_that_take_no_part():
    assert [output.name for output in build(task_table()).units[2].outputs] == ["geo"]
    assert [output.name for output in build(task_table(), modes=["nrt"]).units[2].outputs] == ["geo", "log"]


def test_two_steps_of_one_name_are_refused():
    with pytest.raises(TaskTableError, match=r"two steps Turn\.1") as refused:
        chain(turn(1), turn(1))
    assert refused.value.code == "duplicate_step"


def test_steps_of_the_first_drafts_have_the_number_of_their_place():
    table = first_task_table()
    table["pipelines"][0]["steps"][0] |= {"order": 7}
    del table["pipelines"][0]["steps"][0]["step_id"]
    assert [unit.name for unit in build(table).units] == ["Calib.1"]


def test_building_does_not_change_the_table():
    document = task_table()
    table = read_task_table(as_json(document), "wave.json")
    first = build_units(table, pipeline="full", unit=None, variables=VARIABLES)
    assert build_units(table, pipeline="full", unit=None, variables=VARIABLES) == first
