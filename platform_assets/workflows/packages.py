"""Instrument packages: found as a user names them, and asked for their workflows in a process of their own environment."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from zipfile import BadZipFile, ZipFile

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from platform_assets.common.errors import Conflict, MissingInput
from platform_assets.environments.process import carry_out
from platform_assets.environments.uv import Uv
from platform_assets.workflows.errors import InvalidWorkflow
from platform_assets.workflows.model import WorkflowSpec, workflow_from
from platform_assets.workflows.runner import Shop, failure_of, leased, program
from platform_assets.workflows.sdk.workflow import FROZEN

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Package:
    """A package with workflows.

    Attributes:
        module: Where its workflows are.
        distribution: Its name; empty for a module of a given interpreter.
        version: Its version; empty as well.
        wheel: Its wheel, where that is what was named or what was built.
    """

    module: str
    distribution: str = ""
    version: str = ""
    wheel: Path | None = None

    def requirement(self, extras: Sequence[str]) -> str:
        """Return the package with extras, as PEP 508 has it."""
        listed = f"[{','.join(extras)}]" if extras else ""
        return f"{self.distribution}{listed}=={self.version}"


def find_package(text: str, uv: Uv, wheels: Path) -> Package:
    """Return the package that a user means with a wheel, the folder of a project, or `name==version`.

    Args:
        text: What the user gave.
        uv: Builds the wheel of a project.
        wheels: Where that wheel goes.

    Raises:
        MissingInput: It is none of the three.
        InstallFailed: The project does not build.
    """
    path = Path(text)
    if (path / "pyproject.toml").is_file():
        return _of_wheel(_built(path.resolve(), uv, wheels))
    if path.suffix == ".whl" and path.is_file():
        return _of_wheel(path.resolve())
    try:
        asked = Requirement(text)
        [version] = [specifier.version for specifier in asked.specifier if specifier.operator == "=="]
    except (InvalidRequirement, ValueError) as error:
        raise MissingInput(
            f"{text} is neither a wheel, nor the folder of a project, nor name==version", remedy="Build the package and give its wheel."
        ) from error
    return Package(_module(asked.name), canonicalize_name(asked.name), version)


def module_of(text: str) -> Package:
    """Return the package of an importable module of a given interpreter.

    Raises:
        MissingInput: It is no name of a module.
    """
    if not _MODULE.fullmatch(text):
        raise MissingInput(f"{text} is not the name of a module", remedy="With --prebuilt, give the name that is imported.")
    return Package(text)


def workflows_of(shop: Shop, package: Package, extras: Sequence[str], folder: Path, *, frozen: bool = True) -> list[WorkflowSpec]:
    """Return the workflows of a package, checked; no code of it runs in this process.

    Args:
        shop: Where environments come from.
        package: The package.
        extras: That importing its tasks needs.
        folder: For the process's files.
        frozen: Whether its environments are pinned by its extra `frozen`.

    Raises:
        InvalidWorkflow: It has none, or one of them cannot be run.
        InstallFailed: It cannot be installed.
    """
    asked = [FROZEN, *extras] if frozen else list(extras)
    found = _asked(shop, package, package.requirement(asked), folder)
    for workflow in found:
        if package.distribution:
            _check(workflow, package)
    return found if frozen else [workflow.unfrozen() for workflow in found]


def keep_wheel(wheel: Path, folder: Path, *, replace: bool = False) -> None:
    """Keep a package's wheel for the environments of its tasks; nothing changes where one with the same files is kept.

    Args:
        wheel: The wheel.
        folder: Of wheels that are kept; made.
        replace: Whether a wheel of this version that has other files is overwritten.

    Raises:
        Conflict: Such a wheel is kept: runs of this version would get other code than those before.
    """
    kept = folder / wheel.name
    if kept.exists() and _files(kept) == _files(wheel):
        return
    if kept.exists() and not replace:
        raise Conflict(
            f"{kept} is another wheel of this version, with other files",
            remedy="Give the package a new version; to overwrite wheel and manifests all the same, add --replace.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    shutil.copy2(wheel, part)
    part.replace(kept)


def _files(wheel: Path) -> dict[str, int]:
    """Return the checksums of a wheel's files: their times differ from build to build."""
    try:
        with ZipFile(wheel) as archive:
            return {file.filename: file.CRC for file in archive.infolist()}
    except BadZipFile:
        return {}


def _built(project: Path, uv: Uv, wheels: Path) -> Path:
    """Return the wheel of a project; several may be built at once, so that each is built apart."""
    wheels.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=wheels) as folder:
        uv.build_wheel(project, Path(folder))
        [wheel] = Path(folder).glob("*.whl")
        return wheel.replace(wheels / wheel.name)


def _of_wheel(path: Path) -> Package:
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise MissingInput(f"{path} has no name of a wheel: {error}", remedy="Give the wheel as it was built.") from error
    return Package(_module(name), name, str(version), path)


def _module(distribution: str) -> str:
    return re.sub(r"[-.]+", "_", distribution)


def _asked(shop: Shop, package: Package, requirement: str, folder: Path) -> list[WorkflowSpec]:
    """Have the package's own environment describe its workflows."""
    variables = {"BUILD_VERSION": package.version} if package.version else {}
    shop = replace(shop, variables={**variables, **shop.variables})
    with leased(shop, requirement) as environment:
        order = {"action": "describe", "package": package.module, "log_level": "WARNING"}
        ended = carry_out(program(shop, environment, folder, folder), order, shop.limits, Event())
    if failure := failure_of(ended, "describe"):
        told = ended.message("failed")
        raise InvalidWorkflow(
            f"{package.module}: {failure.message}" + (f"\n{told['traceback']}" if told and _is_a_bug(told["type"]) else "")
        )
    answer = ended.message("workflows")
    return [workflow_from(document) for document in answer["workflows"]] if answer else []


def _is_a_bug(kind: str) -> bool:
    """Whether an error comes from the package's own code, so that its traceback is of use."""
    return kind not in ("ValueError", "TypeError", "DuplicateTask", "UnknownTask", "CycleError")


def _is_version(text: str, version: str) -> bool:
    try:
        return Version(text) == Version(version)
    except InvalidVersion:
        return False


def _check(workflow: WorkflowSpec, package: Package) -> None:
    if canonicalize_name(workflow.distribution) != package.distribution:
        raise InvalidWorkflow(
            f"{workflow.name} says that it is in {workflow.distribution}, and is in {package.distribution}",
            remedy="Give it workflow_package=__package__.",
        )
    if not _is_version(workflow.version, package.version):
        raise InvalidWorkflow(
            f"{workflow.name} has the version {workflow.version}, its package {package.version}: its tasks would not be found",
            remedy="Leave workflow_version out: it is then that of the package.",
        )
