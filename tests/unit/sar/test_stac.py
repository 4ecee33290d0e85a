import json
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from platform_assets.catalog.static import extent_of
from platform_assets.common.stac import to_json
from platform_assets.sar import naming, stac, stage
from platform_assets.sar.naming import ProductName
from platform_assets.sar.sample_truth import SafeSpec, Truth
from tests.builders.safes import MOMENT, job_of, small_safe
from tests.builders.stac_validation import validation_error

MD5 = "0123456789abcdef0123456789abcdef"
WANTED = frozenset({stac.L1B, stac.QUICKLOOK})


@dataclass(frozen=True)
class Options:
    resolution_m: int = 1000
    polarisations: tuple[str, ...] = ()


def facts_of(spec, **changes):
    lines, samples = [0, 0, spec.lines - 1, spec.lines - 1], [0, spec.samples - 1, spec.samples - 1, 0]
    longitudes, latitudes = Truth(spec).lonlat(lines, samples)
    return {
        "dims": {"line": 30, "sample": 26, "pol": len(spec.polarisations)},
        "variables": ["sigma0", "incidence"],
        "polarisations": list(spec.polarisations),
        "statistics": {pol: {"mean_db": -12.5, "nan_percent": 0.0} for pol in spec.polarisations},
        "spacing_m": [1004.58, 1001.69],
        "footprint": [[float(longitude), float(latitude)] for longitude, latitude in zip(longitudes, latitudes, strict=True)],
        "flags": [],
    } | changes


class Made:
    """A product, processed, with its item."""

    def __init__(self, folder, **changes):
        self.spec = SafeSpec(**({"lines": 300, "samples": 260} | changes))
        safe = small_safe(folder, **changes)
        self.job, self.manifest = job_of(safe), stage.manifest_of(safe)
        self.facts = facts_of(self.spec)

    @property
    def product(self):
        return self.manifest.product

    def assets(self, prefix=""):
        return {
            stac.L1B: stac.PublishedAsset(
                naming.output_key(self.product, ".nc", prefix), 9_000, "1220" + "a" * 64, "etag-1", "application/netcdf", {"checks": ["cf"]}
            ),
            stac.QUICKLOOK: stac.PublishedAsset(
                naming.output_key(self.product, ".png", prefix), 900, "1220" + "b" * 64, "etag-2", "image/png"
            ),
        }

    def item(self, prefix="", created=MOMENT, options=Options(), **changes):
        run = stac.Run("in", MD5, prefix, "run-1", created, {"stage_in": 0.5, "l1b": 2.25})
        facts = changes.pop("facts", self.facts)
        assets = changes.pop("assets", self.assets(prefix))
        return stac.document(stac.l1b_item(self.job, self.manifest, facts, assets, options, run, **changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("safe"))


KINDS = {
    "IW": {},
    "EW": {"mode": "EW", "polarisations": ("HH", "HV")},
    "Stripmap": {"mode": "S4", "mission": "S1C", "polarisations": ("VV",)},
    "descending across the antimeridian": {"longitude": -179.99, "heading": -166.0},
    "cloud-optimised": {"layout": "cog"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_of_any_kind_of_product_is_valid(tmp_path, kind):
    item = Made(tmp_path, **KINDS[kind]).item("out/")
    assert validation_error(item) == ""
    assert json.loads(to_json(item)) == item, "an item survives being stored"


@pytest.mark.parametrize(
    "path",
    [
        ("properties", "sar:polarizations"),
        ("properties", "sar:instrument_mode"),
        ("properties", "sat:orbit_state"),
        ("properties", "product:timeliness"),
        ("properties", "proj:shape"),
        ("properties", "processing:level"),
        ("properties", "version"),
        ("properties", "start_datetime"),
        ("assets", "l1b", "file:checksum"),
        ("geometry", "coordinates"),
        ("links", 0, "href"),
    ],
)
def test_the_validator_refuses_an_item_that_is_broken_on_purpose(made, path):
    item = made.item()
    target = item
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = {"not": "this"}
    assert validation_error(item)


def test_an_item_says_how_the_scene_was_taken(made):
    properties = made.item()["properties"]
    assert (properties["platform"], properties["constellation"], properties["instruments"]) == ("sentinel-1a", "sentinel-1", ["c-sar"])
    assert (properties["sar:instrument_mode"], properties["sar:polarizations"]) == ("IW", ["VV", "VH"])
    assert (properties["sar:pixel_spacing_azimuth"], properties["sar:pixel_spacing_range"]) == (1004.58, 1001.69)
    assert (properties["sat:orbit_state"], properties["sat:absolute_orbit"], properties["sat:relative_orbit"]) == ("ascending", 52000, 128)
    assert (properties["sat:platform_international_designator"], properties["sat:anx_datetime"]) == ("2014-016A", "2024-01-01T05:48:00Z")
    assert (properties["product:type"], properties["product:timeliness"]) == ("IW_GRDH_L1B", "PT24H")
    assert (properties["processing:level"], properties["processing:software"]["Sentinel-1 IPF"]) == ("L1B", "003.91")
    assert (properties["datetime"], properties["start_datetime"]) == ("2024-01-01T06:00:00Z", "2024-01-01T06:00:00Z")
    assert properties["end_datetime"] == "2024-01-01T06:00:00.447605Z"
    assert (properties["proj:code"], properties["proj:shape"]) == (None, [30, 26])
    assert properties["groundtrack:source_is_original"]


def test_the_footprint_is_of_the_geolocation_grid(made):
    item = made.item()
    (ring,) = item["geometry"]["coordinates"]
    assert sorted(map(tuple, ring[:-1])) == sorted((round(x, 7), round(y, 7)) for x, y in made.facts["footprint"])
    assert item["bbox"] == pytest.approx([-6.0097, 48.0, -5.9662, 48.0317], abs=1e-3)
    assert extent_of(item).interval == ("2024-01-01T06:00:00Z", "2024-01-01T06:00:00.447605Z")


def test_a_product_across_the_antimeridian_has_two_parts(tmp_path):
    item = Made(tmp_path, longitude=179.99).item()
    assert (item["geometry"]["type"], len(item["geometry"]["coordinates"])) == ("MultiPolygon", 2)
    west, _, east, _ = item["bbox"]
    assert 179 < west < 180
    assert -180 < east < -179


@pytest.mark.parametrize("ring", [[], [[0, 0], [1, 1]], [[0, 0], [1, 0], [1, float("nan")]]])
def test_an_unknown_footprint_is_null_and_says_so(made, ring):
    item = made.item(facts={**made.facts, "footprint": ring})
    assert item["geometry"] is None
    assert "unknown" in item["properties"]["groundtrack:geometry_note"]


def test_a_closed_ring_is_the_same_footprint(made):
    ring = made.facts["footprint"]
    assert stac.outline([*ring, ring[0]]) == stac.outline(ring)


# --- links --------------------------------------------------------------------------------------------------------------


def link(item, rel):
    return next((found for found in item["links"] if found["rel"] == rel), None)


def test_an_item_names_the_manifest_that_it_is_derived_from(made):
    source = link(made.item(), "derived_from")
    assert source["href"] == f"s3://in/in/{made.product.folder}/manifest.safe"
    assert (source["file:checksum"], source["title"]) == ("d50110" + MD5, made.product.name)


def test_an_item_names_the_zip_that_it_is_derived_from(made):
    zipped = replace(made.job.objects[0], key="in/a.zip")
    made_of_zip = replace(made.job, packaging="zip", root="in/a.zip", objects=(zipped,))
    run = stac.Run("in", MD5, "", "run-1", MOMENT, {})
    item = stac.document(stac.l1b_item(made_of_zip, made.manifest, made.facts, made.assets(), Options(), run))
    assert link(item, "derived_from")["href"] == "s3://in/in/a.zip"
    assert validation_error(item) == ""


@pytest.mark.parametrize("prefix", ["", "out/"])
def test_a_reprocessing_names_the_one_that_it_replaces(made, prefix):
    earlier = ProductName.parse(made.product.name[:-4] + "0000")
    item = made.item(prefix, predecessor=earlier)
    key = naming.item_key(made.product, prefix)
    assert link(item, "predecessor-version")["href"] == f"./{earlier.name}.json"
    assert stac.facts_from_item(item, key)["predecessor"] == earlier.name
    assert stac.facts_from_item(made.item(), key)["predecessor"] == ""
    assert validation_error(item) == ""


@pytest.mark.parametrize("prefix", ["", "out/", "ä b/"])
def test_assets_are_found_from_the_item(made, prefix):
    key = naming.item_key(made.product, prefix)
    products = stac.facts_from_item(made.item(prefix), key)["products"]
    assert {name: product["key"] for name, product in products.items()} == {name: asset.key for name, asset in made.assets(prefix).items()}


def test_collections_are_by_mode_and_level(made, tmp_path):
    assert stac.l1b_collection(made.product).id == made.item()["collection"] == "sentinel-1-iw-grd-l1b"
    info = stac.l1b_collection(Made(tmp_path, mode="S4", polarisations=("VV",)).product)
    assert (info.id, info.title) == ("sentinel-1-sm-grd-l1b", "Sentinel-1 SM GRD L1B")


# --- the skip rule ------------------------------------------------------------------------------------------------------


def test_a_product_with_an_item_of_this_input_and_these_options_is_done(made):
    assert stac.is_done(made.item(), made.job, Options(), WANTED)
    assert stac.is_done(json.loads(to_json(made.item())), made.job, Options(), frozenset({stac.L1B}))


def changed_object(job, **changes):
    return replace(job, objects=(*job.objects[:-1], replace(job.objects[-1], **changes)))


@pytest.mark.parametrize(
    "change",
    [
        lambda job: changed_object(job, etag="other"),
        lambda job: changed_object(job, size_bytes=1),
        lambda job: replace(job, objects=job.objects[:-1]),
        lambda job: replace(job, root="elsewhere"),
    ],
)
def test_a_product_of_another_input_is_not_done(made, change):
    assert not stac.is_done(made.item(), change(made.job), Options(), WANTED)


def test_a_product_whose_objects_are_listed_in_another_order_is_done(made):
    assert stac.is_done(made.item(), replace(made.job, objects=made.job.objects[::-1]), Options(), WANTED)


def test_a_product_made_otherwise_or_in_part_is_not_done(made, monkeypatch):
    item = made.item()
    assert not stac.is_done(item, made.job, Options(resolution_m=500), WANTED)
    assert not stac.is_done(item, made.job, Options(), WANTED | {"other"})
    monkeypatch.setattr(stac, "CODE_VERSION", "2")
    assert not stac.is_done(item, made.job, Options(), WANTED)


@pytest.mark.parametrize("document", [{}, {"properties": {}}, {"type": "Feature", "assets": {}}])
def test_a_document_that_says_nothing_is_not_done(made, document):
    assert not stac.is_done(document, made.job, Options(), WANTED)


def test_an_item_found_done_reports_what_its_making_reported(made):
    key = naming.item_key(made.product, "out/")
    facts = stac.facts_from_item(json.loads(to_json(made.item("out/"))), key)
    assert (facts["item_key"], facts["l1b"], facts["run_id"]) == (key, made.facts, "run-1")
    assert facts["seconds_by_stage"] == {"stage_in": 0.5, "l1b": 2.25}
    assert facts["source"] == {"bucket": "in", "root": made.job.root, "size_bytes": made.job.size_bytes, "md5": MD5}
    assert facts["products"]["l1b"]["details"] == {"checks": ["cf"]}
    assert facts.keys() == stac.ItemFacts.__required_keys__


def test_an_item_made_again_keeps_the_time_of_its_first_making(made):
    first = made.item()
    second = made.item(created=MOMENT + timedelta(days=1), previous=first)
    assert (second["properties"]["created"], second["properties"]["updated"]) == ("2026-04-01T10:15:00Z", "2026-04-02T10:15:00Z")
