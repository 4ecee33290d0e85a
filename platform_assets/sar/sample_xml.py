"""The XML of a synthetic SAFE: as much of ESA's product format as processors of GRD read, and no third party's content."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from platform_assets.sar.sample_truth import BETA_NOUGHT, EARTH_RADIUS_M, MODES, ORBIT_HEIGHT_M, Floats, SafeSpec, Truth

_GRID = (10, 21)  # lines and samples of the geolocation grid, as in real products
_STEP_PX = 40  # of calibration and noise vectors along range
_AZIMUTH_STEP_PX = 10
_VECTORS = 27
_ORBIT_SPEED_M_S = 7590.0
_SLANT_RANGE_S = (5.34e-3, 6.44e-3)
_RELATIVE_ORBIT_OFFSET = {"S1A": 73, "S1B": 27}
_DESIGNATOR = {"S1A": "2014-016A", "S1B": "2016-025A", "S1C": "2024-235A", "S1D": "2025-251A"}
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ESA = "http://www.esa.int/safe/sentinel-1.0"
_NAMESPACES = (
    f'xmlns:gml="http://www.opengis.net/gml" xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:safe="{_ESA}" xmlns:s1="{_ESA}/sentinel-1" '
    f'xmlns:s1sar="{_ESA}/sentinel-1/sar" xmlns:s1sarl1="{_ESA}/sentinel-1/sar/level-1"'
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the product, for its manifest.

    Attributes:
        path: In the product's folder.
        schema: The schema that it follows.
        size_bytes: Its size.
        md5: Its MD5.
    """

    path: str
    schema: str
    size_bytes: int
    md5: str


def geolocation_grid(spec: SafeSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lines and the samples of the geolocation grid."""
    return _spread(spec.lines, _GRID[0]), _spread(spec.samples, _GRID[1])


def annotation(spec: SafeSpec, number: int) -> str:
    """Return the product annotation of an image.

    Args:
        spec: The product.
        number: Of the image, from 1.
    """
    parts = [
        _DECLARATION,
        "<product>",
        _header(spec, number),
        _general_annotation(spec),
        _image_annotation(spec),
        _doppler_centroid(spec),
        _antenna_pattern(spec),
        '<swathTiming><linesPerBurst>0</linesPerBurst><samplesPerBurst>0</samplesPerBurst><burstList count="0"/></swathTiming>',
        _geolocation(spec),
        _swath_merging(spec),
        "</product>",
    ]
    return "\n".join(parts)


def calibration(spec: SafeSpec, number: int) -> str:
    """Return the calibration annotation of an image."""
    truth, samples = Truth(spec), _steps(spec.samples, _STEP_PX)
    luts = {
        "sigmaNought": _reals(truth.sigma0_lut(samples)),
        "betaNought": _reals(np.full(samples.shape, BETA_NOUGHT)),
        "gamma": _reals(truth.gamma0_lut(samples)),
        "dn": _reals(np.full(samples.shape, BETA_NOUGHT)),
    }
    vector = "".join(f'<{name} count="{samples.size}">{values}</{name}>' for name, values in luts.items())
    vectors = _vectors(spec, "calibrationVector", samples, vector)
    constant = "<calibrationInformation><absoluteCalibrationConstant>1.0</absoluteCalibrationConstant></calibrationInformation>"
    return f"{_DECLARATION}<calibration>{_header(spec, number)}{constant}{vectors}</calibration>"


def noise(spec: SafeSpec, number: int) -> str:
    """Return the noise annotation of an image, in the format of its IPF."""
    truth, samples = Truth(spec), _steps(spec.samples, _STEP_PX)
    lut = _reals(truth.range_noise(samples))
    if spec.ipf_version < "002.90":
        vectors = _vectors(spec, "noiseVector", samples, f'<noiseLut count="{samples.size}">{lut}</noiseLut>')
    else:
        vectors = _vectors(spec, "noiseRangeVector", samples, f'<noiseRangeLut count="{samples.size}">{lut}</noiseRangeLut>')
        vectors += _azimuth_noise(spec)
    return f"{_DECLARATION}<noise>{_header(spec, number)}{vectors}</noise>"


def manifest(spec: SafeSpec, entries: Iterable[Entry]) -> str:
    """Return the manifest.

    Args:
        spec: The product.
        entries: Its files.
    """
    objects = "\n".join(
        f'<dataObject ID="{entry.path.rpartition("/")[2].partition(".")[0].replace("-", "")}" repID="{entry.schema}">'
        f'<byteStream mimeType="application/octet-stream" size="{entry.size_bytes}"><fileLocation locatorType="URL" href="./{entry.path}"/>'
        f'<checksum checksumName="MD5">{entry.md5}</checksum></byteStream></dataObject>'
        for entry in entries
    )
    wrapped = "\n".join(
        f'<metadataObject ID="{name}"><metadataWrap mimeType="text/xml" vocabularyName="SAFE"><xmlData>{content}</xmlData>'
        "</metadataWrap></metadataObject>"
        for name, content in _metadata(spec).items()
    )
    schema = (
        '<metadataObject ID="s1Level1ProductSchema" classification="SYNTAX" category="REP"><metadataReference mimeType="text/xml" '
        'vocabularyName="XML Schema" locatorType="URL" href="./support/s1-level-1-product.xsd"/></metadataObject>'
    )
    version = "esa/safe/sentinel-1.0/sentinel-1/sar/level-1/grd/standard/" + f"{spec.mode.lower()}{'ds'[len(spec.polarisations) == 1]}p"
    return (
        f'{_DECLARATION}<xfdu:XFDU {_NAMESPACES} version="{version}">\n<informationPackageMap/>\n<metadataSection>\n{wrapped}\n{schema}\n'
        f"</metadataSection>\n<dataObjectSection>\n{objects}\n</dataObjectSection>\n</xfdu:XFDU>\n"
    )


# --- manifest -----------------------------------------------------------------------------------------------------------


def _metadata(spec: SafeSpec) -> dict[str, str]:
    return {
        "processing": _processing(spec),
        "platform": f"<safe:platform><safe:nssdcIdentifier>{_DESIGNATOR[spec.mission]}</safe:nssdcIdentifier>"
        f"<safe:familyName>SENTINEL-1</safe:familyName><safe:number>{spec.mission[-1]}</safe:number><safe:instrument>"
        '<safe:familyName abbreviation="SAR">Synthetic Aperture Radar</safe:familyName><safe:extension><s1sarl1:instrumentMode>'
        f"<s1sarl1:mode>{spec.instrument_mode}</s1sarl1:mode><s1sarl1:swath>{spec.mode}</s1sarl1:swath>"
        "</s1sarl1:instrumentMode></safe:extension></safe:instrument></safe:platform>",
        "measurementOrbitReference": _orbit_reference(spec),
        "generalProductInformation": "<s1sarl1:standAloneProductInformation>"
        "<s1sarl1:instrumentConfigurationID>7</s1sarl1:instrumentConfigurationID>"
        f"<s1sarl1:missionDataTakeID>{spec.datatake}</s1sarl1:missionDataTakeID>"
        + "".join(
            f"<s1sarl1:transmitterReceiverPolarisation>{code}</s1sarl1:transmitterReceiverPolarisation>" for code in spec.polarisations
        )
        + "<s1sarl1:productClass>S</s1sarl1:productClass><s1sarl1:productType>GRD</s1sarl1:productType>"
        "<s1sarl1:productTimelinessCategory>Fast-24h</s1sarl1:productTimelinessCategory>"
        "</s1sarl1:standAloneProductInformation>",
        "acquisitionPeriod": f"<safe:acquisitionPeriod><safe:startTime>{_time(spec.start)}</safe:startTime>"
        f"<safe:stopTime>{_time(spec.stop)}</safe:stopTime></safe:acquisitionPeriod>",
        "measurementFrameSet": '<safe:frameSet><safe:frame><safe:footPrint srsName="http://www.opengis.net/gml/srs/epsg.xml#4326">'
        f"<gml:coordinates>{_corners(spec)}</gml:coordinates></safe:footPrint></safe:frame></safe:frameSet>",
    }


def _processing(spec: SafeSpec) -> str:
    stop = spec.processed or spec.start + timedelta(hours=3)
    auxiliary = {
        "AUX_PP1": "V20190228T092500_G20210104T141253",
        "AUX_CAL": "V20190228T092500_G20210104T141310",
        "AUX_INS": "V20190228T092500_G20190227T100643",
    }
    used = "".join(f'<safe:resource name="{spec.mission}_{kind}_{dates}.SAFE" role="{kind}"/>' for kind, dates in auxiliary.items())
    return (
        f'<safe:processing name="GRD Post Processing" start="{_time(stop - timedelta(minutes=10))}" stop="{_time(stop)}">'
        '<safe:facility country="none" name="Synthetic" organisation="Groundtrack" site="none">'
        f'<safe:software name="Sentinel-1 IPF" version="{spec.ipf_version}"/></safe:facility>'
        '<safe:resource name="SYNTHETIC_SL1.SAFE" role="Level-1 Intermediate SLC Product">'
        f'<safe:processing name="SLC Processing">{used}</safe:processing></safe:resource></safe:processing>'
    )


def _orbit_reference(spec: SafeSpec) -> str:
    relative = (spec.orbit - _RELATIVE_ORBIT_OFFSET.get(spec.mission, 172)) % 175 + 1
    numbers = "".join(
        f'<safe:{name} type="{end}">{number}</safe:{name}>'
        for name, number in (("orbitNumber", spec.orbit), ("relativeOrbitNumber", relative))
        for end in ("start", "stop")
    )
    node = _time(spec.start - timedelta(minutes=12))
    return (
        f"<safe:orbitReference>{numbers}<safe:cycleNumber>{spec.orbit // 175 + 1}</safe:cycleNumber><safe:extension><s1:orbitProperties>"
        f"<s1:pass>{_direction(spec).upper()}</s1:pass><s1:ascendingNodeTime>{node}</s1:ascendingNodeTime>"
        "</s1:orbitProperties></safe:extension></safe:orbitReference>"
    )


def _corners(spec: SafeSpec) -> str:
    last_line, last_sample = spec.lines - 1, spec.samples - 1
    longitudes, latitudes = Truth(spec).lonlat([last_line, last_line, 0, 0], [0, last_sample, last_sample, 0])
    return " ".join(f"{latitude:.6f},{longitude:.6f}" for longitude, latitude in zip(longitudes, latitudes, strict=True))


# --- annotations --------------------------------------------------------------------------------------------------------


def _header(spec: SafeSpec, number: int) -> str:
    return (
        f"<adsHeader><missionId>{spec.mission}</missionId><productType>GRD</productType>"
        f"<polarisation>{spec.polarisations[number - 1]}</polarisation><mode>{spec.mode}</mode><swath>{spec.mode}</swath>"
        f"<startTime>{_time(spec.start)}</startTime><stopTime>{_time(spec.stop)}</stopTime>"
        f"<absoluteOrbitNumber>{spec.orbit}</absoluteOrbitNumber><missionDataTakeId>{spec.datatake}</missionDataTakeId>"
        f"<imageNumber>{number:03d}</imageNumber></adsHeader>"
    )


def _general_annotation(spec: SafeSpec) -> str:
    return (
        f"<generalAnnotation><productInformation><pass>{_direction(spec)}</pass><timelinessCategory>Fast-24h</timelinessCategory>"
        f"<platformHeading>{spec.heading:.15e}</platformHeading><projection>Ground Range</projection>"
        "<rangeSamplingRate>6.434523812571428e+07</rangeSamplingRate><radarFrequency>5.405000454334350e+09</radarFrequency>"
        "<azimuthSteeringRate>1.590368784000000e+00</azimuthSteeringRate></productInformation>"
        + _list("orbitList", [_state_vector(spec, 10.0 * step) for step in range(-8, 9)])
        + _list(
            "azimuthFmRateList",
            [
                f"<azimuthFmRate><azimuthTime>{_time(moment)}</azimuthTime><t0>5.34e-03</t0>"
                '<azimuthFmRatePolynomial count="3">-2.322e+03 4.503e+05 -7.897e+07</azimuthFmRatePolynomial></azimuthFmRate>'
                for moment in _moments(spec, 10)
            ],
        )
        + "</generalAnnotation>"
    )


def _state_vector(spec: SafeSpec, seconds: float) -> str:
    """Return position and velocity some seconds after the start, on a circle over the first samples."""
    longitude, latitude = Truth(spec).lonlat(6800.0 * seconds / spec.spacing_m, 0.0)
    lon, lat, heading = np.radians(longitude), np.radians(latitude), np.radians(spec.heading)
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    position = (EARTH_RADIUS_M + ORBIT_HEIGHT_M) * up
    velocity = _ORBIT_SPEED_M_S * (np.cos(heading) * north + np.sin(heading) * east)
    vectors = "".join(
        f"<{name}>" + "".join(f"<{axis}>{value:.9e}</{axis}>" for axis, value in zip("xyz", vector, strict=True)) + f"</{name}>"
        for name, vector in (("position", position), ("velocity", velocity))
    )
    return f"<orbit><time>{_time(spec.start + timedelta(seconds=seconds))}</time><frame>Earth Fixed</frame>{vectors}</orbit>"


def _image_annotation(spec: SafeSpec) -> str:
    return (
        f"<imageAnnotation><imageInformation><productFirstLineUtcTime>{_time(spec.start)}</productFirstLineUtcTime>"
        f"<productLastLineUtcTime>{_time(spec.stop)}</productLastLineUtcTime><slantRangeTime>{_SLANT_RANGE_S[0]:.15e}</slantRangeTime>"
        "<pixelValue>Detected</pixelValue><outputPixels>16 bit Unsigned Integer</outputPixels>"
        f"<rangePixelSpacing>{spec.spacing_m:.6e}</rangePixelSpacing><azimuthPixelSpacing>{spec.spacing_m:.6e}</azimuthPixelSpacing>"
        f"<azimuthTimeInterval>{(spec.stop - spec.start).total_seconds() / max(spec.lines - 1, 1):.15e}</azimuthTimeInterval>"
        f"<numberOfSamples>{spec.samples}</numberOfSamples><numberOfLines>{spec.lines}</numberOfLines>"
        f"<incidenceAngleMidSwath>{Truth(spec).incidence(spec.samples / 2):.15e}</incidenceAngleMidSwath></imageInformation>"
        "<processingInformation><thermalNoiseCorrectionPerformed>false</thermalNoiseCorrectionPerformed></processingInformation>"
        "</imageAnnotation>"
    )


def _doppler_centroid(spec: SafeSpec) -> str:
    fine = _list(
        "fineDceList",
        [
            f"<fineDce><slantRangeTime>{5.35e-3 + 1e-4 * step:.15e}</slantRangeTime><frequency>-0.6</frequency></fineDce>"
            for step in range(4)
        ],
    )
    estimates = [
        f"<dcEstimate><azimuthTime>{moment}</azimuthTime><t0>5.349e-03</t0>"
        '<geometryDcPolynomial count="3">-3.2 -1.1e+03 3.3e+05</geometryDcPolynomial>'
        '<dataDcPolynomial count="3">-3.5 -1.5e+04 5.4e+06</dataDcPolynomial><dataDcRmsError>5.9</dataDcRmsError>'
        f"<dataDcRmsErrorAboveThreshold>false</dataDcRmsErrorAboveThreshold><fineDceAzimuthStartTime>{moment}</fineDceAzimuthStartTime>"
        f"<fineDceAzimuthStopTime>{moment}</fineDceAzimuthStopTime>{fine}</dcEstimate>"
        for moment in map(_time, _moments(spec, 9))
    ]
    return f"<dopplerCentroid>{_list('dcEstimateList', estimates)}</dopplerCentroid>"


def _antenna_pattern(spec: SafeSpec) -> str:
    elevation = np.linspace(27.2, 39.0, 50)
    pattern = (
        f'<slantRangeTime count="50">{_reals(np.linspace(*_SLANT_RANGE_S, 50))}</slantRangeTime>'
        f'<elevationAngle count="50">{_reals(elevation)}</elevationAngle>'
        f'<elevationPattern count="100">{_reals(np.ones(100))}</elevationPattern>'
        f'<incidenceAngle count="50">{_reals(elevation * 1.15)}</incidenceAngle><terrainHeight>0.0</terrainHeight><roll>2.97e+01</roll>'
    )
    patterns = [
        f"<antennaPattern><swath>{swath}</swath><azimuthTime>{_time(moment)}</azimuthTime>{pattern}</antennaPattern>"
        for swath in MODES[spec.mode].swaths or (spec.mode,)
        for moment in _moments(spec, 9)
    ]
    return f"<antennaPattern>{_list('antennaPatternList', patterns)}</antennaPattern>"


def _geolocation(spec: SafeSpec) -> str:
    truth, (lines, samples) = Truth(spec), geolocation_grid(spec)
    longitudes, latitudes = truth.lonlat(lines[:, None], samples[None, :])
    incidence, elevation = truth.incidence(samples), truth.elevation(samples)
    near, far = _SLANT_RANGE_S
    points = [
        f"<geolocationGridPoint><azimuthTime>{_line_time(spec, line)}</azimuthTime>"
        f"<slantRangeTime>{near + (far - near) * sample / spec.samples:.15e}</slantRangeTime><line>{line}</line><pixel>{sample}</pixel>"
        f"<latitude>{latitudes[row, column]:.15e}</latitude><longitude>{longitudes[row, column]:.15e}</longitude><height>1.0e-04</height>"
        f"<incidenceAngle>{incidence[column]:.15e}</incidenceAngle><elevationAngle>{elevation[column]:.15e}</elevationAngle></geolocationGridPoint>"
        for row, line in enumerate(lines)
        for column, sample in enumerate(samples)
    ]
    return f"<geolocationGrid>{_list('geolocationGridPointList', points)}</geolocationGrid>"


def _swath_merging(spec: SafeSpec) -> str:
    merges = [
        f'<swathMerge><swath>{swath}</swath><swathBoundsList count="1"><swathBounds><azimuthTime>{_time(spec.start)}</azimuthTime>'
        f"{bounds}</swathBounds></swathBoundsList></swathMerge>"
        for swath, bounds in _swath_bounds(spec)
    ]
    return f"<swathMerging>{_list('swathMergeList', merges)}</swathMerging>"


def _azimuth_noise(spec: SafeSpec) -> str:
    lines = _steps(spec.lines, _AZIMUTH_STEP_PX)
    lut = _reals(Truth(spec).azimuth_noise(lines))
    vectors = [
        f'<noiseAzimuthVector><swath>{swath}</swath>{bounds}<line count="{lines.size}">{_integers(lines)}</line>'
        f'<noiseAzimuthLut count="{lines.size}">{lut}</noiseAzimuthLut></noiseAzimuthVector>'
        for swath, bounds in _swath_bounds(spec)
    ]
    return _list("noiseAzimuthVectorList", vectors)


def _swath_bounds(spec: SafeSpec) -> list[tuple[str, str]]:
    swaths = MODES[spec.mode].swaths
    edges = np.linspace(0, spec.samples, len(swaths) + 1).astype(int)
    bounds = [
        f"<firstAzimuthLine>0</firstAzimuthLine><firstRangeSample>{first}</firstRangeSample>"
        f"<lastAzimuthLine>{spec.lines - 1}</lastAzimuthLine><lastRangeSample>{after - 1}</lastRangeSample>"
        for first, after in pairwise(edges)
    ]
    return list(zip(swaths, bounds, strict=True))


def _vectors(spec: SafeSpec, name: str, samples: NDArray[np.int64], content: str) -> str:
    pixels = f'<pixel count="{samples.size}">{_integers(samples)}</pixel>'
    vectors = [
        f"<{name}><azimuthTime>{_line_time(spec, line)}</azimuthTime><line>{line}</line>{pixels}{content}</{name}>"
        for line in _spread(spec.lines, _VECTORS)
    ]
    return _list(f"{name}List", vectors)


# --- forms --------------------------------------------------------------------------------------------------------------


def _list(name: str, elements: list[str]) -> str:
    return f'<{name} count="{len(elements)}">{"".join(elements)}</{name}>'


def _direction(spec: SafeSpec) -> str:
    return "Ascending" if abs((spec.heading + 180) % 360 - 180) < 90 else "Descending"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _line_time(spec: SafeSpec, line: int) -> str:
    return _time(spec.start + (spec.stop - spec.start) * (int(line) / max(spec.lines - 1, 1)))


def _moments(spec: SafeSpec, count: int) -> list[datetime]:
    return [spec.start + (spec.stop - spec.start) * (step / (count - 1)) for step in range(count)]


def _spread(size: int, count: int) -> NDArray[np.int64]:
    """Return about so many positions from the first to the last."""
    return np.unique(np.round(np.linspace(0, size - 1, count)).astype(np.int64))


def _steps(size: int, step: int) -> NDArray[np.int64]:
    """Return every so many positions, and the last."""
    return np.unique(np.append(np.arange(0, size, step), size - 1))


def _reals(values: Floats) -> str:
    return " ".join(f"{value:.6e}" for value in values.tolist())


def _integers(values: NDArray[np.int64]) -> str:
    return " ".join(str(value) for value in values.tolist())
