import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from platform_assets.common.errors import PermanentError
from platform_assets.common.stages import Stages
from platform_assets.common.values import ObjectRef
from platform_assets.imagery.gdal import gdal_environment
from platform_assets.imagery.model import Conversion, ImageJob, Limits, Product, Profile
from platform_assets.imagery.products import make_products
from platform_assets.imagery.sample import write_samples
from platform_assets.imagery.scenery import landscape


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    return folder, write_samples(folder)


@pytest.fixture(scope="module")
def outcomes(archive, tmp_path_factory):
    """How each image ends, and what it says of itself."""
    folder, samples = archive
    ends = {}
    for sample in samples:
        scratch = tmp_path_factory.mktemp("scratch")
        job = ImageJob(ObjectRef(sample.key, "etag", 1), sample.bands)
        try:
            made = make_products(
                folder / sample.key, scratch, job, frozenset({Product.COG, Product.THUMBNAIL}), Conversion(Profile.ZSTD), Limits(), Stages()
            )
            ends[sample.key] = ("done", made)
        except PermanentError as error:
            ends[sample.key] = (error.code, None)
    return ends


def test_every_image_ends_as_expected(archive, outcomes):
    _, samples = archive
    assert {key: code for key, (code, _) in outcomes.items()} == {sample.key: sample.expected for sample in samples}
    assert sum(sample.expected == "done" for sample in samples) == 24
    assert sorted(sample.expected for sample in samples if sample.expected != "done") == [
        "band_mismatch",
        "corrupt_image",
        "limit_exceeded",
        "not_a_tiff",
        "not_a_tiff",
    ]


def test_the_archive_is_small_and_only_what_is_listed(archive):
    folder, samples = archive
    assert sum((folder / sample.key).stat().st_size for sample in samples) < 16e6
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {sample.key for sample in samples}
    assert {sample.key.split("/")[0] for sample in samples} == {"aerial-1955", "survey-2024"}


def test_every_common_kind_is_there(outcomes):
    facts = [made.facts for _, made in outcomes.values() if made]
    assert {(f.dtypes[0], f.bands) for f in facts} >= {
        ("uint8", 1),
        ("uint8", 3),
        ("uint8", 4),
        ("uint16", 4),
        ("uint16", 1),
        ("float32", 1),
    }
    assert {f.mask for f in facts} == {"all_valid", "alpha", "per_dataset", "nodata"}
    assert any(f.colormap and not f.bits for f in facts)
    assert any(f.bits == 1 for f in facts)
    assert max(f.width for f in facts) == 3000


def test_all_but_one_lie_somewhere_else_on_earth(archive, outcomes):
    folder, _ = archive
    places = set()
    for key, (code, made) in outcomes.items():
        if code != "done" or not made.facts.crs_wkt:
            continue
        with gdal_environment(folder), rasterio.open(folder / key) as dataset:
            x, y = made.gcps[4][2:] if made.gcps else dataset.xy(dataset.height // 2, dataset.width // 2)
            (longitude,), (latitude,) = transform(made.facts.crs_wkt, "EPSG:4326", [x], [y])
        assert abs(latitude) < 70
        places.add((round(latitude), round(longitude)))
    assert [key for key, (code, made) in outcomes.items() if code == "done" and not made.facts.crs_wkt] == [
        "aerial-1955/roll-2-frame-03-unreferenced.tif"
    ]
    assert len(places) == 22  # the index map shows the first frame's place


def test_no_thumbnail_is_dull(outcomes):
    for _, made in outcomes.values():
        if made:
            assert "note" not in made.made[1].details
            assert max(band.stddev for band in made.statistics) > 0


@pytest.mark.parametrize("style", ["fields", "pivots", "ice"])
def test_a_seed_is_a_landscape(style):
    one, again, other = (landscape(200, 150, seed, style) for seed in (3, 3, 4))

    np.testing.assert_array_equal(one.bands, again.bands)
    assert (one.bands.shape, one.bands.dtype, one.cover.shape) == ((4, 150, 200), np.float32, (150, 200))
    assert not np.array_equal(one.cover, other.cover)
    assert (one.cover == 8).any()
