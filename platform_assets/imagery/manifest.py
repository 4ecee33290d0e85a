"""The manifest: a CSV of `key,bands`, one row an image, read strictly and row by row.

A row that cannot be right is a failed row with a reason and harms no other; only what cannot be read as a CSV at all
rejects the manifest. Tolerated, because seen in the wild: a byte order mark, CRLF, quotes, blank lines, a header row.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

from platform_assets.common.errors import Conflict, PermanentError
from platform_assets.common.keys import partition_key, shown
from platform_assets.common.values import Failure
from platform_assets.imagery import naming

_STAGE = "manifest"
_MAX_BANDS = 65_535  # TIFF counts samples a pixel in 16 bits


class RejectedManifest(PermanentError):
    """A manifest that cannot be read as a CSV of `key,bands`."""

    code = "bad_manifest"
    remedy = "Drop a CSV in UTF-8 with the two columns key,bands; see the README."


class BadRow(PermanentError):
    """A row of a manifest that is not `key,bands`."""

    code = "bad_row"
    remedy = "Correct the row and drop the corrected rows again."


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest.

    Attributes:
        line: Where it starts in the file, from 1.
        fields: Its columns as given.
        key: The image's object key; empty when the row has none that could be one.
        bands: The band count it claims; 0 when it claims none that could be one.
        problem: Why it is refused without looking at the image; None when it is not.
    """

    line: int
    fields: tuple[str, ...]
    key: str = ""
    bands: int = 0
    problem: Failure | None = None


def parse(data: bytes, *, input_prefix: str) -> tuple[Row, ...]:
    """Return the rows of a manifest; rows that cannot be right carry their problem.

    Args:
        data: The file.
        input_prefix: Keys must lie under it.

    Raises:
        RejectedManifest: The file is empty, binary, not UTF-8, or not a CSV.
    """
    rows = [_row(line, fields, input_prefix) for line, fields in _records(_decoded(data))]
    if not rows:
        raise RejectedManifest("the manifest has no rows")
    return tuple(_without_collisions(rows))


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise RejectedManifest("the manifest is binary or UTF-16: it has zero bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RejectedManifest(f"the manifest is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}") from error


def _records(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields) and not _is_header(line, fields):
                yield line, tuple(fields)
            line = reader.line_num + 1
    except csv.Error as error:
        raise RejectedManifest(f"the manifest is not a CSV: line {line}: {error}") from error


def _is_header(line: int, fields: list[str]) -> bool:
    return line == 1 and [field.strip().lower() for field in fields] == ["key", "bands"]


def _row(line: int, fields: tuple[str, ...], input_prefix: str) -> Row:
    try:
        key, bands = _columns(fields)
        naming.checked_image_key(key)
        partition_key(key)
        if not key.startswith(input_prefix):
            raise BadRow(f"{shown(key)} does not lie under the input prefix {shown(input_prefix)}", code="outside_input_prefix")
        return Row(line, fields, key, bands)
    except PermanentError as error:
        return Row(line, fields, fields[0], 0, _failure(line, error))


def _columns(fields: tuple[str, ...]) -> tuple[str, int]:
    if len(fields) == 3 and fields[2].strip().isdecimal():
        raise BadRow("three columns: this is the old form `image.tif,image.jpg,bands`; drop the middle column")
    if len(fields) != 2:
        columns = "one column" if len(fields) == 1 else f"{len(fields)} columns"
        raise BadRow(f"{columns} instead of the two of `key,bands`")
    key, bands = fields[0], fields[1].strip()
    if not (bands.isascii() and bands.isdecimal() and 1 <= int(bands[:6]) <= _MAX_BANDS):
        raise BadRow(f"{shown(key)}: the band count {shown(bands, 40)} is not a number from 1 to {_MAX_BANDS}")
    return key, int(bands)


def _without_collisions(rows: list[Row]) -> Iterator[Row]:
    """Refuse rows whose image, in any spelling, or whose JPEG an earlier row has: the first one wins."""
    taken: dict[str, Row] = {}
    for row in rows:
        if row.problem:
            yield row
            continue
        jpeg = naming.jpeg_key(row.key).casefold()
        first = taken.setdefault(jpeg, row)
        yield row if first is row else Row(row.line, row.fields, row.key, row.bands, _failure(row.line, _collision(row, first)))


def _collision(row: Row, first: Row) -> Conflict:
    if row.key == first.key:
        return Conflict(
            f"{shown(row.key)} stands in line {first.line} already", code="duplicate_row", remedy="Nothing: the first row counts."
        )
    if row.key.casefold() == first.key.casefold():
        return Conflict(f"{shown(row.key)} differs only in case from {shown(first.key)} in line {first.line}", code="key_collision")
    return Conflict(
        f"{shown(row.key)} would have the same JPEG as {shown(first.key)} in line {first.line}: {shown(naming.jpeg_key(row.key))}",
        code="key_collision",
    )


def _failure(line: int, error: PermanentError) -> Failure:
    return Failure(_STAGE, error.code, f"line {line}: {error}", error.remedy)
