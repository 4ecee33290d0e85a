"""What xsar is kept from, and what is made of a broken product."""

import os
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from platform_assets.common.errors import ConfigurationError, MissingInput, PermanentError
from platform_assets.sar import xsar_reader
from platform_assets.sar.manifest import ANNOTATION, CALIBRATION, NOISE
from platform_assets.sar.sample_truth import Truth
from platform_assets.sar.xsar_reader import check_versions, open_safe
from tests.builders.safes import edit, file_of, small_safe


@pytest.mark.parametrize("dask", ["2025.9.0", "2025.12.0", "2026.8.0", "2026.1.2", "2027.1.0"])
def test_versions_of_dask_that_corrupt_xsar_are_refused(dask: str) -> None:
    with pytest.raises(ConfigurationError, match=dask):
        check_versions({"dask": dask})


@pytest.mark.parametrize("dask", ["2024.12.1", "2025.7.0"])
def test_versions_of_dask_that_are_right_are_accepted(dask: str) -> None:
    check_versions({"dask": dask})


def test_xsar_does_not_see_a_cluster() -> None:
    import xsar

    with pytest.raises(ValueError, match="must not see"):
        xsar.utils.get_client()


def test_importing_xsar_leaves_the_process_as_it_was() -> None:
    assert os.environ.get("GDAL_CACHEMAX") != "128"
    with pytest.raises(UserWarning, match="still an error"):
        warnings.warn("still an error", UserWarning, stacklevel=1)


def test_the_annotations_are_those_of_the_product(tmp_path: Path) -> None:
    safe = small_safe(tmp_path, ipf_version="003.40")
    product = open_safe(safe)
    assert (product.name, product.platform, product.mode, product.product_type) == (safe.stem, "SENTINEL-1A", "IW", "GRDH")
    assert (product.ipf_version, product.lines, product.samples, product.line_spacing_m) == ("003.40", 300, 260, 10.0)
    assert list(product.channels) == ["VV", "VH"]
    assert [swath[0] for swath in product.swaths] == [1, 2, 3]
    assert product.start == np.datetime64("2024-01-01T06:00:00")
    assert product.geolocation["azimuth_time"].values[0, 0] == 0
    assert all(channel.measurement.is_file() for channel in product.channels.values())
    assert [len(channel.azimuth_noise) for channel in product.channels.values()] == [3, 3]


def test_stripmap_opens_although_it_merges_no_swaths(tmp_path: Path) -> None:
    product = open_safe(small_safe(tmp_path, mode="S3"))
    assert (product.mode, product.swaths) == ("SM", ())


def test_each_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    real = xsar_reader.objectify.fromstring
    monkeypatch.setattr(xsar_reader.objectify, "fromstring", lambda text, parser: parsed.append(text) or real(text, parser))
    open_safe(small_safe(tmp_path))
    assert len(parsed) == len(set(parsed)) == 7


def test_each_polarisation_has_its_own_noise(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    vh = next(path for path in (safe / "annotation/calibration").glob("noise-*-vh-*"))
    vh.write_text(re.sub(r"(<noiseAzimuthLut[^>]*>)(\S+)", r"\g<1>7.5", vh.read_text()))
    channels = open_safe(safe).channels
    assert channels["VH"].azimuth_noise[0].values[0] == 7.5
    assert channels["VV"].azimuth_noise[0].values[0] < 1.1


def test_longitudes_are_continuous_across_the_antimeridian(tmp_path: Path) -> None:
    safe = small_safe(tmp_path, longitude=179.99)
    longitude = open_safe(safe).geolocation["longitude"].values
    assert np.abs(np.diff(longitude, axis=0)).max() < 0.1
    assert np.abs(np.diff(longitude, axis=1)).max() < 0.1
    assert longitude.max() > 180 or longitude.min() < -180


def test_two_products_opened_at_once_do_not_mix(tmp_path: Path) -> None:
    safes = [small_safe(tmp_path, longitude=float(lon)) for lon in range(0, 60, 10)]
    found: dict[Path, float] = {}

    def read(safe: Path) -> None:
        found[safe] = open_safe(safe).geolocation["longitude"].values[0, 0]

    threads = [threading.Thread(target=read, args=(safe,)) for safe in safes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [round(found[safe], 6) for safe in safes] == list(range(0, 60, 10))


@pytest.mark.parametrize("schema", [ANNOTATION, CALIBRATION, NOISE])
def test_a_missing_annotation_is_named(tmp_path: Path, schema: str) -> None:
    safe = small_safe(tmp_path)
    path = file_of(safe, schema)
    path.unlink()
    with pytest.raises(MissingInput, match=re.escape(path.name)):
        open_safe(safe)


def test_a_product_that_does_not_exist_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="error"):
        open_safe(tmp_path / "error.SAFE")


def _in_first(schema: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda safe: edit(safe, old, new, file_of(safe, schema))


def _pattern(schema: str, pattern: str, new: str) -> Callable[[Path], None]:
    def change(safe: Path) -> None:
        path = file_of(safe, schema)
        changed, count = re.subn(pattern, new, path.read_text(), count=1)
        assert count
        path.write_text(changed)

    return change


BOMB = '<!DOCTYPE product [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><product>'


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda safe: file_of(safe, ANNOTATION).write_text("<product><adsHeader>"), "unreadable_safe"),
        (lambda safe: file_of(safe, CALIBRATION).write_bytes(b""), "unreadable_safe"),
        (lambda safe: file_of(safe, ANNOTATION).write_text("<html/>"), "unreadable_safe"),
        (_in_first(ANNOTATION, "<product>", BOMB), "unreadable_safe"),
        (_pattern(ANNOTATION, r"<longitude>[^<]*", "<longitude>NaN"), "bad_annotation"),
        (_pattern(ANNOTATION, r"<latitude>[^<]*", "<latitude>91.5"), "bad_annotation"),
        (_pattern(CALIBRATION, r"(<sigmaNought[^>]*>)\S+", r"\g<1>inf"), "bad_annotation"),
        (_pattern(ANNOTATION, r"<numberOfLines>[^<]*", "<numberOfLines>0"), "empty_image"),
        (_pattern(ANNOTATION, r"<thermalNoiseCorrectionPerformed>[^<]*", "<thermalNoiseCorrectionPerformed>"), "unreadable_safe"),
    ],
)
def test_a_broken_annotation_fails_with_its_reason(tmp_path: Path, damage: Callable[[Path], None], code: str) -> None:
    safe = small_safe(tmp_path)
    damage(safe)
    with pytest.raises(PermanentError, match=safe.stem) as caught:
        open_safe(safe)
    assert caught.value.code == code


def test_a_product_that_is_not_a_grd_is_refused(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    with pytest.raises(PermanentError) as caught:
        open_safe(safe.rename(safe.with_name(safe.name.replace("GRDH", "SLC_"))))
    assert caught.value.code == "unsupported_product"


def test_the_truth_of_the_sample_is_what_is_read(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    product = open_safe(safe)
    table = product.geolocation["incidence"]
    from platform_assets.sar.sample_truth import SafeSpec

    truth = Truth(SafeSpec(lines=300, samples=260))
    np.testing.assert_allclose(table.values, np.broadcast_to(truth.incidence(table.sample), table.values.shape), atol=1e-9)
