import json
import threading

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.catalog import static
from platform_assets.catalog.static import Extent, extent_of, publish_folders, rebuild
from platform_assets.common import stac
from platform_assets.common.errors import TransientError
from platform_assets.common.stac import CollectionInfo
from tests.builders.bucket import MemoryBucket
from tests.builders.images import image_facts, image_job, item_document
from tests.builders.stac_validation import validation_error

INFO = CollectionInfo("imagery", "Imagery", "Test images", keywords=("test",), providers=({"name": "Somebody", "roles": ["producer"]},))
P = "out/"


def put_item(bucket: MemoryBucket, key: str, prefix: str = P, **facts) -> tuple[str, Extent]:
    """Write the item of an image with its thumbnail; return its folder and extent."""
    job = image_job(key, source=image_job().source.__class__(key, "e", 1, "2026-03-31T09:00:00Z"))
    document = item_document(job, image_facts(**facts), prefix=prefix)
    folder = stac_folder(key)
    item_key = stac.item_key(prefix, "imagery", folder, document["id"])
    bucket.write(item_key, stac.to_json(document), content_type=stac.GEOJSON)
    bucket.write(item_key.removesuffix(".json") + ".thumb.jpg", b"jpeg", content_type="image/jpeg")
    return folder, extent_of(document)


def stac_folder(key: str) -> str:
    return key.rpartition("/")[0].replace("/", "~~") or "_"


def put_items(bucket: MemoryBucket, *keys: str) -> dict[str, Extent]:
    folders: dict[str, Extent] = {}
    for key in keys:
        folder, extent = put_item(bucket, key)
        folders[folder] = folders.get(folder, Extent()) | extent
    return folders


def read(bucket: MemoryBucket, key: str) -> dict:
    return json.loads(bucket.read(key, limit_bytes=1 << 30)[0])


def links(document: dict, rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def snapshot(bucket: MemoryBucket) -> dict[str, str]:
    return {ref.key: ref.etag for ref in bucket.list()}


class BucketIO(pystac.StacIO):
    """Reads a catalogue from a bucket, as any pystac program would."""

    def __init__(self, bucket: MemoryBucket) -> None:
        super().__init__()
        self.bucket = bucket

    def read_text(self, source, *_, **__) -> str:
        return self.bucket.read(str(source).removeprefix(f"s3://{self.bucket.name}/"), limit_bytes=1 << 30)[0].decode()

    def write_text(self, *_, **__) -> None:
        raise AssertionError("the catalogue is only read")


KEYS = ("county/1955/a 1.tif", "county/1955/b.tif", "county/Füße/c.tif", "d.tif")


def test_pystac_can_walk_the_whole_catalogue():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, put_items(bucket, *KEYS))
    root = pystac.Catalog.from_file(f"s3://bucket/{stac.root_key(P)}", stac_io=BucketIO(bucket))
    items = {item.id: item for item in root.get_items(recursive=True)}
    assert items.keys() == {"county~~1955~~a~201.tif", "county~~1955~~b.tif", "county~~F~C3~BC~C3~9Fe~~c.tif", "d.tif"}
    for item in items.values():
        assert item.get_collection().id == "imagery"
        assert item.get_root().id == root.id
        assert item.get_parent().get_parent().id == "imagery"
    href = items["county~~1955~~a~201.tif"].assets["cog"].get_absolute_href()
    assert href == "s3://bucket/out/county/1955/a%201.tif"


def test_every_document_of_the_catalogue_is_valid():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, put_items(bucket, *KEYS))
    documents = [read(bucket, ref.key) for ref in bucket.list() if ref.key.endswith(".json")]
    assert {document["type"] for document in documents} == {"Catalog", "Collection", "Feature"}
    assert [error for document in documents if (error := validation_error(document))] == []


def test_the_validator_refuses_a_collection_that_is_broken_on_purpose():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, put_items(bucket, *KEYS))
    collection = read(bucket, stac.collection_key(P, "imagery"))
    assert validation_error(collection | {"license": 1})
    assert validation_error({name: value for name, value in collection.items() if name != "extent"})


def test_an_empty_collection_and_one_without_places_are_valid():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, {})
    assert validation_error(read(bucket, stac.collection_key(P, "imagery"))) == ""
    folder, extent = put_item(bucket, "a/x.tif", crs_wkt="", transform=None)
    publish_folders(bucket, P, INFO, {folder: extent})
    collection = read(bucket, stac.collection_key(P, "imagery"))
    assert validation_error(collection) == ""
    assert collection["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]
    folder, extent = put_item(bucket, "a/y.tif")
    publish_folders(bucket, P, INFO, {folder: extent})
    assert read(bucket, stac.collection_key(P, "imagery"))["extent"]["spatial"]["bbox"] == [list(extent.bbox)]


def test_publishing_twice_changes_nothing():
    bucket = MemoryBucket()
    folders = put_items(bucket, *KEYS)
    publish_folders(bucket, P, INFO, folders)
    before = snapshot(bucket)
    bucket.calls.clear()
    publish_folders(bucket, P, INFO, folders)
    assert snapshot(bucket) == before
    assert not {"write", "create", "replace"} & set(bucket.calls)


def test_later_items_join_the_earlier_ones_in_the_order_of_their_keys():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, put_items(bucket, "a/2.tif"))
    publish_folders(bucket, P, INFO, put_items(bucket, "a/1.tif", "b/3.tif"))
    assert links(read(bucket, stac.folder_key(P, "imagery", "a")), "item") == ["./a~~1.tif.json", "./a~~2.tif.json"]
    assert links(read(bucket, stac.collection_key(P, "imagery")), "child") == ["./a/catalog.json", "./b/catalog.json"]


def test_an_item_that_was_removed_is_no_longer_linked():
    bucket = MemoryBucket()
    folders = put_items(bucket, "a/1.tif", "a/2.tif")
    publish_folders(bucket, P, INFO, folders)
    bucket.delete(stac.item_key(P, "imagery", "a", "a~~1.tif"))
    publish_folders(bucket, P, INFO, {"a": Extent()})
    assert links(read(bucket, stac.folder_key(P, "imagery", "a")), "item") == ["./a~~2.tif.json"]


def test_two_collections_share_the_root():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, put_items(bucket, "a/1.tif"))
    publish_folders(bucket, P, CollectionInfo("sar", "Radar", "Test"), {})
    assert links(read(bucket, stac.root_key(P)), "child") == ["./imagery/collection.json", "./sar/collection.json"]


def test_a_folder_costs_one_listing_however_many_there_are():
    bucket = MemoryBucket()
    folders = put_items(bucket, *(f"f{i}/{j}.tif" for i in range(5) for j in range(3)))
    publish_folders(bucket, P, INFO, folders)
    bucket.calls.clear()
    publish_folders(bucket, P, INFO, put_items(bucket, "f3/new.tif"))
    assert bucket.calls.count("list") == 1


# --- races --------------------------------------------------------------------------------------------------------------


class OvertakenBucket(MemoryBucket):
    """A bucket on which another writer gets in between: before a document is written, or after a folder was listed."""

    def __init__(self) -> None:
        super().__init__()
        self.overtakers = []

    def list(self, prefix="", *, start_after=""):
        yield from super().list(prefix, start_after=start_after)
        self._overtake(prefix)

    def create(self, key, data, *, content_type):
        self._overtake(key)
        return super().create(key, data, content_type=content_type)

    def replace(self, key, data, *, etag, content_type):
        self._overtake(key)
        return super().replace(key, data, etag=etag, content_type=content_type)

    def _overtake(self, key):
        for overtaker in [entry for entry in self.overtakers if key.endswith(entry[0])]:
            self.overtakers.remove(overtaker)
            overtaker[1]()


@pytest.mark.parametrize("moment", ["imagery/a/", "a/catalog.json", "collection.json", "_stac/catalog.json"])
@pytest.mark.parametrize("existing", [(), ("a/0.tif",)])
def test_a_writer_who_is_overtaken_loses_no_link(moment, existing):
    bucket = OvertakenBucket()
    if existing:
        publish_folders(bucket, P, INFO, put_items(bucket, *existing))

    def other_writer():
        publish_folders(bucket, P, INFO, put_items(bucket, "a/2.tif", "b/3.tif"))
        publish_folders(bucket, P, CollectionInfo("sar", "Radar", "Test"), {})

    bucket.overtakers.append((moment, other_writer))
    publish_folders(bucket, P, INFO, put_items(bucket, "a/1.tif", "c/4.tif"))
    publish_folders(bucket, P, CollectionInfo("dpr", "Products", "Test"), {})
    assert not bucket.overtakers
    items = sorted(["./a~~1.tif.json", "./a~~2.tif.json", *(["./a~~0.tif.json"] if existing else [])])
    assert links(read(bucket, stac.folder_key(P, "imagery", "a")), "item") == items
    collection = read(bucket, stac.collection_key(P, "imagery"))
    assert links(collection, "child") == [f"./{folder}/catalog.json" for folder in "abc"]
    assert links(read(bucket, stac.root_key(P)), "child") == [f"./{name}/collection.json" for name in ("dpr", "imagery", "sar")]


def test_many_writers_at_once_lose_no_link():
    bucket = MemoryBucket()

    def writer(number):
        for image in range(5):
            publish_folders(bucket, P, INFO, put_items(bucket, f"a/{number}-{image}.tif", f"own{number}/{image}.tif"))

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(links(read(bucket, stac.folder_key(P, "imagery", "a")), "item")) == 20
    assert len(links(read(bucket, stac.collection_key(P, "imagery")), "child")) == 5


def test_a_writer_who_is_overtaken_for_ever_gives_up_and_can_come_again():
    class Hopeless(MemoryBucket):
        def create(self, *_, **__):
            return False

    with pytest.raises(TransientError) as caught:
        publish_folders(Hopeless(), P, INFO, {})
    assert caught.value.code == "catalog_contention"


def test_a_catalogue_that_is_not_json_is_replaced():
    bucket = MemoryBucket()
    folders = put_items(bucket, "a/1.tif")
    bucket.write(stac.folder_key(P, "imagery", "a"), b"<html>", content_type="text/html")
    bucket.write(stac.collection_key(P, "imagery"), b"[]", content_type=stac.JSON)
    publish_folders(bucket, P, INFO, folders)
    assert links(read(bucket, stac.folder_key(P, "imagery", "a")), "item") == ["./a~~1.tif.json"]
    assert links(read(bucket, stac.collection_key(P, "imagery")), "child") == ["./a/catalog.json"]


# --- rebuild ------------------------------------------------------------------------------------------------------------


def test_a_catalogue_computed_anew_is_the_one_that_was_published():
    bucket = MemoryBucket()
    publish_folders(bucket, P, INFO, put_items(bucket, *KEYS))
    published = snapshot(bucket)
    assert rebuild(bucket, P, INFO) == len(KEYS)
    assert snapshot(bucket) == published
    for ref in list(bucket.list()):
        if ref.key.endswith(("catalog.json", "collection.json")):
            bucket.delete(ref.key)
    assert rebuild(bucket, P, INFO) == len(KEYS)
    assert snapshot(bucket) == published


def test_extents_shrink_when_they_are_computed_anew():
    bucket = MemoryBucket()
    folders = put_items(bucket, "a/1.tif")
    far, extent = put_item(bucket, "b/2.tif", transform=(300000.0, 10.0, 0.0, 1000.0, 0.0, -10.0))
    publish_folders(bucket, P, INFO, {**folders, far: extent})
    bucket.delete(stac.item_key(P, "imagery", "b", "b~~2.tif"))
    assert rebuild(bucket, P, INFO) == 1
    collection = read(bucket, stac.collection_key(P, "imagery"))
    assert collection["extent"]["spatial"]["bbox"] == [list(folders["a"].bbox)]
    assert links(collection, "child") == ["./a/catalog.json"]


def test_folders_whose_names_begin_alike_are_all_found():
    bucket = MemoryBucket()
    keys = [f"{folder}/{image}.tif" for folder in ("a", "a-b", "a.b", "a0", "a~", "a/b", "aa", "b") for image in range(3)]
    put_items(bucket, *[key for key in keys if "~" not in key])
    assert rebuild(bucket, P, INFO) == 21
    assert len(links(read(bucket, stac.collection_key(P, "imagery")), "child")) == 7


def test_an_item_that_is_not_json_does_not_stop_the_computation():
    bucket = MemoryBucket()
    put_items(bucket, "a/1.tif")
    bucket.write(stac.item_key(P, "imagery", "a", "broken"), b"{", content_type=stac.JSON)
    assert rebuild(bucket, P, INFO) == 2


# --- extents ------------------------------------------------------------------------------------------------------------


def box(west, east):
    return Extent((west, -10.0, east, 10.0))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ((10, 20), (30, 40), (10, 40)),
        ((-170, -160), (160, 170), (-170, 170)),  # nothing crosses: the plain box, which every client understands
        ((170, -170), (160, 165), (160, -170)),
        ((170, -170), (-60, -50), (170, -50)),
        ((170, -170), (175, -175), (170, -170)),
        ((170, -170), (175, -160), (170, -160)),
        ((170, -170), (-180, 180), (-180, 180)),
        ((0, -10), (-20, 10), (-180, 180)),
    ],
)
def test_the_extent_of_two_boxes_holds_both_and_no_more_than_it_must(one, other, both):
    assert (box(*one) | box(*other)).bbox == (both[0], -10, both[1], 10)
    assert (box(*other) | box(*one)).bbox == (both[0], -10, both[1], 10)


lons = st.integers(-180, 180)


@given(a=st.tuples(lons, lons), b=st.tuples(lons, lons), lon=lons)
def test_a_longitude_in_one_of_two_boxes_is_in_both(a, b, lon):
    def holds(arc, value):
        return arc[0] <= value <= arc[1] if arc[0] <= arc[1] else value >= arc[0] or value <= arc[1]

    west, _, east, _ = (box(*a) | box(*b)).bbox
    if holds(a, lon) or holds(b, lon):
        assert holds((west, east), lon) or abs(lon) == 180


def test_an_extent_without_place_or_time_adds_nothing():
    extent = Extent((1.0, 2.0, 3.0, 4.0), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"))
    assert extent | Extent() == Extent() | extent == extent


def test_times_are_compared_as_times_not_as_text():
    early, late = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"
    assert (Extent(interval=(late, late)) | Extent(interval=(early, early))).interval == (early, late)


def test_the_extent_of_an_item_is_its_box_and_time_without_elevation():
    assert extent_of({"bbox": [1, 2, -5, 3, 4, 100], "properties": {"datetime": "2026-01-01T00:00:00Z"}}).bbox == (1, 2, 3, 4)
    period = {"datetime": None, "start_datetime": "2026-01-01T00:00:00Z", "end_datetime": "2026-01-02T00:00:00Z"}
    assert extent_of({"properties": period}) == Extent(None, ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"))


def test_a_hundred_thousand_links_are_compact():
    bucket = MemoryBucket()
    update = static._FolderUpdate(bucket, P, INFO, "a", Extent())
    for number in range(1000):
        bucket.write(stac.item_key(P, "imagery", "a", f"a~~scan-{number:06d}.tif"), b"{}", content_type=stac.JSON)
    assert len(stac.to_json(update(None))) < 1000 * 70
