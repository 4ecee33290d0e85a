import json
import threading
import time

import pytest

from platform_assets.workflows.sdk import TaskBase, context
from platform_assets.workflows.sdk.notebook import export_notebook_by_path, wait_for_notebook_save
from platform_assets.workflows.sdk.provenance import record
from platform_assets.workflows.sdk.teardown import Teardown, TrialTeardown

RUN = {"recipe_run_id": 7, "workflow_name": "l0_to_l1_visp", "workflow_version": "1.0.0"}


class Calibrate(TaskBase):
    record_provenance = True

    def run(self) -> None:
        self.scratch.write("a", "deep/a.txt", tags=["A"])
        self.scratch.constants["gain"] = 2
        (self.scratch.folder / "link").symlink_to(self.scratch.folder / "deep")


@pytest.fixture
def told(tmp_path):
    """What tasks tell of a recipe run that one of them has worked on."""
    told: list[dict] = []
    context.enter(context.Context(scratch=tmp_path / "data", tell=told.append))
    with Calibrate(**RUN) as task:
        task()
    yield told
    context.enter(context.Context())


def tear_down(kind: type[Teardown], tmp_path, **parameters: bool) -> list[str]:
    context.enter(context.current()._replace(parameters=parameters))
    with kind(**RUN) as task:
        task()
    return sorted(path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*") if path.is_file())


@pytest.mark.parametrize("parameters", [{}, {"teardown_enabled": True}])
def test_m5_a_teardown_removes_the_data_and_leaves_the_provenance(parameters, told, tmp_path):
    assert tear_down(Teardown, tmp_path, **parameters) == [".groundtrack/provenance-Calibrate.json"]
    assert not (tmp_path / "data/link").is_symlink()
    assert told == [{"kind": "metadata", "values": {"recipe_run_status": "COMPLETEDSUCCESSFULLY"}}]
    task = Calibrate(**RUN)
    assert task.scratch.find(["A"]) == []
    assert dict(task.scratch.constants) == {}


def test_m5_a_teardown_that_is_off_records_the_status_and_removes_nothing(told, tmp_path):
    assert "deep/a.txt" in tear_down(Teardown, tmp_path, teardown_enabled=False)
    assert told[0]["values"] == {"recipe_run_status": "COMPLETEDSUCCESSFULLY"}


def test_m5_the_end_of_a_trial_is_another(told, tmp_path):
    tear_down(TrialTeardown, tmp_path)
    assert told[0]["values"] == {"recipe_run_status": "TRIALSUCCESS"}


def test_m5_a_teardown_cannot_be_undone_and_says_so_by_doing_nothing(told, tmp_path):
    tear_down(Teardown, tmp_path)
    Teardown(**RUN).rollback()
    assert (tmp_path / "data/.groundtrack/provenance-Calibrate.json").exists()


def test_m4_a_task_that_a_person_drives_writes_its_record_to_disk(tmp_path):
    context.enter(context.Context(scratch=tmp_path))
    task = type("ByHand", (Calibrate,), {"is_task_manual": True, "record_provenance": False})(**RUN)
    task()
    context.enter(context.Context())
    [path] = tmp_path.rglob("provenance-*.json")
    document = json.loads(path.read_text())
    assert (document["taskName"], document["recipeRunId"], document["isTaskManual"]) == ("ByHand", 7, True)
    assert document["libraryVersions"]["pytest"] == pytest.__version__
    assert record(task) == path


def test_m6_waiting_ends_when_the_notebook_is_saved_with_its_output(tmp_path, capsys):
    path = tmp_path / "calibrate.ipynb"

    def save() -> None:
        while not (word := capsys.readouterr().out.strip()):
            time.sleep(0.01)
        path.write_text(json.dumps({"cells": [{"outputs": [{"text": [f"{word}\n"]}]}]}))

    saver = threading.Thread(target=save)
    saver.start()
    wait_for_notebook_save(path, attempts=500, delay_s=0.01)
    saver.join()


def test_m6_waiting_for_a_notebook_that_nobody_saves_ends(tmp_path, capsys):
    path = tmp_path / "calibrate.ipynb"
    path.write_text("saved before")
    with pytest.raises(TimeoutError, match=r"calibrate\.ipynb was not saved"):
        wait_for_notebook_save(path, "a word", attempts=3, delay_s=0.01)
    assert capsys.readouterr().out == "a word\n"


def test_m6_the_markdown_of_a_notebook_has_its_title_its_code_and_its_output(tmp_path):
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["first\n", "second\n"]},
        {"output_type": "execute_result", "data": {"text/plain": "42", "text/html": "<b>42</b>"}},
        {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}},
        {"output_type": "display_data", "data": {"text/markdown": "*shown*"}},
        {"output_type": "error", "traceback": ["\x1b[31mValueError\x1b[0m", "```"]},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["## Flat\n", "fields"]},
        {"cell_type": "code", "source": "task()", "outputs": outputs},
    ]
    path = tmp_path / "calibrate.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert export_notebook_by_path(path).decode() == (
        "# calibrate\n\n## Flat\nfields\n\n```python\ntask()\n```\n\n```text\nfirst\nsecond\n```\n\n```text\n42\n```\n\n"
        "*shown*\n\n````text\nValueError\n```\n````\n"
    )


def test_m6_what_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "a.ipynb").write_text("[]")
    with pytest.raises(ValueError, match=r"a\.ipynb is no notebook"):
        export_notebook_by_path(tmp_path / "a.ipynb")
