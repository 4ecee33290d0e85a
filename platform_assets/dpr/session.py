"""A downlink session as a CADIP station describes it, and when it is complete.

A session is complete when every channel has its final block and all before it, each file is there with its announced size,
and what was retransferred has replaced what was there before.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import UnsafeKey
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import documents, naming, odata
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.transfer import Checksum, Expected

_BLOCK = re.compile(r"DCS_(?P<unit>[A-Z0-9]+)_(?P<session>[A-Z0-9_]+)_ch(?P<channel>\d)_DSDB_(?P<number>\d{5})\.raw")
_HIGHEST_PRIORITY = 24
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


class MalformedSession(PermanentError):
    """An OData session document is not readable, or contradicts itself."""

    code = "malformed_session"
    remedy = "Put the session's document as the station gives it, with $expand=Files, beside its blocks."


class _Entity(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class _File(_Entity):
    id: Annotated[str, Field(validation_alias=AliasChoices("Id", "id"))]
    name: Annotated[str, Field(validation_alias="Name")]
    size: Annotated[int, Field(validation_alias="Size", ge=0)]
    channel: Annotated[int | None, Field(validation_alias="Channel", ge=1)] = None
    number: Annotated[int | None, Field(validation_alias="BlockNumber", ge=0)] = None
    final: Annotated[bool | None, Field(validation_alias="FinalBlock")] = None
    retransfer: Annotated[bool | None, Field(validation_alias="Retransfer")] = None


class _Session(_Entity):
    session_id: Annotated[str, Field(validation_alias="SessionId", min_length=1)]
    channels: Annotated[int, Field(validation_alias="NumChannels", ge=1, le=9)]
    files: Annotated[tuple[_File, ...] | None, Field(validation_alias="Files")] = None


@dataclass(frozen=True, slots=True)
class Block:
    """A file of a session.

    Attributes:
        id: Its entity at the station; a retransfer has another one.
        name: Its file name.
        channel: Its channel; None for a file that is no block.
        number: Its place in the channel, from 1.
        is_final: Whether it is the channel's last one.
        is_retransfer: Whether it replaces one of the same name.
        size_bytes: Its announced size.
        published: When the station published it; None when it does not say.
        eviction: When the station removes it; None when it does not say.
        checksum: Its announced checksum, if any.
        row: Its OData entity.
    """

    id: str
    name: str
    channel: int | None
    number: int
    is_final: bool
    is_retransfer: bool
    size_bytes: int
    published: datetime | None
    eviction: datetime | None
    checksum: Checksum | None
    row: Mapping[str, Any]

    @property
    def expected(self) -> Expected:
        """What a transfer of it must bring."""
        return Expected(self.size_bytes, self.checksum)

    def is_evicted(self, now: datetime) -> bool:
        """Whether the station has removed it by now."""
        return self.eviction is not None and self.eviction <= now


@dataclass(frozen=True, slots=True)
class Session:
    """A downlink session.

    Attributes:
        id: Its SessionId.
        channels: How many channels it has.
        blocks: Its files, of each name the one that was published last.
        published: When the first and the last of it was published.
        row: Its OData entity, without the files.
    """

    id: str
    channels: int
    blocks: tuple[Block, ...]
    published: tuple[datetime, datetime]
    row: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        """The announced size of all files."""
        return sum(block.size_bytes for block in self.blocks)


def read_session(data: bytes, name: str, session_id: str | None = None) -> Session:
    """Return the session that an OData document is: a collection of one session, or the entity itself.

    Args:
        data: The document.
        name: What messages call it.
        session_id: The session that it must be of; None for any.

    Raises:
        MalformedSession: It is none, or that of another session.
    """
    document = documents.read_document(data, name, MalformedSession)
    rows = document.get("value", [document])
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise MalformedSession(f"{name}: `value` is no list of one session")
    return session_of(rows, name, session_id)


def session_of(rows: Iterable[odata.Row], name: str, session_id: str | None = None) -> Session:
    """Return the session that OData entities are: several are one that was transferred again.

    Raises:
        MalformedSession: They are of several sessions, of another one, or contradict themselves.
    """
    by_age = sorted(rows, key=lambda row: odata.moment(row, "PublicationDate") or _EARLIEST)
    entities = [_entity(row, name) for row in by_age]
    ids = {entity.session_id for entity in entities}
    if len(ids) != 1 or (session_id and ids != {session_id}):
        wanted = f"of session {session_id}" if session_id else "of one session"
        raise MalformedSession(f"{name} must be {wanted}; it is of {', '.join(sorted(quoted(found) for found in ids)) or 'none'}")
    found = entities[-1].session_id
    try:
        naming.session_collection(found)
    except UnsafeKey as error:
        raise MalformedSession(f"{name}: {error}") from None
    blocks: dict[str, Block] = {}
    for row, entity in zip(by_age, entities, strict=True):
        for file, file_row in zip(entity.files or (), row.get("Files") or (), strict=True):
            block = _block(file, file_row, found, name)
            if block.name not in blocks or _age(blocks[block.name]) <= _age(block):
                blocks[block.name] = block
    times = [odata.moment(row, "PublicationDate") for row in by_age] + [block.published for block in blocks.values()]
    known = [moment for moment in times if moment]
    if not known:
        raise MalformedSession(f"{name}: nothing says when it was published")
    inner = {key: value for key, value in by_age[-1].items() if key != "Files" and not key.startswith("@")}
    return Session(found, entities[-1].channels, tuple(sorted(blocks.values(), key=_place)), (min(known), max(known)), inner)


def _entity(row: odata.Row, name: str) -> _Session:
    try:
        return _Session.model_validate(row)
    except ValidationError as error:
        raise MalformedSession(documents.problems(name, error, ())) from None


def _block(file: _File, row: Mapping[str, Any], session: str, name: str) -> Block:
    try:
        naming.check_name(file.name, "the file")
    except UnsafeKey as error:
        raise MalformedSession(f"{name}: {error}") from None
    told = _BLOCK.fullmatch(file.name)
    channel, number = (int(told["channel"]), int(told["number"])) if told else (None, 0)
    if told and (told["session"] != session or file.channel not in (None, channel) or file.number not in (None, number)):
        raise MalformedSession(
            f"{name}: {quoted(file.name)} is listed as channel {file.channel}, block {file.number} of {session}, which its name denies"
        )
    return Block(
        id=file.id,
        name=file.name,
        channel=channel,
        number=number,
        is_final=bool(file.final),
        is_retransfer=bool(file.retransfer),
        size_bytes=file.size,
        published=odata.moment(row, "PublicationDate"),
        eviction=odata.moment(row, "EvictionDate"),
        checksum=odata.checksum(row),
        row=row,
    )


def _age(block: Block) -> tuple[datetime, bool]:
    return block.published or _EARLIEST, block.is_retransfer


def _place(block: Block) -> tuple[int, int, str]:
    return block.channel or 0, block.number, block.name


def lacking(session: Session, found: Mapping[str, ObjectRef], sources: Mapping[str, str]) -> tuple[str, ...]:
    """Return in words what a session lacks; nothing when it is complete.

    Args:
        session: The session as the station describes it.
        found: The objects beside its document, by file name.
        sources: The entity of which a file was made, by file name, as far as it is known of what was retransferred.
    """
    return (*_unlisted(session), *(words for _, words in absent(session, found, sources)))


def absent(session: Session, found: Mapping[str, ObjectRef], sources: Mapping[str, str]) -> tuple[tuple[Block, str], ...]:
    """Return the blocks that are not there as they are announced, each with what is wrong; arguments are those of `lacking`."""
    checked = ((block, _problem(block, found.get(block.name), sources.get(block.name))) for block in session.blocks)
    return tuple((block, words) for block, words in checked if words)


def _unlisted(session: Session) -> Iterator[str]:
    """Yield what the station itself has not listed."""
    channels: dict[int, dict[int, Block]] = {number: {} for number in range(1, session.channels + 1)}
    for block in session.blocks:
        if block.channel is not None:
            channels.setdefault(block.channel, {})[block.number] = block
    for channel, blocks in sorted(channels.items()):
        final = max((number for number, block in blocks.items() if block.is_final), default=None)
        if final is None:
            yield f"channel {channel} has no final block"
        last = max(blocks, default=0)
        if final is not None and last > final:
            yield f"channel {channel} has block {last} after its final block {final}"
        if gaps := [str(number) for number in range(1, last) if number not in blocks]:
            yield f"channel {channel} lacks {'block' if len(gaps) == 1 else 'blocks'} {', '.join(gaps)}"


def _problem(block: Block, ref: ObjectRef | None, source: str | None) -> str:
    if ref is None:
        return f"{block.name} is missing"
    if ref.size_bytes != block.size_bytes:
        return f"{block.name} has {ref.size_bytes:,} of {block.size_bytes:,} bytes"
    if block.is_retransfer and _is_old(block, ref, source):
        return f"{block.name} was retransferred and is still the old one"
    return ""


def _is_old(block: Block, ref: ObjectRef, source: str | None) -> bool:
    """Whether an object was there before a block of its name was transferred again."""
    if source is not None:
        return source != block.id
    if not block.published or not ref.modified:
        return False
    # Stores tell whole seconds.
    return datetime.fromisoformat(ref.modified) < block.published.replace(microsecond=0)


def began(session_id: str) -> datetime | None:
    """Return when a session began, as its id says; None when that is no time."""
    try:
        return datetime.strptime(session_id[4:18], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def first_eviction(blocks: Iterable[Block]) -> datetime | None:
    """Return when the station removes the first of these blocks; None when it says of none."""
    return min((block.eviction for block in blocks if block.eviction), default=None)


def priority(eviction: datetime | None, now: datetime) -> int:
    """Return how urgent something is that is evicted then: 0 until a day before, and one more for each hour, up to 24."""
    if eviction is None:
        return 0
    hours_left = (eviction - now).total_seconds() / 3600
    return max(0, min(_HIGHEST_PRIORITY, int(_HIGHEST_PRIORITY - hours_left)))
