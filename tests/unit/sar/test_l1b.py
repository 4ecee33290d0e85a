"""The oracle: what is made of a product of which everything is known, and of one that is broken."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from platform_assets.common.errors import ConfigurationError, GroundtrackError, InputChanged, PermanentError
from platform_assets.common.stages import Stages
from platform_assets.sar.conventions import CHOICES
from platform_assets.sar.l1b import L1bOptions, make_l1b
from platform_assets.sar.manifest import ANNOTATION, MEASUREMENT, NOISE
from platform_assets.sar.sample import make_safe
from platform_assets.sar.sample_truth import SafeSpec, Truth
from tests.builders.coasts import coast, rectangle
from tests.builders.safes import edit, file_of, small_safe
from tests.builders.xsar_reference import xsar_dataset

FINE = L1bOptions(resolution_m=200.0)


def made(safe: Path, options: L1bOptions = FINE, stages: Stages | None = None) -> tuple[xr.Dataset, dict[str, Any]]:
    out = safe.parent / "out.nc"
    facts = make_l1b(safe, out, options, stages or Stages())
    with xr.open_dataset(out, engine="netcdf4") as data:
        return data.load(), facts


def code_of(safe: Path, options: L1bOptions = FINE) -> str:
    with pytest.raises(GroundtrackError) as caught:
        make_l1b(safe, safe.parent / "out.nc", options, Stages())
    assert not [path for path in safe.parent.iterdir() if path != safe], "a failed product leaves no file"
    return caught.value.code


SPECS = [
    SafeSpec(mode="IW", lines=1640, samples=2230),
    SafeSpec(mode="EW", lines=700, samples=900, polarisations=("HH", "HV"), heading=-160.0, longitude=179.5, latitude=-60.0),
    SafeSpec(mode="S3", lines=1200, samples=1500, polarisations=("HH",), mission="S1C"),
    SafeSpec(mode="IW", lines=1000, samples=1000, polarisations=("VV",), layout="tiled", resolution="M"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.mission}-{spec.mode}-{'+'.join(spec.polarisations)}-{spec.layout}")
def test_the_truth_comes_out(tmp_path: Path, spec: SafeSpec) -> None:
    data, facts = made(make_safe(tmp_path, spec), L1bOptions(resolution_m=20 * spec.spacing_m, variables=CHOICES))
    truth = Truth(spec)
    line, sample = data.line.values[:, np.newaxis], data.sample.values[np.newaxis, :]
    longitude, latitude = truth.lonlat(line, sample)
    np.testing.assert_allclose((data.longitude - longitude + 180) % 360, 180, atol=1e-6)
    np.testing.assert_allclose(data.latitude, latitude, atol=1e-6)
    np.testing.assert_allclose(data.incidence, np.broadcast_to(truth.incidence(sample), data.incidence.shape), atol=1e-6)
    np.testing.assert_allclose((data.ground_heading - spec.heading + 180) % 360, 180, atol=0.15)
    assert facts["spacing_m"] == [20 * spec.spacing_m] * 2
    for polarisation in spec.polarisations:
        ratio = data.sigma0.sel(pol=polarisation) / truth.sigma0(line, sample, polarisation)
        assert abs(float(ratio.median()) - 1) < 0.01
        noise = truth.range_noise(sample) * truth.azimuth_noise(line) / truth.sigma0_lut(sample) ** 2
        # The vectors have a value every 40 samples: too few for the truth of so small an image, which waves.
        assert abs(float((data.nesz.sel(pol=polarisation) / noise).median()) - 1) < 0.05
        assert facts["statistics"][polarisation]["nan_share"] == 0


def test_the_cell_of_a_bright_target_is_where_the_target_is(tmp_path: Path) -> None:
    safe = make_safe(tmp_path, SafeSpec(lines=2017, samples=1533, polarisations=("VV",), looks=0))
    import rasterio

    with rasterio.open(file_of(safe, MEASUREMENT), "r+") as image:
        pixels = image.read(1)
        pixels[1990, 1490] = 65535
        image.write(pixels, 1)
    data, _ = made(safe, L1bOptions(resolution_m=100.0))
    line, sample = np.unravel_index(int(np.argmax(data.sigma0.values[0])), data.sigma0.shape[1:])
    assert (data.line.values[line], data.sample.values[sample]) == (1994.5, 1494.5)


TOLERANCES = {
    **dict.fromkeys(("longitude", "latitude", "incidence", "elevation"), 1e-7),
    **dict.fromkeys(("nesz", "negz", "noise_lut", "sigma0_lut", "gamma0_lut", "velocity", "slant_range_time", "altitude"), 1e-6),
}
"""Relative."""


def test_the_values_are_xsars_own(tmp_path: Path) -> None:
    safe = make_safe(tmp_path, SafeSpec(lines=1510, samples=1330))
    land = coast(tmp_path / "land.geojson", rectangle(-6.05, 48.03, -5.95, 48.2))
    data, facts = made(safe, L1bOptions(resolution_m=200.0, variables=CHOICES, land_polygons=str(land)))
    theirs = xsar_dataset(safe, (20, 20), land)
    np.testing.assert_array_equal(data.line, theirs.line)
    np.testing.assert_array_equal(data.sample, theirs.sample)
    for name, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(data[name].values, theirs[name].values, rtol=tolerance, atol=1e-9, err_msg=name)
    # xsar rounds digital numbers to integers before it squares them.
    np.testing.assert_allclose(data.digital_number, theirs.digital_number, atol=0.51)
    rounding = data.digital_number.astype("float64") ** 2 - theirs.digital_number.astype("float64") ** 2
    for kind in ("sigma0", "gamma0"):
        for name in (kind, f"{kind}_raw"):
            mended = theirs[name] + rounding / theirs[f"{kind}_lut"] ** 2
            np.testing.assert_allclose(data[name].values, mended.values, rtol=1e-5, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(data.ground_heading, theirs.ground_heading, atol=0.15)
    assert 0.05 < float(data.land_mask.mean()) < 0.95
    assert float((data.land_mask != theirs.land_mask).mean()) < 0.002
    assert abs(float(data.time[0] - theirs.time[0]) / 1e9) < 0.001
    assert facts["variables"] == list(CHOICES)


def test_xsar_still_gives_all_polarisations_the_azimuth_noise_of_the_last(tmp_path: Path) -> None:
    """When this fails, xsar is mended, and `grid.noise` need not mention it."""
    safe = make_safe(tmp_path, SafeSpec(lines=400, samples=400))
    vh = next(iter((safe / "annotation/calibration").glob("noise-*-vh-*")))
    vh.write_text(re.sub(r"(<noiseAzimuthLut[^>]*>)[^<]*", lambda found: f"{found[1]}{' '.join(['3.0'] * 41)}", vh.read_text()))
    vh.write_text(vh.read_text().replace("<noiseAzimuthLut", "<noiseAzimuthLut"))
    land = coast(tmp_path / "land.geojson", rectangle(0, 0, 1, 1))
    theirs = xsar_dataset(safe, (20, 20), land)
    assert float(theirs.noise_lut_azi.sel(pol="VV").median()) == 3.0
    data, _ = made(safe, L1bOptions(resolution_m=200.0, variables=("nesz",)))
    assert float((data.nesz.sel(pol="VH") / data.nesz.sel(pol="VV")).median()) == pytest.approx(3.0, rel=0.06)


def test_a_product_across_the_antimeridian_has_heading_bounds_and_land(tmp_path: Path) -> None:
    spec = SafeSpec(lines=1500, samples=1500, longitude=179.9, latitude=-17.0, heading=-14.0)
    land = coast(tmp_path / "land.geojson", rectangle(179.95, -17.2, 180.0, -16.5), rectangle(-180.0, -17.2, -179.98, -16.5))
    data, facts = made(make_safe(tmp_path, spec), L1bOptions(resolution_m=200.0, land_polygons=str(land)))
    np.testing.assert_allclose(data.ground_heading, -14.0, atol=0.1)
    inside = (data.longitude.values % 360 > 179.95) & (data.longitude.values % 360 < 180.02)
    assert (data.land_mask.values[inside] == 1).all()
    assert 0.1 < float(data.land_mask.mean()) < inside.mean() + 0.1
    assert "antimeridian" in facts["flags"]
    assert data.attrs["geospatial_bounds"].startswith("MULTIPOLYGON")
    assert data.attrs["geospatial_lon_min"] > data.attrs["geospatial_lon_max"]
    assert np.ptp([lon for lon, _ in facts["footprint"]]) < 1


def test_zero_noise_vectors_are_flagged(tmp_path: Path) -> None:
    data, facts = made(small_safe(tmp_path, ipf_version="002.36", zero_noise=True))
    assert facts["flags"] == ["noise_is_zero"] == data.attrs["flags"].split()
    assert "no noise was subtracted" in data.attrs["comment"]
    np.testing.assert_array_equal(data.sigma0, data.sigma0_raw)


def test_cells_without_noise_vectors_have_raw_values_only(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    path = file_of(safe, NOISE)
    path.write_text(re.sub(r"<lastAzimuthLine>299<", "<lastAzimuthLine>150<", path.read_text()))
    data, facts = made(safe)
    lacking = np.isnan(data.sigma0.sel(pol="VV").values)
    assert lacking[8:].all()
    assert not lacking[:7].any()
    assert not np.isnan(data.sigma0_raw).any()
    assert "noise_incomplete" in facts["flags"]
    assert facts["statistics"]["VV"]["nan_share"] == pytest.approx(lacking.mean(), abs=1e-6)


def test_what_the_processor_denoised_is_not_denoised_again(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    for path in (safe / "annotation").glob("*.xml"):
        edit(safe, "Performed>false", "Performed>true", path)
    data, facts = made(safe)
    np.testing.assert_array_equal(data.sigma0, data.sigma0_raw)
    assert facts["flags"] == ["denoised_by_processor"]


def test_polarisations_and_variables_are_the_users_choice(tmp_path: Path) -> None:
    data, facts = made(small_safe(tmp_path), L1bOptions(resolution_m=150.0, variables=("gamma0", "velocity"), polarisations=("VH",)))
    assert set(data.data_vars) == {"gamma0", "velocity", "crs"}
    assert facts["polarisations"] == list(data.pol.values) == ["VH"]
    assert facts["dims"] == {"line": 20, "sample": 17, "pol": 1} == {name: data.sizes[name] for name in ("line", "sample", "pol")}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    first, second = tmp_path / "first.nc", tmp_path / "second.nc"
    for out in (first, second):
        make_l1b(safe, out, FINE, Stages())
    assert first.read_bytes() == second.read_bytes()


def test_no_path_of_the_machine_is_in_the_file(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    made(safe)
    assert str(tmp_path).encode() not in (tmp_path / "out.nc").read_bytes()


class Meddling(Stages):
    """Somebody writes to the product while its pixels are read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        with super().__call__(name):
            yield
            if name == "pixels":
                self._path.write_bytes(self._path.read_bytes())


def test_a_product_that_changes_while_it_is_read_is_not_published(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    with pytest.raises(InputChanged, match=safe.name):
        make_l1b(safe, tmp_path / "out.nc", FINE, Meddling(file_of(safe, MEASUREMENT)))
    assert not (tmp_path / "out.nc").exists()


def test_bad_products_fail_with_their_reason_and_leave_nothing(tmp_path: Path) -> None:
    def broken(name: str, schema: str, content: bytes | None) -> Path:
        (tmp_path / name).mkdir()
        safe = small_safe(tmp_path / name)
        path = file_of(safe, schema)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        return safe

    assert code_of(broken("a", MEASUREMENT, None)) == "missing_input"
    assert code_of(broken("b", MEASUREMENT, b"II*\x00")) == "corrupt_image"
    assert code_of(broken("c", ANNOTATION, b"<product/>")) == "unreadable_safe"
    assert code_of(broken("d", ANNOTATION, None)) == "missing_input"


def test_a_product_that_does_not_exist_fails_with_its_reason(tmp_path: Path) -> None:
    assert code_of(tmp_path / "error.SAFE") == "missing_input"


def test_an_image_smaller_than_a_cell_is_refused(tmp_path: Path) -> None:
    assert code_of(small_safe(tmp_path), L1bOptions(resolution_m=5000.0)) == "image_too_small"


def test_a_grid_that_does_not_fit_into_memory_is_refused(tmp_path: Path) -> None:
    safe = small_safe(tmp_path)
    path = file_of(safe, ANNOTATION)
    path.write_text(re.sub(r"<numberOf(Lines|Samples)>\d+", r"<numberOf\1>30000", path.read_text()))
    assert code_of(safe, L1bOptions(resolution_m=10.0)) == "limit_exceeded"


def test_a_polarisation_that_the_product_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="it has no HH, only VV, VH"):
        make_l1b(small_safe(tmp_path), tmp_path / "out.nc", L1bOptions(polarisations=("HH",)), Stages())


@pytest.mark.parametrize(
    "wrong",
    [{"resolution_m": 0}, {"resolution_m": float("nan")}, {"resolution_m": -1}, {"variables": ("sigma",)}, {"variables": ()}],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        L1bOptions(**wrong)
