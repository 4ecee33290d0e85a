"""A processing request: one document that says what is processed, by what, and where products come from and go to."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from platform_assets.dpr import documents, moments, secrets
from platform_assets.dpr.errors import MalformedRequest

ANY = "*"
"""Stands for every product type of a mapping."""

EXTERNAL_VARIABLES = ("start_datetime", "end_datetime", "reference_date", "instrument_mode", "satellite")
"""The fields of a request that task tables may refer to."""

_RENAMED = {"owner_identifier": "owner_id", "dask_cluster_name": "dask_cluster_label", "workflow": "workflow_type"}
"""Names that other generations of requests use."""

Text = Annotated[str, Field(min_length=1)]


class Mode(StrEnum):
    """When a product takes part; `always` needs not be asked for."""

    NRT = "nrt"
    NTC = "ntc"
    REPROCESSING = "reprocessing"
    SUBS = "subs"
    ALWAYS = "always"


class Source(StrEnum):
    """Where auxiliary files are searched."""

    AUXIP = "auxip"
    PRIP = "prip"
    CADIP = "cadip"
    CDSE = "cdse"
    CATALOG = "catalog"
    EARTHDATAHUB = "earthdatahub"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


class InputProduct(_Model):
    """An item of the catalogue, and the input of the task table that it is.

    Attributes:
        name: The input's name in the task table; several items may have one name.
        item_id: The item.
        collection_name: Its collection.
    """

    name: Text
    item_id: Text
    collection_name: Text


class GeneratedProduct(_Model):
    """The collection that an output goes to.

    Attributes:
        name: The output's name in the task table.
        product_type: The type of product that this is for; `*` for any.
        collection_name: The collection; None for the one that is called as the type.
    """

    name: Text
    product_type: Text
    collection_name: Text | None = None

    @property
    def collection(self) -> str | None:
        """The collection; None when it is not told."""
        return self.collection_name or (None if self.product_type == ANY else self.product_type)


class AuxiliaryMapping(_Model):
    """The collection that auxiliary files of a type are searched in.

    Attributes:
        product_type: The type; `*` for all that have no mapping of their own.
        collection_name: The collection.
        source: What kind of station or catalogue has it.
        selected_assets: The assets that are fetched; None for all.
    """

    product_type: Text
    collection_name: Text
    source: Source = Source.AUXIP
    selected_assets: tuple[Text, ...] | None = None


class ProcessingRequest(_Model):
    """What to process; its field names are those of the Reference System.

    Attributes:
        processor_name: The processor, such as `s1_l0`.
        processor_version: Its version; empty for whichever the task table has.
        pipeline: The pipeline of the task table to run; this or `unit`.
        unit: The single unit to run.
        input_products: What is processed.
        generated_product_to_collection_identifier: Where outputs go.
        auxiliary_product_to_collection_identifier: Where auxiliary files are searched; what has no mapping is searched in
            `<satellite>-aux-<product type>`.
        owner_id: Whose products these are; a part of their keys, and bucket rules go by it.
        processing_mode: Which products take part besides those of mode `always`.
        start_datetime: Begin of the time that is processed; without a zone it is UTC.
        end_datetime: Its end.
        satellite: The platform, such as `sentinel-1a`.
        reference_date: A day that some processors ask for.
        instrument_mode: Such as `IW`.
        edh_api_key: A reference such as `${EDH_KEY}` to the key of Earth Data Hub, never the key itself.
        dask_cluster_label: The Dask cluster, by label.
        dask_cluster_instance: The Dask cluster, by its identifier.
        dask_task_timeout: Seconds that a task may take.
        logging_level: Of the processor.
        s3_payload_file: Where the payload is stored; None for the platform's own place.
        priority: Which requests go first.
        workflow_type: Why this is processed.
        temporary_folder: Where the processor keeps what it needs meanwhile.
        temporary_shared: Whether all workers see that folder.
    """

    processor_name: Text
    processor_version: str = ""
    pipeline: str | None = None
    unit: str | None = None
    input_products: tuple[InputProduct, ...] = Field(min_length=1)
    generated_product_to_collection_identifier: tuple[GeneratedProduct, ...] = Field(min_length=1)
    auxiliary_product_to_collection_identifier: tuple[AuxiliaryMapping, ...] = ()
    owner_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "groundtrack"
    processing_mode: tuple[Mode, ...] = ()
    start_datetime: datetime | None = None
    end_datetime: datetime | None = None
    satellite: Text | None = None
    reference_date: date | None = None
    instrument_mode: Text | None = None
    edh_api_key: str | None = None
    dask_cluster_label: str = ""
    dask_cluster_instance: str | None = None
    dask_task_timeout: Annotated[int, Field(gt=0)] | None = None
    logging_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    s3_payload_file: Annotated[str, Field(pattern="^s3://[^/]+/.+")] | None = None
    priority: Literal["low", "medium", "high"] = "low"
    workflow_type: Literal["benchmarking", "on-demand", "systematic"] = "on-demand"
    temporary_folder: str | None = None
    temporary_shared: bool = False

    @model_validator(mode="before")
    @classmethod
    def _as_today(cls, document: Any) -> Any:
        return _as_today(document) if isinstance(document, dict) else document

    @field_validator("start_datetime", "end_datetime")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    @field_validator("edh_api_key")
    @classmethod
    def _only_a_reference(cls, key: str | None) -> str | None:
        if key and not secrets.is_reference(key):
            raise ValueError("write a reference such as ${EDH_KEY}: requests are stored, secrets are not")
        return key or None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if bool(self.pipeline) == bool(self.unit):
            raise ValueError("exactly one of `pipeline` and `unit` must be given")
        if self.start_datetime and self.end_datetime and self.start_datetime > self.end_datetime:
            raise ValueError("`start_datetime` is after `end_datetime`")
        return self

    @property
    def external_variables(self) -> Mapping[str, str]:
        """What the request gives of the variables that task tables refer to, as they are written there."""
        values = {name: getattr(self, name) for name in EXTERNAL_VARIABLES}
        return {name: moments.written(value) if isinstance(value, datetime) else str(value) for name, value in values.items() if value}


def read_request(data: bytes, name: str) -> ProcessingRequest:
    """Return the request that a JSON or YAML document is; also such as earlier generations wrote.

    Args:
        data: The document.
        name: What messages call it.

    Raises:
        MalformedRequest: It is none; the message names every field that is wrong.
    """
    document = documents.read_document(data, name, MalformedRequest)
    try:
        return ProcessingRequest.model_validate(document)
    except ValidationError as error:
        raise MalformedRequest(documents.problems(name, error, ProcessingRequest.model_fields)) from None


def _as_today(document: dict[str, Any]) -> dict[str, Any]:
    """Return a request of any generation under the names of this one."""
    request: dict[str, Any] = {}
    processor, environment = document.get("processor"), document.get("env")
    spelled = [(_RENAMED.get(key, key), key, value) for key, value in document.items() if value is not None]
    if isinstance(processor, dict):
        spelled = [row for row in spelled if row[1] != "processor"]
        spelled += [(f"processor_{key}", f"processor.{key}", value) for key, value in processor.items()]
    if isinstance(environment, dict):
        # The rest of `env` is the caller's tracing, which ends with the caller.
        spelled = [row for row in spelled if row[1] != "env"]
        spelled += [("owner_id", "env.owner_id", environment["owner_id"])] if "owner_id" in environment else []
    for name, spelling, value in spelled:
        if name in request:
            raise ValueError(f"`{name}` is given twice, once as `{spelling}`")
        request[name] = value
    _spread(request, "input_products", ("item_id", "collection_name"))
    _spread(request, "generated_product_to_collection_identifier", ("product_type", "collection_name"))
    return request


def _spread(request: dict[str, Any], field: str, names: tuple[str, str]) -> None:
    """Turn rows such as `{"S1CADUS": ["item", "collection"]}` of early requests into those of today."""
    rows = request.get(field)
    if not isinstance(rows, list):
        return
    spread: list[Any] = []
    for row in rows:
        if isinstance(row, dict) and "name" not in row and all(isinstance(value, str | list) for value in row.values()):
            for name, value in row.items():
                values = [value] if isinstance(value, str) else value
                spread.append({"name": name, **dict(zip(names, values, strict=False))})
        else:
            spread.append(row)
    request[field] = spread
