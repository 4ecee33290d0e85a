"""The processing units of a request: which take part, what each takes and makes, where that comes from, in which order they run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_assets.dpr.errors import (
    AmbiguousReference,
    InvalidSelection,
    MissingOrigin,
    MissingVariable,
    StepCycle,
    TaskTableError,
    UnknownOutput,
    UnknownPipeline,
    UnknownProduct,
    UnknownStep,
    UnknownUnit,
    UnknownVariable,
    choice,
    quoted,
)
from platform_assets.dpr.model import EXTERNAL_VARIABLES
from platform_assets.dpr.tasktable import ADF, INPUT, OUTPUT, ProductReference, Step, TaskTable, UnitDefinition

PIPELINE_INPUT, PIPELINE_OUTPUT, PIPELINE_INTERNAL = "pipeline_input", "pipeline_output", "pipeline_internal"

_VARIABLE = re.compile(r"\{external_variable\.([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Product:
    """A product or auxiliary file of a unit.

    Attributes:
        name: Its name in the task table.
        mandatory: Whether the unit cannot do without.
        origin: Where it comes from (`pipeline_input`, or `unit.step.product`) or goes to (`pipeline_output`,
            `pipeline_internal`); empty for an auxiliary file.
        fields: All else that the unit and `io` say of it.
    """

    name: str
    mandatory: bool
    origin: str
    fields: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as the Reference System shows it."""
        origin = {"origin": self.origin} if self.origin else {}
        return {"name": self.name, **origin, "mandatory": self.mandatory, **self.fields}


@dataclass(frozen=True, slots=True)
class ProcessingUnit:
    """A unit as it is run.

    Attributes:
        name: `<unit>.<step>` in a pipeline, else the unit's name.
        unit: The unit's name.
        module: The Python module that has it.
        inputs: What it takes.
        adfs: The auxiliary files that it takes.
        outputs: What it makes.
        parameters: What it is told.
    """

    name: str
    unit: str
    module: str
    inputs: tuple[Product, ...]
    adfs: tuple[Product, ...]
    outputs: tuple[Product, ...]
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as the Reference System shows it."""
        shown = {
            "name": self.name,
            "module": self.module,
            "input_products": [product.to_json() for product in self.inputs],
            "input_adfs": [product.to_json() for product in self.adfs],
            "output_products": [product.to_json() for product in self.outputs],
        }
        return shown | ({"parameters": dict(self.parameters)} if self.parameters else {})


@dataclass(frozen=True, slots=True)
class UnitList:
    """The units of a request.

    Attributes:
        units: In an order in which each comes after those that it reads from.
        notes: What the makers of the task table may want to know.
    """

    units: tuple[ProcessingUnit, ...]
    notes: tuple[str, ...] = ()


def build_units(
    table: TaskTable, *, pipeline: str | None, unit: str | None, modes: Iterable[str] = (), variables: Mapping[str, str]
) -> UnitList:
    """Return the units that a request runs.

    Args:
        table: The processor's.
        pipeline: The pipeline to run.
        unit: The single unit to run, instead.
        modes: Products of these modes take part, besides those of mode `always`.
        variables: Values of the external variables.

    Raises:
        TaskTableError: The task table breaks a rule; each rule has its class in `errors`.
        InvalidSelection: Not exactly one of pipeline and unit is given.
        MissingVariable: A variable that is used has no value.
    """
    builder = _Builder(table, frozenset(modes) | {"always"}, variables)
    if unit and not pipeline:
        return UnitList((builder.single(_definition(table, unit, "the request")),))
    if not pipeline or unit:
        raise InvalidSelection("exactly one of `pipeline` and `unit` must be given")
    if pipeline not in table.pipelines:
        raise UnknownPipeline(f"{table.source} has no pipeline {quoted(pipeline)}; {choice('pipelines', table.pipelines)}")
    return builder.chained(pipeline, table.pipelines[pipeline])


def _definition(table: TaskTable, name: str, who: str) -> UnitDefinition:
    if name not in table.units:
        raise UnknownUnit(f"{table.source} has no unit {quoted(name)}, which {who} names; {choice('units', table.units)}")
    return table.units[name]


@dataclass(frozen=True, slots=True)
class _Builder:
    table: TaskTable
    modes: frozenset[str]
    variables: Mapping[str, str]

    def single(self, unit: UnitDefinition) -> ProcessingUnit:
        """Return a unit that takes all from outside and gives all away."""
        return ProcessingUnit(
            unit.name,
            unit.name,
            unit.module,
            tuple(self.product(unit, reference, INPUT, PIPELINE_INPUT) for reference in self.kept(unit.inputs)),
            self.adfs(unit),
            tuple(self.product(unit, reference, OUTPUT, PIPELINE_OUTPUT) for reference in self.kept(unit.outputs)),
            {},
        )

    def chained(self, pipeline: str, steps: Sequence[Step]) -> UnitList:
        """Return the units of a pipeline, each after those that it reads from."""
        place = f"{self.table.source}: pipeline {quoted(pipeline)}"
        if not steps:
            raise TaskTableError(f"{place} has no steps")
        units = [_definition(self.table, step.unit_name, f"a step of pipeline {quoted(pipeline)}") for step in steps]
        sources = _Sources(place, steps, [[product.name for product in self.kept(unit.outputs)] for unit in units])
        built, waits = [], []
        for index, (step, unit) in enumerate(zip(steps, units, strict=True)):
            origins = {product.name: _origin(place, step, "input_products", product) for product in self.kept(unit.inputs)}
            found = {name: sources.resolve(index, name, origin) for name, origin in origins.items() if origin != PIPELINE_INPUT}
            waits.append({source for source, _ in found.values()})
            named = origins | {name: f"{steps[source].name}.{product}" for name, (source, product) in found.items()}
            built.append(self.step(step, unit, named, place))
        notes = [*_forward_references(steps, waits, place), *_made_twice(built, place)]
        order = _ordered([step.name for step in steps], waits, place)
        return UnitList(tuple(built[index] for index in order), tuple(notes))

    def step(self, step: Step, unit: UnitDefinition, origins: Mapping[str, str], place: str) -> ProcessingUnit:
        return ProcessingUnit(
            step.name,
            unit.name,
            unit.module,
            tuple(self.product(unit, reference, INPUT, origins[reference.name]) for reference in self.kept(unit.inputs)),
            self.adfs(unit),
            tuple(
                self.product(unit, reference, OUTPUT, _origin(place, step, "output_products", reference))
                for reference in self.kept(unit.outputs)
            ),
            self.substituted(step.parameters, f"{place}, step {step.name}"),
        )

    def kept(self, references: Iterable[ProductReference]) -> list[ProductReference]:
        return [reference for reference in references if reference.mode in self.modes]

    def adfs(self, unit: UnitDefinition) -> tuple[Product, ...]:
        return tuple(self.product(unit, reference, ADF, "") for reference in self.kept(unit.adfs))

    def product(self, unit: UnitDefinition, reference: ProductReference, section: str, origin: str) -> Product:
        """Return a product as the unit refers to it, completed by what `io` says of it."""
        io = self.table.io[section]
        if section == INPUT and origin != PIPELINE_INPUT and reference.name not in io:
            io = self.table.io[OUTPUT]  # what another step makes may be described there alone
        if reference.name not in io:
            raise UnknownProduct(
                f"{self.table.source}: unit {quoted(unit.name)} uses {quoted(reference.name)}, which io.{section} does not describe; "
                f"{choice(f'products of io.{section}', io)}"
            )
        described = {key: value for key, value in io[reference.name].items() if key not in ("name", "mode")}
        fields = self.substituted({**described, **reference.fields}, f"{self.table.source}: {quoted(reference.name)}")
        return Product(reference.name, reference.mandatory, origin, fields)

    def substituted(self, value: Any, place: str) -> Any:
        """Return a part of the table with the values of external variables."""
        match value:
            case str():
                return _VARIABLE.sub(lambda match: self.variable(match[1], place), value)
            case Mapping():
                return {key: self.substituted(part, place) for key, part in value.items()}
            case list():
                return [self.substituted(part, place) for part in value]
            case _:
                return value

    def variable(self, name: str, place: str) -> str:
        if name not in EXTERNAL_VARIABLES:
            raise UnknownVariable(f"{place} uses the external variable {quoted(name)}; {choice('external variables', EXTERNAL_VARIABLES)}")
        if name not in self.variables:
            raise MissingVariable(
                f"{place} needs the external variable {name}, which the request does not give; {choice('given are', self.variables)}",
                remedy=f"Give `{name}` in the request.",
            )
        return self.variables[name]


def _origin(place: str, step: Step, field: str, product: ProductReference) -> str:
    """Return what a step says of a product that takes part."""
    mapping, valid = (
        (step.inputs, [PIPELINE_INPUT, "<unit>.<step>.<product>"])
        if field == "input_products"
        else (step.outputs, [PIPELINE_OUTPUT, PIPELINE_INTERNAL])
    )
    if product.name not in mapping:
        raise MissingOrigin(
            f"{place}, step {step.name}: {field} does not tell of {quoted(product.name)}, which the unit has; "
            f"{choice('it tells of', mapping)}"
        )
    origin = mapping[product.name]
    if field == "output_products" and origin not in valid:
        raise MissingOrigin(f"{place}, step {step.name}: {quoted(product.name)} goes to {quoted(origin)}; {choice('valid are', valid)}")
    return origin


class _Sources:
    """What the steps of a pipeline make, by every way of writing a reference to it."""

    def __init__(self, place: str, steps: Sequence[Step], outputs: Sequence[Sequence[str]]) -> None:
        self._place = place
        self._steps = steps
        self._outputs = outputs
        self._known: dict[str, list[tuple[int, str]]] = {}
        self._prefixes: dict[str, list[int]] = {}
        for index, step in enumerate(steps):
            if any(step.name == other.name for other in steps[:index]):
                raise TaskTableError(f"{place} has two steps {step.name}", code="duplicate_step", remedy="Give each step its own step_id.")
            for prefix in (step.name, f"{step.unit_name}_{step.step_id}", step.unit_name):
                self._prefixes.setdefault(prefix, []).append(index)
                for product in outputs[index]:
                    self._known.setdefault(f"{prefix}.{product}", []).append((index, product))

    def resolve(self, index: int, product: str, reference: str) -> tuple[int, str]:
        """Return the step and the product that an input of a step refers to."""
        found = self._known.get(reference, [])
        who = f"{self._place}, step {self._steps[index].name}: {quoted(product)} comes from {quoted(reference)}"
        if len(found) > 1:
            exact = [f"{self._steps[source].name}.{name}" for source, name in found]
            raise AmbiguousReference(f"{who}, which may be any of several; {choice('it may be', exact)}")
        if found:
            return found[0]
        sources = [source for prefix, indexes in self._prefixes.items() if reference.startswith(f"{prefix}.") for source in indexes]
        if not sources:
            raise UnknownStep(f"{who}, which is no step of it; {choice('steps', (step.name for step in self._steps))}")
        available = [f"{self._steps[source].name}.{name}" for source in sources for name in self._outputs[source]]
        raise UnknownOutput(f"{who}, which that step does not make in this mode; {choice('it makes', available)}")


def _ordered(names: Sequence[str], waits: Sequence[set[int]], place: str) -> list[int]:
    """Return an order in which each step follows those it waits for; else that of the table."""
    order: list[int] = []
    left = list(range(len(names)))
    while left:
        ready = next((index for index in left if waits[index] <= set(order)), None)
        if ready is None:
            raise StepCycle(f"{place}: steps wait for each other: {' -> '.join(names[index] for index in _cycle(waits, left))}")
        order.append(ready)
        left.remove(ready)
    return order


def _cycle(waits: Sequence[set[int]], left: Sequence[int]) -> list[int]:
    """Return steps of which each is read by the next, from one back to itself."""
    walk = [left[0]]
    while True:
        source = min(waits[walk[-1]] & set(left))
        if source in walk:
            return [*walk[walk.index(source) :], source][::-1]
        walk.append(source)


def _made_twice(units: Sequence[ProcessingUnit], place: str) -> Iterable[str]:
    makers: dict[str, list[str]] = {}
    for unit in units:
        for product in unit.outputs:
            makers.setdefault(product.name, []).append(unit.name)
    for name, steps in makers.items():
        if len(steps) > 1:
            yield f"{place}: {' and '.join(steps)} make {name}, which is one product in one place"


def _forward_references(steps: Sequence[Step], waits: Sequence[set[int]], place: str) -> Iterable[str]:
    for index, sources in enumerate(waits):
        for source in sorted(sources):
            if source > index:
                yield f"{place}: step {steps[index].name} is listed before {steps[source].name}, which it reads from; it is run after it"
