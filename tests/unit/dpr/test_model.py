from datetime import UTC, datetime

import pytest

from platform_assets.dpr.errors import MalformedRequest
from platform_assets.dpr.model import Mode, Source, read_request
from tests.builders.dpr import as_json, request

CANARY = "canary-7f3a"


def read(**changes):
    return read_request(as_json(request(**changes)), "request.json")


def test_a_request_is_read():
    asked = read(processing_mode=["nrt"], reference_date="2026-05-01", start_datetime="2026-05-01T06:10:00.1239+02:00")
    assert asked.processing_mode == (Mode.NRT,)
    assert asked.auxiliary_product_to_collection_identifier[1].source is Source.AUXIP
    assert asked.external_variables == {
        "start_datetime": "2026-05-01T04:10:00.123Z",
        "end_datetime": "2026-05-01T04:22:00.000Z",
        "reference_date": "2026-05-01",
        "satellite": "sentinel-1c",
    }


def test_a_time_without_a_zone_is_utc():
    assert read(start_datetime="2026-05-01T04:10:00").start_datetime == datetime(2026, 5, 1, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unit": "Calib"}, "the document: exactly one of `pipeline` and `unit` must be given"),
        ({"pipeline": None}, "the document: exactly one of `pipeline` and `unit` must be given"),
        ({"pipeline": ""}, "the document: exactly one of `pipeline` and `unit` must be given"),
        ({"processor_name": None}, "processor_name: is missing"),
        ({"input_products": []}, "input_products: Tuple should have at least 1 item"),
        ({"input_products": [{"name": "slc", "item_id": "x"}]}, "input_products[0].collection_name: is missing"),
        ({"generated_product_to_collection_identifier": []}, "generated_product_to_collection_identifier: "),
        ({"processing_mode": ["fast"]}, "processing_mode[0]: Input should be 'nrt', 'ntc', 'reprocessing', 'subs' or 'always'"),
        ({"start_datetime": "yesterday"}, "start_datetime: Input should be a valid datetime"),
        ({"start_datetime": "2027-01-01T00:00:00Z"}, "`start_datetime` is after `end_datetime`"),
        ({"sattelite": "x"}, "sattelite: is unknown; fields: auxiliary_product"),
        ({"owner_id": "../else"}, "owner_id: String should match pattern"),
        ({"owner_identifier": "bob"}, "`owner_id` is given twice, once as `owner_identifier`"),
        ({"input_products": "slc"}, "input_products: is no list"),
        ({"input_products": ["slc"]}, "input_products[0]: is no mapping"),
        ({"priority": 3}, "priority: Input should be 'low', 'medium' or 'high'"),
        ({"s3_payload_file": "/tmp/x"}, "s3_payload_file: String should match pattern '^s3://"),
        (
            {"auxiliary_product_to_collection_identifier": [{"product_type": "*", "collection_name": "a", "source": "lta"}]},
            "auxiliary_product_to_collection_identifier[0].source: Input should be 'auxip', 'prip', 'cadip', 'cdse', 'catalog' or",
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_by_the_field(changes, said):
    with pytest.raises(MalformedRequest) as refused:
        read(**changes)
    assert str(refused.value).startswith("request.json: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("changes", [{"edh_api_key": CANARY}, {"edh_key": CANARY}, {"priority": CANARY}, {"start_datetime": CANARY}])
def test_a_refusal_does_not_show_what_was_given(changes):
    with pytest.raises(MalformedRequest) as refused:
        read(**changes)
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_field_that_is_null_is_as_if_left_out():
    nothing = dict.fromkeys(("processing_mode", "reference_date", "temporary_shared", "unit"))
    assert read_request(as_json(request() | nothing), "request.json") == read()


def test_a_key_is_given_as_a_reference():
    assert read(edh_api_key="${EDH_KEY}").edh_api_key == "${EDH_KEY}"


def test_requests_of_other_generations_are_read_as_those_of_today():
    second = request(owner_id=None) | {"env": {"owner_id": "ana", "calling_span": [1, 2, False], "service_name": "flows"}}
    third = request(owner_id=None, processor_name=None, processor_version=None) | {
        "owner_identifier": "ana",
        "processor": {"name": "wave", "version": "1.2"},
        "workflow": "on-demand",
        "dask_cluster_name": "",
    }
    first = request(
        input_products=[{"slc": ["S1C_A", "slcs"]}],
        generated_product_to_collection_identifier=[{"geo": ["*", "maps"], "cal": ["CAL", "calibrated"]}],
    )
    today = read()
    assert [read_request(as_json(document), "old") for document in (first, second, third)] == [today] * 3
