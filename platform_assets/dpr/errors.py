"""What can be wrong with the documents of on-demand processing: one class a rule, each with its own code.

Every message names the document, the place in it and, where there is a choice, what would be valid.
"""

from collections.abc import Iterable

from platform_assets.common.errors import ConfigurationError, PermanentError
from platform_assets.common.keys import shown


def choice(what: str, names: Iterable[str]) -> str:
    """Return a half-sentence that lists what would be valid."""
    return f"{what}: {', '.join(sorted(set(names))) or 'none'}"


def quoted(name: object) -> str:
    """Return something of a document as it may stand in a message."""
    return shown(name if isinstance(name, str) else repr(name))


class TaskTableError(PermanentError):
    """A task table breaks a rule."""

    code = "task_table"
    remedy = "Correct the task table at the place that the message names."


class MalformedTaskTable(TaskTableError):
    """A task table is no JSON, or breaks the schema of its specification."""

    code = "malformed_task_table"


class UnsupportedSpecification(TaskTableError):
    """A task table follows a specification that is not known."""

    code = "unsupported_specification"
    remedy = "Give a task table of specification 1.x or 2.x."


class DuplicateName(TaskTableError):
    """Two entries of one list have one name."""

    code = "duplicate_name"


class UnknownUnit(TaskTableError):
    """There is no such unit."""

    code = "unknown_unit"
    remedy = "Name one of the units that the message lists."


class UnknownPipeline(TaskTableError):
    """There is no such pipeline."""

    code = "unknown_pipeline"
    remedy = "Name one of the pipelines that the message lists."


class UnknownProduct(TaskTableError):
    """A unit uses a product or auxiliary file that `io` does not describe."""

    code = "unknown_product"


class UnknownQuery(TaskTableError):
    """An alternative names a query that does not exist."""

    code = "unknown_query"


class UnknownVariable(TaskTableError):
    """A task table uses an external variable that the specification does not have."""

    code = "unknown_variable"


class UnknownStep(TaskTableError):
    """A step reads from a step that its pipeline does not have."""

    code = "unknown_step"


class UnknownOutput(TaskTableError):
    """A step reads a product that its source does not make."""

    code = "unknown_output"


class AmbiguousReference(TaskTableError):
    """A step reads a product by a reference that stands for several."""

    code = "ambiguous_reference"
    remedy = "Write the reference as unit.step.product."


class MissingOrigin(TaskTableError):
    """A step does not say where a product comes from or goes to."""

    code = "missing_origin"


class StepCycle(TaskTableError):
    """Steps wait for each other in a circle."""

    code = "step_cycle"


class InvalidMultiplicity(TaskTableError):
    """An auxiliary file is wanted once an input, but not of exactly one input."""

    code = "invalid_multiplicity"


class RequestError(PermanentError):
    """A processing request does not fit its task table, or lacks something."""

    code = "request"
    remedy = "Correct the request at the place that the message names."


class MalformedRequest(RequestError):
    """A processing request breaks its own rules."""

    code = "malformed_request"


class InvalidSelection(RequestError):
    """Not exactly one of pipeline and unit is chosen."""

    code = "invalid_selection"
    remedy = "Give `pipeline` or `unit`, not both."


class MissingVariable(RequestError):
    """A task table uses an external variable that the request does not give."""

    code = "missing_variable"


class UnknownInput(RequestError):
    """A request gives an input product that no unit takes from outside."""

    code = "unknown_input"


class MissingInputProduct(RequestError):
    """A request lacks an input product, or what it names has no item or no asset."""

    code = "missing_input_product"


class MissingMapping(RequestError):
    """A request does not say which collection a product belongs to."""

    code = "missing_mapping"


class AuxiliaryNotFound(PermanentError):
    """No alternative of a mandatory auxiliary file found any."""

    code = "auxiliary_not_found"
    remedy = "Add the auxiliary file to one of the collections that the message names, or correct the request's mappings or times."


class InvalidQuery(TaskTableError):
    """A query is no CQL2, or cannot be computed."""

    code = "invalid_query"


class UnfilledPlaceholder(TaskTableError):
    """A query has a placeholder that its alternative gives nothing for; it would find nothing, ever."""

    code = "unfilled_placeholder"


class InvalidItem(PermanentError):
    """A STAC item lacks what is needed of it."""

    code = "invalid_item"
    remedy = "Correct the item that the message names."


class StorageError(ConfigurationError):
    """A storage configuration or bucket rule breaks a rule."""

    code = "storage_configuration"
    remedy = "Correct the storage configuration at the place that the message names."


class MalformedStorage(StorageError):
    """A storage configuration is not readable or breaks its own rules."""

    code = "malformed_storage"


class NoStorage(StorageError):
    """No storage is configured for a product."""

    code = "no_storage"


class NoBucket(StorageError):
    """No bucket rule matches a product."""

    code = "no_bucket"
    remedy = "Add a bucket rule for the owner and collection, or the general rule *, *, *."


class PayloadError(TaskTableError):
    """A payload cannot be built."""

    code = "payload"


class MissingSecret(ConfigurationError):
    """A secret that is referred to is not defined."""

    code = "missing_secret"
    remedy = "Define it where the payload is run."


class SecretInClear(ConfigurationError):
    """A document that will be stored holds a secret itself, not a reference to it."""

    code = "secret_in_clear"
    remedy = "Write ${NAME} instead, and define NAME where the payload is run."
