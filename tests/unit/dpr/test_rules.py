import pytest

from platform_assets.common.keys import UnsafeKey
from platform_assets.dpr.errors import InvalidQuery
from platform_assets.dpr.model import read_request
from platform_assets.dpr.rules import MalformedRule, read_rule, request_for
from tests.builders.dpr import as_json, item, request

SESSION = "S1A_20260501041000012345"


def document(**changes):
    asked = request(input_products=None, start_datetime=None, end_datetime=None, satellite=None)
    rule = {"name": "s1-l0", "platforms": ["sentinel-1*"], "input": "S1CADUS", "request": asked} | changes
    return as_json({name: value for name, value in rule.items() if value is not None})


def session(platform="sentinel-1a", **properties):
    times = {"start_datetime": "2026-05-01T04:10:00.000Z", "end_datetime": "2026-05-01T04:22:00.000Z"} | properties
    return item(SESSION, "s01-cadip-session", platform=platform, **{name: value for name, value in times.items() if value is not None})


def asked(**changes):
    return request(input_products=None, **changes)


def test_a_session_that_a_rule_is_for_becomes_a_request():
    made = request_for(read_rule(document(), "rule.json"), session())
    read = read_request(as_json(made), "request.json")
    (given,) = read.input_products
    assert (given.name, given.item_id, given.collection_name) == ("S1CADUS", SESSION, "s01-cadip-session")
    assert (read.workflow_type, read.satellite, read.pipeline) == ("systematic", "sentinel-1a", "full")
    assert read.external_variables["start_datetime"] == "2026-05-01T04:10:00.000Z"
    assert made == request_for(read_rule(document(), "rule.json"), session())


def test_what_the_rule_says_goes_before_what_the_session_says():
    rule = read_rule(document(request=asked(satellite="sentinel-1x", priority="high")), "rule.json")
    made = request_for(rule, session())
    assert (made["satellite"], made["priority"], made["start_datetime"]) == ("sentinel-1x", "high", "2026-05-01T04:10:00Z")


@pytest.mark.parametrize(
    ("changes", "is_for"),
    [
        ({}, True),
        ({"platforms": None}, True),
        ({"platforms": ["sentinel-3?"]}, False),
        ({"platforms": ["sentinel-3?", "sentinel-1a"]}, True),
        ({"collections": ["s01-*"]}, True),
        ({"collections": ["s03-*"]}, False),
        ({"filter": {"op": "=", "args": [{"property": "cadip:retransfer"}, False]}}, True),
        ({"filter": {"op": "=", "args": [{"property": "cadip:retransfer"}, True]}}, False),
    ],
)
def test_a_rule_is_for_sessions_of_its_platforms_collections_and_filter(changes, is_for):
    made = request_for(read_rule(document(**changes), "rule.json"), session(cadip__retransfer=False))
    assert (made is not None) is is_for


def test_a_session_without_a_platform_is_for_no_platform():
    assert request_for(read_rule(document(), "rule.json"), session(platform=None)) is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "rule.json: line 1"),
        (document(input=None), "rule.json: input: is missing"),
        (document(mission="1"), "rule.json: mission: is unknown; fields: collections, filter, input, name, platforms, request"),
        (document(request=request()), "request.input_products: is what the session gives"),
        (document(request=asked(pipeline=None)), "rule.json: request: the document: exactly one of `pipeline` and `unit` must be given"),
        (document(request=asked(processor_name=None)), "rule.json: request: processor_name: is missing"),
    ],
)
def test_a_rule_that_makes_no_requests_is_refused_when_it_is_read(data, told):
    with pytest.raises(MalformedRule) as raised:
        read_rule(data, "rule.json")
    assert told in str(raised.value)


def test_a_rule_is_called_what_a_key_can_be():
    with pytest.raises(UnsafeKey):
        read_rule(document(name="../s1"), "rule.json")


def test_a_filter_that_is_no_cql2_is_refused():
    with pytest.raises(InvalidQuery, match=r"rule\.json: filter"):
        read_rule(document(filter={"op": "near", "args": []}), "rule.json")


def test_a_session_of_which_no_request_can_be_made_is_told():
    with pytest.raises(MalformedRule, match=f"rule s1-l0 makes no request of session '{SESSION}'"):
        request_for(read_rule(document(), "rule.json"), session(start_datetime="never"))
