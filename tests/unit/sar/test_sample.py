import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
import rasterio

from platform_assets.sar import stage, support
from platform_assets.sar.manifest import ANNOTATION, CALIBRATION, MEASUREMENT, NOISE
from platform_assets.sar.naming import MANIFEST
from platform_assets.sar.sample import make_safe
from platform_assets.sar.sample_truth import MODES, SafeSpec, Truth
from tests.builders.safes import file_of, small_safe

SMALL = SafeSpec(lines=300, samples=260)

SPECS = {
    "IW": {},
    "EW": {"mode": "EW", "polarisations": ("HH", "HV")},
    "Stripmap": {"mode": "S4", "mission": "S1C", "resolution": "F"},
    "single": {"polarisations": ("HH",)},
    "cross only": {"polarisations": ("VH",)},
    "old": {"ipf_version": "002.36", "zero_noise": True},
    "descending across the antimeridian": {"longitude": -179.99, "heading": -166.0},
    "compressed strips": {"layout": "strips-zstd"},
    "tiled": {"layout": "tiled"},
    "cloud-optimised": {"layout": "cog", "lines": 600, "samples": 640},
}


def numbers(element, place):
    return np.array([float(found.text) for found in element.iterfind(place)])


def vector(element, place):
    return np.array(element.findtext(place).split(), float)


@pytest.mark.parametrize("kind", SPECS)
def test_a_sample_of_every_kind_is_a_whole_product(tmp_path, kind):
    safe = small_safe(tmp_path, **SPECS[kind])
    manifest = stage.manifest_of(safe)
    stage.check_files(safe, manifest)
    support.check_supported(manifest.product)
    support.check_channels(manifest)
    assert manifest.is_original
    assert manifest.product.cog == (kind == "cloud-optimised")
    assert manifest.polarisations == SPECS[kind].get("polarisations", ("VV", "VH"))
    assert [path.name for path in tmp_path.iterdir()] == [safe.name]


def test_a_specification_is_a_product(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (small_safe(tmp_path / name) for name in ("one", "two"))
    assert one.name == two.name
    assert (one / MANIFEST).read_bytes() == (two / MANIFEST).read_bytes()
    assert small_safe(tmp_path, seed=1).name != one.name


@pytest.mark.parametrize("layout", ["strips", "tiled", "cog"])
@pytest.mark.parametrize("mode", ["IW", "S2"])
def test_the_image_has_the_power_of_the_truth(tmp_path, mode, layout):
    spec = SafeSpec(mode=mode, lines=600, samples=700, layout=layout)
    safe, truth = make_safe(tmp_path, spec), Truth(spec)
    for image, polarisation in zip(stage.manifest_of(safe).of(MEASUREMENT), spec.polarisations, strict=True):
        with rasterio.open(safe / image.path) as dataset:
            power = dataset.read(1).astype(float) ** 2
        expected = truth.power(np.arange(600)[:, None], np.arange(700)[None, :], polarisation)
        blocks = (power / expected).reshape(6, 100, 7, 100).mean(axis=(1, 3))
        assert abs(blocks.mean() - 1) < 0.003
        assert np.abs(blocks - 1).max() < 0.02


def test_an_image_without_speckle_is_the_truth(tmp_path):
    spec = SafeSpec(lines=300, samples=260, looks=0)
    with rasterio.open(file_of(make_safe(tmp_path, spec), MEASUREMENT)) as dataset:
        pixels = dataset.read(1)
    expected = np.sqrt(Truth(spec).power(np.arange(300)[:, None], np.arange(260)[None, :], "VV"))
    assert np.abs(pixels - expected).max() <= 0.51


def test_images_are_laid_out_as_esa_does(tmp_path):
    with rasterio.open(file_of(small_safe(tmp_path), MEASUREMENT)) as dataset:
        assert (dataset.dtypes, dataset.compression, dataset.block_shapes) == (("uint16",), None, [(1, 260)])
        points, crs = dataset.gcps
        assert (len(points), crs.to_epsg()) == (210, 4326)


@pytest.mark.parametrize(("layout", "power"), [("cog", 2), ("cog-average", 1)])
def test_overviews_of_cloud_optimised_images_are_means_of_power_or_of_amplitude(tmp_path, layout, power):
    image = file_of(small_safe(tmp_path, layout=layout, lines=600, samples=640), MEASUREMENT)
    with rasterio.open(image) as dataset, rasterio.open(image, overview_level=0) as overview:
        blocks = dataset.read(1).astype(float).reshape(300, 2, 320, 2)
        assert np.abs(overview.read(1) - (blocks**power).mean(axis=(1, 3)) ** (1 / power)).max() <= 0.51
        assert (dataset.nodata, image.name.endswith("-001-cog.tiff")) == (0, True)


def test_the_geolocation_grid_is_the_truth(tmp_path):
    spec = SafeSpec(lines=300, samples=260, longitude=-179.995, heading=-166.0)
    points = ET.parse(file_of(make_safe(tmp_path, spec), ANNOTATION)).getroot().findall(".//geolocationGridPoint")
    line, sample, longitude, latitude, incidence = (
        np.array([float(point.findtext(name)) for point in points]) for name in ("line", "pixel", "longitude", "latitude", "incidenceAngle")
    )
    truth = Truth(spec)
    np.testing.assert_allclose(truth.lonlat(line, sample), (longitude, latitude), atol=1e-12)
    np.testing.assert_allclose(truth.incidence(sample), incidence, atol=1e-12)
    assert (len(points), longitude.min() < -179, longitude.max() > 179) == (210, True, True)


@pytest.mark.parametrize("heading", [-14.0, -166.0, 30.0])
def test_the_satellite_flies_along_its_heading_and_looks_to_its_right(heading):
    longitude, latitude = Truth(SafeSpec(heading=heading)).lonlat([0, 100, 0], [0, 0, 100])
    east, north = (longitude - longitude[0]) * np.cos(np.radians(48)), latitude - latitude[0]
    along, across = np.degrees(np.arctan2(east[1:], north[1:]))
    assert along == pytest.approx(heading, abs=1e-6)
    assert (across - heading) % 360 == pytest.approx(90, abs=1e-6)


def test_calibration_and_noise_are_the_truth(tmp_path):
    safe, truth = make_safe(tmp_path, SMALL), Truth(SMALL)
    first = ET.parse(file_of(safe, CALIBRATION)).getroot().find(".//calibrationVector")
    np.testing.assert_allclose(vector(first, "sigmaNought"), truth.sigma0_lut(vector(first, "pixel")), rtol=1e-6)
    np.testing.assert_allclose(vector(first, "gamma"), truth.gamma0_lut(vector(first, "pixel")), rtol=1e-6)
    noise = ET.parse(file_of(safe, NOISE)).getroot()
    along = noise.find(".//noiseRangeVector")
    np.testing.assert_allclose(vector(along, "noiseRangeLut"), truth.range_noise(vector(along, "pixel")), rtol=1e-6)
    azimuth = noise.findall(".//noiseAzimuthVector")
    assert [found.findtext("swath") for found in azimuth] == list(MODES["IW"].swaths)
    np.testing.assert_allclose(vector(azimuth[0], "noiseAzimuthLut"), truth.azimuth_noise(vector(azimuth[0], "line")), rtol=1e-6)


def test_swaths_cover_the_image_without_gap(tmp_path):
    merges = ET.parse(file_of(small_safe(tmp_path), ANNOTATION)).getroot().findall(".//swathBounds")
    bounds = [(int(found.findtext("firstRangeSample")), int(found.findtext("lastRangeSample"))) for found in merges]
    assert (bounds[0][0], bounds[-1][1]) == (0, 259)
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(bounds))


def test_stripmap_merges_nothing_and_has_no_azimuth_noise(tmp_path):
    safe = small_safe(tmp_path, mode="S4")
    assert '<swathMergeList count="0">' in file_of(safe, ANNOTATION).read_text()
    assert '<noiseAzimuthVectorList count="0">' in file_of(safe, NOISE).read_text()
    assert np.ptp(Truth(SafeSpec(mode="S4")).azimuth_noise(np.arange(1000))) == 0


def test_an_old_product_has_the_old_noise_which_may_be_zero(tmp_path):
    safe = small_safe(tmp_path, ipf_version="002.36", zero_noise=True)
    text = file_of(safe, NOISE).read_text()
    assert "noiseAzimuth" not in text
    assert "noiseRange" not in text
    assert set(re.findall(r"<noiseLut[^>]*>([^<]*)<", text)[0].split()) == {"0.000000e+00"}


def test_times_are_of_the_specification(tmp_path):
    start = datetime(2026, 2, 28, 23, 59, 59, 500_000, tzinfo=UTC)
    manifest = stage.manifest_of(small_safe(tmp_path, start=start, lines=1000))
    assert manifest.start == start
    assert manifest.product.stop == datetime(2026, 3, 1, 0, 0, 0, tzinfo=UTC)
