"""Which products are processed: decided from the name and the manifest, before anything large is read.

| mode | products | processed |
|---|---|---|
| IW, EW | GRD, high and medium resolution, single and dual polarisation, HH/HV/VV/VH | yes |
| SM (S1 to S6) | GRD, full, high and medium resolution | yes |
| WV | GRD and SLC | no: images of 20 km, for which no grid of this size is of use |
| IW, EW, SM | SLC | no: complex and, of IW and EW, in bursts; the GRD of the same data take serves |
| any | RAW, OCN | no: without a calibrated image |
"""

from platform_assets.common.errors import PermanentError
from platform_assets.sar.manifest import ANNOTATION, CALIBRATION, MEASUREMENT, NOISE, Manifest
from platform_assets.sar.naming import ProductName

_MODES = ("IW", "EW", "SM")
_SAME_DATA = "Submit the GRD of the same data take; its name has the same times, orbit and data take."
_KINDS = {MEASUREMENT: "measurement", ANNOTATION: "annotation", CALIBRATION: "calibration", NOISE: "noise"}


def check_supported(product: ProductName) -> None:
    """Refuse a product that cannot be processed, by its name alone.

    Raises:
        PermanentError: `unsupported_product`; the message says why, the remedy what to use instead.
    """
    if product.instrument_mode not in _MODES:
        raise _unsupported(product, f"is of mode {product.mode}; IW, EW and SM are processed", "Submit a GRD of IW, EW or SM.")
    if product.product_type == "SLC":
        raise _unsupported(product, "is a single look complex product; ground range detected ones (GRD) are processed", _SAME_DATA)
    if product.product_type != "GRD":
        raise _unsupported(product, f"is of type {product.product_type}, without a calibrated image; GRD are processed", _SAME_DATA)
    if product.product_class != "S":
        raise _unsupported(
            product, f"is of class {product.product_class}, without an image; standard products (S) are processed", _SAME_DATA
        )


def check_channels(manifest: Manifest) -> None:
    """Refuse a product whose manifest does not list one image, annotation, calibration and noise a polarisation.

    Raises:
        PermanentError: `bad_manifest`.
    """
    for schema, kind in _KINDS.items():
        found = sorted(_polarisation(file.path) for file in manifest.of(schema))
        if found != sorted(manifest.polarisations):
            raise PermanentError(
                f"{manifest.product.name}: the manifest lists {kind} files of {', '.join(found) or 'nothing'}, "
                f"and polarisations {', '.join(manifest.polarisations)}",
                code="bad_manifest",
                remedy="Upload the product again as ESA distributes it.",
            )


def _polarisation(path: str) -> str:
    """Return the polarisation in a file's name, such as `VV` of `noise-s1a-iw-grd-vv-...`."""
    return next((part.upper() for part in path.rpartition("/")[2].split("-") if part in ("hh", "hv", "vv", "vh")), "none")


def _unsupported(product: ProductName, why: str, remedy: str) -> PermanentError:
    return PermanentError(f"{product.name} {why}", code="unsupported_product", remedy=remedy)
