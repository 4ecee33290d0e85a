from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_assets.common.values import ObjectRef
from platform_assets.dpr import sample
from platform_assets.dpr.session import (
    MalformedSession,
    Session,
    absent,
    began,
    first_eviction,
    lacking,
    priority,
    read_session,
    session_of,
)
from platform_assets.dpr.session_stac import collection, digest, session_item
from tests.builders.dpr import as_json
from tests.builders.stac_validation import validation_error

SAMPLE = sample.make_session(blocks=3)
NOW = datetime(2026, 5, 2, tzinfo=UTC)


def whole(session: Session, modified: str = "2026-05-01T06:00:00Z") -> dict[str, ObjectRef]:
    return {
        block.name: ObjectRef(f"sessions/{session.id}/{block.name}", f"etag-{block.id}", block.size_bytes, modified)
        for block in session.blocks
    }


def read(document: Any = None) -> Session:
    return read_session(as_json(SAMPLE.document if document is None else document), "session.json", SAMPLE.id)


def files(*leave_out: str, **changes: Any) -> Any:
    rows = [row | changes for row in SAMPLE.row["Files"] if not any(part in row["Name"] for part in leave_out)]
    return {"value": [{**SAMPLE.row, "Files": rows}]}


def retransferred(name: str, **changes: Any) -> Any:
    """The document with one block transferred again, one day later."""
    [old] = [row for row in SAMPLE.row["Files"] if name in row["Name"]]
    again = old | {"Id": "again", "Retransfer": True, "PublicationDate": "2026-05-02T04:00:00.500Z"} | changes
    return {"value": [{**SAMPLE.row, "Files": [*SAMPLE.row["Files"], again]}]}


def test_a_session_with_all_its_blocks_lacks_nothing() -> None:
    session = read()
    assert (session.id, session.channels, len(session.blocks)) == (SAMPLE.id, 2, 6)
    assert [(block.channel, block.number, block.is_final) for block in session.blocks[:3]] == [(1, 1, False), (1, 2, False), (1, 3, True)]
    assert lacking(session, whole(session), {}) == ()


def test_a_block_that_has_not_arrived_is_named() -> None:
    session = read()
    found = whole(session)
    gone = session.blocks[4].name
    del found[gone]
    assert lacking(session, found, {}) == (f"{gone} is missing",)


def test_a_block_of_another_size_than_announced_is_not_whole() -> None:
    session = read()
    found = whole(session)
    name = session.blocks[0].name
    found[name] = replace(found[name], size_bytes=7)
    assert lacking(session, found, {}) == (f"{name} has 7 of 65,536 bytes",)


@pytest.mark.parametrize(
    ("leave_out", "told"),
    [
        ("ch2_DSDB_00003", "channel 2 has no final block"),
        ("ch1_DSDB_00002", "channel 1 lacks block 2"),
        ("ch2", "channel 2 has no final block"),
    ],
)
def test_what_the_station_has_not_listed_is_lacking_though_all_that_is_listed_is_there(leave_out: str, told: str) -> None:
    session = read(files(leave_out))
    assert lacking(session, whole(session), {}) == (told,)


def test_a_block_after_the_final_one_is_told() -> None:
    document = files()
    document["value"][0]["Files"][2]["FinalBlock"] = True  # channel 1, block 2
    session = read(document)
    assert lacking(session, whole(session), {}) == ()  # block 3 is final, too
    document["value"][0]["Files"][4]["FinalBlock"] = False
    session = read(document)
    assert lacking(session, whole(session), {}) == ("channel 1 has block 3 after its final block 2",)


def test_a_session_without_files_lacks_every_channel() -> None:
    session = read({"value": [{**SAMPLE.row, "Files": None}]})
    assert lacking(session, {}, {}) == ("channel 1 has no final block", "channel 2 has no final block")


# --- retransfers -----------------------------------------------------------------------------------------------------


def test_of_a_retransferred_block_only_the_new_one_counts() -> None:
    session = read(retransferred("ch1_DSDB_00001", Size=10))
    block = session.blocks[0]
    assert (block.id, block.size_bytes, len(session.blocks)) == ("again", 10, 6)


def test_a_session_waits_until_a_retransferred_block_of_the_same_size_has_replaced_the_old_one() -> None:
    session = read(retransferred("ch1_DSDB_00001"))
    name = session.blocks[0].name
    assert lacking(session, whole(session), {}) == (f"{name} was retransferred and is still the old one",)
    assert lacking(session, whole(session, modified="2026-05-02T04:00:00Z"), {}) == ()


def test_a_block_of_which_the_entity_is_known_needs_no_clock() -> None:
    session = read(retransferred("ch1_DSDB_00001"))
    name, late = session.blocks[0].name, whole(session, modified="2026-05-03T00:00:00Z")
    assert lacking(session, late, {name: "the old one"})
    assert not lacking(session, whole(session), {name: "again"})


def test_a_session_that_was_transferred_again_as_a_whole_is_one_session() -> None:
    again = {**SAMPLE.row, "Id": "second", "PublicationDate": "2026-05-02T00:00:00Z", "Retransfer": True, "Files": []}
    session = session_of([again, SAMPLE.row], "station", SAMPLE.id)
    assert session.row["Id"] == "second"
    assert len(session.blocks) == 6


# --- eviction --------------------------------------------------------------------------------------------------------


def test_priority_rises_as_eviction_nears() -> None:
    hours = [100, 24, 23, 12, 1, 0, -5]
    assert [priority(NOW + timedelta(hours=left), NOW) for left in hours] == [0, 0, 1, 12, 23, 24, 24]
    assert priority(None, NOW) == 0


def test_the_first_eviction_is_that_of_what_is_still_absent() -> None:
    session = read()
    found = whole(session)
    del found[session.blocks[1].name]
    [(block, _)] = absent(session, found, {})
    assert first_eviction([block]) == block.eviction
    assert block.is_evicted(datetime(2026, 6, 1, tzinfo=UTC))
    assert not block.is_evicted(NOW)


def test_an_id_tells_when_its_session_began() -> None:
    assert began("S1A_20260501041000056552") == datetime(2026, 5, 1, 4, 10, tzinfo=UTC)
    assert began("S1A_20261301041000056552") is None


# --- documents that are none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"value": []}, "no list of one session"),
        ({"value": [{**SAMPLE.row, "SessionId": "S1A_20260501041000056553"}]}, "must be of session S1A_20260501041000056552"),
        ({**SAMPLE.row, "NumChannels": 0}, "NumChannels"),
        (files(Size=-1), r"Files\[0\].Size"),
        (files(Name="../x.raw"), "no safe name"),
        (files(Name="DCS_04_S1A_20260501041000056552_ch2_DSDB_00009.raw"), "which its name denies"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused_with_the_place(document: Any, told: str) -> None:
    with pytest.raises(MalformedSession, match=told):
        read(document)


def test_a_session_of_no_sentinel_is_refused() -> None:
    with pytest.raises(MalformedSession, match="no session"):
        read_session(as_json({**SAMPLE.row, "SessionId": "X1A_1", "Files": []}), "session.json")


# --- the item --------------------------------------------------------------------------------------------------------


def test_the_item_has_an_asset_a_block_and_passes_the_validator() -> None:
    session = read()
    item = session_item(session, whole(session), "raw")
    first = item["assets"][session.blocks[0].name]
    assert (item["id"], item["collection"], collection(session.id).id) == (SAMPLE.id, "s01-cadip-session", "s01-cadip-session")
    assert item["properties"]["eopf:origin_datetime"] == "2026-05-01T04:22:00.000Z"
    assert (item["properties"]["cadip:num_channels"], item["properties"]["platform"]) == (2, "S1A")
    assert (first["href"], first["cadip:channel"], first["file:size"]) == (
        f"s3://raw/sessions/{session.id}/{session.blocks[0].name}",
        1,
        65536,
    )
    assert validation_error(item) == ""


def test_another_version_of_a_block_is_another_state_of_the_session() -> None:
    session = read()
    found = whole(session)
    other = found | {session.blocks[0].name: replace(found[session.blocks[0].name], etag="other")}
    assert digest(session, found) != digest(session, other)
    assert digest(session, found) == digest(read(), found)
