import pytest

from platform_assets.dpr.auxiliary import find_adf
from platform_assets.dpr.catalogue import ItemCatalogue, Remembering
from platform_assets.dpr.errors import (
    AuxiliaryNotFound,
    InvalidMultiplicity,
    MissingMapping,
    TaskTableError,
    UnfilledPlaceholder,
    UnknownQuery,
)
from platform_assets.dpr.model import Source, read_request
from platform_assets.dpr.tasktable import read_task_table
from platform_assets.dpr.units import build_units
from tests.builders.dpr import alternative, as_json, auxiliary, item, items, request, task_table

SLCS = [
    item(f"S1C_{name}", "slcs", f"s3://archive/slcs/{name}.SAFE/m.safe", start_datetime=f"2026-05-01T0{hour}:00:00Z")
    for name, hour in (("A", 1), ("B", 6))
]


def find(name, catalogue, change=None, inputs=None, **asked):
    document = task_table()
    if change:
        change(document)
    table = read_task_table(as_json(document), "wave.json")
    wanted = read_request(as_json(request(**asked)), "request.json")
    units = build_units(table, pipeline="full", unit=None, variables=wanted.external_variables).units
    adf = next(adf for adf in units[0].adfs if adf.name == name)
    searched = ItemCatalogue(catalogue) if isinstance(catalogue, list) else catalogue
    return find_adf(units[0], adf, table, wanted, searched, inputs or {})


def tried(search):
    return [(attempt.order, attempt.collection, attempt.found) for attempt in search.attempts]


def orbit(document):
    return document["io"]["adfs"][0]


def per_input(**more):
    def change(document):
        parameters = {"start_datetime": "{slc.start_datetime}", "end_datetime": "{slc.start_datetime}"}
        orbit(document).update({"type": "folder", "folder_multiplicity": "one_per_input"} | more)
        orbit(document)["alternatives"] = [alternative(1, "ORB_PRE", **parameters)]

    return change


def test_alternatives_are_tried_by_their_order_until_one_finds():
    search = find("ORB", items())
    assert tried(search) == [(1, "orbits", ()), (2, "aux", ("ORB_NEW",))]
    assert [found["id"] for found in search.items] == ["ORB_NEW"]


def test_when_the_first_alternative_finds_the_others_are_not_tried():
    assert tried(find("ORB", [*items(), auxiliary("RES", "orbits", "ORB_RES")])) == [(1, "orbits", ("RES",))]


def test_without_a_catalogue_every_alternative_is_told_and_none_is_searched():
    assert tried(find("ORB", None)) == [(1, "orbits", None), (2, "aux", None)]


def test_a_mandatory_file_that_nothing_finds_is_a_problem_that_names_where_it_was_searched():
    problem = find("ORB", SLCS).problem
    assert isinstance(problem, AuxiliaryNotFound)
    assert str(problem) == "unit Calib.1 needs the auxiliary file 'ORB'; nothing was found; searched were: aux (auxip), orbits (auxip)"


def test_an_optional_file_may_be_absent():
    search = find("GAIN", items())
    assert (tried(search), search.items, search.problem) == ([(1, "aux", ())], (), None)


def test_no_time_limit_is_none():
    def limited(document):
        orbit(document)["alternatives"][1]["timeout_seconds"] = 30

    assert [attempt.timeout_s for attempt in find("ORB", items(), limited).attempts] == [30, None]


def test_a_collection_goes_by_type_then_by_any_type_then_by_satellite():
    assert find("ORB", None).attempts[0].collection == "orbits"
    assert find("ORB", None).attempts[1].collection == "aux"
    only = [{"product_type": "ORB_RES", "collection_name": "orbits", "source": "cdse"}]
    attempts = find("ORB", None, auxiliary_product_to_collection_identifier=only).attempts
    assert [(attempt.collection, attempt.source) for attempt in attempts] == [("orbits", "cdse"), ("sentinel-1c-aux-ORB_PRE", "auxip")]


def test_a_type_without_a_collection_and_a_request_without_a_satellite_are_refused():
    only = [{"product_type": "ORB_RES", "collection_name": "orbits"}]
    with pytest.raises(MissingMapping, match=r"has no row for 'ORB_PRE', which ADF 'ORB' needs, .* it has: ORB_RES"):
        find("ORB", None, auxiliary_product_to_collection_identifier=only, satellite=None)


def test_a_query_that_is_not_there_is_refused_with_those_that_are():
    def lost(document):
        orbit(document)["alternatives"][0]["query"]["name"] = "Newest"

    with pytest.raises(UnknownQuery, match="ADF ORB, alternative 2, query Newest: there is no such query; queries: ValCover"):
        find("ORB", None, lost)


def test_a_placeholder_that_nothing_fills_is_refused():
    def lost(document):
        del orbit(document)["alternatives"][1]["query"]["parameters"]["dTa"]

    with pytest.raises(UnfilledPlaceholder, match=r"alternative 1, query ValCover: nothing fills {dTa}; parameters: dTb, end_datetime"):
        find("ORB", None, lost)


def test_c24_a_file_is_searched_once_for_each_input():
    catalogue = [
        auxiliary("FIRST", "aux", "ORB_PRE", end_datetime="2026-05-01T02:00:00Z"),
        auxiliary("SECOND", "aux", "ORB_PRE", start_datetime="2026-05-01T05:00:00Z"),
    ]
    search = find("ORB", catalogue, per_input(), {"slc": SLCS})
    assert [(attempt.for_item, attempt.found) for attempt in search.attempts] == [("S1C_A", ("FIRST",)), ("S1C_B", ("SECOND",))]
    assert [found["id"] for found in search.items] == ["FIRST", "SECOND"]


def test_an_input_without_its_file_is_a_problem_that_names_it():
    search = find("ORB", [auxiliary("FIRST", "aux", "ORB_PRE", end_datetime="2026-05-01T02:00:00Z")], per_input(), {"slc": SLCS})
    assert "nothing was found for S1C_B;" in str(search.problem)


def test_the_inputs_that_a_file_is_for_may_be_chosen_by_where_they_lie():
    def chosen(document):
        per_input()(document)
        document["io"]["input"][0] |= {"type": "regex", "regex_expression": ".*/B\\.SAFE"}

    assert [attempt.for_item for attempt in find("ORB", items(), chosen, {"slc": SLCS}).attempts] == ["S1C_B"]


@pytest.mark.parametrize("multiplicity", ["one_per_input", "single"])
def test_for_an_input_that_is_not_there_nothing_is_searched(multiplicity):
    search = find("ORB", items(), per_input(folder_multiplicity=multiplicity), {})
    assert (search.attempts, search.problem) == ((), None)


def test_without_a_catalogue_the_inputs_are_not_looked_at():
    def chosen(document):
        per_input()(document)
        document["io"]["input"][0] |= {"type": "regex", "regex_expression": "nowhere"}

    (attempt,) = find("ORB", None, chosen, {"slc": SLCS}).attempts
    assert (attempt.found, attempt.for_item, attempt.search.unfilled) == (None, "", ("slc.start_datetime",))


@pytest.mark.parametrize(
    ("pattern", "error", "said"),
    [("C.*", InvalidMultiplicity, "they lie in: s3://archive/slcs/A.SAFE, s3"), ("(", TaskTableError, "is no regular expression")],
)
def test_a_choice_that_leaves_no_input_is_refused(pattern, error, said):
    def chosen(document):
        per_input()(document)
        document["io"]["input"][0] |= {"type": "regex", "regex_expression": pattern}

    with pytest.raises(error, match=said):
        find("ORB", items(), chosen, {"slc": SLCS})


def test_a_file_for_each_input_must_refer_to_one_input():
    def unrelated(document):
        orbit(document).update(type="folder", folder_multiplicity="one_per_input")

    with pytest.raises(InvalidMultiplicity, match=r"such as {slc.start_datetime}; they refer to: none"):
        find("ORB", None, unrelated)


def test_the_property_of_an_only_item_is_filled_in_without_being_told_so():
    alone = per_input(folder_multiplicity="single")
    assert find("ORB", items(), alone, {"slc": SLCS[:1]}).attempts[0].found == ("ORB_SHORT",)
    with pytest.raises(UnfilledPlaceholder, match=r"nothing fills {slc\.start_datetime}"):
        find("ORB", items(), alone, {"slc": SLCS})


def test_a_catalogue_is_asked_the_same_only_once():
    asked = []

    class Catalogue(ItemCatalogue):
        def search(self, collection, search, place, **how):
            asked.append((collection, how["source"]))
            return super().search(collection, search, place)

    catalogue = Remembering(Catalogue(items()))
    search = find("ORB", None).attempts[1].search
    assert catalogue.search("aux", search, "first") == catalogue.search("aux", search, "second")
    catalogue.search("aux", search, "third", source=Source.PRIP)
    assert asked == [("aux", "catalog"), ("aux", "prip")]


def test_a_catalogue_is_told_source_time_limit_and_assets_of_the_mapping():
    told = []

    class Catalogue(ItemCatalogue):
        def search(self, collection, search, place, **how):
            told.append((collection, how))
            return super().search(collection, search, place)

    def in_half_a_minute(table):
        table["io"]["adfs"][1]["alternatives"][0]["timeout_seconds"] = 30

    mapping = {"product_type": "AUX_GAIN", "collection_name": "gains", "source": "cdse", "selected_assets": ["product"]}
    find("GAIN", Catalogue([]), in_half_a_minute, auxiliary_product_to_collection_identifier=[mapping])
    assert told == [("gains", {"source": Source.CDSE, "timeout_s": 30, "assets": ("product",)})]
