import copy
import itertools
import json

import pytest

from platform_assets.dpr.errors import MalformedStorage, NoBucket, NoStorage
from platform_assets.dpr.secrets import masked
from platform_assets.dpr.storage import BucketRule, Disk, choose_bucket, read_bucket_rules, read_storage
from tests.builders.dpr import as_json, storage

CANARY = "canary-7f3a"


def read(change=None):
    document = copy.deepcopy(storage())
    if change:
        change(document)
    return read_storage(as_json(document), "storage.json")


def specific(product, store):
    return lambda document: document["product"]["specific"].append({"product_name": product, "storage": store})


def test_a_product_is_stored_by_name_else_by_where_it_comes_from_or_goes_to():
    stores = read(specific("geo", "share"))
    of = {
        (name, section, origin, pipeline): stores.of_product(name, section, origin, in_pipeline=pipeline).name
        for name, section, origin, pipeline in [
            ("geo", "output_products", "pipeline_output", True),
            ("log", "output_products", "pipeline_output", True),
            ("log", "output_products", "pipeline_internal", True),
            ("cal", "input_products", "Calib.1.cal", True),
            ("slc", "input_products", "pipeline_input", True),
            ("log", "output_products", "pipeline_output", False),
        ]
    }
    assert list(of.values()) == ["share", "cloud", "share", "share", "cloud", "cloud"]
    assert stores.of_adfs().name == "cloud"


def test_a_disk_is_cleaned_as_told_and_a_local_one_always():
    def local(document):
        document["storage_configuration"][1] |= {"kind": "local_disk", "autoclean": False}

    assert read().stores["share"] == Disk("share", "/share/work", autoclean=True, opening_mode="CREATE_OVERWRITE")
    assert read(local).stores["share"].autoclean


def test_references_are_kept_and_secrets_in_clear_are_hidden():
    def clear(document):
        document["storage_configuration"][0]["storage_options"] |= {"secret": CANARY, "endpoint_url": "${ENDPOINT}"}

    stores = read(clear)
    assert masked(stores.stores["cloud"].options) == {
        "key": "${CLOUD_KEY}",
        "secret": "**********",
        "client_kwargs": {"endpoint_url": "${ENDPOINT}", "region_name": "north"},
    }
    assert CANARY not in repr(stores)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("product"), "product: is missing"),
        (lambda d: d["product"].pop("default"), "product.default: is missing"),
        (lambda d: d.update(colour="red"), "colour: is unknown; fields: product, storage_configuration"),
        (lambda d: d["storage_configuration"][0].pop("storage_options"), "storage_configuration[0].obs.storage_options: is missing"),
        (lambda d: d["storage_configuration"][0].update(kind="tape"), "storage_configuration[0]: Input tag 'tape' found using 'kind'"),
        (lambda d: d["storage_configuration"][0]["storage_options"].pop("key"), "storage_options.key: is missing"),
        (lambda d: d["storage_configuration"][1].update(absolute_path="work"), "absolute_path: String should match pattern '^/'"),
        (
            lambda d: d["storage_configuration"].append(d["storage_configuration"][0]),
            "storage_configuration[2] is the second that is called",
        ),
        (
            lambda d: d["product"]["default"]["adfs"].update(storage="tape"),
            "product.default.adfs: there is no storage 'tape'; storages: cloud",
        ),
        (
            lambda d: d["product"]["default"]["pipeline"][2].update(storage="tape"),
            "product.default.pipeline, section other: there is no storage 'tape'; storages: cloud, share",
        ),
        (
            lambda d: d["storage_configuration"][0]["storage_options"].update(endpoint_url=f"https://u:{CANARY}@host"),
            "storage_options.endpoint_url: String should match",
        ),
        (lambda d: d["storage_configuration"][0]["storage_options"].update(secret=[CANARY]), "secret: Input should be a valid string"),
    ],
)
def test_a_storage_configuration_that_breaks_a_rule_is_refused_by_the_field(change, said):
    with pytest.raises(MalformedStorage) as refused:
        read(change)
    assert str(refused.value).startswith("storage.json: ")
    assert said in str(refused.value)
    assert CANARY not in str(refused.value)


def test_a_product_that_nothing_says_where_to_store_is_refused():
    stores = read(lambda document: document["product"]["default"]["pipeline"].pop())
    with pytest.raises(
        NoStorage, match=r"no storage for 'cal': product.default.pipeline has no other; it has: pipeline_input, pipeline_output"
    ):
        stores.of_product("cal", "output_products", "pipeline_internal", in_pipeline=True)


def test_a_storage_that_is_not_there_is_refused_for_products_that_are():
    stores = read(specific("geo", "tape"))
    assert stores.of_product("cal", "output_products", "pipeline_output", in_pipeline=True).name == "cloud"
    with pytest.raises(NoStorage, match=r"product\.specific, 'geo': there is no storage 'tape'; storages: cloud, share"):
        stores.of_product("geo", "output_products", "pipeline_output", in_pipeline=True)


EXACT = BucketRule("ana", "maps", "*", "30", "exact")
TYPED = BucketRule("ana", "maps", "CAL*", "30", "typed")
OWNER = BucketRule("ana", "*", "*", "60", "owner")
GLOBAL = BucketRule("*", "*", "*", "90", "global")
COLLECTION = BucketRule("*", "maps", "*", "90", "collection")


@pytest.mark.parametrize("rules", list(itertools.permutations([EXACT, OWNER, GLOBAL, COLLECTION])))
def test_c9_a_bucket_goes_by_owner_and_collection_then_by_owner_then_for_all(rules):
    assert choose_bucket(rules, "ana", "maps", "X") == "exact"
    assert choose_bucket(rules, "ana", "other", "X") == "owner"
    assert choose_bucket(rules, "bob", "maps", "X") == "global"


def test_c9_a_rule_for_a_type_is_only_for_that_type():
    assert choose_bucket([TYPED, GLOBAL], "ana", "maps", "CAL_1") == "typed"
    assert choose_bucket([TYPED, GLOBAL], "ana", "maps", "GEO") == "global"


def test_c9_without_a_rule_there_is_no_bucket():
    for rules in (
        [],
        [COLLECTION],
        [BucketRule("bob", "*", "*", "1", "b")],
        [BucketRule("*", "*", "CAL", "1", "b")],
        [BucketRule("*", "*", "X", "1", "b")],
    ):
        with pytest.raises(NoBucket, match=r"no bucket rule for ana/maps/X; rules: "):
            choose_bucket(rules, "ana", "maps", "X")


@pytest.mark.parametrize(
    ("owner", "pattern", "matches"), [("axyz", "x*z", False), ("xyz", "x*z", True), ("xz", "x?z", False), ("Xyz", "x*z", False)]
)
def test_c26_wildcards_stand_for_the_whole_name(owner, pattern, matches):
    rules = [BucketRule("ana", "*", pattern, "1", "typed"), GLOBAL]
    assert (choose_bucket(rules, "ana", "maps", owner) == "typed") is matches


def test_bucket_rules_are_read():
    assert read_bucket_rules(b'[["*", "*", "*", "90", "global"]]', "rules.json") == (GLOBAL,)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("[", "are no JSON"),
        ({"rows": []}, "are no list of rows"),
        (["a"], "row 1 of the bucket rules is not five texts: owner, collection, product type, expiration in days, bucket"),
        ([["*", "*", "*", "90", "b"], ["*", "*", "*", 90, "b"]], "row 2 "),
        ([["*", "*", "*", "90"]], "row 1 "),
        ([["*", "*", "*", "90", "b", "c"]], "row 1 "),
    ],
)
def test_c10_bucket_rules_that_are_malformed_are_refused_by_the_row(rows, said):
    with pytest.raises(MalformedStorage, match=said):
        read_bucket_rules(rows.encode() if isinstance(rows, str) else json.dumps(rows).encode(), "rules.json")
