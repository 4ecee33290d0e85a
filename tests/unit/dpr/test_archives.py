import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from platform_assets.dpr.archives import BrokenArchive, Limits, UnsafeArchive, is_archive, stripped, unpack

FILES = {"AUX/a.xml": b"a", "AUX/data/b.nc": b"bbb"}


def zipped(path, files, **attributes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = attributes.get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(member, content)
    return path


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tarred(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_bytes(*members, mode="w"):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["x.zip", "x.ZIP", "x.tar", "x.tgz", "x.tar.gz"])
def test_c25_a_single_folder_at_the_top_is_taken_for_the_root(tmp_path, name):
    path = tmp_path / name
    if name.lower().endswith(".zip"):
        zipped(path, FILES)
    else:
        tarred(path, *(member(*file) for file in FILES.items()), mode="w" if name == "x.tar" else "w:gz")
    found = unpack(path, tmp_path / "out")
    assert (found.root.name, found.files, found.skipped) == ("AUX", ("a.xml", "data/b.nc"), ())
    assert (found.root / "data" / "b.nc").read_bytes() == b"bbb"


def test_only_one_folder_is_taken_away_and_none_beside_files(tmp_path):
    assert unpack(zipped(tmp_path / "x.zip", {"a/b/c.txt": b""}), tmp_path / "one").files == ("b/c.txt",)
    assert unpack(zipped(tmp_path / "x.zip", {"a/b.txt": b"", "c.txt": b""}), tmp_path / "two").files == ("a/b.txt", "c.txt")


def test_the_largest_file_stands_for_all_and_of_equal_ones_the_first(tmp_path):
    assert unpack(zipped(tmp_path / "x.zip", {"b": b"12", "a": b"12", "c": b"1"}), tmp_path / "out").main == "a"
    assert unpack(tarred(tmp_path / "x.tar"), tmp_path / "none").main == ""


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "..", "a\\..\\out", "C:/out", "a/\x01", "a/" + "n" * 256])
def test_c25_members_that_lead_elsewhere_are_passed_over_and_told(tmp_path, name):
    found = unpack(tarred(tmp_path / "x.tar.gz", member(name, b"evil"), member("good", b"1")), tmp_path / "in" / "out")
    assert (found.files, len(found.skipped)) == (("good",), 1)
    found = unpack(zipped(tmp_path / "x.zip", {name: b"evil", "good": b"1"}), tmp_path / "in" / "zip")
    assert found.files == ("good",)
    assert everything(tmp_path) == ["in", "in/out", "in/out/good", "in/zip", "in/zip/good", "x.tar.gz", "x.zip"]


def test_c25_links_and_devices_are_passed_over_and_what_would_go_through_them_stays_inside(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    links = [
        member("a", type=tarfile.SYMTYPE, linkname=str(outside)),
        member("a/evil", b"evil"),
        member("hard", type=tarfile.LNKTYPE, linkname="../../outside"),
        member("pipe", type=tarfile.FIFOTYPE),
        member("null", type=tarfile.CHRTYPE),
    ]
    found = unpack(tarred(tmp_path / "x.tar.gz", *links), tmp_path / "out")
    assert (found.files, found.skipped) == (("evil",), ("'a'", "'hard'", "'pipe'", "'null'"))
    found = unpack(zipped(tmp_path / "x.zip", {"a": str(outside), "b": b"1"}, a=stat.S_IFLNK | 0o777), tmp_path / "zip")
    assert (found.files, found.skipped) == (("b",), ("'a'",))
    assert everything(outside) == []


def test_c25_tars_in_an_archive_are_unpacked_in_their_place(tmp_path):
    inner = tar_bytes(member("deep/b.nc", b"bbb"), mode="w:gz")
    found = unpack(zipped(tmp_path / "x.zip", {"AUX/c/inner.tgz": inner, "AUX/a.xml": b"a"}), tmp_path / "out")
    assert found.files == ("a.xml", "c/deep/b.nc")
    assert everything(tmp_path) == ["out", "out/AUX", "out/AUX/a.xml", "out/AUX/c", "out/AUX/c/deep", "out/AUX/c/deep/b.nc", "x.zip"]


def test_a_zip_in_an_archive_stays_as_it_is(tmp_path):
    assert unpack(zipped(tmp_path / "x.zip", {"a/inner.zip": b"1", "b": b""}), tmp_path / "out").files == ("a/inner.zip", "b")


def test_an_archive_that_has_one_of_its_own_name_is_unpacked(tmp_path):
    inner = tar_bytes(member("x.tar", tar_bytes(member("good", b"1"))))
    assert unpack(tarred(tmp_path / "x.tar", member("x.tar", inner), mode="w"), tmp_path / "out").files == ("good",)


def test_archives_in_archives_have_an_end(tmp_path):
    content = b""
    for _ in range(6):
        content = tar_bytes(member("x.tar", content))
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(UnsafeArchive, match="more than 3 deep"):
        unpack(tmp_path / "x.tar", tmp_path / "out")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(total_bytes=9_999), "more than is allowed"),
        (Limits(ratio=10, free_bytes=5_000), "more than is allowed"),
        (Limits(members=1), "more than 1 members"),
    ],
)
@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "nested.tar"])
def test_a_bomb_is_refused_before_it_has_filled_the_disk(tmp_path, limits, said, name):
    path = tmp_path / name
    files = {"a": bytes(6_000), "b": bytes(4_000)}
    if name.endswith(".zip"):
        zipped(path, files)
    else:
        inner = tar_bytes(*(member(*file) for file in files.items()), mode="w:gz")
        path.write_bytes(tar_bytes(member("inner.tgz", inner)) if name == "nested.tar" else inner)
        limits = limits if name != "nested.tar" or limits.ratio != 10 else Limits(ratio=0, free_bytes=5_000)
    with pytest.raises(UnsafeArchive, match=said):
        unpack(path, tmp_path / "out", limits)
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) < 10_000


def test_a_bomb_behind_the_last_member_is_refused(tmp_path):
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(tar_bytes(member("a", b"1")) + bytes(1 << 20)))
    with pytest.raises(UnsafeArchive, match="more than is allowed"):
        unpack(path, tmp_path / "out", Limits(free_bytes=1 << 19))


def test_an_archive_in_proportion_is_no_bomb(tmp_path):
    assert unpack(zipped(tmp_path / "x.zip", {"a": bytes(10_000)}), tmp_path / "out", Limits(ratio=1, free_bytes=10_000)).files == ("a",)


def test_every_archive_that_breaks_off_is_refused(tmp_path):
    whole = {
        "x.zip": zipped(tmp_path / "x.zip", FILES).read_bytes(),
        "x.tar": tar_bytes(*(member(*file) for file in FILES.items())),
        "x.tar.gz": tar_bytes(*(member(*file) for file in FILES.items()), mode="w:gz"),
    }
    for name, content in whole.items():
        for step in range(1, 12):
            # A tar is whole with its first block of zeros, which are 20 in the end.
            end = len(content) * step // 12 if name != "x.tar" else 2_000 * step // 12
            path = tmp_path / f"{step}.{name}"
            path.write_bytes(content[:end])
            with pytest.raises(BrokenArchive):
                unpack(path, tmp_path / f"out-{name}-{step}")


def test_what_is_no_archive_encrypted_or_has_a_file_and_a_folder_of_one_name_is_refused(tmp_path):
    for name in ("x.zip", "x.tar", "x.tgz"):
        (tmp_path / name).write_bytes(b"no archive" * 200)
        with pytest.raises(BrokenArchive, match=r"x\.\w+' cannot be unpacked"):
            unpack(tmp_path / name, tmp_path / f"out-{name}")
    encrypted = bytearray(zipped(tmp_path / "e.zip", {"a": b"1"}).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + flags] |= 1
    (tmp_path / "e.zip").write_bytes(encrypted)
    with pytest.raises(BrokenArchive, match="encrypted"):
        unpack(tmp_path / "e.zip", tmp_path / "e")
    with pytest.raises(BrokenArchive, match="a file and a folder of one name"):
        unpack(zipped(tmp_path / "f.zip", {"a": b"1", "a/b": b"1"}), tmp_path / "f")


def test_what_is_damaged_inside_is_refused(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a": bytes(range(256)) * 10})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BrokenArchive):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "bare"),
    [("a.tar.gz", "a"), ("a.tgz", "a"), ("a.tar", "a"), ("a.TAR.GZ", "a"), ("a.zarr.zip", "a.zarr"), ("a.EOF", "a.EOF"), ("a.gz", "a.gz")],
)
def test_c25_the_suffix_of_an_archive_is_taken_off(name, bare):
    assert stripped(name) == bare
    assert is_archive(name) == (name != bare)
