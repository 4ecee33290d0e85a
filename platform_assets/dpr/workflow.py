"""A payload, read: its steps and what they take and make, whichever generation's keys it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_assets.dpr.errors import PayloadError, choice, quoted
from platform_assets.dpr.payload import BEFORE, CPM3

_PARAMETERS = ("store_params", "reader_params", "writer_params", "adf_params")


@dataclass(frozen=True, slots=True)
class Entry:
    """A product or auxiliary file of a payload.

    Attributes:
        id: Its name.
        path: Where it lies: a file, a folder, or a folder of those that match `regex`.
        kind: `file`, `filename`, `folder` or `regex`; empty for not told.
        regex: What files or folders in `path` must match, as a whole; empty for all.
        parameters: Of reading or writing, with credentials.
    """

    id: str
    path: str
    kind: str
    regex: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """One unit that is run.

    Attributes:
        name: Its name, such as `Calibration.1`.
        module: The Python module of its class.
        unit: The class.
        inputs: What each input is, by the unit's name for it.
        adfs: What each auxiliary file is.
        outputs: Where what it makes goes, by the name that the unit gives it: a regular expression.
        parameters: What it is called with.
    """

    name: str
    module: str
    unit: str
    inputs: Mapping[str, Entry]
    adfs: Mapping[str, Entry]
    outputs: Mapping[str, Entry]
    parameters: Mapping[str, Any]


def section(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a payload that has inputs, outputs and auxiliary files.

    Raises:
        PayloadError: It has none.
    """
    for key in (CPM3, BEFORE):
        if isinstance(payload.get(key), Mapping):
            found: Mapping[str, Any] = payload[key]
            return found
    raise PayloadError(f"the payload has neither {CPM3} nor {BEFORE}")


def read_workflow(payload: Mapping[str, Any]) -> list[WorkflowStep]:
    """Return the active steps of a payload.

    Raises:
        PayloadError: A step refers to what the payload does not have.
    """
    places = section(payload)
    inputs, outputs, adfs = (
        {row["id"]: _entry(row) for row in places.get(name, ())} for name in ("input_products", "output_products", "adfs")
    )
    steps = [step for step in payload["workflow"] if step.get("active", True)]
    made = {f"{step['name']}.{product}": product for step in steps for product in step.get("outputs", {}).values()}
    known = {**inputs, **{reference: outputs[product] for reference, product in made.items() if product in outputs}}
    return [
        WorkflowStep(
            step["name"],
            step["module"],
            step["processing_unit"],
            _found(step, "inputs", known),
            _found(step, "adfs", adfs),
            _found(step, "outputs", outputs),
            step.get("parameters", {}),
        )
        for step in steps
    ]


def _found(step: Mapping[str, Any], name: str, known: Mapping[str, Entry]) -> dict[str, Entry]:
    wanted: Mapping[str, str] = step.get(name, {})
    for reference in wanted.values():
        if reference not in known:
            raise PayloadError(
                f"step {step['name']}: {name} has {quoted(reference)}, which the payload does not tell of; {choice('it has', known)}"
            )
    return {key: known[reference] for key, reference in wanted.items()}


def _entry(row: Mapping[str, Any]) -> Entry:
    parameters: dict[str, Any] = {}
    for name in _PARAMETERS:
        parameters |= row.get(name) or {}
    return Entry(row["id"], str(row["path"]), row.get("type", ""), row.get("regex") or parameters.get("regex") or "", parameters)
