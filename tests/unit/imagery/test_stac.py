import copy
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.common.errors import PermanentError
from platform_assets.common.stac import to_json
from platform_assets.common.values import ObjectRef
from platform_assets.imagery import naming, stac
from platform_assets.imagery.model import BandStatistics, Conversion, Product, Profile
from tests.builders.images import MD5, NOW, image_facts, image_item, image_job, item_document, published, statistics, wkt
from tests.builders.stac_validation import validation_error

ALL = frozenset(Product)
DISC = "+proj=geos +lon_0=-75 +h=35786023 +sweep=x +ellps=GRS80"
GCPS = ((0.0, 0.0, -89.46, 43.15), (300.0, 0.0, -89.42, 43.15), (300.0, 200.0, -89.42, 43.13), (0.0, 200.0, -89.46, 43.13))

KINDS = {
    "rgb": {},
    "grey": {"dtypes": ("uint8",), "colorinterp": ("gray",)},
    "16 bit with alpha": {"dtypes": ("uint16",) * 4, "colorinterp": ("red", "green", "blue", "alpha"), "mask": "alpha"},
    "float with NaN": {"dtypes": ("float32",), "nodata": ("nan",), "mask": "nodata", "units": ("metre",)},
    "float with infinity": {"dtypes": ("float64",), "nodata": ("-inf",)},
    "signed with nodata": {"dtypes": ("int16",), "nodata": ("-32768",), "scales": (0.1,), "offsets": (273.15,)},
    "64 bit": {"dtypes": ("uint64",), "nodata": ("18446744073709551615",)},
    "8 bit signed": {"dtypes": ("int8",), "nodata": ("-128.0",)},
    "complex": {"dtypes": ("complex_int16", "complex64"), "nodata": ("", "")},
    "one bit": {"dtypes": ("uint8",), "bits": 1},
    "palette": {"dtypes": ("uint8",), "colorinterp": ("palette",), "colormap": True, "area_or_point": "Point"},
    "described": {"dtypes": ("uint8",), "descriptions": ("Panchromatic",)},
    "without reference system": {"crs_wkt": ""},
    "without georeference": {"crs_wkt": "", "transform": None},
    "local": {"crs_wkt": 'LOCAL_CS["site",UNIT["metre",1]]'},
    "antimeridian": {"crs_wkt": wkt("EPSG:32660"), "transform": (600000.0, 3000.0, 0.0, 7900000.0, 0.0, -3000.0)},
    "geostationary": {"crs_wkt": wkt(DISC), "transform": (-5434895.0, 36232.6, 0.0, 5434895.0, 0.0, -54348.95)},
    "rotated": {"transform": (300000.0, 10.0, 3.0, 4780000.0, 2.0, -10.0)},
    "own reference system": {
        "crs_wkt": wkt("+proj=laea +lat_0=43 +lon_0=-89 +ellps=GRS80"),
        "transform": (0.0, 10.0, 0.0, 0.0, 0.0, -10.0),
    },
    "control points": {"crs_wkt": wkt("EPSG:4326"), "transform": None, "gcps": 4},
    "place that is no number": {"transform": (float("nan"), 10.0, 0.0, float("inf"), 0.0, -10.0)},
    "place beyond all": {"transform": (1e300, 1e300, 0.0, 0.0, 0.0, -1e300)},
    "scale that is no number": {"scales": (float("nan"),) * 3, "offsets": (float("-inf"),) * 3},
    "polynomial coefficients": {"crs_wkt": "", "transform": None, "rpcs": True},
    "broken reference system": {"crs_wkt": "PROJCS[broken"},
}


def item_of(kind, **changes):
    gcps = GCPS if kind == "control points" else ()
    return image_item(image_job(bands=None), image_facts(**KINDS[kind]), gcps=gcps, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_of_any_kind_of_image_is_valid(kind):
    document = stac.document(item_of(kind))
    assert validation_error(document) == ""
    assert json.loads(to_json(document)) == document, "an item survives being stored"


def _is_allowed(key):
    try:
        return bool(naming.checked_image_key(key))
    except PermanentError:
        return False


@settings(max_examples=40, deadline=None)
@given(
    key=st.text(min_size=1, max_size=30).map(lambda text: f"a/{text}.tif").filter(_is_allowed),
    bands=st.integers(1, 6),
    dtype=st.sampled_from(["uint8", "int16", "float32", "float64", "complex128"]),
    values=st.tuples(*[st.none() | st.floats()] * 4),
    prefix=st.sampled_from(["", "p/", "p/ä 1/"]),
    made=st.sets(st.sampled_from(list(Product))),
)
def test_an_item_is_valid_whatever_the_image_is_called_and_holds(key, bands, dtype, values, prefix, made):
    facts = image_facts(dtypes=(dtype,) * bands)
    job = image_job(bands=None, source=ObjectRef(key, MD5, 1, "2026-03-31T09:00:00Z"))
    of_bands = [BandStatistics(*values, 50.0)] * bands
    assets = published(job, *made, prefix=prefix) if made else {}
    item = item_document(job, facts, prefix=prefix, statistics=of_bands, assets=assets)
    assert validation_error(item) == ""
    item_key = naming.item_key(key, prefix)
    expected = {product.value: naming.product_key(key, product, prefix) for product in made}
    assert {name: product["key"] for name, product in stac.facts_from_item(item, item_key)["products"].items()} == expected


@pytest.mark.parametrize(
    "path",
    [
        ("properties", "proj:shape"),
        ("properties", "datetime"),
        ("properties", "published"),
        ("properties", "processing:level"),
        ("assets", "cog", "file:checksum"),
        ("assets", "cog", "bands", 0, "data_type"),
        ("assets", "cog", "raster:bands", 0, "sampling"),
        ("links", 0, "href"),
        ("geometry", "coordinates"),
        ("bbox",),
    ],
)
def test_the_validator_refuses_an_item_that_is_broken_on_purpose(path):
    document = item_document()
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = {"not": "this"}
    assert validation_error(document)


# --- where and when -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("without reference system", "no coordinate reference system"),
        ("without georeference", "not georeferenced"),
        ("local", "local"),
        ("polynomial coefficients", "rational polynomial"),
        ("place that is no number", "not georeferenced"),
        ("place beyond all", "not georeferenced"),
        ("broken reference system", "cannot be read"),
    ],
)
def test_an_image_that_lies_nowhere_has_null_geometry_and_says_why(kind, word):
    document = stac.document(item_of(kind))
    assert document["geometry"] is None
    assert "bbox" not in document
    assert word in document["properties"]["groundtrack:geometry_note"]


def test_control_points_locate_an_image_without_geotransform():
    document = stac.document(item_of("control points"))
    assert document["bbox"] == pytest.approx([-89.46, 43.13, -89.42, 43.15], abs=1e-6)
    assert "proj:transform" not in document["properties"]
    assert document["properties"]["proj:code"] == "EPSG:4326"


@pytest.mark.parametrize("gcps", [GCPS[:1], GCPS[:1] * 4, [(n, n, -89.0 + n, 43.0 + n) for n in range(3)]])
def test_control_points_that_locate_nothing_give_null_geometry(gcps):
    document = item_document(facts=image_facts(crs_wkt=wkt("EPSG:4326"), transform=None, gcps=len(gcps)), gcps=gcps)
    assert document["geometry"] is None
    assert "ground control points" in document["properties"]["groundtrack:geometry_note"]


def test_an_image_across_the_antimeridian_has_two_parts():
    document = stac.document(item_of("antimeridian"))
    assert document["geometry"]["type"] == "MultiPolygon"
    assert document["bbox"][0] > document["bbox"][2]


def test_a_reference_system_without_a_code_is_written_out():
    properties = item_document(facts=image_facts(**KINDS["own reference system"]))["properties"]
    assert properties["proj:code"] is None
    assert properties["proj:wkt2"].startswith("PROJCRS[")


def test_the_transform_is_in_the_order_of_the_projection_extension():
    properties = item_document()["properties"]
    assert properties["proj:transform"] == [10.0, 0.0, 300000.0, 0.0, -10.0, 4780000.0]
    assert properties["proj:bbox"] == [300000.0, 4778000.0, 303000.0, 4780000.0]
    assert properties["proj:shape"] == [200, 300]


def test_a_smaller_product_has_its_own_grid():
    thumbnail = item_document()["assets"]["thumbnail"]
    assert thumbnail["proj:shape"] == [100, 150]
    assert thumbnail["proj:transform"] == [20.0, 0.0, 300000.0, 0.0, -20.0, 4780000.0]


@pytest.mark.parametrize(
    ("tag", "moment", "source"),
    [
        ("1955:07:14 10:00:00", "1955-07-14T10:00:00Z", "tiff_datetime"),
        ("2010:06:28 11:52:28\0", "2010-06-28T11:52:28Z", "tiff_datetime"),
        ("0000:00:00 00:00:00", "2026-03-31T09:00:00Z", "object_modified"),
        ("1970:01:01 00:00:00", "2026-03-31T09:00:00Z", "object_modified"),
        ("1066:10:14 09:00:00", "2026-03-31T09:00:00Z", "object_modified"),
        ("2054:07:14 10:00:00", "2026-03-31T09:00:00Z", "object_modified"),
        ("2010-06-28", "2026-03-31T09:00:00Z", "object_modified"),
        ("yesterday", "2026-03-31T09:00:00Z", "object_modified"),
    ],
)
def test_the_time_is_the_tags_if_a_photograph_can_be_of_it(tag, moment, source):
    properties = item_document(facts=image_facts(tags=(("TIFFTAG_DATETIME", tag),)))["properties"]
    assert (properties["datetime"], properties["groundtrack:datetime_source"]) == (moment, source)


def test_an_object_of_unknown_age_is_of_now():
    job = image_job(source=ObjectRef("a.tif", MD5, 1))
    properties = item_document(job)["properties"]
    assert (properties["datetime"], properties["groundtrack:datetime_source"]) == ("2026-04-01T10:15:00Z", "created")


# --- provenance and assets ----------------------------------------------------------------------------------------------


def test_an_item_names_the_raw_object_and_its_sidecars():
    sidecar = ObjectRef("county/1955/a 1.tfw", "e2", 90)
    document = item_document(image_job(sidecars=(sidecar,)))
    raw, world_file = (link for link in document["links"] if link["rel"] == "derived_from")
    assert raw["href"] == "s3://raw/county/1955/a%201.tif"
    assert (raw["file:size"], raw["file:checksum"], raw["groundtrack:etag"]) == (190_000, "d50110" + MD5, MD5)
    assert (world_file["href"], world_file["groundtrack:etag"]) == ("s3://raw/county/1955/a%201.tfw", "e2")


def test_bands_are_described_for_old_and_new_readers():
    facts = image_facts(dtypes=("int16",), nodata=("-32768",), scales=(0.1,), offsets=(5.0,), units=("m",), bits=12, area_or_point="Point")
    of_band = BandStatistics(minimum=None, maximum=float("inf"), mean=1.5, stddev=0.5, valid_percent=25.0)
    cog = item_document(image_job(bands=1), facts, statistics=[of_band])["assets"]["cog"]
    assert cog["bands"] == [
        {
            "name": "b1",
            "description": "gray",
            "data_type": "int16",
            "nodata": -32768,
            "unit": "m",
            "statistics": {"mean": 1.5, "stddev": 0.5, "valid_percent": 25.0},
        }
    ]
    assert cog["raster:bands"] == [
        {"data_type": "int16", "nodata": -32768, "unit": "m", "sampling": "point", "bits_per_sample": 12, "scale": 0.1, "offset": 5.0}
    ]


def test_the_largest_nodata_keeps_every_digit():
    cog = stac.document(item_of("64 bit"))["assets"]["cog"]
    assert cog["bands"][0]["nodata"] == 18446744073709551615


def test_an_item_made_again_keeps_the_time_of_its_first_making():
    first = item_document()
    second = item_document(created=NOW + timedelta(days=1), previous=first)
    assert second["properties"]["created"] == first["properties"]["created"]
    assert second["properties"]["updated"] == "2026-04-02T10:15:00Z"


# --- the skip rule ------------------------------------------------------------------------------------------------------

JOB = image_job(sidecars=(ObjectRef("county/1955/a 1.tfw", "e2", 90),))


def test_an_image_with_an_item_of_this_input_and_these_parameters_is_done():
    assert stac.is_done(item_document(JOB), JOB, Conversion(), ALL)
    assert stac.is_done(item_document(JOB), replace(JOB, bands=None), Conversion(), frozenset({Product.COG}))


@pytest.mark.parametrize(
    "job",
    [
        replace(JOB, source=replace(JOB.source, etag="other")),
        replace(JOB, source=replace(JOB.source, size_bytes=1)),
        replace(JOB, source=replace(JOB.source, key="county/1955/b.tif")),
        replace(JOB, sidecars=()),
        replace(JOB, sidecars=(replace(JOB.sidecars[0], etag="other"),)),
        replace(JOB, bands=4),
    ],
)
def test_an_image_with_an_item_of_another_input_is_not_done(job):
    assert not stac.is_done(item_document(JOB), job, Conversion(), ALL)


def test_an_image_that_was_only_touched_is_done():
    touched = replace(JOB, source=replace(JOB.source, modified="2026-05-01T00:00:00Z"))
    assert stac.is_done(item_document(JOB), touched, Conversion(), ALL)


def test_an_image_made_with_other_parameters_is_not_done():
    assert not stac.is_done(item_document(JOB), JOB, Conversion(profile=Profile.ZSTD), ALL)


def test_an_image_made_by_other_code_is_not_done(monkeypatch):
    document = item_document(JOB)
    monkeypatch.setattr(stac, "CODE_VERSION", "2")
    assert not stac.is_done(document, JOB, Conversion(), ALL)


def test_an_image_that_lacks_a_product_is_not_done_with_it():
    document = item_document(JOB, assets=published(JOB, Product.COG))
    assert stac.is_done(document, JOB, Conversion(), frozenset({Product.COG}))
    assert not stac.is_done(document, JOB, Conversion(), ALL)


@pytest.mark.parametrize("document", [{}, {"properties": {}}, {"type": "Feature", "assets": {}}])
def test_a_document_that_says_nothing_is_not_done(document):
    assert not stac.is_done(document, JOB, Conversion(), ALL)
    assert stac.merged_assets(document, {}, JOB, Conversion(), "") == {}


# --- partial items ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "p/ä 1/"])
def test_a_product_stays_when_another_one_is_made_of_the_same_input(prefix):
    cog = published(JOB, Product.COG, prefix=prefix)
    jpeg = published(JOB, Product.JPEG, prefix=prefix)
    first = item_document(JOB, assets=cog, prefix=prefix)
    second = item_document(JOB, assets=jpeg, previous=first, prefix=prefix)
    assert list(second["assets"]) == ["cog", "jpeg"]
    assert stac.merged_assets(second, {}, JOB, Conversion(), prefix) == cog | jpeg
    assert validation_error(second) == ""


def test_a_product_made_again_replaces_the_one_before():
    new = replace(published(JOB, Product.COG)[Product.COG], etag="new")
    assert stac.merged_assets(item_document(JOB), {Product.COG: new}, JOB, Conversion(), "")[Product.COG] == new


def test_a_product_of_another_input_or_of_other_parameters_is_dropped():
    first = item_document(JOB)
    changed = replace(JOB, source=replace(JOB.source, etag="other"))
    made = published(changed, Product.THUMBNAIL)
    assert stac.merged_assets(first, made, changed, Conversion(), "") == made
    assert stac.merged_assets(first, made, JOB, Conversion(jpeg_quality=90), "") == made


# --- the item as facts --------------------------------------------------------------------------------------------------


def test_an_item_found_done_reports_what_its_making_reported():
    document = item_document(JOB, prefix="p/")
    item_key = naming.item_key(JOB.source.key, "p/")
    facts = stac.facts_from_item(json.loads(to_json(document)), item_key)
    assert facts == stac.facts_from_item(document, item_key)
    assert facts["source"] == {"bucket": "raw", "key": JOB.source.key, "etag": MD5, "size_bytes": 190_000, "md5": MD5}
    cog = published(JOB, prefix="p/")[Product.COG]
    assert facts["products"]["cog"] == {
        "key": "p/county/1955/a 1.tif",
        "size_bytes": cog.size_bytes,
        "checksum": cog.checksum,
        "etag": cog.etag,
        "media_type": cog.media_type,
        "details": {"valid_cog": True},
    }
    assert (facts["width"], facts["height"], facts["bands"], facts["dtype"], facts["crs"]) == (300, 200, 3, "uint8", "EPSG:32616")
    assert (facts["compression_ratio"], facts["datetime"]) == (2.0, "2026-03-31T09:00:00Z")
    assert (facts["seconds_by_stage"], facts["run_id"]) == ({"stage_in": 0.5, "convert": 2.25}, "run-1")


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_read_from_an_item_of_any_kind(kind):
    facts = stac.facts_from_item(stac.document(item_of(kind)), "_stac/imagery/county~~1955/county~~1955~~a~201.tif.json")
    assert facts["compression_ratio"] > 0
    assert facts.keys() == stac.ItemFacts.__required_keys__


def test_a_reference_system_without_a_code_is_reported_by_its_name():
    facts = image_facts(crs_wkt=wkt("+proj=laea +lat_0=43 +lon_0=-89 +ellps=GRS80"), transform=(0.0, 10.0, 0.0, 0.0, 0.0, -10.0))
    assert stac.facts_from_item(item_document(facts=facts), "_stac/imagery/a/a.json")["crs"] == "unknown"


def test_an_item_without_a_cog_has_no_compression_ratio():
    document = item_document(JOB, assets=published(JOB, Product.THUMBNAIL))
    assert stac.facts_from_item(document, naming.item_key(JOB.source.key))["compression_ratio"] is None


def test_making_an_item_changes_none_of_its_arguments():
    first = item_document(JOB)
    before = copy.deepcopy(first)
    image_item(JOB, previous=first, statistics=statistics(image_facts()))
    assert first == before
