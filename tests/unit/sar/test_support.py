import pytest

from platform_assets.common.errors import PermanentError
from platform_assets.sar import stage, support
from platform_assets.sar.naming import ProductName
from tests.builders.safes import NAME, edit, small_safe

TAIL = "20210809T173953_20210809T174018_039156_049F13_6FF8"


@pytest.mark.parametrize(
    "head",
    [
        "S1A_IW_GRDH_1SDV",
        "S1B_IW_GRDM_1SSH",
        "S1C_EW_GRDM_1SDH",
        "S1D_EW_GRDH_1SSV",
        "S1A_S1_GRDF_1SSV",
        "S1A_S6_GRDH_1SDV",
        "S1A_IW_GRDH_1SVH",
    ],
)
def test_ground_range_products_of_every_mode_are_supported(head):
    support.check_supported(ProductName.parse(f"{head}_{TAIL}"))


@pytest.mark.parametrize(
    ("head", "why", "instead"),
    [
        ("S1A_IW_SLC__1SDV", "single look complex", "GRD of the same data take"),
        ("S1A_S3_SLC__1SSV", "single look complex", "GRD of the same data take"),
        ("S1A_WV_SLC__1SSV", "mode WV", "GRD of IW, EW or SM"),
        ("S1A_WV_GRDM_1SSV", "mode WV", "GRD of IW, EW or SM"),
        ("S1A_IW_RAW__0SDV", "type RAW", "GRD of the same data take"),
        ("S1A_IW_OCN__2SDV", "type OCN", "GRD of the same data take"),
        ("S1A_IW_GRDH_1ADV", "class A", "GRD of the same data take"),
        ("S1A_EN_GRDH_1SDV", "mode EN", "GRD of IW, EW or SM"),
    ],
)
def test_other_products_are_refused_with_what_to_use_instead(head, why, instead):
    with pytest.raises(PermanentError, match=why) as caught:
        support.check_supported(ProductName.parse(f"{head}_{TAIL}"))
    assert caught.value.code == "unsupported_product"
    assert instead in caught.value.remedy


@pytest.mark.parametrize("polarisations", [("VV", "VH"), ("HH", "HV"), ("VV",), ("HH",), ("VH",)])
def test_a_manifest_with_every_file_of_every_polarisation_passes(tmp_path, polarisations):
    support.check_channels(stage.manifest_of(small_safe(tmp_path, polarisations=polarisations)))


@pytest.mark.parametrize("schema", ["Product", "Calibration", "Noise", "Measurement"])
def test_a_manifest_that_lists_no_file_of_a_kind_is_refused(tmp_path, schema):
    safe = small_safe(tmp_path)
    edit(safe, f'repID="s1Level1{schema}Schema"', 'repID="other"')
    with pytest.raises(PermanentError, match=r"lists \w+ files of nothing, and polarisations VV, VH"):
        support.check_channels(stage.manifest_of(safe))


def test_a_polarisation_without_its_files_is_refused(tmp_path):
    safe = small_safe(tmp_path, polarisations=("VV",))
    polarisation = "<s1sarl1:transmitterReceiverPolarisation>{}</s1sarl1:transmitterReceiverPolarisation>"
    edit(safe, polarisation.format("VV"), polarisation.format("VV") + polarisation.format("VH"))
    dual = safe.rename(safe.with_name(safe.name.replace("1SSV", "1SDV")))
    with pytest.raises(PermanentError, match="measurement files of VV, and polarisations VV, VH"):
        support.check_channels(stage.manifest_of(dual))


def test_the_name_of_a_product_that_exists_is_supported():
    support.check_supported(ProductName.parse(NAME))
