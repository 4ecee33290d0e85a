"""The manifests of a deployment: one that is broken costs only itself, and a change is seen."""

import shutil

import pytest

from platform_assets.workflows.manifest import write_manifest
from platform_assets.workflows.shelf import fingerprint, read_shelf
from tests.builders.workflow_specs import workflow


def test_a_broken_manifest_does_not_hinder_the_others(tmp_path):
    write_manifest(workflow("1.0"), tmp_path)
    changed = write_manifest(workflow("2.0"), tmp_path)
    changed.write_text(changed.read_text().replace("camera.tasks", "camera.tusks"))
    (tmp_path / "notes.json").write_text("{}")
    shelf = read_shelf(tmp_path)
    assert [found.version for found in shelf.workflows] == ["1.0"]
    assert [problem.place.rpartition("/")[2] for problem in shelf.problems] == ["notes.json", changed.name]
    assert "hash" in str(shelf.problems[1])


def test_of_two_manifests_of_one_version_the_first_file_counts(tmp_path):
    path = write_manifest(workflow("1.0"), tmp_path)
    shutil.copy(path, path.with_name("z.json"))
    shelf = read_shelf(tmp_path)
    assert len(shelf.workflows) == 1
    assert [problem.error.code for problem in shelf.problems] == ["conflict"]


def test_a_folder_that_is_not_there_has_no_workflows(tmp_path):
    assert read_shelf(tmp_path / "none").workflows == []


def test_every_change_of_a_folder_is_seen(tmp_path):
    seen = [fingerprint(tmp_path / "none"), fingerprint(tmp_path)]
    assert seen[0] == seen[1]
    path = write_manifest(workflow("1.0"), tmp_path)
    seen.append(fingerprint(tmp_path))
    write_manifest(workflow("1.0", "Parse"), tmp_path, replace=True)
    seen.append(fingerprint(tmp_path))
    path.rename(path.with_name("other.json"))
    seen.append(fingerprint(tmp_path))
    assert len(set(seen)) == 4


@pytest.mark.parametrize("name", [".hidden.json", "readme.txt", "raw.json.part"])
def test_what_is_no_manifest_by_its_name_is_left_alone(name, tmp_path):
    before = fingerprint(tmp_path)
    (tmp_path / name).write_text("{}")
    assert fingerprint(tmp_path) == before
    assert not read_shelf(tmp_path).problems
