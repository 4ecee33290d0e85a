"""What is said of a file that a station sends: what is expected, what arrived, what can go wrong on the way."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from platform_assets.common.errors import PermanentError, TransientError

_CHUNK_BYTES = 1 << 20
_MULTIHASHES = {"1220": ("sha256", 64), "d50110": ("md5", 32), "1114": ("sha1", 40), "1340": ("sha512", 128), "1620": ("sha3_256", 64)}
"""Algorithm and hexadecimal digits of a digest by the code and length that a multihash begins with."""


class StationUnavailable(TransientError):
    """A station cannot be reached, is overloaded, or answered with a server error, as often as it was asked."""

    code = "station_unavailable"


class StationTimeout(TransientError):
    """A station did not answer within the time that it was given."""

    code = "station_timeout"
    remedy = "Try again later, or give the station more time."


class StationRefused(PermanentError):
    """A station refuses what it is asked."""

    code = "station_refused"
    remedy = "Check the station's address and credentials; the message has its answer."


class FileGone(PermanentError):
    """A station lists a file that it does not have, or no longer."""

    code = "file_gone"
    remedy = "Ask the station for the file again; what was evicted can be had from the long-term archive only."


class CorruptTransfer(TransientError):
    """What arrived is not what the station announced, as often as it was fetched."""

    code = "corrupt_transfer"
    remedy = "Retry later; if it persists, tell the station: the file and what it announces do not fit."


@dataclass(frozen=True, slots=True)
class Checksum:
    """The checksum of a file.

    Attributes:
        algorithm: As `hashlib` calls it, such as `md5`.
        hexadecimal: The digest in lower case.
    """

    algorithm: str
    hexadecimal: str

    @classmethod
    def named(cls, algorithm: str, hexadecimal: str) -> Self | None:
        """Return the checksum of an algorithm as stations spell it, such as `MD5` or `SHA3-256`; None when it cannot be computed."""
        name = algorithm.strip().lower().replace("-", "_")
        name = f"sha{name[4:]}" if name.startswith("sha_") else name
        return cls(name, hexadecimal.strip().lower()) if name in hashlib.algorithms_available and "shake" not in name else None

    @classmethod
    def of_multihash(cls, text: str) -> Self | None:
        """Return the checksum that a multihash in hexadecimal is, as STAC's `file:checksum`; None when it cannot be computed."""
        for begin, (algorithm, digits) in _MULTIHASHES.items():
            if text.lower().startswith(begin) and len(text) == len(begin) + digits:
                return cls(algorithm, text[len(begin) :].lower())
        return None

    @property
    def multihash(self) -> str:
        """The checksum as a multihash in hexadecimal, as STAC's `file:checksum`; empty when there is none by this algorithm."""
        return next((begin + self.hexadecimal for begin, (name, _) in _MULTIHASHES.items() if name == self.algorithm), "")

    def of(self, path: Path) -> str:
        """Return the digest that a file has by this algorithm."""
        digest = hashlib.new(self.algorithm, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a station says of a file.

    Attributes:
        size_bytes: Its size; None when it is not told.
        checksum: Its checksum; None when it is not told, or by an algorithm that is not to be had.
    """

    size_bytes: int | None = None
    checksum: Checksum | None = None

    def problem(self, path: Path) -> str:
        """Return in words how a file differs from what is expected; empty when it does not."""
        size = path.stat().st_size
        if self.size_bytes is not None and size != self.size_bytes:
            return f"{size:,} bytes arrived, {self.size_bytes:,} are announced"
        if self.checksum and (found := self.checksum.of(path)) != self.checksum.hexadecimal:
            return f"the {self.checksum.algorithm} is {found}, announced is {self.checksum.hexadecimal}"
        return ""


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived.

    Attributes:
        size_bytes: Its size.
        attempts: How many requests it took.
        resumed: How many of them went on where one before broke off.
    """

    size_bytes: int
    attempts: int
    resumed: int
