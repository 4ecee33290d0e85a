"""A session of a real station, and the Reference System's own mappings to STAC; collected as `test_reference_files.py` is."""

import json
import os
from pathlib import Path
from typing import Any

from platform_assets.common.values import ObjectRef
from platform_assets.dpr.session import Session, lacking, read_session
from platform_assets.dpr.session_stac import session_item
from tests.builders.stac_validation import validation_error

DATA = Path(os.environ["GROUNDTRACK_SHARED_DATA"])
DOCUMENT = (DATA / "cadip" / "odata_session_S1A_20241114143038056552.json").read_bytes()
UNSPELLED = {"id": "Id", "SessionID": "SessionId"}  # the mappings' own spelling of these two


def session() -> Session:
    return read_session(DOCUMENT, "session.json", "S1A_20241114143038056552")


def whole() -> dict[str, ObjectRef]:
    return {block.name: ObjectRef(f"sessions/{block.name}", block.id, block.size_bytes) for block in session().blocks}


def mapping(name: str) -> dict[str, str]:
    found = json.loads((DATA / "odata_mapping" / name).read_text())
    return {target: UNSPELLED.get(field, field) for target, field in found.items()}


def test_a_real_session_has_19_blocks_in_each_of_2_channels_and_is_complete_with_all_of_them() -> None:
    blocks = session().blocks
    assert [(block.channel, block.number) for block in blocks] == [(channel, number) for channel in (1, 2) for number in range(1, 20)]
    assert [(block.channel, block.number) for block in blocks if block.is_final] == [(1, 19), (2, 19)]
    assert lacking(session(), whole(), {}) == ()


def test_a_real_session_without_its_last_block_waits_for_it() -> None:
    found = whole()
    del found["DCS_04_S1A_20241114143038056552_ch2_DSDB_00019.raw"]
    assert lacking(session(), found, {}) == ("DCS_04_S1A_20241114143038056552_ch2_DSDB_00019.raw is missing",)


def test_the_item_has_every_property_of_the_mappings() -> None:
    [row] = json.loads(DOCUMENT)["value"]
    item: dict[str, Any] = session_item(session(), whole(), "raw")
    for target, field in mapping("cadip_sessions_stac_mapper.json").items():
        assert (item["id"] if target == "id" else item["properties"][target]) == row[field], target
    for file in row["Files"]:
        asset = item["assets"][file["Name"]]
        for target, field in mapping("cadip_stac_mapper.json").items():
            assert (file["Name"] if target == "id" else asset[target]) == file[field], target
    assert validation_error(item) == ""
