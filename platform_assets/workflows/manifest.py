"""The manifest of a workflow version: one canonical JSON file, the artefact of a package's build.

The same workflow gives the same bytes in every process; the content hash in it tells a file that was changed.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from platform_assets.common.errors import Conflict, MissingInput
from platform_assets.common.store import Bucket
from platform_assets.workflows.errors import InvalidManifest
from platform_assets.workflows.model import WorkflowSpec, workflow_from

_SCHEMA = "groundtrack/workflow/1"
_CONTENT_TYPE = "application/json"


def content_hash(workflow: WorkflowSpec) -> str:
    """Return the SHA-256 of a workflow, in hexadecimal."""
    text = json.dumps(workflow.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_text(workflow: WorkflowSpec) -> str:
    """Return the content of a workflow's manifest."""
    document = {"schema": _SCHEMA, "content_hash": content_hash(workflow), "workflow": workflow.document()}
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_manifest(workflow: WorkflowSpec, folder: Path, *, replace: bool = False) -> Path:
    """Write a workflow's manifest into a folder, which is made, and return the file.

    Args:
        workflow: What to write.
        folder: Where.
        replace: Whether a manifest of this version that says something else is overwritten.

    Raises:
        Conflict: There is another manifest of that name and version.
    """
    path, text = folder / f"{workflow.dag_name}.json", manifest_text(workflow)
    if path.exists() and not replace and path.read_text() != text:
        raise _other(str(path))
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
    return path


def put_manifest(workflow: WorkflowSpec, bucket: Bucket, prefix: str, *, replace: bool = False) -> str:
    """Write a workflow's manifest under a prefix of a bucket and return its key; of two at once one is refused.

    Args:
        workflow: What to write.
        bucket: Where.
        prefix: What the key begins with; empty, or with a slash at its end.
        replace: As of `write_manifest`.

    Raises:
        Conflict: As of `write_manifest`.
        StoreUnavailable: The store does not answer.
    """
    key, data = f"{prefix}{workflow.dag_name}.json", manifest_text(workflow).encode()
    if replace:
        bucket.write(key, data, content_type=_CONTENT_TYPE)
    elif not bucket.create(key, data, content_type=_CONTENT_TYPE):
        raise _other(f"s3://{bucket.name}/{key}")
    return key


def read_manifest(path: Path) -> WorkflowSpec:
    """Return the workflow that a manifest describes.

    Raises:
        InvalidManifest: It is no manifest, or was changed after it was written.
    """
    try:
        document: Any = json.loads(path.read_text())
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            raise ValueError(f"its schema is not {_SCHEMA}")
        workflow = workflow_from(document["workflow"])
        if document["content_hash"] != content_hash(workflow):
            raise ValueError("its content does not have the hash that it states")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidManifest(f"{path} is no workflow manifest: {error}") from error
    return workflow


def _other(place: str) -> Conflict:
    return Conflict(
        f"{place} is another manifest of this workflow and version",
        remedy="Give the package a new version; to overwrite the manifest all the same, add --replace.",
    )


def find_manifest(folder: Path, name: str, version: str | None) -> WorkflowSpec:
    """Return a workflow by name and version; the version may be left out where there is one.

    Raises:
        MissingInput: There is no such manifest in the folder.
        Conflict: There are several versions, and none is asked for.
        InvalidManifest: There is no such manifest, but one that cannot be read.
    """
    found, broken = [], None
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read_manifest(path))
        except InvalidManifest as error:
            broken = error
    found = [workflow for workflow in found if workflow.name == name]
    chosen = [workflow for workflow in found if version in (None, workflow.version)]
    if not chosen:
        if broken:
            raise broken
        there = ", ".join(workflow.version for workflow in found)
        raise MissingInput(
            f"{folder} has no manifest of {name}" + (f" in version {version}; it has {there}" if found else ""),
            remedy="Export the package that has it: `groundtrack workflows export PACKAGE`.",
        )
    if len(chosen) > 1:
        there = ", ".join(workflow.version for workflow in chosen)
        raise Conflict(f"{name} is there in the versions {there}", remedy="Say which: --version.")
    return chosen[0]
