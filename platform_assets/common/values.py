"""What the rooms hand to each other: frozen, picklable, free of behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One version of one object in a bucket.

    Attributes:
        key: The object's key in its bucket.
        etag: Its entity tag without quotes; the name of this content.
        size_bytes: Its size.
        modified: When the store says it was last modified, in UTC, as ISO 8601; for a multipart upload the moment it began.
    """

    key: str
    etag: str
    size_bytes: int
    modified: str = ""


class State(StrEnum):
    """The end of an item; every item of a batch has exactly one."""

    DONE = "done"
    CARRIED_OVER = "carried_over"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item ended as failed.

    Attributes:
        stage: The step of the flow that raised, such as `stage_in`, `convert` or `publish`.
        code: The error class of the reports, such as `missing_input`.
        message: What is wrong and where.
        remedy: What to do next.
        traceback: The Python traceback; empty for failures that were foreseen.
        transient: Whether another attempt may help without any change.
        exhausts_memory: Whether another attempt needs a bigger share of memory.
    """

    stage: str
    code: str
    message: str
    remedy: str = ""
    traceback: str = ""
    transient: bool = False
    exhausts_memory: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one item of a batch ended.

    Attributes:
        key: The item's partition key.
        state: Done now, found done (carried over), or failed.
        facts: What was made, in JSON types; empty for a failure.
        failure: Why it failed; None unless the state is failed.
        attempts: How often it was tried; 0 when it was found done or was refused before the first try.
        seconds: Wall time of the last attempt on its worker.
        peak_memory_mb: The most that the worker's process had resident meanwhile, as looked at ten times a second.
    """

    key: str
    state: State
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    attempts: int = 0
    seconds: float = 0.0
    peak_memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """One item to be worked on.

    Attributes:
        key: The item's partition key.
        payload: What the item function gets; small and picklable.
        cost_s: The estimated seconds of one core; groups small items and starts large ones first.
    """

    key: str
    payload: Any
    cost_s: float = 1.0
