"""Workflows and nodes: the conformance cases W and N of the reference, and its build utilities B."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_assets.workflows.sdk import DuplicateTask, Node, ResourceQueue, TaskBase, UnknownTask, Workflow, dag_name
from platform_assets.workflows.sdk.build import describe, find_workflows, validate_workflows

ROOT = Path(__file__).parents[3]
PARTS = {"input_data": "raw", "output_data": "l1", "category": "camera", "workflow_package": "my_instrument.workflows"}


class A(TaskBase):
    """The first."""

    def run(self) -> None: ...


class B(A):
    retries = 2
    retry_delay_seconds = 5
    time_limit_seconds = 60.0
    memory_limit_mb = 500


class C(A): ...


class D(A): ...


@pytest.fixture
def diamond() -> Workflow:
    workflow = Workflow(**PARTS, workflow_version="1.0.0", tags=["z", "a"])
    workflow.add_node(task=A)
    workflow.add_node(task=B, upstreams=A, resource_queue=ResourceQueue.HIGH_MEMORY, pip_extras=["fast"])
    workflow.add_node(task=C, upstreams=[A])
    workflow.add_node(task=D, upstreams=[B, C])
    return workflow


def test_w1_the_name_is_composed_of_its_parts():
    assert Workflow(**PARTS).workflow_name == "raw_to_l1_camera"
    assert Workflow(**PARTS, detail="full").workflow_name == "raw_to_l1_camera_full"
    workflow = Workflow(**PARTS, workflow_version="1.2", detail="full")
    assert (workflow.input_data, workflow.output_data, workflow.category, workflow.detail) == ("raw", "l1", "camera", "full")
    assert workflow.dag_name == "raw_to_l1_camera_full_1.2"


def test_w2_a_name_of_101_characters_is_refused_at_once():
    fits = {**PARTS, "detail": "x" * (100 - len("raw_to_l1_camera_"))}
    assert len(Workflow(**fits).workflow_name) == 100
    with pytest.raises(ValueError, match="101 of at most 100"):
        Workflow(**{**fits, "detail": fits["detail"] + "x"})


@pytest.mark.parametrize("version", ["1.0+local", "1 0", "1*", "é", "1.0\n", "$(x)"])
def test_w3_a_name_with_other_characters_is_refused(version):
    assert dag_name("This_dag_name_is", "valid-1.0") == "This_dag_name_is_valid-1.0"
    with pytest.raises(ValueError, match="may have only"):
        Workflow(**PARTS, workflow_version=version)


def test_w4_a_diamond_has_its_upstreams_and_order(diamond):
    assert {node.name: {task.__name__ for task in node.upstreams} for node in diamond.nodes} == {
        "A": set(),
        "B": {"A"},
        "C": {"A"},
        "D": {"B", "C"},
    }
    assert [node.name for node in diamond.topological_sort()] == ["A", "B", "C", "D"]


@pytest.mark.parametrize("queue", [*ResourceQueue, None])
def test_w5_every_resource_queue_is_accepted(queue):
    workflow = Workflow(**PARTS)
    workflow.add_node(task=A, resource_queue=queue)
    assert workflow.nodes[0].resource_queue is (queue or ResourceQueue.DEFAULT)


def test_w5_a_resource_queue_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="huge"):
        Workflow(**PARTS).add_node(task=A, resource_queue="huge")


@pytest.mark.parametrize("bad", [int, "A", None, TaskBase])
def test_w6_n6_what_is_no_task_is_refused(bad):
    with pytest.raises(TypeError):
        Workflow(**PARTS).add_node(task=bad)


@pytest.mark.parametrize("bad", [int, "A", 3, [A, int], [A, "B"], TaskBase])
def test_w6_n6_an_upstream_that_is_no_task_is_refused(bad):
    with pytest.raises(TypeError):
        Node("w", "1", "p", B, bad)


def test_w7_the_version_falls_back_to_build_version_then_dev(monkeypatch):
    monkeypatch.setenv("BUILD_VERSION", "3.1")
    assert Workflow(**PARTS).workflow_version == "3.1"
    assert Workflow(**PARTS, workflow_version="").workflow_version == "3.1"
    monkeypatch.delenv("BUILD_VERSION")
    assert Workflow(**PARTS).workflow_version == "dev"


def test_w8_tags_are_sorted_and_have_no_duplicates():
    assert Workflow(**PARTS, workflow_version="1", tags=("z", "raw")).tags == ["1", "camera", "l1", "raw", "z"]
    assert Workflow(**PARTS, workflow_version="1", tags="one").tags == ["1", "camera", "l1", "one", "raw"]


def test_w9_a_second_task_of_a_name_is_refused(diamond):
    with pytest.raises(DuplicateTask):
        diamond.add_node(task=A)
    with pytest.raises(DuplicateTask):
        diamond.add_node(task=type("A", (TaskBase,), {"run": lambda self: None, "__module__": "elsewhere"}))


def test_w10_an_unknown_upstream_is_named():
    with pytest.raises(UnknownTask, match="its upstream B is not in raw_to_l1_camera"):
        Workflow(**PARTS).add_node(task=A, upstreams=B)


def test_w11_a_repeated_upstream_is_one_edge(diamond):
    workflow = Workflow(**PARTS)
    workflow.add_node(task=A)
    workflow.add_node(task=B, upstreams=[A, A])
    assert workflow.nodes[1].upstreams == [A]


def test_w12_a_task_cannot_be_its_own_upstream():
    with pytest.raises(ValueError, match="its own upstream"):
        Workflow(**PARTS).add_node(task=A, upstreams=A)


@pytest.mark.parametrize("wrong", [{"task": A}, {"task": B, "upstreams": C}, {"task": B, "upstreams": B}, {"task": int}])
def test_w13_a_refused_node_leaves_the_workflow_unchanged(wrong):
    workflow = Workflow(**PARTS)
    workflow.add_node(task=A)
    with pytest.raises((ValueError, TypeError)):
        workflow.add_node(**wrong)
    assert [node.name for node in workflow.nodes] == ["A"]


@pytest.mark.parametrize("upstreams", [(A, B), {A, B}, [A, B], iter([A, B])])
def test_w14_upstreams_may_be_any_collection(upstreams):
    workflow = Workflow(**PARTS)
    workflow.add_node(task=A)
    workflow.add_node(task=B)
    workflow.add_node(task=C, upstreams=upstreams)
    assert {task.__name__ for task in workflow.nodes[2].upstreams} == {"A", "B"}


@pytest.mark.parametrize("part", ["input_data", "output_data", "category", "workflow_package"])
def test_w15_an_empty_part_of_the_name_is_refused(part):
    with pytest.raises(ValueError, match=f"{part} is empty"):
        Workflow(**{**PARTS, part: ""})


def test_n1_upstreams_are_a_list():
    assert [Node("w", "1", "p", C, given).upstreams for given in (None, A, [A, B])] == [[], [A], [A, B]]


def test_n2_n3_the_requirement_is_exact_and_frozen_comes_first():
    node = Node("w", "1.2.3", "my_instrument.workflows", A, pip_extras=["x", "y"])
    assert node.extras == ["frozen", "x", "y"]
    assert node.requirement == "my-instrument[frozen,x,y]==1.2.3"
    assert Node("w", "1", "p", A).requirement == "p[frozen]==1"
    with pytest.raises(TypeError, match="pip_extras"):
        Node("w", "1", "p", A, pip_extras="x")


def test_a_workflow_is_described_in_json_types(diamond):
    document = describe(diamond)
    assert document["distribution"] == "my-instrument"
    assert [task["name"] for task in document["tasks"]] == ["A", "B", "C", "D"]
    assert document["tasks"][1] == {
        "name": "B",
        "module": __name__,
        "description": "",
        "upstreams": ["A"],
        "extras": ["frozen", "fast"],
        "resource_queue": "high_memory",
        "retries": 2,
        "retry_delay_seconds": 5.0,
        "time_limit_seconds": 60.0,
        "memory_limit_mb": 500,
        "parameters": None,
    }


def test_a_task_that_no_other_process_can_import_is_refused():
    workflow = Workflow(**PARTS)
    workflow.add_node(task=type("Local", (A,), {}))
    with pytest.raises(ValueError, match="is not importable by its name"):
        describe(workflow)


class Numbered(A):
    """Has numbers that a test changes."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retries", 2.7),
        ("retries", -1),
        ("retry_delay_seconds", float("inf")),
        ("retry_delay_seconds", None),
        ("time_limit_seconds", "10"),
        ("time_limit_seconds", -1),
        ("time_limit_seconds", 0),
        ("memory_limit_mb", 1.5),
    ],
)
def test_numbers_of_a_task_that_make_no_sense_are_refused(name, value, monkeypatch):
    monkeypatch.setattr(Numbered, name, value)
    workflow = Workflow(**PARTS)
    workflow.add_node(task=Numbered)
    with pytest.raises((TypeError, ValueError), match=f"Numbered.{name} is "):
        describe(workflow)


@dataclass
class Driven:
    """Asks for what every task is asked for."""

    is_task_manual: bool = False


def test_a_parameter_does_not_take_the_place_of_who_drives_the_task(monkeypatch):
    monkeypatch.setattr(Numbered, "Parameters", Driven)
    workflow = Workflow(**PARTS)
    workflow.add_node(task=Numbered)
    with pytest.raises(ValueError, match="is_task_manual cannot be chosen"):
        describe(workflow)


# --- build --------------------------------------------------------------------------------------------------------------


def package(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, **modules: str) -> str:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, text in modules.items():
        (folder / name / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return name


TASK = "from platform_assets.workflows.sdk import TaskBase, Workflow\nclass Only(TaskBase):\n    def run(self): pass\n"
WORKFLOW = "{name} = Workflow(input_data='test-data', output_data='valid', category='core', workflow_package=__package__)\n"
NODE = "{name}.add_node(task=Only)\n"


def whole(name: str) -> str:
    return (TASK + WORKFLOW + NODE).format(name=name)


def test_b1_b3_a_valid_package_validates_and_its_name_is_that_of_the_reference(tmp_path, monkeypatch):
    monkeypatch.delenv("BUILD_VERSION", raising=False)
    name = package(tmp_path, "pkg_b1", monkeypatch, flows=whole("w"))
    assert [workflow.dag_name for workflow in validate_workflows(name)] == ["test-data_to_valid_core_dev"]


def test_b2_a_workflow_without_tasks_does_not_validate(tmp_path, monkeypatch):
    name = package(tmp_path, "pkg_b2", monkeypatch, flows=(TASK + WORKFLOW).format(name="w"))
    with pytest.raises(ValueError, match="has no tasks"):
        validate_workflows(name)


def test_b2_a_cycle_cannot_be_written():
    workflow = Workflow(**PARTS)
    with pytest.raises(UnknownTask):
        workflow.add_node(task=A, upstreams=B)
    workflow.add_node(task=B)
    workflow.add_node(task=A, upstreams=B)
    with pytest.raises(DuplicateTask):
        workflow.add_node(task=B, upstreams=A)


def test_b10_two_workflows_of_one_name_and_version_are_an_error(tmp_path, monkeypatch):
    name = package(tmp_path, "pkg_b10", monkeypatch, one=whole("w"), two=whole("v"))
    with pytest.raises(ValueError, match="two workflows test-data_to_valid_core of version"):
        validate_workflows(name)


def test_b11_a_package_without_workflows_is_a_clear_error(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="pkg_b11 has no workflows"):
        find_workflows(package(tmp_path, "pkg_b11", monkeypatch, flows="x = 1\n"))


def test_b12_a_workflow_that_another_module_imports_is_found_once(tmp_path, monkeypatch):
    name = package(tmp_path, "pkg_b12", monkeypatch, one=whole("w"), two="from pkg_b12.one import w as again\n", _private="1 / 0\n")
    assert len(find_workflows(name)) == 1


def test_a_package_whose_own_import_is_broken_says_so(tmp_path, monkeypatch):
    name = package(tmp_path, "pkg_broken", monkeypatch, workflows="import not_there\n")
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        find_workflows(name)


def test_b7_the_manifest_is_the_same_for_every_hash_seed(tmp_path):
    (tmp_path / "flows.py").write_text(whole("w").replace("category='core'", "category='core', tags={'a', 'b', 'c', 'd', 'e'}"))
    code = (
        "import flows\nfrom platform_assets.workflows.manifest import manifest_text\n"
        "from platform_assets.workflows.model import workflow_from\nfrom platform_assets.workflows.sdk.build import describe\n"
        "print(manifest_text(workflow_from(describe(flows.w))), end='')"
    ).replace("__package__", "'p'")
    (tmp_path / "flows.py").write_text((tmp_path / "flows.py").read_text().replace("__package__", "'p'"))
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(texts) == 1
    assert b'"content_hash"' in texts.pop()
