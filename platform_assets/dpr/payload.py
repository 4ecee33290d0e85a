"""The payload that triggers a processor: the YAML of the EOPF Core Python Modules (CPM), as a document with `Secret`s in it.

What the entries of `io` are called follows the task table: tables with `engine` get the keys of CPM 3 (`reader_params`,
`writer_params`, `adf_params`), tables with `store_type` those of before (`store_params`). Under which key they stand, `io`
or `I/O`, is the caller's choice.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from platform_assets.dpr.errors import MissingInputProduct, MissingMapping, PayloadError, UnknownInput, choice, quoted
from platform_assets.dpr.model import GeneratedProduct, ProcessingRequest
from platform_assets.dpr.secrets import Secret
from platform_assets.dpr.storage import BucketRule, Disk, Storage, Store, choose_bucket
from platform_assets.dpr.tasktable import TaskTable
from platform_assets.dpr.units import PIPELINE_INPUT, PIPELINE_OUTPUT, ProcessingUnit, Product

CPM3, BEFORE = "io", "I/O"
"""The keys under which inputs, outputs and auxiliary files stand."""

_EARTH_DATA_HUB = "earthdatahub.destine.eu"
_ZARR_ENGINES = ("cpm_zarr", "fast_zarr", "zarr")


@dataclass(frozen=True, slots=True)
class Output:
    """A product that a processor will write.

    Attributes:
        name: Its name in the task table.
        path: Where; for regular expressions a folder of many products.
        collection: Where its items are published; empty for a product on disk.
        product_type: The type that the request gives it; `*` for any.
        is_final: Whether it is published.
        is_mandatory: Whether its absence is a failure.
        autoclean: Whether its folder is deleted after the run.
    """

    name: str
    path: str
    collection: str
    product_type: str
    is_final: bool
    is_mandatory: bool
    autoclean: bool


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload and what it will make.

    Attributes:
        document: JSON types and `Secret`s; see `secrets` for how it is shown, stored and run.
        outputs: By name.
    """

    document: Mapping[str, Any]
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where products go.

    Attributes:
        storage: Which store each goes to.
        rules: Which bucket.
        identify: Returns the name of a product's folder, which no other run uses.
        run: The name of the run's own folder on disks.
    """

    storage: Storage
    rules: Sequence[BucketRule]
    identify: Callable[[str], str]
    run: str


def build_payload(
    request: ProcessingRequest,
    table: TaskTable,
    units: Sequence[ProcessingUnit],
    inputs: Mapping[str, Sequence[str]],
    adfs: Mapping[str, Sequence[str]],
    destination: Destination,
    key: str,
) -> Payload:
    """Return the payload of a request.

    Args:
        request: The request.
        table: The processor's task table.
        units: What is run, in order.
        inputs: Where each input lies; several places are one input with a regular expression.
        adfs: Where each auxiliary file lies; those that are not here are left out.
        destination: Where products go.
        key: `CPM3` or `BEFORE`.

    Raises:
        UnknownInput: An input is not taken by any unit.
        MissingInputProduct: A mandatory input is not given.
        MissingMapping: The request does not say which collection an output goes to.
        NoStorage: No storage is configured for a product.
        NoBucket: No bucket rule is for a product.
        PayloadError: Two outputs of a unit have one regular expression.
    """
    _refuse_inputs(units, inputs)
    writer = _Writer(request, destination, first_generation=table.is_first_generation)
    outputs = writer.outputs(units)
    document: dict[str, Any] = {"general_configuration": _general(request, first_generation=table.is_first_generation)}
    if table.external_modules:
        document["external_modules"] = [dict(module) for module in table.external_modules]
    document["workflow"] = [_step(unit, inputs, adfs) for unit in units]
    document[key] = {
        "input_products": writer.inputs(units, inputs),
        "output_products": [entry for _, entry in outputs],
        "adfs": writer.adfs(units, adfs),
    }
    if not table.is_first_generation:
        document |= {"context_managers": [], "dask_config": {"distributed.worker.local_directory": "~/eopf/output"}}
    return Payload(document, tuple(output for output, _ in outputs))


def to_yaml(document: Any) -> str:
    """Return a masked, stored or revealed payload as YAML."""
    text: str = yaml.safe_dump(document, sort_keys=False, width=140, allow_unicode=True)
    return text


def merged(paths: Sequence[str]) -> tuple[str, str]:
    """Return the folder that places have in common, with its slash, and a regular expression of what they are called in it."""
    parts = [path.split("/") for path in paths]
    depth = 0
    while all(len(part) > depth + 1 for part in parts) and len({part[depth] for part in parts}) == 1:
        depth += 1
    names = "|".join(re.escape("/".join(part[depth:])) for part in parts)
    return "".join(f"{part}/" for part in parts[0][:depth]), f"({names})"


def _refuse_inputs(units: Sequence[ProcessingUnit], inputs: Mapping[str, Sequence[str]]) -> None:
    taken = {product.name: product for unit in units for product in unit.inputs if product.origin == PIPELINE_INPUT}
    for name in inputs:
        if name not in taken:
            raise UnknownInput(f"input_products: no unit takes {quoted(name)} from outside; {choice('inputs', taken)}")
    for unit in units:
        for product in unit.inputs:
            if product.origin == PIPELINE_INPUT and product.mandatory and not inputs.get(product.name):
                raise MissingInputProduct(
                    f"input_products lacks {quoted(product.name)}, which unit {unit.name} needs; {choice('given are', inputs)}"
                )


def _general(request: ProcessingRequest, *, first_generation: bool) -> dict[str, Any]:
    if first_generation:
        general: dict[str, Any] = {"logging": {"level": request.logging_level}, "triggering__use_basic_logging": True}
    else:
        general = {"logging__progress_level": request.logging_level}
    general["triggering__wait_before_exit"] = 10
    if not first_generation or request.temporary_shared:
        general["triggering__temporary_shared"] = request.temporary_shared
    return general | ({"temporary__folder": request.temporary_folder} if request.temporary_folder else {})


def _step(unit: ProcessingUnit, inputs: Mapping[str, Any], adfs: Mapping[str, Any]) -> dict[str, Any]:
    taken = [product for product in unit.inputs if product.origin != PIPELINE_INPUT or inputs.get(product.name)]
    outputs: dict[str, str] = {}
    for product in unit.outputs:
        key = product.fields.get("regex") or product.name
        if key in outputs:
            raise PayloadError(f"unit {unit.name}: the outputs {quoted(outputs[key])} and {quoted(product.name)} are both {quoted(key)}")
        outputs[key] = product.name
    maps = {
        "inputs": {product.name: product.name if product.origin == PIPELINE_INPUT else product.origin for product in taken},
        "outputs": outputs,
        "adfs": {product.name: product.name for product in unit.adfs if adfs.get(product.name)},
        "parameters": dict(unit.parameters),
    }
    head = {"name": unit.name, "active": True, "validate": False, "module": unit.module, "processing_unit": unit.unit}
    return head | {name: mapping for name, mapping in maps.items() if mapping}


class _Writer:
    """Writes the entries of `io`."""

    def __init__(self, request: ProcessingRequest, destination: Destination, *, first_generation: bool) -> None:
        self._request = request
        self._to = destination
        self._first_generation = first_generation

    def inputs(self, units: Sequence[ProcessingUnit], paths: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        products = _first(product for unit in units for product in unit.inputs if product.origin == PIPELINE_INPUT)
        return [self._input(product, paths[name]) for name, product in products.items() if paths.get(name)]

    def adfs(self, units: Sequence[ProcessingUnit], paths: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        products = _first(product for unit in units for product in unit.adfs)
        return [self._adf(product, paths[name]) for name, product in sorted(products.items()) if paths.get(name)]

    def outputs(self, units: Sequence[ProcessingUnit]) -> list[tuple[Output, dict[str, Any]]]:
        # A product that one step keeps for another and another gives away is given away.
        every = sorted((product for unit in units for product in unit.outputs), key=lambda product: product.origin != PIPELINE_OUTPUT)
        return [self._output(product) for _, product in sorted(_first(every).items())]

    def _input(self, product: Product, paths: Sequence[str]) -> dict[str, Any]:
        store = self._store(product, "input_products")
        fields = product.fields
        distinct = list(dict.fromkeys(paths))
        several = {"regex": fields.get("regex_expression"), "multiplicity": fields.get("regex_multiplicity")}
        path, kind = distinct[0], fields.get("type") or "filename"
        if len(distinct) > 1:
            path, several["regex"] = merged(distinct)
            several["multiplicity"], kind = len(distinct), "regex"
        several = {name: value for name, value in several.items() if value is not None}
        entry = {"id": product.name, "path": path, "type": kind}
        options = self._options(path, store)
        if self._is_old(fields):
            return entry | _told(fields, "store_type") | _if("store_params", options | _parameters(fields) | several)
        return entry | _told(fields, "engine") | _if("reader_params", options | _parameters(fields, "reader_params")) | several

    def _adf(self, product: Product, paths: Sequence[str]) -> dict[str, Any]:
        fields = product.fields
        folder = fields.get("type") == "folder"
        distinct = list(dict.fromkeys(posixpath.dirname(path) if folder else path for path in paths))
        path, several = distinct[0], dict[str, Any]()
        if len(distinct) > 1:
            path, pattern = merged(distinct)
            several = {"regex": pattern, "multiplicity": len(distinct)}
        options = self._options(path, self._to.storage.of_adfs())
        entry: dict[str, Any] = {"id": product.name, "path": self._with_key(path)}
        if self._is_old(fields):
            return entry | _if("store_params", options | _parameters(fields) | several)
        return entry | _if("adf_params", options | _parameters(fields, "adfs_params") | several)

    def _output(self, product: Product) -> tuple[Output, dict[str, Any]]:
        store = self._store(product, "output_products")
        fields = product.fields
        path, collection, product_type = self._place(product, store)
        is_final = product.origin == PIPELINE_OUTPUT and fields.get("final_product", True)
        autoclean = isinstance(store, Disk) and store.autoclean
        output = Output(product.name, path, collection, product_type, is_final, product.mandatory, autoclean)
        entry = {"id": product.name, "path": path}
        options = self._options(path, store)
        quality = {"apply_eoqc": fields.get("apply_eoqc", False)}
        if not self._is_old(fields):
            written = _told(fields, "engine") | _if("writer_params", options | _parameters(fields, "writer_params"))
            return output, entry | written | _told(fields, "type") | quality
        mode = fields.get("opening_mode") or (store.opening_mode if isinstance(store, Disk) else "CREATE")
        written = _told(fields, "store_type") | _if("store_params", options | _parameters(fields))
        ends = {"final_product": False} if not fields.get("final_product", True) else {}
        cleaned = {"autoclean": autoclean} if isinstance(store, Disk) else {}
        return output, entry | written | _told(fields, "type") | {"opening_mode": mode} | quality | ends | cleaned

    def _store(self, product: Product, section: str) -> Store:
        return self._to.storage.of_product(product.name, section, product.origin, in_pipeline=bool(self._request.pipeline))

    def _place(self, product: Product, store: Store) -> tuple[str, str, str]:
        """Return where an output goes: its path, and its collection and type if it is published from there."""
        if isinstance(store, Disk):
            # A folder a product: two that are files would else be one file.
            return f"{store.path}/{self._to.run}/{product.name}", "", ""
        mapping, collection = self._mapping(product)
        owner = self._request.owner_id
        bucket = choose_bucket(self._to.rules, owner, collection, mapping.product_type)
        engine = product.fields.get("engine") or product.fields.get("store_type")
        suffix = ".zarr" if engine in _ZARR_ENGINES and product.fields.get("type") != "folder" else ""
        path = f"s3://{bucket}/{owner}/{collection}/{self._to.identify(product.name)}{suffix}"
        return path, collection, mapping.product_type

    def _mapping(self, product: Product) -> tuple[GeneratedProduct, str]:
        mappings = self._request.generated_product_to_collection_identifier
        mapping = next((mapping for mapping in mappings if mapping.name == product.name), None)
        place = "generated_product_to_collection_identifier"
        if mapping is None:
            raise MissingMapping(
                f"{place} has no row for the output {quoted(product.name)}; {choice('it has', (row.name for row in mappings))}"
            )
        if mapping.collection is None:
            raise MissingMapping(f"{place}: {quoted(product.name)} is for any type, so it needs a collection_name")
        return mapping, mapping.collection

    def _is_old(self, fields: Mapping[str, Any]) -> bool:
        return "store_type" in fields or (self._first_generation and "engine" not in fields)

    def _options(self, path: str, store: Store) -> dict[str, Any]:
        """Return how a path is reached: a disk and other people's servers need no credentials of ours."""
        foreign = path.startswith("/") or ("://" in path and not path.startswith("s3://"))
        return {} if foreign or isinstance(store, Disk) else {"storage_options": dict(store.options)}

    def _with_key(self, path: str) -> Any:
        """Return a path of Earth Data Hub with the reference to its key."""
        parts = urlsplit(path)
        host = parts.hostname or ""
        if not self._request.edh_api_key or not (host == _EARTH_DATA_HUB or host.endswith(f".{_EARTH_DATA_HUB}")):
            return path
        return Secret(parts._replace(netloc=f"edh:{self._request.edh_api_key}@api.{_EARTH_DATA_HUB}").geturl())


def _first(products: Iterable[Product]) -> dict[str, Product]:
    found: dict[str, Product] = {}
    for product in products:
        found.setdefault(product.name, product)
    return found


def _parameters(fields: Mapping[str, Any], name: str = "store_params") -> dict[str, Any]:
    """Return what a table says of reading or writing; tables of 1.1 call it `store_params` beside an `engine`, too."""
    return {**fields.get("store_params", {}), **fields.get(name, {})}


def _told(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: fields[name]} if fields.get(name) is not None else {}


def _if(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(parameters)} if parameters else {}
