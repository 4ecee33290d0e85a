import json

import pytest

from platform_assets.common.errors import TransientError
from platform_assets.dpr import naming
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.items import location
from platform_assets.dpr.model import Source, read_request
from platform_assets.dpr.plan import destination, make_plan
from platform_assets.dpr.staging import Staging
from platform_assets.dpr.staging_catalogue import StagingCatalogue
from platform_assets.dpr.storage import BucketRule, read_storage
from platform_assets.dpr.tasktable import read_task_table
from tests.builders.aux_station import AuxStation, aux_item, one
from tests.builders.bucket import MemoryBucket
from tests.builders.cql2_cases import of, op
from tests.builders.dpr import as_json, item, request, storage, task_table

AUXIP, PRIP, CDSE = Source.AUXIP, Source.PRIP, Source.CDSE


@pytest.fixture
def bucket():
    return MemoryBucket("out")


def catalogue(bucket, stations, **fields):
    return StagingCatalogue(Staging(bucket, poll_s=0.02), {source: tuple(row) for source, row in stations.items()}, **fields)


def ids(found):
    return [one["id"] for one in found]


def put(bucket, item):
    bucket.write(naming.item_key(item["collection"], item["id"]), json.dumps(item).encode(), content_type="application/json")


def test_what_a_station_has_becomes_an_item_of_the_collection_of_the_mapping(bucket):
    searched = catalogue(bucket, {AUXIP: [AuxStation(one())]})
    (found,) = searched.search("s01-aux", Search(), "q", source=AUXIP)
    assert location(found).startswith("s3://out/auxiliary/s01-aux/")
    assert searched.item("s01-aux", "ORB_1.EOF") == found


def test_where_no_station_is_the_deployments_own_items_are_searched(bucket):
    put(bucket, item("own", "aux", "s3://somewhere/own"))
    station = AuxStation(one())
    searched = catalogue(bucket, {AUXIP: [station]})
    for source in (Source.CATALOG, PRIP):
        assert ids(searched.search("aux", Search(), "q", source=source)) == ["own"]
    assert station.searches == 0


def test_the_first_station_that_finds_is_taken(bucket):
    empty, first, second = AuxStation(), AuxStation(one("A")), AuxStation(one("B"))
    assert ids(catalogue(bucket, {AUXIP: [empty, first, second]}).search("aux", Search(), "q", source=AUXIP)) == ["A"]
    assert (empty.searches, first.searches, second.searches) == (1, 1, 0)


def test_a_station_that_is_down_is_passed_over_but_nothing_found_then_is_no_answer(bucket):
    down, empty, full = AuxStation(), AuxStation(), AuxStation(one())
    down.is_down = True
    assert ids(catalogue(bucket, {AUXIP: [down, full]}).search("aux", Search(), "q", source=AUXIP)) == ["ORB_1.EOF"]
    with pytest.raises(TransientError, match="adgs does not answer"):
        catalogue(bucket, {PRIP: [down, empty]}).search("aux", Search(), "q", source=PRIP)


def test_an_empty_search_is_an_answer_that_is_not_remembered(bucket):
    station = AuxStation()
    searched = catalogue(bucket, {AUXIP: [station]})
    assert searched.search("aux", Search(), "q", source=AUXIP) == ()
    station.add(*one())
    assert ids(searched.search("aux", Search(), "q", source=AUXIP)) == ["ORB_1.EOF"]


def test_what_was_found_is_used_again_for_the_same_search_and_for_no_other(bucket):
    station = AuxStation(one())
    searched = catalogue(bucket, {AUXIP: [station]})
    for _ in range(3):
        catalogue(bucket, {AUXIP: [station]}).search("aux", Search(), "q", source=AUXIP)
    assert station.searches == 1
    searched.search("other", Search(), "q", source=AUXIP)
    searched.search("aux", Search(op("=", of("id"), "ORB_1.EOF")), "q", source=AUXIP)
    searched.search("aux", Search(), "q", source=AUXIP, assets=["ORB_1.EOF"])
    assert station.searches == 4
    catalogue(bucket, {AUXIP: [station]}, remember_s=0.0).search("aux", Search(), "q", source=AUXIP)
    assert station.searches == 5


@pytest.mark.parametrize(
    ("source", "assets", "expected"), [(CDSE, None, ["product"]), (CDSE, ["b"], ["b"]), (AUXIP, None, ["product", "b"])]
)
def test_of_cdse_only_the_product_is_fetched_unless_assets_are_selected(bucket, source, assets, expected):
    contents = {"product": b"1", "b": b"2"}
    station = AuxStation((aux_item("X", contents), contents))
    (found,) = catalogue(bucket, {source: [station]}).search("aux", Search(), "q", source=source, assets=assets)
    assert list(found["assets"]) == expected


def test_the_payload_of_a_request_names_the_files_in_the_bucket(bucket):
    put(bucket, item("S1C_A", "slcs", "s3://archive/slcs/S1C_A.SAFE/manifest.safe", start_datetime="2026-05-01T04:10:00Z"))
    station = AuxStation(one(product_type="ORB_PRE"))
    mappings = [{"product_type": "*", "collection_name": "s01-aux"}]
    asked = read_request(as_json(request(auxiliary_product_to_collection_identifier=mappings)), "request.json")
    where = destination(asked, read_storage(as_json(storage()), "storage.json"), [BucketRule("*", "*", "*", "90", "products")])
    made = make_plan(asked, read_task_table(as_json(task_table()), "wave.json"), where, catalogue(bucket, {AUXIP: [station]}))
    assert not made.problems
    assert made.payload.document["io"]["adfs"][0]["path"] == "s3://out/auxiliary/s01-aux/ORB_1.EOF/ORB_1.EOF"
    assert [attempt.found for attempt in made.searches[0].attempts] == [(), ("ORB_1.EOF",)]
