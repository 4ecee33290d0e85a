import pytest

from platform_assets.dpr.catalogue import ItemCatalogue
from platform_assets.dpr.errors import InvalidQuery, NoStorage
from platform_assets.dpr.model import read_request
from platform_assets.dpr.payload import BEFORE
from platform_assets.dpr.plan import destination, make_plan, shown
from platform_assets.dpr.secrets import masked
from platform_assets.dpr.storage import BucketRule, read_storage
from platform_assets.dpr.tasktable import read_task_table
from tests.builders.dpr import as_json, first_task_table, items, product, request, storage, task_table


class Counting(ItemCatalogue):
    """A catalogue that counts the searches."""

    searches = 0

    def search(self, *question, **how):
        self.searches += 1
        return super().search(*question, **how)


def plan(catalogue=None, table=None, stores=None, key=None, **asked):
    wanted = read_request(as_json(request(**asked)), "request.json")
    stores = read_storage(as_json(stores or storage()), "storage.json")
    where = destination(wanted, stores, [BucketRule("*", "*", "*", "90", "products")])
    read = read_task_table(as_json(table or task_table()), "wave.json")
    return make_plan(wanted, read, where, ItemCatalogue(catalogue) if isinstance(catalogue, list) else catalogue, key)


def test_a_request_whose_inputs_and_auxiliary_files_are_there_has_a_payload():
    made = plan(items())
    io = masked(made.payload.document)["io"]
    assert (made.problems, made.notes) == ((), ())
    assert [(entry["id"], entry["path"]) for entry in io["input_products"] + io["adfs"]] == [
        ("slc", "s3://archive/slcs/S1C_A.SAFE"),
        ("ORB", "s3://archive/aux/ORB_NEW"),
    ]
    assert [unit["adfs"] for unit in made.payload.document["workflow"] if "adfs" in unit] == [{"ORB": "ORB"}]


def test_the_same_request_has_the_same_plan_and_another_request_other_places():
    def places(made):
        return [output.path for output in made.payload.outputs]

    assert places(plan(items())) == places(plan(items()))
    assert not set(places(plan(items()))) & set(places(plan(items(), end_datetime="2026-05-01T04:21:00Z")))


def test_all_that_the_catalogue_lacks_is_told_at_once():
    made = plan(items()[2:3], auxiliary_product_to_collection_identifier=[{"product_type": "*", "collection_name": "orbits"}])
    assert made.payload is None
    assert [error.code for error in made.problems] == ["missing_input_product", "auxiliary_not_found"]
    assert str(made.problems[0]) == "input_products[0]: there is no item 'S1C_A' in collection 'slcs'"
    assert [attempt.found for attempt in made.searches[0].attempts] == [(), ()]


def test_without_a_catalogue_names_stand_for_places():
    io = masked(plan().payload.document)["io"]
    assert io["input_products"][0]["path"] == "<slcs>/S1C_A"
    assert [entry["path"] for entry in io["adfs"]] == ["<GAIN>", "<ORB>"]


def test_items_of_one_input_are_all_in_the_payload():
    rows = [{"name": "slc", "item_id": name, "collection_name": "slcs"} for name in ("S1C_A", "S1C_B")]
    both = [*items(), items()[0] | {"id": "S1C_B", "assets": {"a": {"href": "s3://archive/slcs/S1C_B.SAFE/manifest.safe"}}}]
    (entry,) = plan(both, input_products=rows).payload.document["io"]["input_products"]
    assert (entry["path"], entry["regex"], entry["multiplicity"]) == ("s3://archive/slcs/", r"(S1C_A\.SAFE|S1C_B\.SAFE)", 2)


def test_an_auxiliary_file_without_alternatives_is_the_processors_own_even_if_mandatory():
    table = task_table()
    table["units"][0]["input_adfs"][2]["mandatory"] = True
    assert [search.adf.name for search in plan(items(), table).searches] == ["ORB", "GAIN"]


def test_units_that_share_an_auxiliary_file_share_the_search():
    table = task_table()
    table["units"][1]["input_adfs"] = [product("ORB")]
    catalogue = Counting(items())
    made = plan(catalogue, table)
    assert catalogue.searches == 3
    assert [(search.unit, search.adf.name) for search in made.searches] == [("Calib.1", "ORB"), ("Calib.1", "GAIN"), ("Terrain.2", "ORB")]
    assert [entry["id"] for entry in made.payload.document["io"]["adfs"]] == ["ORB"]


def test_the_key_follows_the_table_unless_it_is_chosen():
    assert "io" in plan().payload.document
    assert "I/O" in plan(table=first_task_table()).payload.document
    assert "I/O" in plan(key=BEFORE).payload.document


def test_secrets_in_clear_are_told_without_being_shown():
    stores = storage()
    stores["storage_configuration"][0]["storage_options"]["secret"] = "canary-7f3a"
    (note,) = plan(stores=stores).notes
    assert note.startswith("4 secrets are in clear, such as io.input_products[0].reader_params.storage_options.secret: ")
    assert "canary" not in note


def test_a_search_is_shown_in_json():
    found = shown(plan(items()).searches[0])
    assert (found["unit"], found["adf"], found["mandatory"]) == ("Calib.1", "ORB", True)
    first, second = found["attempts"]
    assert (first["collection"], first["found"], second["found"]) == ("orbits", [], ["ORB_NEW"])
    assert second["filter"]["args"][0]["args"][1] == "ORB_PRE"


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (InvalidQuery, lambda table, stores: table["queries"][0]["stac"].update(filter={"op": "near", "args": []})),
        (NoStorage, lambda table, stores: stores["product"]["default"]["pipeline"].pop(0)),
    ],
)
def test_a_document_that_breaks_a_rule_has_no_plan(error, change):
    table, stores = task_table(), storage()
    change(table, stores)
    with pytest.raises(error):
        plan(items(), table, stores)
