"""What runs payloads: one interface for the embedded simulator, EOPF CPM in an environment of its own, and OGC API services.

A processor is chosen by name, travels pickled to a Dask worker and runs one payload there. It is given secrets in memory,
and lets none of them out: whatever it logs or raises goes through the order's `shown`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from platform_assets.common.errors import ConfigurationError, PermanentError, TransientError
from platform_assets.dpr.errors import choice, quoted
from platform_assets.dpr.model import ANY, ProcessingRequest
from platform_assets.dpr.payload import Output
from platform_assets.dpr.secrets import MASK, revealed

SIMULATOR, EOPF, OGC = "simulator", "eopf", "ogc"
"""The names of the processors that there are."""


class ProcessorFailed(PermanentError):
    """A processor ran and ended with an error of its own."""

    code = "processor_failed"
    remedy = "Read the processor's log; correct what it names, and send the request again."


class ProcessorCrashed(TransientError):
    """A processor ended without telling why: it was killed, or its service lost the job."""

    code = "processor_crashed"
    remedy = "Nothing: it is tried again. If it ends so again, look at the memory and the log of the machine that runs it."


class ProcessorTimeout(PermanentError):
    """A processor had not ended at its deadline, and was stopped."""

    code = "processor_timeout"
    remedy = "Raise the processor's time limit if it is slow for a reason."


class ProcessorUnavailable(TransientError):
    """A processor's service does not answer, or has no room."""

    code = "processor_unavailable"
    remedy = "Nothing: it is tried again. If it persists, look at the service that the message names."


class UnknownProcessor(ConfigurationError):
    """There is no processor of that name."""

    code = "unknown_processor"
    remedy = "Correct the request's processor_name, or add the processor to GROUNDTRACK_DPR_PROCESSORS."


@dataclass(frozen=True, slots=True)
class Order:
    """What a processor is given.

    Attributes:
        request_id: The request's partition key.
        request: The request.
        payload: The payload with its secrets; for memory, and for files that die with the process.
        stored: The payload with references instead of secrets.
        outputs: What it must make.
        scratch: A folder for this attempt.
        log: Told every line of the log as it comes; nothing secret.
        attempt: Which attempt this is, from 1.
        stored_url: Where `stored` lies as YAML, such as `s3://bucket/key`; empty when nowhere.
        secrets: The secrets that are in `payload`.
    """

    request_id: str
    request: ProcessingRequest
    payload: Mapping[str, Any] = field(repr=False)
    stored: Mapping[str, Any] = field(repr=False)
    outputs: Sequence[Output]
    scratch: Path
    log: Callable[[str], None] = field(repr=False)
    attempt: int = 1
    stored_url: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def shown(self, text: str) -> str:
        """Return a text of the processor with its secrets masked."""
        return masked(text, self.secrets)


@dataclass(frozen=True, slots=True)
class Processed:
    """What a processor tells of a payload that it ran.

    Attributes:
        log: Its whole log, without secrets.
        facts: What is worth knowing, in JSON types, such as `processor`, `versions`, `dashboard`.
    """

    log: str
    facts: Mapping[str, Any]


class Processor(Protocol):
    """Runs payloads; picklable."""

    def run(self, order: Order) -> Processed:
        """Run a payload to its end; whether the products are as they must be is for others to look at.

        Raises:
            ProcessorFailed: It failed, for a reason that the message names.
            ProcessorTimeout: It had not ended at its deadline.
            TransientError: It crashed, or is not to be reached: another attempt may succeed.
            ConfigurationError: It is not set up.
        """


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets."""
    for spelling in spellings(secrets):
        text = text.replace(spelling, MASK)
    return text


def spellings(secrets: Iterable[str]) -> list[str]:
    """Return all that would tell of secrets in a text: themselves, and as URLs, Python and JSON write them."""
    every = {
        written
        for secret in secrets
        if secret
        for written in (secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    }
    # The longest first: one may be a part of another.
    return sorted(every, key=len, reverse=True)


def reveal(document: Any, lookup: Mapping[str, str]) -> tuple[Any, frozenset[str]]:
    """Return a payload with its secrets, and the secrets that were put in.

    Raises:
        MissingSecret: A secret is not among those given.
    """
    used = _Used(lookup)
    return revealed(document, used), frozenset(used.values_used)


@dataclass(frozen=True, slots=True)
class ByName:
    """The processors of a deployment.

    Attributes:
        processors: By the name that requests have for them; `*` for all others.
    """

    processors: Mapping[str, Processor]

    def run(self, order: Order) -> Processed:
        """Run a payload by the processor that its request names; see `Processor`.

        Raises:
            UnknownProcessor: There is none; the message lists those that there are.
        """
        name = order.request.processor_name
        found = self.processors.get(name) or self.processors.get(ANY)
        if found is None:
            raise UnknownProcessor(f"there is no processor {quoted(name)}; {choice('processors', self.processors)}")
        return found.run(order)


class _Used(Mapping[str, str]):
    """Secrets that remember which of them were looked up."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self.values_used: set[str] = set()

    def __getitem__(self, name: str) -> str:
        value = self._secrets[name]
        if value:
            self.values_used.add(value)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._secrets

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)
