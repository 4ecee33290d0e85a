"""Task tables of specification 1.x and 2.x, read strictly: what a processor's units take and make, and how they chain.

Tables of 2.x are checked against the schema of the specification, `tasktable-2.0.schema.json`, which is that of the Copernicus
Reference System (RS-PYTHON/rs-client-libraries, Apache-2.0, copyright Airbus and CS Group), unchanged. For 1.x, whose drafts
differ, `tasktable-1.0.schema.json` is our own: it checks what is read and allows what is not.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from platform_assets.dpr import documents
from platform_assets.dpr.errors import DuplicateName, MalformedTaskTable, UnsupportedSpecification, choice, quoted

INPUT, ADF, OUTPUT = "input", "adfs", "output"
"""The sections of `io`."""

_SECTIONS = (INPUT, ADF, OUTPUT)
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@dataclass(frozen=True, slots=True)
class ProductReference:
    """A product or auxiliary file as a unit refers to it.

    Attributes:
        name: Its name in `io`.
        mandatory: Whether the unit cannot do without.
        mode: The processing mode in which it takes part.
        fields: What else the unit says of it, such as `regex`.
    """

    name: str
    mandatory: bool
    mode: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnitDefinition:
    """A unit of a processor.

    Attributes:
        name: Its name.
        module: The Python module that has it.
        inputs: What it takes.
        adfs: The auxiliary files that it takes.
        outputs: What it makes.
    """

    name: str
    module: str
    inputs: tuple[ProductReference, ...]
    adfs: tuple[ProductReference, ...]
    outputs: tuple[ProductReference, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a unit in a pipeline.

    Attributes:
        unit_name: The unit.
        step_id: Tells uses of one unit apart.
        inputs: Where each input comes from: `pipeline_input` or a reference to another step's output.
        outputs: Where each output goes to: `pipeline_output` or `pipeline_internal`.
        parameters: What the unit is told.
    """

    unit_name: str
    step_id: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The step's name in payloads."""
        return f"{self.unit_name}.{self.step_id}"


@dataclass(frozen=True, slots=True)
class TaskTable:
    """A processor as its makers describe it.

    Attributes:
        source: What messages call the document.
        name: The processor's name.
        version: Its version.
        specification: Of the document, such as `2.0_draftA`.
        units: By name.
        io: Section, name and fields of every product and auxiliary file; of 1.x all sections are the same.
        queries: The STAC search template of each query, by name.
        pipelines: The steps of each pipeline, by name.
        external_modules: Modules that the processor imports besides.
    """

    source: str
    name: str
    version: str
    specification: str
    units: Mapping[str, UnitDefinition]
    io: Mapping[str, Mapping[str, Mapping[str, Any]]]
    queries: Mapping[str, Mapping[str, Any]]
    pipelines: Mapping[str, tuple[Step, ...]]
    external_modules: tuple[Mapping[str, Any], ...]

    @property
    def is_first_generation(self) -> bool:
        """Whether payloads of this table have the keys from before CPM 3: it is of 1.x, and no entry of `io` has an `engine`."""
        return self.specification.startswith("1.") and not any("engine" in row for rows in self.io.values() for row in rows.values())


def read_task_table(data: bytes, name: str) -> TaskTable:
    """Return the task table that a JSON or YAML document is.

    Args:
        data: The document.
        name: What messages call it.

    Raises:
        MalformedTaskTable: It is no document, or breaks the schema of its specification.
        UnsupportedSpecification: It follows no specification that is known.
        DuplicateName: Two units, pipelines, queries or products have one name.
    """
    document = documents.read_document(data, name, MalformedTaskTable)
    specification = _specification(document, name)
    _check(document, specification, name)
    return TaskTable(
        source=name,
        name=document["tasktable"]["name"],
        version=str(document["tasktable"]["version"]),
        specification=specification,
        units={unit["name"]: _unit(unit) for unit in _distinct(document["units"], "units", name)},
        io=_io(document["io"], name),
        queries={query["name"]: query["stac"] for query in _distinct(document.get("queries", []), "queries", name)},
        pipelines={pipeline["name"]: _steps(pipeline) for pipeline in _distinct(document["pipelines"], "pipelines", name)},
        external_modules=tuple(document.get("external_modules", ())),
    )


def identity(data: bytes) -> tuple[str, str] | None:
    """Return the name and version that a document gives as a task table's, without reading the rest; None when it is none."""
    try:
        head = documents.read_document(data, "", MalformedTaskTable).get("tasktable")
    except MalformedTaskTable:
        return None
    return (str(head.get("name")), str(head.get("version"))) if isinstance(head, dict) else None


def _specification(document: Mapping[str, Any], name: str) -> str:
    head = document.get("tasktable")
    version = head.get("specification_version") if isinstance(head, dict) else None
    if not isinstance(version, str):
        raise MalformedTaskTable(f"{name}: tasktable.specification_version is missing, or no text")
    if not version.startswith(("1.", "2.")):
        raise UnsupportedSpecification(f"{name}: specification {quoted(version)} is not known; {choice('known are', ['1.x', '2.x'])}")
    return version


def _check(document: Mapping[str, Any], specification: str, name: str) -> None:
    found = sorted(_schema(specification[0]).iter_errors(document), key=lambda error: [str(place) for place in error.absolute_path])
    if found:
        raise MalformedTaskTable(documents.listed(name, list(dict.fromkeys(map(_told, found)))))


@lru_cache
def _schema(major: str) -> Draft202012Validator:
    text = (files(__package__) / f"tasktable-{major}.0.schema.json").read_text()
    return Draft202012Validator(json.loads(text))


def _told(error: ValidationError) -> str:
    """Return a finding in words; jsonschema's own quote whole parts of the document."""
    place = documents.path(error.absolute_path) or "the document"
    wanted: Any = error.validator_value
    value: Any = error.instance
    match error.validator:
        case "required":
            said = f"{', '.join(name for name in wanted if name not in value)} is missing"
        case "additionalProperties" if isinstance(value, dict) and isinstance(error.schema, dict):
            known = error.schema.get("properties", {})
            said = f"{', '.join(sorted({*value} - {*known}))} is unknown; {choice('known are', known)}"
        case "enum":
            said = f"{quoted(value)} is not valid; {choice('valid are', map(str, wanted))}"
        case "type":
            said = f"{quoted(value)} is not {_TYPES.get(str(wanted), wanted)}"
        case "pattern":
            said = f"{quoted(value)} does not match {wanted}"
        case "anyOf":
            said = f"{quoted(value)} is neither `pipeline_input` nor a reference such as unit.step.product"
        case _:
            said = f"{quoted(value)} breaks the rule {error.validator}: {quoted(wanted)}"
    return f"{place}: {said}"


def _unit(unit: Mapping[str, Any]) -> UnitDefinition:
    def references(section: str) -> tuple[ProductReference, ...]:
        return tuple(
            ProductReference(
                row["name"],
                row["mandatory"],
                row.get("mode") or "always",
                {key: value for key, value in row.items() if key not in ("name", "mandatory", "mode")},
            )
            for row in unit.get(section, ())
        )

    return UnitDefinition(
        unit["name"], unit["module"], references("input_products"), references("input_adfs"), references("output_products")
    )


def _io(io: Any, source: str) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    if isinstance(io, list):
        rows = {row["name"]: row for row in _distinct(io, "io", source)}
        return dict.fromkeys(_SECTIONS, rows)
    return {section: {row["name"]: row for row in _distinct(io.get(section, []), f"io.{section}", source)} for section in _SECTIONS}


def _steps(pipeline: Mapping[str, Any]) -> tuple[Step, ...]:
    return tuple(
        Step(
            step["unit_name"],
            step.get("step_id", number),  # the first drafts have none
            _origins(step["input_products"]),
            _origins(step.get("output_products", {})),
            step.get("parameters", {}),
        )
        for number, step in enumerate(pipeline["steps"], 1)
    )


def _origins(mapping: Mapping[str, str]) -> Mapping[str, str]:
    """Return origins with `pipeline.input` of the first drafts as `pipeline_input`."""
    dotted = {f"pipeline.{kind}": f"pipeline_{kind}" for kind in ("input", "output", "internal")}
    return {name: dotted.get(origin, origin) for name, origin in mapping.items()}


def _distinct(rows: Iterable[Mapping[str, Any]], place: str, source: str) -> list[Mapping[str, Any]]:
    seen: dict[str, int] = {}
    for index, row in enumerate(found := list(rows)):
        if row["name"] in seen:
            raise DuplicateName(f"{source}: {place}[{seen[row['name']]}] and {place}[{index}] are both called {quoted(row['name'])}")
        seen[row["name"]] = index
    return found
