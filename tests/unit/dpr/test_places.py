import hashlib
import json
import re
from functools import partial
from urllib.parse import quote

import pytest

from platform_assets.dpr.places import content_of, files_at, is_readable, names_in, write
from platform_assets.dpr.processors import MASK, masked
from tests.builders.processors import MemoryBuckets


@pytest.fixture(params=["s3", "disk"])
def folder(request, tmp_path):
    return "s3://archive/a" if request.param == "s3" else str(tmp_path / "a")


def filled(folder):
    buckets = MemoryBuckets()
    for name in ("x.raw", "b/y.raw", "bb/z.raw"):
        write(buckets, f"{folder}/{name}", name.encode())
    write(buckets, f"{folder}-neighbour/n.raw", b"")
    return buckets


def found(buckets, folder, path="", regex=""):
    return sorted(file.path.removeprefix(f"{folder}/") for file in files_at(buckets, f"{folder}{path}", regex))


def test_a_folder_is_all_that_is_in_it_and_no_neighbour(folder):
    assert found(filled(folder), folder) == ["b/y.raw", "bb/z.raw", "x.raw"]
    assert found(filled(folder), folder, "/") == ["b/y.raw", "bb/z.raw", "x.raw"]


def test_a_file_is_itself(folder):
    assert found(filled(folder), folder, "/x.raw") == ["x.raw"]


def test_nothing_is_where_there_is_nothing(folder):
    assert found(filled(folder), folder, "/none") == []
    assert names_in(filled(folder), f"{folder}/none") == []


def test_a_regular_expression_is_for_a_whole_file_or_folder(folder):
    assert found(filled(folder), folder, regex="b|x.raw") == ["b/y.raw", "x.raw"]
    assert found(filled(folder), folder, regex=r"b/y\.raw") == ["b/y.raw"]


def test_names_are_of_what_lies_directly_in_a_folder(folder):
    assert sorted(names_in(filled(folder), folder)) == ["b", "bb", "x.raw"]


def test_the_content_is_counted_and_digested(folder):
    buckets = filled(folder)
    write(buckets, f"{folder}/x.raw", b"\x00\x01\x01")
    content = content_of(buckets, files_at(buckets, f"{folder}/x.raw")[0])
    assert (content.sha256, content.file.size_bytes) == (hashlib.sha256(b"\x00\x01\x01").hexdigest(), 3)
    assert (content.counts.sum(), content.counts[1]) == (3, 2)


def test_other_addresses_are_not_read():
    assert not is_readable("https://example.org/dem.zarr")


@pytest.mark.parametrize("written", [str, repr, json.dumps, partial(quote, safe="")])
def test_secrets_are_masked_however_they_are_written(written):
    secret = "wo'rd\\x/ä"
    text = masked(f"a {written(secret)} b", [secret])
    assert MASK in text
    assert not {"wo", "rd", "x"} & set(re.findall(r"\w+", text))


def test_of_two_secrets_of_which_one_is_in_the_other_nothing_is_left():
    assert masked("abcdef abc", ["abc", "abcdef"]) == f"{MASK} {MASK}"


def test_a_secret_that_is_empty_masks_nothing():
    assert masked("abc", [""]) == "abc"
