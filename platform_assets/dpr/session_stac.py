"""The STAC item of a session, as the Reference System's CADIP catalogue has it: an asset a block."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from platform_assets.common import stac
from platform_assets.common.stac import CollectionInfo
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import moments, naming, odata
from platform_assets.dpr.session import Block, Session

DIGEST = "groundtrack:digest"
"""The property that tells one state of a session from another."""

_PROPERTIES = {
    "start_datetime": "DownlinkStart",
    "datetime": "DownlinkStart",
    "end_datetime": "DownlinkStop",
    "published": "PublicationDate",
    "platform": "Satellite",
    "sat:absolute_orbit": "DownlinkOrbit",
    "cadip:num_channels": "NumChannels",
    "cadip:station_unit_id": "StationUnitId",
    "cadip:acquisition_id": "AcquisitionId",
    "cadip:antenna_id": "AntennaId",
    "cadip:front_end_id": "FrontEndId",
    "cadip:retransfer": "Retransfer",
    "cadip:antenna_status_ok": "AntennaStatusOK",
    "cadip:front_end_status_ok": "FrontEndStatusOK",
    "cadip:planned_data_start": "PlannedDataStart",
    "cadip:planned_data_stop": "PlannedDataStop",
    "cadip:downlink_status_ok": "DownlinkStatusOK",
    "cadip:delivery_push_ok": "DeliveryPushOK",
}
"""Field of OData by property of STAC."""

_ASSET = {
    "cadip:retransfer": "Retransfer",
    "cadip:final_block": "FinalBlock",
    "cadip:block_number": "BlockNumber",
    "cadip:channel": "Channel",
    "cadip:session_id": "SessionId",
    "created": "PublicationDate",
    "eviction_datetime": "EvictionDate",
    "file:size": "Size",
}


def digest(session: Session, found: Mapping[str, ObjectRef]) -> str:
    """Return what tells a state of a session from others: its document, and the versions of its blocks.

    Args:
        session: The session.
        found: The objects of its blocks, by file name.
    """
    blocks = [[block.id, dict(block.row), found[block.name].etag] for block in session.blocks]
    canonical = json.dumps([dict(session.row), blocks], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def session_item(session: Session, found: Mapping[str, ObjectRef], bucket: str) -> dict[str, Any]:
    """Return the item of a session that is complete.

    Args:
        session: The session.
        found: The objects of its blocks, by file name.
        bucket: The bucket that has them.
    """
    row = session.row
    properties = {name: row.get(field) for name, field in _PROPERTIES.items()}
    kept = {name: value for name, value in properties.items() if value is not None or name.startswith("cadip:")}
    start = kept.get("start_datetime") or moments.written(session.published[0])
    times = {"datetime": start, "start_datetime": start, "end_datetime": kept.get("end_datetime") or start}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [stac.TIMESTAMPS_EXTENSION, stac.FILE_EXTENSION],
        "id": session.id,
        "collection": naming.session_collection(session.id),
        "geometry": None,
        "properties": kept
        | times
        | {
            "cadip:id": odata.identifier(row),
            # Since the last of it was published, all of it can be processed.
            "eopf:origin_datetime": moments.written(session.published[1]),
            DIGEST: digest(session, found),
        },
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": stac.JSON},
            {"rel": "collection", "href": "../collection.json", "type": stac.JSON},
            {"rel": "parent", "href": "./catalog.json", "type": stac.JSON},
        ],
        "assets": {block.name: _asset(block, found[block.name], bucket) for block in session.blocks},
    }


def collection(session_id: str) -> CollectionInfo:
    """Return the collection of a session's mission."""
    name = naming.session_collection(session_id)
    mission = f"Sentinel-{int(name[1:3])}"
    return CollectionInfo(
        name,
        f"{mission} sessions",
        f"Downlink sessions of {mission}: the raw blocks of all channels, complete.",
        keywords=("CADU", mission),
    )


def _asset(block: Block, ref: ObjectRef, bucket: str) -> dict[str, Any]:
    fields = {name: block.row.get(field) for name, field in _ASSET.items()}
    return {
        "href": stac.s3_href(bucket, ref.key),
        "type": "application/octet-stream",
        "roles": ["data"],
        "cadip:id": block.id,
        **{name: value for name, value in fields.items() if value is not None},
        "groundtrack:etag": ref.etag,
    }
