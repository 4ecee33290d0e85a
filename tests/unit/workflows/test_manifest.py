"""Manifests: canonical, complete, and told apart when they were changed."""

import json
from dataclasses import replace

import pytest

from platform_assets import __version__
from platform_assets.common.errors import Conflict, MissingInput
from platform_assets.workflows.errors import InvalidManifest, InvalidRun, InvalidWorkflow
from platform_assets.workflows.local import check_parameters
from platform_assets.workflows.manifest import content_hash, find_manifest, manifest_text, read_manifest, write_manifest
from platform_assets.workflows.model import TaskSpec, WorkflowSpec, workflow_from
from platform_assets.workflows.notebooks import notebook_text, write_dockerfile
from platform_assets.workflows.packages import Package

SCHEMA = {"type": "object", "properties": {"gain": {"type": "number"}}, "required": ["gain"]}


def task(name: str, *upstreams: str, parameters: dict | None = None) -> TaskSpec:
    return TaskSpec(name, "camera.tasks", "", upstreams, ("frozen",), "default", 0, 60.0, None, None, parameters)


def workflow(version: str = "1.0", *tasks: TaskSpec) -> WorkflowSpec:
    given = tasks or (task("A"), task("B", "A", parameters=SCHEMA))
    return WorkflowSpec("raw_to_l1_camera", version, "raw", "l1", "camera", "", ("camera",), "camera", given)


def test_b6_a_manifest_says_all_that_the_workflow_is(tmp_path):
    assert read_manifest(write_manifest(workflow(), tmp_path)) == workflow()


def test_b9_a_nested_folder_is_made(tmp_path):
    path = write_manifest(workflow(), tmp_path / "deep" / "deeper")
    assert path.name == "raw_to_l1_camera_1.0.json"
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_keys_are_sorted_and_the_hash_is_of_the_content(tmp_path):
    document = json.loads(manifest_text(workflow()))
    assert manifest_text(workflow()) == json.dumps(document, sort_keys=True, indent=2) + "\n"
    assert document["content_hash"] == content_hash(workflow())
    assert content_hash(workflow()) != content_hash(workflow("1.1"))


def test_b10_another_workflow_of_a_version_does_not_take_its_place(tmp_path):
    write_manifest(workflow(), tmp_path)
    write_manifest(workflow(), tmp_path)
    with pytest.raises(Conflict):
        write_manifest(workflow("1.0", task("A")), tmp_path)
    assert read_manifest(tmp_path / "raw_to_l1_camera_1.0.json") == workflow()
    write_manifest(workflow("1.0", task("A")), tmp_path, replace=True)
    assert len(read_manifest(tmp_path / "raw_to_l1_camera_1.0.json").tasks) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace("camera.tasks", "camera.tusks"),
        lambda text: text.replace("groundtrack/workflow/1", "groundtrack/workflow/9"),
        lambda text: text.replace('"retries"', '"tries"'),
        lambda text: "[]",
        lambda text: "{}",
    ],
)
def test_a_manifest_that_was_changed_is_refused(damage, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(damage(manifest_text(workflow())))
    with pytest.raises(InvalidManifest, match=r"x\.json"):
        read_manifest(path)


@pytest.mark.parametrize("tasks", [(task("B", "A"), task("A")), (task("A"), task("A")), (task("A", "A"),)])
def test_a_graph_that_cannot_be_run_is_refused(tasks):
    with pytest.raises(ValueError, match=r"before|two tasks"):
        workflow_from(json.loads(json.dumps(workflow("1.0", *tasks).document())))


@pytest.mark.parametrize("changed", [{"name": None}, {"version": 1.0}, {"name": "../../elsewhere"}, {"category": ["camera"]}])
def test_names_that_are_none_are_refused(changed):
    with pytest.raises((TypeError, ValueError), match=r"no texts|only letters"):
        workflow_from({**workflow().document(), **changed})


def test_versions_stand_side_by_side_and_one_must_be_chosen(tmp_path):
    for version in ("1.0", "2.0"):
        write_manifest(workflow(version), tmp_path)
    assert find_manifest(tmp_path, "raw_to_l1_camera", "2.0").version == "2.0"
    with pytest.raises(Conflict, match=r"1\.0, 2\.0"):
        find_manifest(tmp_path, "raw_to_l1_camera", None)
    with pytest.raises(MissingInput, match=r"it has 1\.0, 2\.0"):
        find_manifest(tmp_path, "raw_to_l1_camera", "3.0")
    with pytest.raises(MissingInput):
        find_manifest(tmp_path / "nowhere", "raw_to_l1_camera", None)


def test_a_broken_manifest_hinders_only_who_may_mean_it(tmp_path):
    write_manifest(workflow(), tmp_path)
    (tmp_path / "broken.json").write_text("{}")
    assert find_manifest(tmp_path, "raw_to_l1_camera", None) == workflow()
    with pytest.raises(InvalidManifest, match="broken"):
        find_manifest(tmp_path, "raw_to_l1_other", None)


def test_n12_without_frozen_the_requirement_has_no_extra():
    assert workflow().requirement(task("A")) == "camera[frozen]==1.0"
    unfrozen = workflow().unfrozen()
    assert unfrozen.requirement(unfrozen.task("A")) == "camera==1.0"


def test_parameters_of_no_task_and_lacking_ones_are_refused():
    check_parameters(workflow(), {"gain": 1})
    with pytest.raises(InvalidRun, match="has no parameter offset; there are gain"):
        check_parameters(workflow(), {"gain": 1, "offset": 2})
    with pytest.raises(InvalidRun, match="B needs the parameter gain"):
        check_parameters(workflow(), {})


def test_b4_n7_the_notebook_asks_for_the_id_and_then_has_a_cell_a_task():
    cells = ["".join(cell["source"]) for cell in json.loads(notebook_text(workflow()))["cells"]]
    assert cells[1] == "recipe_run_id: int ="
    with pytest.raises(SyntaxError):
        compile(cells[1], "cell", "exec")
    for cell, name in zip(cells[2:], ("A", "B"), strict=True):
        compile(cell, "cell", "exec")
        assert f"from camera.tasks import {name}\n" in cell


def test_b5_an_image_is_of_one_category_and_overwrites_nothing(tmp_path):
    package = Package("camera", "camera", "1.0")
    with pytest.raises(InvalidWorkflow, match="camera, radar"):
        write_dockerfile([workflow(), replace(workflow(), category="radar")], package, "3.11", tmp_path)
    path = write_dockerfile([workflow()], package, "3.11", tmp_path)
    assert '"camera[frozen]==1.0"' in path.read_text()
    assert [wheel.name for wheel in (tmp_path / "wheels").iterdir()] == [f"groundtrack_sdk-{__version__}-py3-none-any.whl"]
    with pytest.raises(Conflict):
        write_dockerfile([workflow()], package, "3.11", tmp_path)
