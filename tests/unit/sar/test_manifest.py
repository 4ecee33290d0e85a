from datetime import UTC, datetime, timedelta

import pytest

from platform_assets.common.errors import LimitExceeded, PermanentError
from platform_assets.sar.manifest import ANNOTATION, LIMIT_BYTES, MEASUREMENT, product_id, read_manifest
from platform_assets.sar.naming import MANIFEST
from tests.builders.safes import NAME, small_safe

START = datetime(2024, 1, 1, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    return small_safe(tmp_path_factory.mktemp("safe"), start=START)


@pytest.fixture(scope="module")
def text(safe):
    return (safe / MANIFEST).read_text()


def test_a_manifest_says_what_the_product_is(safe, text):
    manifest = read_manifest(text.encode(), safe.name)

    assert (manifest.product.name, manifest.is_original) == (safe.name.removesuffix(".SAFE"), True)
    assert (manifest.platform, manifest.platform_designator) == ("S1A", "2014-016A")
    assert (manifest.instrument_mode, manifest.swaths, manifest.product_type) == ("IW", ("IW",), "GRD")
    assert manifest.polarisations == ("VV", "VH")
    assert manifest.start == START
    assert manifest.stop == START + timedelta(seconds=299 * 10 / 6680)
    assert (manifest.orbit, manifest.relative_orbit, manifest.cycle, manifest.orbit_state) == (52000, 128, 298, "ascending")
    assert (manifest.datatake, manifest.slice_number, manifest.slices) == (0x64A3C, 0, 0)
    assert (manifest.ipf_version, manifest.facility, manifest.timeliness) == ("003.91", "Synthetic", "Fast-24h")
    assert (manifest.processed, manifest.ascending_node_time) == (START + timedelta(hours=3), START - timedelta(minutes=12))
    (ring,) = manifest.footprints
    assert ring[3] == (-6.0, 48.0)


def test_a_manifest_lists_the_files_with_size_and_checksum(safe, text):
    manifest = read_manifest(text.encode(), safe.name)

    assert sorted(file.path for file in manifest.files) == sorted(
        path.relative_to(safe).as_posix() for path in safe.rglob("*") if path.is_file() and path.name != MANIFEST
    )
    assert manifest.size_bytes == sum((safe / file.path).stat().st_size for file in manifest.files)
    assert [len(manifest.of(schema)) for schema in (MEASUREMENT, ANNOTATION, "s1Level1QuickLookSchema")] == [2, 2, 0]


def test_the_unique_id_of_a_name_is_the_checksum_of_its_manifest(safe, text):
    assert product_id(b"123456789") == "29B1"  # the published check value of CRC-16/CCITT-FALSE
    assert product_id(text.encode()) == safe.name.removesuffix(".SAFE")[-4:]
    assert not read_manifest(text.encode() + b"\n", safe.name).is_original


def test_a_reprocessing_has_another_name_of_the_same_data(tmp_path, safe):
    again = small_safe(tmp_path, start=START, processed=START + timedelta(days=400))
    first, second = (read_manifest((folder / MANIFEST).read_bytes(), folder.name) for folder in (safe, again))
    assert first.product.name != second.product.name
    assert first.product.data_take_key == second.product.data_take_key
    assert first.processed < second.processed


@pytest.mark.parametrize("mode", ["EW", "S1", "S6"])
def test_every_mode_agrees_with_its_name(tmp_path, mode):
    folder = small_safe(tmp_path, mode=mode, polarisations=("HH",))
    assert read_manifest((folder / MANIFEST).read_bytes(), folder.name).swaths == (mode,)


def refused(text, name):
    with pytest.raises(PermanentError) as caught:
        read_manifest(text.encode() if isinstance(text, str) else text, name)
    assert name.removesuffix(".SAFE") in str(caught.value)
    assert caught.value.remedy
    return caught.value


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<xfdu:XFDU>&c;</xfdu:XFDU>"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY file SYSTEM "file:///etc/passwd">]><a>&file;</a>'


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "is not XML"),
        (b"PK\x03\x04 not xml", "is not XML"),
        (b"<html><body>503</body></html>", "lists no files"),
        (b"<a></b>", "is not XML"),
        ("<a/>".encode("utf-16"), "lists no files"),
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        (BOMB.encode("utf-16"), "document type"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "is not XML"),
        (b"<a>&undefined;</a>", "is not XML"),
        (b"<a>" * 50_000 + b"</a>" * 50_000, "lists no files"),
    ],
)
def test_what_is_no_manifest_is_refused(data, word):
    assert word in str(refused(data, NAME))


def test_a_manifest_larger_than_any_is_not_even_parsed():
    with pytest.raises(LimitExceeded, match=f"no manifest has more than {LIMIT_BYTES}"):
        read_manifest(b" " * (LIMIT_BYTES + 1), NAME)


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ("<dataObject ", "<other ", "bad_manifest", "is not XML"),
        ('size="', 'size="-', "bad_manifest", "byteStream@size"),
        ('size="', 'length="', "bad_manifest", "byteStream@size"),
        ('checksumName="MD5">', 'checksumName="MD5">x', "bad_manifest", "checksum"),
        ('checksumName="MD5"', 'checksumName="SHA3"', "bad_manifest", "no MD5"),
        ('href="./annotation/s1a', 'href="./../s1a', "unsafe_manifest", "segment"),
        ('href="./annotation/s1a', 'href="/etc/s1a', "unsafe_manifest", "slash"),
        ('href="./annotation/s1a', 'href="file:///s1a', "unsafe_manifest", "empty segment"),
        ('href="./annotation/s1a', 'href="..\\s1a', "unsafe_manifest", "backslash"),
        ('href="./annotation/s1a', 'href="a&#10;b', "unsafe_manifest", "control character"),
                ("startTime>2024-01-01T06", "startTime>2024-01-99T06", "bad_manifest", "startTime"),
        ("48.000000,-6.000000", "48.000000,nan", "bad_manifest", "footPrint"),
        ("48.000000,-6.000000", "148.000000,-6.000000", "bad_manifest", "footPrint"),
        ("gml:coordinates>", "gml:elsewhere>", "bad_manifest", "no footPrint/coordinates"),
        ("ASCENDING", "SIDEWAYS", "bad_manifest", "SIDEWAYS"),
        ("orbitNumber", "orbit", "bad_manifest", "no orbitReference/orbitNumber"),
        ('version="003.91"', 'version=""', "bad_manifest", "software@version"),
        ("transmitterReceiverPolarisation", "polarisation", "bad_manifest", "no transmitterReceiverPolarisation"),
        ("<safe:number>A<", "<safe:number>B<", "manifest_contradiction", "platform S1B, the name says S1A"),
        ("mode>IW<", "mode>EW<", "manifest_contradiction", "mode EW, the name says IW"),
        ("productType>GRD<", "productType>SLC<", "manifest_contradiction", "product type SLC"),
        (">VV<", ">HH<", "manifest_contradiction", "polarisations HH, VH, the name says DV"),
        (">52000<", ">52001<", "manifest_contradiction", "orbit 52001"),
        ("ID>412220<", "ID>1<", "manifest_contradiction", "data take 1"),
        ("startTime>2024-01-01T06:00:00", "startTime>2024-01-01T05:59:58", "manifest_contradiction", "start 2024-01-01T05:59:58"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_wrong_is_refused_with_what_is_wrong(safe, text, old, new, code, word):
    assert old in text
    error = refused(text.replace(old, new), safe.name)
    assert error.code == code
    assert word in str(error)


def test_two_files_in_one_place_are_refused(safe, text):
    first, second = (file.path for file in read_manifest(text.encode(), safe.name).of(MEASUREMENT))
    error = refused(text.replace(second, first.upper()), safe.name)
    assert (error.code, "twice" in str(error)) == ("unsafe_manifest", True)


def test_a_stripmap_of_another_swath_is_refused(tmp_path):
    folder = small_safe(tmp_path, mode="S3", polarisations=("VV",))
    text = (folder / MANIFEST).read_text().replace("swath>S3<", "swath>S4<")
    assert "swath S4, the name says S3" in str(refused(text, folder.name))


def test_a_manifest_cut_to_one_polarisation_is_still_the_products(safe, text):
    cut = text.replace("<s1sarl1:transmitterReceiverPolarisation>VH</s1sarl1:transmitterReceiverPolarisation>", "")
    manifest = read_manifest(cut.encode(), safe.name)
    assert (manifest.polarisations, manifest.is_original) == (("VV",), False)


def test_the_name_is_checked_before_the_manifest():
    with pytest.raises(PermanentError) as caught:
        read_manifest(b"", "error.SAFE")
    assert caught.value.code == "not_a_safe"
