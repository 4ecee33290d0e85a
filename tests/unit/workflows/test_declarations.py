"""What Dagster is told of workflows: names, lineage, and the form that a run is launched with."""

from dataclasses import replace

import dagster as dg
import pytest
from dagster import validate_run_config

from platform_assets.workflows.errors import InvalidRun
from platform_assets.workflows.jobs import declare
from platform_assets.workflows.manifest import content_hash
from platform_assets.workflows.model import WorkflowSpec
from platform_assets.workflows.partitions import recipe_run_of
from platform_assets.workflows.shelf import Shelf
from resources.dask_cluster import DaskCluster
from resources.workflow_shop import WorkflowShop, trace_of
from tests.builders.workflow_specs import task, workflow


def definitions(*workflows: WorkflowSpec) -> dg.Definitions:
    declared = declare(Shelf(workflows))
    assert not declared.problems
    resources = {"dask": DaskCluster(), "workflow_shop": WorkflowShop(folder="/nowhere")}
    found = dg.Definitions(assets=declared.assets, jobs=declared.jobs, resources=resources, executor=dg.in_process_executor)
    dg.Definitions.validate_loadable(found)
    return found


def spec(version: str, name: str) -> dg.AssetSpec:
    graph = definitions(workflow(version)).resolve_asset_graph()
    node = graph.get(dg.AssetKey(["raw_to_l1_camera", version, name]))
    return next(one for one in node.assets_def.specs if one.key == node.key)


@pytest.mark.parametrize("versions", [("1.0.0", "2.0.0"), ("1.0.0", "1_0_0", "1-0-0")])
def test_versions_stand_side_by_side(versions):
    graph = definitions(*map(workflow, versions)).resolve_asset_graph()
    assert {key.path[1] for key in graph.get_all_asset_keys()} == set(versions)
    assert len({graph.get(key).group_name for key in graph.get_all_asset_keys()}) == len(versions)


def test_the_lineage_is_that_of_the_graph_and_stays_in_one_version():
    graph = definitions(workflow("1.0"), workflow("2.0")).resolve_asset_graph()
    parents = {key.path[-1]: sorted(parent.path[-1] for parent in graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}
    assert parents == {"Parse": [], "Flat": ["Parse"], "Dark": ["Parse"], "Combine": ["Dark", "Flat"]}
    assert all(parent.path[1] == key.path[1] for key in graph.get_all_asset_keys() for parent in graph.get(key).parent_keys)


def test_an_asset_says_what_its_task_is():
    found = spec("1.0", "Dark")
    assert found.code_version == content_hash(workflow("1.0"))[:16]
    assert (found.owners, found.group_name, found.description) == (["team:camera"], "raw_to_l1_camera/1__0", "Do Dark.")
    assert found.tags["groundtrack/queue"] == "gpu"
    assert "camera" in found.tags
    assert "with space" not in found.tags
    assert found.kinds == {"python", "gpu"}
    assert found.metadata["requirement"] == "camera[frozen]==1.0"


def test_a_task_has_its_queue_as_pool_and_its_retries_as_policy():
    nodes = {asset.op.name: asset.op for asset in declare(Shelf([workflow("1.0")])).assets}
    flat = nodes["raw_to_l1_camera_1__0___Flat"]
    assert flat.pool == "high_memory"
    assert flat.retry_policy == dg.RetryPolicy(max_retries=2, delay=60.0)
    assert nodes["raw_to_l1_camera_1__0___Parse"].retry_policy is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"how": "fast"}, None),
        ({"how": "well", "gain": 2, "rounds": 5, "dry": True, "note": "x", "bands": ["a", "b"], "level": 2, "is_task_manual": True}, None),
        ({"how": "well", "note": None}, None),
        ({}, "how"),
        ({"how": "badly"}, "badly"),
        ({"how": "fast", "gain": "much"}, "gain"),
        ({"how": "fast", "rounds": 1.5}, "rounds"),
        ({"how": "fast", "bands": "red"}, "bands"),
        ({"how": "fast", "colour": "red"}, "colour"),
    ],
)
def test_what_does_not_fit_the_form_is_refused_before_anything_is_started(given, complaint):
    job = definitions(workflow("1.0")).resolve_job_def("raw_to_l1_camera_1__0")
    config = {"ops": {"raw_to_l1_camera_1__0___Combine": {"config": given}}}
    if complaint is None:
        assert validate_run_config(job, config)
        return
    with pytest.raises(dg.DagsterInvalidConfigError, match=complaint):
        validate_run_config(job, config)


def test_a_run_of_a_recipe_run_carries_what_lets_a_second_one_wait():
    job = definitions(workflow("1.0")).resolve_job_def("raw_to_l1_camera_1__0")
    assert job.get_tags_for_partition_key("7", None)["groundtrack/batch"] == "raw_to_l1_camera_1.0/7"


def test_a_workflow_that_dagster_does_not_take_does_not_hinder_the_others():
    odd = replace(workflow("2.0"), tasks=(task("Odd", parameters={"properties": {"x": {"type": "blob"}}, "required": ["x"]}),))
    declared = declare(Shelf([odd, workflow("1.0")]))
    assert {next(iter(asset.keys)).path[1] for asset in declared.assets} == {"1.0"}
    assert [problem.place for problem in declared.problems] == ["raw_to_l1_camera_2.0"]


@pytest.mark.parametrize("partition", ["$(touch pwned)", "3.9", "07", "", "x"])
def test_n13_a_partition_that_is_no_recipe_run_id_is_refused(partition):
    with pytest.raises(InvalidRun):
        recipe_run_of(partition)


def test_a_partition_is_the_number_of_a_recipe_run():
    assert recipe_run_of("7") == 7


def test_the_trace_of_a_run_is_one_of_w3c():
    trace = trace_of("0483f6c8-e9d1-49ef-882f-1f468870c660")
    assert trace.startswith("00-0483f6c8e9d149ef882f1f468870c660-")
    assert [len(part) for part in trace.split("-")] == [2, 32, 16, 2]
