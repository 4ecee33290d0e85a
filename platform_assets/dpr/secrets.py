"""Secrets as documents hold them: references that are resolved in memory where the payload is run, and nowhere else.

A document is made of JSON types and `Secret`s. It is shown by `masked`, stored by `stored` and given to a processor by
`revealed`. Nothing else turns a secret into text: JSON and YAML refuse it, `str` and `repr` hide it, pickle refuses one that
holds its value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from platform_assets.dpr.errors import MissingSecret, SecretInClear

MASK = "**********"
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Secret:
    """A text that is never shown: a reference to a secret, or the secret itself."""

    __slots__ = ("__shown", "__value")

    def __init__(self, shown: str, value: str | None = None) -> None:
        self.__shown = shown
        self.__value = value

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the secret that a document's text stands for: `${NAME}` is a reference, all else is a secret in clear."""
        return cls(text) if _NAME.fullmatch(text) else cls(MASK, text)

    @property
    def is_reference(self) -> bool:
        """Whether the secret is referred to, so that its text may be shown and stored."""
        return self.__value is None

    def reveal(self, lookup: Mapping[str, str]) -> str:
        """Return the secret.

        Raises:
            MissingSecret: It is not among those given.
        """
        if self.__value is not None:
            return self.__value
        if missing := [name for name in _NAME.findall(self.__shown) if name not in lookup]:
            raise MissingSecret(f"the secret {missing[0]} is not defined")
        return _NAME.sub(lambda match: lookup[match[1]], self.__shown)

    def __str__(self) -> str:
        return self.__shown

    def __repr__(self) -> str:
        return f"Secret({self.__shown!r})"

    def __deepcopy__(self, _: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_reference:
            raise TypeError("a secret in clear does not leave the process")
        return type(self), (self.__shown,)


def is_reference(text: str) -> bool:
    """Whether a text is a reference to a secret, such as `${S3_SECRET}`."""
    return bool(_NAME.fullmatch(text))


def masked(document: Any) -> Any:
    """Return a document as people may see it: references as they are, secrets in clear masked."""
    return _with(document, str)


def stored(document: Any) -> Any:
    """Return a document as it may be stored: secrets as references.

    Raises:
        SecretInClear: It has a secret that is no reference.
    """
    if places := in_clear(document):
        raise SecretInClear(f"{places[0]} is a secret in clear")
    return masked(document)


def in_clear(document: Any) -> tuple[str, ...]:
    """Return the places of a document's secrets that are no references."""
    return tuple(place for place, secret in _secrets(document, "") if not secret.is_reference)


def revealed(document: Any, lookup: Mapping[str, str]) -> Any:
    """Return a document with its secrets, for the memory of the process that runs it.

    Raises:
        MissingSecret: A secret is not among those given.
    """
    return _with(document, lambda secret: secret.reveal(lookup))


def _with(node: Any, text: Callable[[Secret], str]) -> Any:
    match node:
        case Secret():
            return text(node)
        case Mapping():
            return {name: _with(value, text) for name, value in node.items()}
        case list() | tuple():
            return [_with(value, text) for value in node]
        case _:
            return node


def _secrets(node: Any, place: str) -> Iterator[tuple[str, Secret]]:
    match node:
        case Secret():
            yield place, node
        case Mapping():
            for name, value in node.items():
                yield from _secrets(value, f"{place}.{name}" if place else str(name))
        case list() | tuple():
            for index, value in enumerate(node):
                yield from _secrets(value, f"{place}[{index}]")
