import json

import pytest

from platform_assets.common.errors import Conflict
from platform_assets.dpr.errors import MissingMapping
from platform_assets.dpr.model import GeneratedProduct
from platform_assets.dpr.publication import (
    IDLE,
    PROCESSING,
    PUBLISHING,
    Attempt,
    Record,
    Replaced,
    Trace,
    refuse_doubles,
    resolve_collection,
)
from tests.builders.dpr import as_json, item
from tests.builders.processors import MemoryBuckets

KEY = "_groundtrack/dpr/requests/first.0a1b2c3d/publication.json"
MADE_OF = {"document": "d", "table": "t", "code_version": "1", "inputs": {"slcs/A": "1", "slcs/B": None}}


# --- collections (C20) --------------------------------------------------------------------------------------------------


def rows(*given):
    return [GeneratedProduct(name=name, product_type=kind, collection_name=collection) for name, kind, collection in given]


@pytest.mark.parametrize(
    ("mappings", "output", "collection"),
    [
        (rows(("geo", "MAP", "maps")), "geo", "maps"),
        (rows(("geo", "MAP", None)), "geo", "MAP"),
        (rows(("geo", "*", "any")), "geo", "any"),
        (rows(("gps", "*", "gps"), ("hkm", "*", "hkm")), "hkm", "hkm"),
        (rows(("geo", "*", "any"), ("geo", "MAP", "maps")), "geo", "maps"),
        (rows(("geo", "OTHER", "others"), ("geo", "*", "any")), "geo", "any"),
    ],
)
def test_the_collection_is_that_of_the_name_then_of_the_type_then_of_any(mappings, output, collection):
    assert resolve_collection(mappings, output, "MAP") == collection


@pytest.mark.parametrize(
    ("mappings", "told"),
    [
        (rows(("*", "MAP", "maps")), "could not find a collection to publish 'geo' of type 'MAP'"),
        (rows(("geo", "OTHER", "others")), r"it has: geo/OTHER"),
        (rows(("geo", "*", None)), "'geo' is for any type, so it needs a collection_name"),
        ([], "it has: none"),
    ],
)
def test_a_product_that_no_row_is_for_has_no_collection(mappings, told):
    with pytest.raises(MissingMapping, match=told):
        resolve_collection(mappings, "geo", "MAP")


# --- the record ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def buckets():
    return MemoryBuckets()


def record(buckets):
    return Record.read(buckets.bucket("out"), KEY)


def attempt(token, number=1):
    return Attempt(token, number, "run", (Trace(f"s3://products/ana/{token}"),))


def write(buckets, *keys):
    for key in keys:
        buckets.bucket("products").write(key, b"x", content_type="")


def stored(buckets, name="products"):
    return [ref.key for ref in buckets.bucket(name).list()]


def published(buckets, token="a", names=("X", "Y")):
    """Take a request all the way."""
    found = record(buckets)
    found.begin(attempt(token, found.attempts + 1), buckets.bucket)
    write(buckets, f"ana/{token}/x.zarr/.zattrs")
    found.commit(MADE_OF, [item(name, "maps") for name in names], {"token": token}, [f"s3://products/ana/{token}"])
    found.complete("", buckets.bucket)
    return found


def test_a_request_that_is_new_is_idle(buckets):
    found = record(buckets)
    assert (found.state, found.attempts, found.published, found.is_published(MADE_OF)) == (IDLE, 0, None, False)


def test_a_publication_is_there_with_all_its_items(buckets):
    found = published(buckets)
    assert record(buckets).document == found.document
    assert (found.state, found.published["facts"], found.attempts) == (IDLE, {"token": "a"}, 1)
    assert [(row["id"], row["key"]) for row in found.published["items"]] == [
        ("X", "_stac/maps/items/X.json"),
        ("Y", "_stac/maps/items/Y.json"),
    ]
    assert stored(buckets, "out") == [KEY, "_stac/maps/items/X.json", "_stac/maps/items/Y.json"]


def test_what_was_decided_can_be_completed_by_anyone_any_number_of_times(buckets):
    first = record(buckets)
    first.begin(attempt("a"), buckets.bucket)
    first.commit(MADE_OF, [item("X", "maps")], {}, ["s3://products/ana/a"])
    others = [record(buckets), record(buckets)]
    assert {other.state for other in others} == {PUBLISHING}
    assert {json.dumps(other.complete("", buckets.bucket)) for other in [*others, first]} == {json.dumps(record(buckets).published)}
    assert stored(buckets, "out") == [KEY, "_stac/maps/items/X.json"]


def test_an_attempt_that_failed_leaves_nothing_and_keeps_what_was_published_before(buckets):
    published(buckets)
    found = record(buckets)
    found.begin(attempt("b", 2), buckets.bucket)
    write(buckets, "ana/b/y.zarr/.zattrs")
    found.give_up(buckets.bucket)
    assert stored(buckets) == ["ana/a/x.zarr/.zattrs"]
    assert (record(buckets).state, record(buckets).is_published(MADE_OF), record(buckets).attempts) == (IDLE, True, 2)


def test_the_next_attempt_deletes_what_the_dead_one_left(buckets):
    record(buckets).begin(attempt("a"), buckets.bucket)
    write(buckets, "ana/a/x.zarr/.zattrs")
    found = record(buckets)
    assert found.state == PROCESSING
    found.begin(attempt("b", 2), buckets.bucket)
    assert stored(buckets) == []


def test_an_attempt_that_was_replaced_publishes_nothing_and_deletes_its_own_alone(buckets):
    zombie = record(buckets)
    zombie.begin(attempt("a"), buckets.bucket)
    other = record(buckets)
    other.begin(attempt("b", 2), buckets.bucket)
    write(buckets, "ana/a/late.zarr/.zattrs", "ana/b/x.zarr/.zattrs")
    with pytest.raises(Replaced):
        zombie.commit(MADE_OF, [item("X", "maps")], {}, [])
    with pytest.raises(Replaced):
        zombie.give_up(buckets.bucket)
    assert stored(buckets) == ["ana/b/x.zarr/.zattrs"]
    other.commit(MADE_OF, [item("X", "maps")], {}, ["s3://products/ana/b"])


def test_of_two_who_begin_at_once_one_goes_on(buckets):
    one, other = record(buckets), record(buckets)
    one.begin(attempt("a"), buckets.bucket)
    with pytest.raises(Replaced):
        other.begin(attempt("b"), buckets.bucket)


def test_one_who_is_replaced_the_moment_after_it_began_does_not_go_on(buckets):
    bucket = buckets.bucket("out")
    create = bucket.create

    def create_and_be_replaced(key, data, *, content_type):
        created = create(key, data, content_type=content_type)
        bucket.create = create
        record(buckets).begin(attempt("b", 2), buckets.bucket)
        return created

    bucket.create = create_and_be_replaced
    with pytest.raises(Replaced):
        record(buckets).begin(attempt("a"), buckets.bucket)


def test_an_attempt_that_does_not_know_that_it_is_published_deletes_nothing(buckets):
    """The answer to the write that decided it was lost."""
    found = record(buckets)
    found.begin(attempt("a"), buckets.bucket)
    write(buckets, "ana/a/x.zarr/.zattrs")
    record(buckets).commit(MADE_OF, [item("X", "maps")], {}, ["s3://products/ana/a"])
    with pytest.raises(Replaced):
        found.give_up(buckets.bucket)
    assert stored(buckets) == ["ana/a/x.zarr/.zattrs"]


def test_a_new_publication_replaces_items_and_products_of_the_one_before(buckets):
    published(buckets, "a", ("X", "Y"))
    published(buckets, "b", ("Y", "Z"))
    assert stored(buckets, "out") == [KEY, "_stac/maps/items/Y.json", "_stac/maps/items/Z.json"]
    assert stored(buckets) == ["ana/b/x.zarr/.zattrs"]


def test_a_payload_is_withdrawn_only_where_it_is_the_attempts_own(buckets, tmp_path):
    trace = ("s3://products/payload.yaml", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
    (tmp_path / "run").mkdir()
    for content, left in ((b"test", []), (b"somebody else's", ["payload.yaml"])):
        found = record(buckets)
        found.begin(Attempt("a", 1, "run", (Trace(*trace), Trace(str(tmp_path / "run")))), buckets.bucket)
        buckets.bucket("products").write("payload.yaml", content, content_type="")
        found.give_up(buckets.bucket)
        assert stored(buckets) == left
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"inputs": {"slcs/A": None, "slcs/B": None}}, True),
        ({"inputs": {"slcs/A": "2", "slcs/B": None}}, False),
        ({"document": "e"}, False),
        ({"table": "u"}, False),
        ({"code_version": "2"}, False),
    ],
)
def test_a_request_is_done_while_what_it_was_made_of_is_the_same_or_gone(buckets, changes, same):
    published(buckets)
    assert record(buckets).is_published({**MADE_OF, **changes}) is same


# --- doubles ------------------------------------------------------------------------------------------------------------


def owned(name, request):
    return item(name, "maps", **({"groundtrack__request": request} if request else {}))


def test_an_item_of_another_request_is_not_overwritten(buckets):
    bucket = buckets.bucket("out")
    bucket.write("_stac/maps/items/X.json", as_json(owned("X", "second.00000000")), content_type="")
    with pytest.raises(Conflict, match=r"item 'X' of collection 'maps' was published by request second\.00000000"):
        refuse_doubles(bucket, [owned("W", ""), owned("X", "")], "first.0a1b2c3d", "")
    bucket.write("_stac/maps/items/X.json", as_json(owned("X", "")), content_type="")
    with pytest.raises(Conflict, match="published by somebody else"):
        refuse_doubles(bucket, [owned("X", "")], "first.0a1b2c3d", "")


def test_an_item_of_an_earlier_version_of_the_request_is_replaced(buckets):
    bucket = buckets.bucket("out")
    bucket.write("_stac/maps/items/X.json", as_json(owned("X", "first.99999999")), content_type="")
    refuse_doubles(bucket, [owned("X", "")], "first.0a1b2c3d", "")


def test_two_products_are_not_one_item(buckets):
    with pytest.raises(Conflict, match="two products of the request would both be item 'X'"):
        refuse_doubles(buckets.bucket("out"), [owned("X", ""), owned("X", "")], "first.0a1b2c3d", "")
