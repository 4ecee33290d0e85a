"""The manual forms of a workflow: a notebook to run it cell by cell, and an image in which that can be done."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platform_assets.common.errors import Conflict
from platform_assets.workflows.errors import InvalidWorkflow
from platform_assets.workflows.model import TaskSpec, WorkflowSpec
from platform_assets.workflows.packages import Package
from platform_assets.workflows.sdk_files import DISTRIBUTION, write_sdk_wheel


def notebook_text(workflow: WorkflowSpec) -> str:
    """Return a Jupyter notebook of a workflow: first the recipe run id, to be filled in, then a cell a task."""
    title = f"# {workflow.name} {workflow.version}\n\nFill in the recipe run id, then run the cells in their order."
    cells = [_cell("markdown", title), _cell("code", "recipe_run_id: int =")]
    cells += [_cell("code", _task_code(workflow, task)) for task in workflow.tasks]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def write_notebook(workflow: WorkflowSpec, folder: Path) -> Path:
    """Write a workflow's notebook into a folder, which is made, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{workflow.dag_name}.ipynb"
    path.write_text(notebook_text(workflow))
    return path


def write_dockerfile(workflows: Sequence[WorkflowSpec], package: Package, python: str, folder: Path) -> Path:
    """Write a Dockerfile and all it copies into a folder, which is made, and return the file.

    Args:
        workflows: All of one category.
        package: The package that has them; its wheel is copied where there is one.
        python: Version of Python, such as `3.11`.
        folder: The context of `docker build`.

    Raises:
        InvalidWorkflow: The workflows have several categories.
        Conflict: The folder has a Dockerfile.
    """
    categories = sorted({workflow.category for workflow in workflows})
    if len(categories) != 1:
        raise InvalidWorkflow(
            f"the workflows have the categories {', '.join(categories)}; an image is of one", remedy="Give each category a package."
        )
    path = folder / "Dockerfile"
    if path.exists():
        raise Conflict(f"{path} exists", remedy="Remove it, or give another folder: --to.")
    wheels = [write_sdk_wheel(folder / "wheels")]
    if package.wheel:
        (folder / "wheels" / package.wheel.name).write_bytes(package.wheel.read_bytes())
    for workflow in workflows:
        write_notebook(workflow, folder / "notebooks")
    extras = list(dict.fromkeys(extra for workflow in workflows for task in workflow.tasks for extra in task.extras))
    path.write_text(_dockerfile(package.requirement(extras), wheels[0].name, python, categories[0]))
    return path


def _dockerfile(requirement: str, sdk_wheel: str, python: str, category: str) -> str:
    options = ("--ip=0.0.0.0", "--no-browser", f"--ServerApp.base_url=/mpw-{category}/", "--MappingKernelManager.cull_idle_timeout=300")
    return f"""FROM python:{python}-slim
# {DISTRIBUTION} is not on an index: it comes with this file.
COPY wheels/ /wheels/
RUN pip install --no-cache-dir --find-links /wheels /wheels/{sdk_wheel} {json.dumps(requirement)} jupyterlab
RUN useradd --create-home manual
USER manual
WORKDIR /home/manual
COPY --chown=manual notebooks/ notebooks/
ENV IS_NOTEBOOK_EXECUTION_ENVIRONMENT=true
EXPOSE 8888
CMD {json.dumps(["jupyter", "lab", *options])}
"""


def _task_code(workflow: WorkflowSpec, task: TaskSpec) -> str:
    arguments = f"recipe_run_id=recipe_run_id, workflow_name={workflow.name!r}, workflow_version={workflow.version!r}"
    return (
        f"from {task.module} import {task.name}\n\n"
        f"with {task.name}({arguments}) as task:\n"
        "    # task.is_task_manual = True\n"
        "    task()\n"
        "    # task.rollback()"
    )


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
