"""Rules write requests: one for each session that they are for, and once."""

import json
from typing import Any

import pytest

from platform_assets.dpr import naming
from platform_assets.dpr.intake import arrivals
from platform_assets.dpr.model import read_request
from platform_assets.dpr.systematic import Systematic
from tests.builders import dpr as documents
from tests.builders.bucket import MemoryBucket

SESSIONS = {"S1A_20260501041000056552": "S1A", "S3B_20260501041000056552": "sentinel-3b"}


@pytest.fixture
def systematic() -> Systematic:
    source, target = MemoryBucket("in"), MemoryBucket("out")
    for session, platform in SESSIONS.items():
        collection = naming.session_collection(session)
        times = {"start_datetime": "2026-05-01T04:10:00Z", "end_datetime": "2026-05-01T04:22:00Z"}
        put(target, naming.item_key(collection, session), documents.item(session, collection, platform=platform, **times))
    return Systematic(source, target, "dpr/rules/", "requests/", "")


def put(bucket: MemoryBucket, key: str, document: object) -> None:
    bucket.write(key, json.dumps(document).encode(), content_type="application/json")


def rule(systematic: Systematic, name: str = "l0", **changes: Any) -> None:
    given = ("input_products", "start_datetime", "end_datetime", "satellite")
    request = {field: value for field, value in documents.request().items() if field not in given}
    document = {"name": name, "platforms": ["sentinel-1*"], "input": "slc", "request": request} | changes
    put(systematic.source, f"dpr/rules/{name}.json", document)


def requested(systematic: Systematic) -> list[str]:
    return [row.ref.key for row in arrivals(systematic.source, "requests/")]


def test_a_session_that_a_rule_is_for_is_requested_once(systematic):
    rule(systematic)
    assert list(systematic.write()) == ["l0 requests S1A_20260501041000056552"]
    assert list(systematic.write()) == []
    [key] = requested(systematic)
    request = read_request(systematic.source.read(key, limit_bytes=1 << 20)[0], key)
    assert (request.satellite, request.input_products[0].item_id) == ("sentinel-1a", "S1A_20260501041000056552")


def test_two_rules_make_two_requests_of_a_session(systematic):
    rule(systematic)
    rule(systematic, "other", platforms=["*"])
    list(systematic.write())
    assert len(requested(systematic)) == 3
    assert len({row.partition for row in arrivals(systematic.source, "requests/")}) == 3


def test_a_malformed_rule_is_told_of_and_stops_no_other(systematic):
    rule(systematic, "bad", input="")
    rule(systematic)
    told = list(systematic.write())
    assert any(line.startswith("malformed_rule: dpr/rules/bad.json") for line in told)
    assert requested(systematic) == ["requests/systematic/l0.S1A_20260501041000056552.json"]


def test_without_rules_nothing_is_listed(systematic):
    assert list(systematic.write()) == []
    assert systematic.target.calls.count("list") == 0


def test_of_two_rules_with_one_name_the_second_is_told_of(systematic):
    rule(systematic)
    put(systematic.source, "dpr/rules/z.json", json.loads(systematic.source.read("dpr/rules/l0.json", limit_bytes=1 << 20)[0]))
    assert "malformed_rule: dpr/rules/z.json: dpr/rules/l0.json has the name 'l0' already" in list(systematic.write())
