import pytest

from platform_assets.sar import stage, whole
from platform_assets.sar.naming import MANIFEST, short_path
from tests.builders.safes import small_safe


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    return small_safe(tmp_path_factory.mktemp("safe"))


@pytest.fixture
def present(safe):
    return stage.sizes(safe)


@pytest.fixture(scope="module")
def manifest(safe):
    return stage.manifest_of(safe)


def test_a_product_with_every_listed_file_is_whole(manifest, present):
    assert whole.missing(manifest, present) == ()
    assert whole.missing(manifest, {**present, "support/s1-object-types.xsd": 9, "report.pdf": 1}) == ()


def test_every_file_that_is_missing_is_named(manifest, present):
    for file in manifest.files:
        rest = {path: size for path, size in present.items() if path != file.path}
        assert whole.missing(manifest, rest) == (f"{file.path} is missing",)
    assert len(whole.missing(manifest, {MANIFEST: 1})) == len(manifest.files) == 8


@pytest.mark.parametrize("size", [0, 1, 10**12])
def test_a_file_of_another_size_is_named_with_both_sizes(manifest, present, size):
    file = manifest.files[0]
    assert whole.missing(manifest, {**present, file.path: size}) == (f"{file.path} has {size} of {file.size_bytes} bytes",)


def test_a_product_with_the_public_buckets_names_is_whole(manifest, present):
    short = {short_path(path): size for path, size in present.items()}
    assert short.keys().isdisjoint(present.keys() - {MANIFEST})
    assert whole.missing(manifest, short) == ()
    assert whole.find_files(manifest, short) == {file.path: short_path(file.path) for file in manifest.files}


def test_esas_names_come_before_the_public_buckets(manifest, present):
    both = {short_path(path): 0 for path in present} | present
    assert whole.find_files(manifest, both) == {file.path: file.path for file in manifest.files}


def test_only_what_is_there_is_found(manifest):
    path = manifest.files[2].path
    assert whole.find_files(manifest, {path: 1, "x": 1}) == {path: path}
