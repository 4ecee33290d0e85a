"""The only module that imports xsar: it opens one SAFE and hands over its annotations as plain arrays.

xsar's `Sentinel1Meta` reads manifest, annotations, calibration and noise. Its `Sentinel1Dataset` is left alone: its pixels are rounded
to integers, its grid in metres is up to 758 m off, it deadlocks inside a Dask task, and newer versions of Dask corrupt it.
What it computes from these arrays is computed again in `platform_assets.sar.grid`, and tests compare the two.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from lxml import etree, objectify
from numpy.typing import NDArray

from platform_assets.common.errors import ConfigurationError, GroundtrackError, MissingInput, PermanentError
from platform_assets.sar.annotation import AzimuthNoise, Channel, Floats, Product, Table

_DASK_BROKEN_SINCE = (2025, 9)
"""From dask 2025.9.0 on, xsar gives one dask key to all variables of the geolocation: longitude, latitude, incidence become equal."""

_ONE_AT_A_TIME = threading.Lock()
"""xsar's caches are attributes of its classes: two products opened at once in one process exchange their land masks."""


_MERGING = ("swaths", "firstAzimuthLine", "lastAzimuthLine", "firstRangeSample", "lastRangeSample")
_NOT_USED = (
    "azimuth_fmrate",
    "doppler_estimate",
    "bursts",
    "antenna_pattern",
    "get_calibration_luts",
    "get_noise_azi_raw",
    "get_noise_range_raw",
)
"""What xsar's reader would make of the XML; calibration and noise are read from each polarisation's own files."""

_GEOLOCATION = {
    "longitude": "longitude",
    "latitude": "latitude",
    "height": "height",
    "incidence": "incidenceAngle",
    "elevation": "elevationAngle",
    "slant_range_time": "slantRangeTime",
    "azimuth_time": "azimuthTime",
}


def check_versions(installed: Mapping[str, str]) -> None:
    """Refuse versions with which xsar is known to compute wrong values.

    Args:
        installed: Versions by distribution; of `dask`, at least.

    Raises:
        ConfigurationError: They do not work together.
    """
    year, month, *_ = (int(part) for part in installed["dask"].split("."))
    if (year, month) >= _DASK_BROKEN_SINCE:
        raise ConfigurationError(
            f"dask {installed['dask']} silently corrupts what xsar computes: longitude, latitude and incidence become equal",
            remedy="Install dask and distributed 2025.7.0, the newest versions that are right; `uv sync --locked` does it.",
        )


def _imported() -> tuple[Any, Any, Any]:
    """Import xsar, mend it, and take back what it changes for the whole process; return what is used of it."""
    check_versions({"dask": version("dask")})
    cache = os.environ.get("GDAL_CACHEMAX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import xsar  # noqa: PLC0415  # only after the guard
        from safe_s1 import reader, sentinel1_xml_mappings, xml_parser  # noqa: PLC0415  # the part of xsar that reads XML
    if cache is None:
        del os.environ["GDAL_CACHEMAX"]
    else:
        os.environ["GDAL_CACHEMAX"] = cache
    # Inside a Dask task xsar submits itself to the cluster it runs on, and waits for ever.
    xsar.utils.get_client = _no_client
    merging = sentinel1_xml_mappings.compounds_vars["swath_merging"]
    merging["func"] = _stripmap_too(merging["func"])
    return xsar.Sentinel1Meta, reader.Sentinel1Reader, xml_parser.XmlParser


def _no_client() -> None:
    raise ValueError("xsar must not see the cluster it runs on")


def _stripmap_too(merge: Callable[..., Any]) -> Callable[..., Any]:
    """Let xsar read Stripmap: it has one swath, hence an empty list of merged ones, which xsar fails on."""

    def merged(swath: Any, *columns: Any) -> Any:
        if len(swath):
            return merge(swath, *columns)
        return xr.Dataset({name: ("dim_azimuthTime", np.empty(0, "int64")) for name in _MERGING})

    return merged


_META, _READER, _PARSER = _imported()


def open_safe(safe: Path) -> Product:
    """Read the annotations of a GRD product; each of its XML files is parsed once.

    Args:
        safe: The folder, under the name that ESA gave it; its files too.

    Raises:
        PermanentError: It is not a GRD, or an annotation is missing, broken or has values that cannot be.
    """
    if not (safe / "manifest.safe").is_file():
        raise MissingInput(f"{safe.name}: it has no manifest.safe", remedy="Give the folder NAME.SAFE of a Sentinel-1 product.")
    if "_GRD" not in safe.name:
        raise _unsupported(safe, "is not a GRD")
    with _ONE_AT_A_TIME, _thrifty(safe), _named(safe), warnings.catch_warnings():
        # pandas' deprecations and numpy's of text parsing, in code that is not ours.
        warnings.simplefilter("ignore")
        meta = _META(str(safe))
        if meta.multidataset:
            raise _unsupported(safe, "has several images of one polarisation")
        product = _product(safe, meta)
    _check(product)
    return product


@contextmanager
def _thrifty(safe: Path) -> Iterator[None]:
    """Let xsar parse each XML file once instead of about 1,500 times, and read only what is used.

    The entities of a stranger's XML are not resolved.
    """
    roots: dict[str, Any] = {}

    def getroot(parser: Any, xml_file: str) -> Any:
        if xml_file not in roots:
            secure = objectify.makeparser(resolve_entities=False, no_network=True, load_dtd=False)
            root = objectify.fromstring((safe / xml_file).read_bytes(), secure)
            if root.getroottree().docinfo.doctype:
                raise _unreadable(safe, f"{xml_file} declares a document type, which no annotation does")
            parser._namespaces.update(root.nsmap)  # noqa: SLF001
            roots[xml_file] = root
        return roots[xml_file]

    nothing = {name: property(lambda _: xr.Dataset()) for name in _NOT_USED}
    with ExitStack() as stack:
        stack.enter_context(_replaced(_PARSER, {"getroot": getroot}))
        stack.enter_context(_replaced(_READER, {**nothing, "get_annotation_definitions": lambda _: {}}))
        yield


@contextmanager
def _replaced(kind: Any, members: Mapping[str, Any]) -> Iterator[None]:
    theirs = {name: vars(kind)[name] for name in members}
    try:
        for name, ours in members.items():
            setattr(kind, name, ours)
        yield
    finally:
        for name, member in theirs.items():
            setattr(kind, name, member)


@contextmanager
def _named(safe: Path) -> Iterator[None]:
    """Turn what xsar makes of a broken product into an error that names the product."""
    try:
        yield
    except GroundtrackError:
        raise
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise MissingInput(f"{safe.name}: it has no {missing}", remedy="Upload the product again, whole.") from error
    except etree.XMLSyntaxError as error:
        raise _unreadable(safe, f"an annotation is not XML: {error}") from error
    except OSError:
        raise
    except Exception as error:
        raise _unreadable(safe, f"xsar cannot make sense of its annotations: {type(error).__name__}: {error}") from error


def _unreadable(safe: Path, problem: str) -> PermanentError:
    return PermanentError(
        f"{safe.name}: {problem}", code="unreadable_safe", remedy="Upload the product again; if it stays, get it again from its archive."
    )


def _unsupported(safe: Path, problem: str) -> PermanentError:
    return PermanentError(f"{safe.name} {problem}", code="unsupported_product", remedy="Submit the GRD of the same data take.")


def _product(safe: Path, meta: Any) -> Product:
    reader, image = meta.reader, meta.image
    start, stop = (np.datetime64(time, "ns") for time in image["LineUtcTime"].values)
    return Product(
        name=safe.name.removesuffix(".SAFE"),
        platform=str(meta.platform),
        mode=str(meta.swath),
        product_type=str(meta.product),
        ipf_version=f"{reader.manifest_attrs['ipf_version']:06.2f}",
        lines=int(image["numberOfLines"]),
        samples=int(image["numberOfSamples"]),
        line_spacing_m=float(image["azimuthPixelSpacing"]),
        sample_spacing_m=float(image["groundRangePixelSpacing"]),
        start=start,
        stop=stop,
        orbit_pass=str(meta.orbit_pass),
        platform_heading=float(meta.platform_heading),
        geolocation=_geolocation(reader.dt["geolocationGrid"], start),
        speed=_speed(meta.orbit, start),
        swaths=_swaths(reader.dt["swath_merging"]),
        channels={str(row.polarization): _channel(safe, reader, row) for row in reader.files.itertuples()},
    )


def _geolocation(grid: Any, start: np.datetime64) -> dict[str, Table]:
    line, sample = (grid[axis].values.astype("float64") for axis in ("line", "sample"))
    values = {ours: np.asarray(grid[theirs].values) for ours, theirs in _GEOLOCATION.items()}
    values["azimuth_time"] = _seconds(values["azimuth_time"], start)
    # Neighbours are closer than half the globe: what jumps by more has crossed the antimeridian.
    values["longitude"] = np.unwrap(np.unwrap(values["longitude"], period=360.0, axis=1), period=360.0, axis=0)
    return {name: Table(line, sample, table.astype("float64")) for name, table in values.items()}


def _seconds(times: NDArray[np.datetime64], start: np.datetime64) -> Floats:
    return (times.astype("datetime64[ns]") - start) / np.timedelta64(1, "s")


def _speed(orbit: Any, start: np.datetime64) -> Floats:
    velocity = np.stack([orbit[f"velocity_{axis}"].values for axis in "xyz"])
    return np.stack([_seconds(orbit["time"].values, start), np.sqrt((velocity**2).sum(axis=0))])


def _swaths(merging: Any) -> tuple[tuple[int, int, int, int, int], ...]:
    columns = [merging[name].values for name in _MERGING]
    return tuple((int(a), int(b), int(c), int(d), int(e)) for a, b, c, d, e in zip(*columns, strict=True))


def _channel(safe: Path, reader: Any, row: Any) -> Channel:
    """Read one polarisation from its own files: xsar's merged tables fill up where two polarisations differ."""
    calibration = reader.xml_parser.get_compound_var(row.calibration, "luts_raw")
    noise = reader.xml_parser.get_compound_var(row.noise, "noise_lut_range_raw")
    _, denoised = reader.xml_parser.get_compound_var(row.annotation, "denoised")
    if not isinstance(denoised, bool):
        raise _unreadable(safe, f"{row.annotation} does not say whether the noise was subtracted")
    return Channel(
        measurement=safe / row.measurement,
        sigma0_lut=_table(calibration, "sigma0_lut"),
        gamma0_lut=_table(calibration, "gamma0_lut"),
        range_noise=_table(noise, "noise_lut"),
        azimuth_noise=_azimuth_noise(reader.get_noise_azi_initial_parameters(row.polarization)),
        denoised=denoised,
    )


def _table(tables: Any, name: str) -> Table:
    return Table(*(np.asarray(tables[part].values, "float64") for part in ("line", "sample", name)))


def _azimuth_noise(columns: Any) -> tuple[AzimuthNoise, ...]:
    _, line, first_line, last_line, first_sample, last_sample, values = columns
    return tuple(
        AzimuthNoise((int(a), int(b)), (int(c), int(d)), np.asarray(at, "float64"), np.asarray(factor, "float64"))
        for a, b, c, d, at, factor in zip(first_line, last_line, first_sample, last_sample, line, values, strict=True)
    )


def _check(product: Product) -> None:
    """Refuse annotations from which nothing can be computed."""
    if product.lines < 1 or product.samples < 1:
        raise _empty(product)
    tables = dict(product.geolocation)
    for polarisation, channel in product.channels.items():
        tables |= {f"{polarisation} sigma0": channel.sigma0_lut, f"{polarisation} gamma0": channel.gamma0_lut}
        tables |= {f"{polarisation} noise": channel.range_noise}
    for name, table in tables.items():
        if min(table.values.shape) < 2 and "noise" not in name:
            raise _bad_values(product, name, "has less than two lines or samples")
        if not np.isfinite(table.values).all():
            raise _bad_values(product, name, "has values that are not finite numbers")
        if (np.diff(table.line) <= 0).any() or (np.diff(table.sample) <= 0).any():
            raise _bad_values(product, name, "is not in ascending order of lines and samples")
    if (abs(product.geolocation["latitude"].values) > 90).any():
        raise _bad_values(product, "latitude", "is beyond the poles")


def _empty(product: Product) -> PermanentError:
    return PermanentError(
        f"{product.name}: its image has {product.lines} lines of {product.samples} samples",
        code="empty_image",
        remedy="Get the product again from its archive; an image without lines cannot be processed.",
    )


def _bad_values(product: Product, table: str, problem: str) -> PermanentError:
    return PermanentError(
        f"{product.name}: its table of {table} {problem}",
        code="bad_annotation",
        remedy="Get the product again from its archive; if it is the same there, report it to ESA's support.",
    )
