"""A sample of everything that on-demand processing needs: a session, auxiliary files, a task table, a request.

The pipeline `full` of the processor `sample_l0` has two units and three auxiliary files: of `ORB` only the second alternative
finds one, and of `ETAD`, which is optional, there is none.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from platform_assets.common.stac import FILE_EXTENSION
from platform_assets.dpr import moments, naming

Document = dict[str, Any]

START = datetime(2026, 5, 1, 4, 10, tzinfo=UTC)
"""When the downlink of the sample session begins."""

PROCESSOR, VERSION, PIPELINE = "sample_l0", "1.0", "full"
AUX_COLLECTION = "s01-aux"

_CADU_BYTES = 1024
_SYNC = bytes.fromhex("1acffc1d")
_FLIGHT = timedelta(minutes=12)
_RESOURCES = {
    "dask": {"worker_cpu": 1, "worker_ram": "2GB", "worker_thread_count": 1, "worker_count": 1},
    "disk": {"size_per_worker": "1GB"},
}


@dataclass(frozen=True, slots=True)
class SampleSession:
    """A downlink session.

    Attributes:
        id: Its SessionId.
        row: Its OData entity with its files.
        blocks: Content by file name.
    """

    id: str
    row: Mapping[str, Any]
    blocks: Mapping[str, bytes]

    @property
    def document(self) -> Document:
        """The OData document that is dropped beside the blocks."""
        return {"@odata.context": "$metadata#Sessions", "value": [dict(self.row)]}


@dataclass(frozen=True, slots=True)
class SampleAdf:
    """An auxiliary file.

    Attributes:
        name: Its file name, also the id of its item.
        product_type: Its type.
        start: Since when it is valid.
        end: Until when.
        created: When it was made.
        content: Its content.
        platform: The platform that it is for.
    """

    name: str
    product_type: str
    start: datetime
    end: datetime
    created: datetime
    content: bytes = field(repr=False)
    platform: str = "sentinel-1a"

    def item(self, collection: str, href: str) -> Document:
        """Return its STAC item."""
        checksums = {"file:size": len(self.content), "file:checksum": "1220" + hashlib.sha256(self.content).hexdigest()}
        times = {"datetime": self.start, "start_datetime": self.start, "end_datetime": self.end, "created": self.created}
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [FILE_EXTENSION],
            "id": self.name,
            "collection": collection,
            "geometry": None,
            "properties": {name: moments.written(moment) for name, moment in times.items()}
            | {"product:type": self.product_type, "platform": self.platform},
            "links": [],
            "assets": {self.name: {"href": href, "type": "application/xml", "roles": ["data"], **checksums}},
        }


def make_session(
    *,
    satellite: str = "S1A",
    start: datetime = START,
    orbit: int = 56552,
    channels: int = 2,
    blocks: int = 3,
    block_bytes: int = 64 << 10,
    eviction: datetime | None = None,
    seed: int = 0,
) -> SampleSession:
    """Return a session whose blocks are CADUs of pseudo-random content; the last block of a channel is half as large.

    Args:
        satellite: Such as `S1A`.
        start: When its downlink begins; its id has it.
        orbit: Its absolute orbit; its id has it.
        channels: Its channels.
        blocks: Blocks of each channel.
        block_bytes: Size of a block, about.
        eviction: When the station removes the blocks; None for a week after they are published.
        seed: Of the content.
    """
    session = f"{satellite}_{start:%Y%m%d%H%M%S}{orbit:06d}"
    contents: dict[str, bytes] = {}
    files: list[Document] = []
    for number in range(1, blocks + 1):
        published = start + _FLIGHT * number / blocks
        for channel in range(1, channels + 1):
            name = f"DCS_04_{session}_ch{channel}_DSDB_{number:05d}.raw"
            contents[name] = cadus(f"{seed}/{name}", block_bytes // (2 if number == blocks else 1))
            files.append(
                block_row(name, contents[name], published, eviction or published + timedelta(days=7))
                | {"SessionId": session, "Channel": channel, "BlockNumber": number, "FinalBlock": number == blocks, "Retransfer": False}
            )
    row = _session_row(session, satellite, start, orbit, channels) | {"Files": files}
    return SampleSession(session, row, contents)


def _session_row(session: str, satellite: str, start: datetime, orbit: int, channels: int) -> Document:
    return {
        "Id": _uuid(session),
        "SessionId": session,
        "NumChannels": channels,
        "PublicationDate": moments.written(start + _FLIGHT),
        "Satellite": satellite,
        "StationUnitId": "04",
        "DownlinkOrbit": orbit,
        "AcquisitionId": f"{orbit}_1",
        "AntennaId": "SAMPLE1",
        "FrontEndId": "SAMPLE-FE1",
        "Retransfer": False,
        "AntennaStatusOK": True,
        "FrontEndStatusOK": True,
        "PlannedDataStart": moments.written(start),
        "PlannedDataStop": moments.written(start + _FLIGHT),
        "DownlinkStart": moments.written(start),
        "DownlinkStop": moments.written(start + _FLIGHT),
        "DownlinkStatusOK": True,
        "DeliveryPushOK": True,
    }


def block_row(name: str, content: bytes, published: datetime, eviction: datetime) -> Document:
    """Return what an OData entity says of a file's content and times; another content is another entity."""
    return {
        "Id": _uuid(name, content),
        "Name": name,
        "Size": len(content),
        "PublicationDate": moments.written(published),
        "EvictionDate": moments.written(eviction),
        "Checksum": [{"Algorithm": "MD5", "Value": hashlib.md5(content, usedforsecurity=False).hexdigest()}],
    }


def cadus(seed: str, size_bytes: int) -> bytes:
    """Return channel access data units: 1,024 bytes each, a sync marker and pseudo-random content."""
    source = random.Random(seed)  # noqa: S311 - no secret
    return b"".join(_SYNC + source.randbytes(_CADU_BYTES - len(_SYNC)) for _ in range(max(1, size_bytes // _CADU_BYTES)))


def make_adfs(start: datetime = START, satellite: str = "S1A") -> list[SampleAdf]:
    """Return the auxiliary files of a session that begins then: two orbit schedules, the later one to be taken, and a restituted orbit."""
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    valid = (day - timedelta(days=1), day + timedelta(days=2))
    rows = [("MPL_ORBSCT", day - timedelta(days=3)), ("MPL_ORBSCT", day - timedelta(days=1)), ("AUX_RESORB", day)]
    return [_adf(satellite, product_type, *valid, created) for product_type, created in rows]


def _adf(satellite: str, product_type: str, start: datetime, end: datetime, created: datetime) -> SampleAdf:
    times = "_".join(f"{moment:%Y%m%dT%H%M%S}" for moment in (created, start, end))
    name = f"{satellite}_OPER_{product_type}_{times}.EOF"
    content = f'<?xml version="1.0"?>\n<Earth_Explorer_File><File_Name>{name}</File_Name></Earth_Explorer_File>\n'.encode()
    return SampleAdf(name, product_type, start, end, created, content, _platform(satellite))


def make_task_table() -> Document:
    """Return the task table of the sample's processor, of specification 2.0."""
    return {
        "$schema": "TaskTable.schema.json",
        "tasktable": {
            "name": PROCESSOR,
            "version": VERSION,
            "specification_version": "2.0_draftA",
            "update_datetime": "2026-05-01T00:00:00Z",
            "configuration_path": {},
        },
        "external_variables": ["start_datetime", "end_datetime", "satellite"],
        "external_modules": [],
        "units": [
            _unit("Demultiplex", "S1CADUS", "ISP", {"OSF": True}),
            _unit("Level0", "ISP", "S01SIWRAW", {"ORB": True, "ETAD": False}),
        ],
        "io": {
            "input": [{"name": "S1CADUS", "type": "folder", "engine": "cadu"}, {"name": "ISP", "type": "file", "engine": "cpm_zarr"}],
            "adfs": [
                _auxiliary("OSF", "MPL_ORBSCT"),
                _auxiliary("ORB", "AUX_POEORB", "AUX_RESORB"),
                _auxiliary("ETAD", "IW_ETA__AX"),
            ],
            "output": [
                {"name": name, "type": "file", "engine": "cpm_zarr", "writer_params": {"mode": "w"}} for name in ("ISP", "S01SIWRAW")
            ],
        },
        "queries": [_query()],
        "pipelines": [
            {
                "name": PIPELINE,
                "description": "Session to level 0",
                "steps": [
                    _step(1, "Demultiplex", {"S1CADUS": "pipeline_input"}, {"ISP": "pipeline_internal"}),
                    _step(2, "Level0", {"ISP": "Demultiplex.1.ISP"}, {"S01SIWRAW": "pipeline_output"}),
                ],
            }
        ],
    }


def _query() -> Document:
    """Return the query for what is valid for the whole time and some seconds beyond; the newest of it."""
    own = {"interval": [{"property": "start_datetime"}, {"property": "end_datetime"}]}
    wanted = [{"op": "-", "args": ["{start_datetime}", "{dTa}"]}, {"op": "+", "args": ["{end_datetime}", "{dTb}"]}]
    is_type = {"op": "=", "args": [{"property": "product:type"}, "{product_type}"]}
    covers = {"op": "t_contains", "args": [own, {"interval": wanted}]}
    return {
        "name": "LatestValCover",
        "parameters": ["product_type", "start_datetime", "end_datetime", "dTa", "dTb"],
        "stac": {
            "filter": {"op": "and", "args": [is_type, covers]},
            "sortby": [{"field": "created", "direction": "desc"}],
            "limit": 1,
        },
    }


def _unit(name: str, taken: str, made: str, adfs: Mapping[str, bool]) -> Document:
    return {
        "name": name,
        "module": "sample.l0",
        "resources_min": _RESOURCES,
        "input_products": [{"name": taken, "mandatory": True}],
        "input_adfs": [{"name": adf, "mandatory": mandatory} for adf, mandatory in adfs.items()],
        "output_products": [{"name": made, "mandatory": True}],
    }


def _auxiliary(name: str, *product_types: str) -> Document:
    times = {name: f"{{external_variable.{name}}}" for name in ("start_datetime", "end_datetime")}
    return {
        "name": name,
        "type": "file",
        "engine": "cpm_safe",
        "alternatives": [
            {
                "order": order,
                "timeout_seconds": 30,
                "query": {"name": "LatestValCover", "parameters": {"product_type": product_type, **times, "dTa": 60, "dTb": 60}},
            }
            for order, product_type in enumerate(product_types, 1)
        ],
    }


def _step(number: int, unit: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Document:
    return {"unit_name": unit, "step_id": number, "input_products": dict(inputs), "output_products": dict(outputs)}


def make_request(session: SampleSession) -> Document:
    """Return the request to process a session with the sample's processor."""
    return {
        "processor_name": PROCESSOR,
        "processor_version": VERSION,
        "pipeline": PIPELINE,
        "satellite": _platform(str(session.row["Satellite"])),
        "start_datetime": session.row["DownlinkStart"],
        "end_datetime": session.row["DownlinkStop"],
        "input_products": [{"name": "S1CADUS", "item_id": session.id, "collection_name": naming.session_collection(session.id)}],
        "generated_product_to_collection_identifier": [
            {"name": "S01SIWRAW", "product_type": "*", "collection_name": "s01siwraw"},
            {"name": "ISP", "product_type": "*", "collection_name": "s01isp"},  # goes no further, but lies somewhere meanwhile
        ],
        "auxiliary_product_to_collection_identifier": [{"product_type": "*", "collection_name": AUX_COLLECTION}],
    }


def _platform(satellite: str) -> str:
    """Return the STAC platform of a satellite such as `S1A`."""
    return f"sentinel-{satellite[1]}{satellite[2:].lower()}"


def _uuid(name: str, content: bytes = b"") -> str:
    return str(uuid5(NAMESPACE_URL, f"{name}/{hashlib.sha256(content).hexdigest()}"))
