from datetime import UTC, datetime

import pytest

from platform_assets.common.errors import PermanentError
from platform_assets.common.keys import UnsafeKey, partition_key
from platform_assets.sar import naming
from platform_assets.sar.naming import ProductName, checked_path, locate, short_path
from tests.builders.safes import NAME

STEM = "20210809t173953-20210809t174018-039156-049f13-001"


def test_a_product_name_is_read_in_its_parts():
    product = ProductName.parse(f"{NAME}.SAFE")

    assert product == ProductName.parse(NAME)
    assert (product.name, product.folder) == (NAME, f"{NAME}.SAFE")
    assert (product.mission, product.mode, product.instrument_mode, product.product_type) == ("S1A", "IW", "IW", "GRD")
    assert (product.resolution, product.level, product.product_class, product.code) == ("H", "1", "S", "DV")
    assert product.polarisations == ("VV", "VH")
    assert (product.start, product.stop) == (datetime(2021, 8, 9, 17, 39, 53, tzinfo=UTC), datetime(2021, 8, 9, 17, 40, 18, tzinfo=UTC))
    assert (product.orbit, product.datatake, product.unique_id, product.cog) == (39156, 0x049F13, "6FF8", False)


@pytest.mark.parametrize(
    ("name", "mode", "instrument_mode", "product_type", "resolution", "polarisations"),
    [
        ("S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B", "S4", "SM", "GRD", "H", ("HH", "HV")),
        ("S1B_EW_GRDM_1SSH_20211223T051122_20211223T051147_030148_039993_5371", "EW", "EW", "GRD", "M", ("HH",)),
        ("S1D_IW_SLC__1SVH_20260606T181903_20260606T181928_064852_082C02_1C0B", "IW", "IW", "SLC", "", ("VH",)),
        ("S1A_WV_OCN__2SSV_20260606T181903_20260606T181928_064852_082C02_1C0B", "WV", "WV", "OCN", "", ("VV",)),
        ("S1A_IW_RAW__0SDV_20260606T181903_20260606T181928_064852_082C02_1C0B", "IW", "IW", "RAW", "", ("VV", "VH")),
    ],
)
def test_names_of_every_kind_of_product_are_read(name, mode, instrument_mode, product_type, resolution, polarisations):
    product = ProductName.parse(name)
    found = (product.mode, product.instrument_mode, product.product_type, product.resolution, product.polarisations)
    assert found == (mode, instrument_mode, product_type, resolution, polarisations)


def test_a_repackaging_and_a_reprocessing_are_of_the_same_data():
    product, cog, again = (ProductName.parse(name) for name in (NAME, f"{NAME}_COG.SAFE", NAME[:-4] + "FEC3"))
    assert (cog.cog, cog.unique_id, cog.name) == (True, "6FF8", f"{NAME}_COG")
    assert product.data_take_key == cog.data_take_key == again.data_take_key == NAME[:-5]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "error.SAFE",
        NAME[:-1],
        NAME.lower(),
        f"{NAME}.SAFE.SAFE",
        f"{NAME}\n",
        NAME.replace("S1A", "S2A"),
        NAME.replace("_IW_", "_XX_"),
        NAME.replace("20210809T173953", "20210230T173953"),
        NAME.replace("20210809T173953", "20220809T173953"),
        NAME.replace("S1A", "../S1A"),
        "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8_COG2",
    ],
)
def test_what_is_no_product_name_is_refused_by_name(name):
    with pytest.raises(PermanentError) as caught:
        ProductName.parse(name)
    assert caught.value.code == "not_a_safe"
    assert "NAME.SAFE" in caught.value.remedy


@pytest.mark.parametrize(
    ("key", "root", "path", "packaging"),
    [
        (f"in/{NAME}.SAFE/manifest.safe", f"in/{NAME}.SAFE", "manifest.safe", "folder"),
        (f"{NAME}.SAFE/annotation/calibration/a.xml", f"{NAME}.SAFE", "annotation/calibration/a.xml", "folder"),
        (f"GRD/2021/8/9/IW/DV/{NAME}/measurement/iw-vv.tiff", f"GRD/2021/8/9/IW/DV/{NAME}", "measurement/iw-vv.tiff", "folder"),
        (f"in/{NAME}.zip", f"in/{NAME}.zip", "", "zip"),
        (f"in/{NAME}.SAFE.zip", f"in/{NAME}.SAFE.zip", "", "zip"),
        (f"in/{NAME}.SAFE/{NAME}.zip", f"in/{NAME}.SAFE", f"{NAME}.zip", "folder"),
    ],
)
def test_an_object_is_located_in_its_product(key, root, path, packaging):
    location = locate(key)
    assert location is not None
    assert (location.product.name, location.root, location.path, location.packaging) == (NAME, root, path, packaging)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "in/raw.csv",
        "in/error.SAFE/manifest.safe",
        f"in/{NAME}.SAFE-report-20210809T203000.pdf",
        f"in/{NAME}.zip/manifest.safe",
        f"in/{NAME.replace('20210809T173953', '20219909T173953')}.SAFE/manifest.safe",
    ],
)
def test_what_belongs_to_no_product_is_located_nowhere(key):
    assert locate(key) is None


def test_a_folder_of_a_product_is_located_without_its_objects():
    location = locate(f"in/{NAME}.SAFE")
    assert location is not None
    assert (location.root, location.path, location.packaging) == (f"in/{NAME}.SAFE", "", "folder")


@pytest.mark.parametrize(
    ("path", "short"),
    [
        (f"measurement/s1a-iw-grd-vv-{STEM}.tiff", "measurement/iw-vv.tiff"),
        (f"measurement/s1a-iw-grd-vv-{STEM}-cog.tiff", "measurement/iw-vv.tiff"),
        (f"annotation/s1a-ew-grd-hh-{STEM}.xml", "annotation/ew-hh.xml"),
        (f"annotation/calibration/noise-s1c-s4-grd-hv-{STEM}.xml", "annotation/calibration/noise-s4-hv.xml"),
        (f"annotation/calibration/calibration-s1a-iw-grd-vh-{STEM}.xml", "annotation/calibration/calibration-iw-vh.xml"),
        (f"annotation/rfi/rfi-s1a-iw-grd-vh-{STEM}.xml", "annotation/rfi/rfi-iw-vh.xml"),
        ("preview/quick-look.png", "preview/quick-look.png"),
        ("manifest.safe", "manifest.safe"),
    ],
)
def test_files_have_the_short_names_of_the_public_bucket(path, short):
    assert short_path(path) == short


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a\\b", "C:a", "a\nb", "a/" + "x" * 256])
def test_a_path_that_is_none_on_some_system_is_refused(path):
    with pytest.raises(UnsafeKey):
        checked_path(path)


def test_keys_of_items_and_products_go_there_and_back():
    product = ProductName.parse(NAME)
    assert naming.item_key(product, "out/") == f"out/_stac/sentinel-1-iw-grd-l1b/2021-08-09/{NAME}.json"
    assert naming.output_key(product, ".nc", "out/") == f"out/sentinel-1-iw-grd-l1b/2021-08-09/{NAME}.nc"
    assert naming.item_product(naming.item_key(product, "out/"), "out/") == product
    assert partition_key(product.name) == product.name
    for key in (f"out/_stac/imagery/2021-08-09/{NAME}.json", "a.json", naming.item_key(product)):
        with pytest.raises(UnsafeKey):
            naming.item_product(key, "out/")


def test_all_swaths_of_stripmap_are_one_collection():
    swaths = [ProductName.parse(NAME.replace("_IW_", f"_S{number}_")) for number in (1, 6)]
    assert {naming.collection_id(product) for product in swaths} == {"sentinel-1-sm-grd-l1b"}
