"""Auxiliary files are searched in a STAC API as in a folder."""

import json
from pathlib import Path

import pytest

from platform_assets.common.errors import ConfigurationError, TransientError
from platform_assets.dpr.cql2 import Search
from resources.stac_api import StacApi
from tests.builders import cql2_cases
from tests.builders.commands import run
from tests.builders.dpr import items, request, storage, task_table
from tests.builders.stac_server import serving


@pytest.fixture
def server():
    with serving(cql2_cases.items()) as server:
        yield server


@pytest.mark.parametrize(("about", "query", "expected"), cql2_cases.CASES, ids=[case[0] for case in cql2_cases.CASES])
def test_a_filter_finds_the_same_as_in_a_folder(server, about, query, expected):
    assert "".join(sorted(item["id"] for item in StacApi(server.url).search("aux", Search(query), "q"))) == expected


def test_a_search_is_sent_with_order_and_limit_and_seconds_already_added(server):
    shifted = cql2_cases.op("+", "2026-05-01T00:00:00Z", 60)
    query = cql2_cases.op("t_intersects", cql2_cases.VALIDITY, cql2_cases.interval(shifted, ".."))
    found = StacApi(server.url).search("aux", Search(query, ({"field": "created", "direction": "desc"},), 1), "q")
    assert [item["id"] for item in found] == ["b"]
    (body,) = server.asked
    assert body["filter"]["args"][1] == {"interval": ["2026-05-01T00:01:00.000Z", ".."]}
    assert (body["limit"], body["sortby"], body["filter-lang"]) == (1, [{"field": "created", "direction": "desc"}], "cql2-json")


def test_all_pages_are_read(server):
    assert len(StacApi(server.url).search("aux", Search(), "q")) == 4
    assert StacApi(server.url).item("aux", "c")["id"] == "c"
    assert StacApi(server.url).item("aux", "x") is None


def test_an_api_that_does_not_filter_is_refused(server):
    server.filters = False
    with pytest.raises(ConfigurationError, match="does not filter with CQL2"):
        StacApi(server.url).search("aux", Search(cql2_cases.CASES[0][1]), "q")


def test_an_api_that_does_not_answer_is_a_transient_failure_of_the_catalogue(server):
    server.failing = True
    with pytest.raises(TransientError) as unavailable:
        StacApi(server.url).item("aux", "a")
    assert unavailable.value.code == "catalogue_unavailable"
    with pytest.raises(TransientError):
        StacApi("http://127.0.0.1:9").item("aux", "a")


def test_a_plan_is_made_with_a_stac_api(tmp_path: Path):
    for name, document in {"request.json": request(), "wave.json": task_table(), "storage.json": storage()}.items():
        (tmp_path / name).write_text(json.dumps(document))
    arguments = ("groundtrack", "dpr", "plan", "request.json", "--task-table", "wave.json", "--storage", "storage.json")
    with serving(items()) as server:
        done = run(tmp_path, *arguments, "--items", server.url, timeout_s=60)
    assert done.code == 0
    assert "2. ValCover in aux (auxip): found ORB_NEW" in done.text
    assert "Warning" not in done.text
