"""The global attributes of an L1B file: ACDD-1.3, and what makes it traceable."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import shapely
from shapely import affinity

from platform_assets import __version__
from platform_assets.sar.annotation import Floats, Product
from platform_assets.sar.conventions import CONVENTIONS, time_text

_SIMPLIFY_DEG = 0.002
"""A fifth of a cell at 1000 m: outlines have tens of points otherwise."""

_SECOND = np.timedelta64(1, "s")

_FIXED = {
    "keywords": "EARTH SCIENCE > SPECTRAL/ENGINEERING > RADAR > SIGMA NAUGHT, "
    "EARTH SCIENCE > SPECTRAL/ENGINEERING > RADAR > RADAR BACKSCATTER",
    "keywords_vocabulary": "GCMD Science Keywords",
    "naming_authority": "int.esa.sentinel",
    "processing_level": "L1B",
    "references": "https://sentiwiki.copernicus.eu/web/s1-processing",
    "metadata_link": "https://sentiwiki.copernicus.eu/web/s1-products",
    "license": "Copernicus Sentinel data: free, full and open, "
    "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice",
    "standard_name_vocabulary": "CF Standard Name Table v93",
    "institution": "unknown",
    "program": "Copernicus",
    "project": "Groundtrack",
    "creator_name": "Groundtrack",
    "creator_type": "institution",
    "contributor_name": "European Space Agency",
    "contributor_role": "originator",
    "platform_vocabulary": "CEOS",
    "instrument": "C-SAR",
    "instrument_vocabulary": "CEOS",
    "cdm_data_type": "Swath",
}

_REMARKS = {
    "noise_is_zero": "the product's noise vectors are zero: nesz is 0 and no noise was subtracted",
    "noise_incomplete": "the product's noise vectors do not cover the whole image: nesz, sigma0 and gamma0 lack values there",
    "denoised_by_processor": "the noise was already subtracted when the product was made: raw values lack it too",
    "antimeridian": "the image crosses the antimeridian: its longitudes jump from 180 to -180 degrees",
}


def global_attributes(product: Product, facts: Mapping[str, Any], manifest_sha256: str, bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ACDD attributes of an L1B file.

    Args:
        product: The product it is made from.
        facts: `spacing_m`, `cell_px`, `flags`, `polarisations` and `read` of the file.
        manifest_sha256: SHA-256 of the product's manifest, which names the MD5 of all its files.
        bounds: Where the file lies, see `geospatial_bounds`.
    """
    platform = product.platform.title()
    spacing = " x ".join(f"{side:g}" for side in facts["spacing_m"])
    pixels = " x ".join(str(side) for side in facts["cell_px"])
    start, stop = time_text(product.start), time_text(product.stop)
    return {
        "Conventions": CONVENTIONS,
        "title": f"{platform} {product.mode} radar backscatter at {spacing} m",
        "summary": f"Calibrated radar backscatter of the Sentinel-1 product {product.name}, {', '.join(facts['polarisations'])}: "
        f"mean power in cells of {pixels} pixels, in the geometry of the swath, with incidence angle and land mask.",
        **_FIXED,
        "id": product.name,
        "product_version": __version__,
        "source": f"{product.name}.SAFE, made by ESA's Sentinel-1 Instrument Processing Facility {product.ipf_version}",
        "source_manifest_sha256": manifest_sha256,
        "history": f"Groundtrack {__version__}: L1B from {product.name}, annotations read by xsar {version('xsar')}",
        "comment": _comment(facts),
        "flags": " ".join(facts["flags"]) or "none",
        "acknowledgement": f"Contains modified Copernicus Sentinel data {start[:4]}; land: Natural Earth",
        "platform": platform,
        "instrument_mode": product.mode,
        "product_type": product.product_type,
        "orbit_pass": product.orbit_pass.lower(),
        "platform_heading": product.platform_heading,
        "line_spacing_m": facts["spacing_m"][0],
        "sample_spacing_m": facts["spacing_m"][1],
        "lines_per_cell": facts["cell_px"][0],
        "samples_per_cell": facts["cell_px"][1],
        "time_coverage_start": start,
        "time_coverage_end": stop,
        "time_coverage_duration": _duration((product.stop - product.start) / _SECOND),
        "time_coverage_resolution": _duration((product.stop - product.start) / _SECOND * facts["cell_px"][0] / product.lines),
        **bounds,
    }


def _duration(seconds: float) -> str:
    return f"PT{seconds:.6f}S"


def _comment(facts: Mapping[str, Any]) -> str:
    read = {source for source in facts["read"].values() if source.startswith("overviews")}
    remarks = ["cells of which less than half has an image have no values", *(_REMARKS[flag] for flag in facts["flags"])]
    return "; ".join(remarks + [f"averaged from {source}, made by root mean square" for source in sorted(read)])


def geospatial_bounds(ring: Sequence[Sequence[float]], longitude: Floats, latitude: Floats) -> dict[str, Any]:
    """Return the ACDD attributes of where a file lies.

    Args:
        ring: Its outline: longitude and latitude, continuous across the antimeridian.
        longitude: Of its cells; west is greater than east across the antimeridian.
        latitude: Of its cells.
    """
    east_of = (longitude - longitude[0, 0] + 180) % 360 - 180
    west, east = (float((end + longitude[0, 0] + 180) % 360 - 180) for end in (east_of.min(), east_of.max()))
    outline = shapely.Polygon(ring).simplify(_SIMPLIFY_DEG)
    turned = [affinity.translate(outline, turn) for turn in (-360.0, 0.0, 360.0)]
    on_map = shapely.union_all([shapely.clip_by_rect(part, -180, -90, 180, 90) for part in turned])
    # EPSG:4326 has latitude before longitude.
    return {
        "geospatial_bounds": shapely.to_wkt(shapely.transform(on_map, lambda lonlat: lonlat[:, ::-1]), rounding_precision=5),
        "geospatial_bounds_crs": "EPSG:4326",
        "geospatial_lat_min": float(latitude.min()),
        "geospatial_lat_max": float(latitude.max()),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_min": west,
        "geospatial_lon_max": east,
        "geospatial_lon_units": "degrees_east",
    }
