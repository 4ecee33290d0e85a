import os
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from platform_assets.common.errors import LimitExceeded, MissingInput, PermanentError
from platform_assets.sar import stage
from platform_assets.sar.manifest import MEASUREMENT
from platform_assets.sar.stage import ZipLimits
from tests.builders.safes import DAMAGES, NAME, file_of, seal, small_safe, to_short_names, zipped


@pytest.fixture
def safe(tmp_path):
    return small_safe(tmp_path)


def opened_and_checked(folder):
    stage.check_files(folder, stage.manifest_of(folder))


def test_a_whole_safe_passes(safe):
    opened_and_checked(safe)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_safe_is_refused_with_what_is_wrong(safe, damage):
    do, code = DAMAGES[damage]
    do(safe)
    with pytest.raises(PermanentError) as caught:
        opened_and_checked(safe)
    assert caught.value.code == code
    assert safe.stem in str(caught.value)
    assert caught.value.remedy


def test_the_message_names_the_file_and_its_sizes(safe):
    image = file_of(safe, MEASUREMENT)
    whole = image.stat().st_size
    os.truncate(image, 1000)
    with pytest.raises(PermanentError, match=f"{image.relative_to(safe)} has 1000 of {whole} bytes"):
        opened_and_checked(safe)


def test_many_missing_files_are_counted(safe):
    manifest = stage.manifest_of(safe)
    for file in manifest.files:
        (safe / file.path).unlink()
    with pytest.raises(PermanentError, match="and 5 more"):
        stage.check_files(safe, manifest)


def test_a_known_checksum_is_compared_instead_of_taken(safe):
    manifest = stage.manifest_of(safe)
    DAMAGES["a bit flipped in the image"][0](safe)
    stage.check_files(safe, manifest, {file.path: file.md5 for file in manifest.files})
    with pytest.raises(PermanentError, match="has MD5 0000"):
        stage.check_files(safe, manifest, {manifest.files[0].path: "0" * 32})


def test_a_changed_safe_that_was_sealed_passes(safe):
    DAMAGES["a bit flipped in the image"][0](safe)
    DAMAGES["noise missing"][0](safe)
    seal(safe)
    opened_and_checked(safe)
    assert len(stage.manifest_of(safe).files) == 7
    assert not stage.manifest_of(safe).is_original


@pytest.mark.parametrize(
    ("name", "code"), [("error.SAFE", "not_a_safe"), (f"{NAME}.SAFE", "missing_input"), (f"{NAME[:-4]}ABCD.SAFE", "not_a_safe")]
)
def test_what_is_no_safe_is_refused(tmp_path, name, code):
    (tmp_path / f"{NAME[:-4]}ABCD.SAFE").write_text("a file")
    with pytest.raises(PermanentError) as caught:
        stage.manifest_of(tmp_path / name)
    assert caught.value.code == code


# --- names --------------------------------------------------------------------------------------------------------------


def test_a_safe_with_esas_names_is_read_where_it_lies(safe, tmp_path):
    assert stage.to_esa_names(safe, stage.manifest_of(safe), tmp_path / "scratch") == safe
    assert not (tmp_path / "scratch").exists()


def test_a_product_of_the_public_bucket_is_linked_under_esas_names(safe, tmp_path):
    original = stage.sizes(safe)
    short = to_short_names(safe)
    before = stage.sizes(short)
    manifest = stage.manifest_of(short)

    view = stage.to_esa_names(short, manifest, tmp_path / "scratch")

    assert view == tmp_path / "scratch" / safe.name
    assert stage.sizes(view) == original
    assert stage.sizes(short) == before, "the input is not touched"
    opened_and_checked(view)


def test_links_lead_to_the_product_wherever_it_is_named_from(safe, tmp_path, monkeypatch):
    short = to_short_names(safe)
    monkeypatch.chdir(tmp_path)
    opened_and_checked(stage.to_esa_names(Path(short.name), stage.manifest_of(short), tmp_path / "scratch"))


def test_a_folder_without_the_suffix_is_linked_under_one_with_it(safe, tmp_path):
    bare = safe.rename(safe.with_suffix(""))
    view = stage.to_esa_names(bare, stage.manifest_of(bare), tmp_path / "scratch")
    assert view.name == safe.name
    opened_and_checked(view)


# --- zips ---------------------------------------------------------------------------------------------------------------


def test_a_zipped_safe_is_unpacked_as_it_was(safe, tmp_path):
    (tmp_path / "out").mkdir()
    unpacked = stage.unpack(zipped(safe), tmp_path / "out")
    assert unpacked == tmp_path / "out" / safe.name
    assert stage.sizes(unpacked) == stage.sizes(safe)
    opened_and_checked(unpacked)


def archive(path, entries, **options):
    """Write a zip of names, or of entries with attributes, and contents."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as zipped_file:
        warnings.simplefilter("ignore", UserWarning)  # of names that stand twice
        for entry, content in entries:
            zipped_file.writestr(entry, content)
    return path


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def refusal(path, tmp_path, limits=None):
    target = tmp_path / "deep" / "out"
    target.mkdir(parents=True, exist_ok=True)
    with pytest.raises(PermanentError) as caught:
        stage.unpack(path, target, limits)
    assert path.name in str(caught.value) or caught.value.code == "not_a_safe"
    return caught.value, sorted(found.name for found in (tmp_path / "deep").rglob("*"))


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([("../evil", "x")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/../../evil", "x")], "unsafe_zip"),
        ([("/etc/evil", "x")], "unsafe_zip"),
        ([(f"{NAME}.SAFE\\..\\evil", "x")], "unsafe_zip"),
        ([("C:evil", "x")], "unsafe_zip"),
        ([(link(f"{NAME}.SAFE/link"), "/etc/passwd")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/a", "x"), (f"{NAME}.SAFE/a", "y")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/a", "x"), (f"{NAME}.SAFE/A", "y")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/a", "x"), (f"{NAME}.SAFE/a/b", "y")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/a/", ""), (f"{NAME}.SAFE/a", "y")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/{'x' * 300}", "x")], "unsafe_zip"),
        ([(f"{NAME}.SAFE/a", "x"), (f"{NAME[:-4]}0000.SAFE/a", "y")], "not_a_safe"),
        ([("manifest.safe", "x")], "not_a_safe"),
        ([("error.SAFE/manifest.safe", "x")], "not_a_safe"),
        ([], "not_a_safe"),
    ],
)
def test_a_zip_that_is_not_one_safe_writes_nothing(tmp_path, entries, code):
    error, written = refusal(archive(tmp_path / "a.zip", entries), tmp_path)
    assert error.code == code
    assert written == ["out"]
    assert not (tmp_path / "evil").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = archive(tmp_path / "a.zip", [(f"{NAME}.SAFE/a", bytes(30_000_000))], compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 60_000
    error, written = refusal(bomb, tmp_path, ZipLimits(unpacked_bytes=10_000_000))
    assert isinstance(error, LimitExceeded)
    assert "30000000" in str(error)
    assert "unpacked_bytes" in str(error)
    assert written == ["out"]


def test_a_zip_that_expands_like_no_image_is_refused(tmp_path, monkeypatch):
    bomb = archive(tmp_path / "a.zip", [(f"{NAME}.SAFE/a", bytes(3_000_000))], compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(stage, "_RATIO_FLOOR_BYTES", 1_000_000)
    error, _ = refusal(bomb, tmp_path)
    assert "expansion" in str(error)


def test_a_zip_of_too_many_entries_is_refused(tmp_path):
    error, _ = refusal(archive(tmp_path / "a.zip", [(f"{NAME}.SAFE/{i}", "") for i in range(11)]), tmp_path, ZipLimits(entries=10))
    assert "entries" in str(error)


def test_an_entry_larger_than_it_announces_is_not_unpacked(tmp_path):
    path = archive(tmp_path / "a.zip", [(f"{NAME}.SAFE/a", b"x" * 5000)], compression=zipfile.ZIP_DEFLATED)
    lying = path.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    path.write_bytes(lying)
    error, _ = refusal(path, tmp_path)
    assert error.code == "corrupt_zip"
    assert (tmp_path / "deep/out" / f"{NAME}.SAFE" / "a").stat().st_size <= 50


@pytest.mark.parametrize("kind", ["cut off", "web page", "empty", "bit flipped", "encrypted", "unknown compression", "absent"])
def test_a_broken_zip_is_refused_with_what_is_wrong(safe, tmp_path, kind):
    path = zipped(safe)
    data = bytearray(path.read_bytes())
    match kind:
        case "cut off":
            del data[-1000:]
        case "web page":
            data = bytearray(b"<html>404</html>")
        case "empty":
            data = bytearray()
        case "bit flipped":
            data[len(data) // 2] ^= 0xFF
        case "encrypted":
            data[data.index(b"PK\x01\x02") + 8] |= 1
        case "unknown compression":
            data[data.rindex(b"PK\x01\x02") + 10] = 99
    path.write_bytes(data)
    if kind == "absent":
        path.unlink()
    codes = {"bit flipped": "corrupt_zip", "encrypted": "encrypted_zip", "unknown compression": "corrupt_zip", "absent": "missing_input"}
    error, _ = refusal(path, tmp_path)
    assert error.code == codes.get(kind, "not_a_zip")
    assert isinstance(error, MissingInput) == (kind == "absent")


def test_the_largest_products_pass_the_limits():
    assert ZipLimits().unpacked_bytes > 8e9, "an SLC has up to 8 GB"
