"""What the web UI is told of a request: every step of its way, and the way back from an item."""

import pytest

from platform_assets.common.values import ObjectRef, Outcome, State
from platform_assets.dpr.claim import ClaimedRequest
from platform_assets.dpr.events import reached_events, request_event, step_events
from platform_assets.dpr.specs import STEP_KEYS
from platform_assets.dpr.workshop import RequestJob
from tests.builders import dpr as documents

SEARCH = {
    "unit": "Calib.1",
    "adf": "ORB",
    "mandatory": True,
    "attempts": [
        {"order": 1, "query": "ValCover", "collection": "orbits", "source": "auxip", "found": []},
        {"order": 2, "query": "ValCover", "collection": "aux", "source": "auxip", "found": ["ORB_NEW"]},
    ],
}
FACTS = {
    "table": {"key": "dpr/tasktables/wave.json", "name": "wave", "version": "1.2", "specification": "2.0_draftA"},
    "units": [{"name": "Calib.1", "module": "wave.calib", "input_products": [{"name": "slc", "origin": "pipeline_input"}],
               "input_adfs": [{"name": "ORB"}], "output_products": [{"name": "cal", "origin": "pipeline_output"}]}],
    "inputs": [{"name": "S1CADUS", "id": "S1A_20260501041000056552", "collection": "s01-cadip-session", "key": "_stac/s.json"}],
    "searches": [SEARCH],
    "auxiliary": [{"adf": "ORB", "id": "ORB_NEW", "collection": "aux", "href": "s3://out/auxiliary/aux/ORB_NEW", "key": "_stac/o.json"}],
    "payload": "io: {}\n",
    "payload_key": "_groundtrack/dpr/requests/a/payload.yaml",
    "processor": {"processor": "simulator", "seconds": 1.5, "dashboard": "http://d/status", "versions": {"a": 1}},
    "log_tail": "did | it",
    "log_key": "_groundtrack/dpr/requests/a/processor.log",
    "items": [{"id": "GEO_1", "collection": "maps", "key": "_stac/maps/items/GEO_1.json", "output": "geo", "href": "s3://out/x.zarr"}],
    "run_id": "run",
}  # fmt: skip


def shown(outcome: Outcome) -> dict[str, dict[str, object]]:
    events = step_events("in", "out", STEP_KEYS)(outcome)
    return {event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()} for event in events}


@pytest.fixture
def told() -> dict[str, dict[str, object]]:
    return shown(Outcome("a.12345678", State.DONE, FACTS, attempts=1, seconds=2.0))


def test_every_step_is_told_of(told):
    assert list(told) == [key.to_user_string() for key in STEP_KEYS]
    assert all(metadata["attempts"] == 1 for metadata in told.values())


def test_every_search_is_shown_with_what_it_found(told):
    assert "| ORB | 1 | nothing | ValCover | orbits | auxip | Calib.1 |" in told["auxiliary_files"]["tried"]
    assert "| ORB | 2 | ORB_NEW | ValCover | aux | auxip | Calib.1 |" in told["auxiliary_files"]["tried"]
    assert told["auxiliary_files"]["files"] == 1


def test_an_item_leads_back_to_session_and_auxiliary_files(told):
    back = told["published_items"]["derived_from"]
    assert "(/assets/session?partition=S1A_20260501041000056552)" in back
    assert "(/objects/out/_stac/o.json)" in back


def test_the_dashboard_and_the_log_are_links(told):
    assert told["dpr_products"]["dask_dashboard"] == "http://d/status"
    assert told["dpr_products"]["log"] == "/objects/out/_groundtrack/dpr/requests/a/processor.log"


def test_a_bar_in_a_value_does_not_break_its_table():
    row = FACTS["items"][0] | {"href": "a|b"}
    products = shown(Outcome("a.12345678", State.DONE, FACTS | {"items": [row]}))["dpr_products"]["products"]
    assert "a\\|b" in str(products)


def test_what_was_found_done_is_marked_with_the_run_that_made_it():
    told = shown(Outcome("a.12345678", State.CARRIED_OVER, FACTS))
    assert {(metadata["carried_over"], metadata["made_by_run"]) for metadata in told.values()} == {(True, "run")}


def test_of_a_request_that_failed_in_the_processor_searches_and_payload_are_shown_but_no_products():
    events = reached_events("in", "out", STEP_KEYS, "a.12345678", FACTS)
    assert [event.asset_key.to_user_string() for event in events] == ["task_table", "processing_units", "auxiliary_files", "payload"]


def test_of_a_request_that_failed_in_planning_what_was_known_is_shown():
    facts = {name: FACTS[name] for name in ("table",)}
    assert [event.asset_key.to_user_string() for event in reached_events("in", "out", STEP_KEYS, "a.1", facts)] == ["task_table"]


def test_a_request_is_told_of_with_its_document():
    job = RequestJob("a.12345678", documents.request(), "dpr/tasktables/wave.json")
    event = request_event("in", ClaimedRequest("a.12345678", ObjectRef("requests/a.json", "12345678", 10), job))
    assert event.metadata["processor"].value == "wave 1.2"
    assert event.metadata["document"].value["pipeline"] == "full"
