"""Whether a product is whole: every file that its manifest lists is there, with its announced size.

Listed are annotations, calibrations, noise, measurements and previews. The schemas in `support/` are only referred to,
without a size, and nothing reads them: products without them are whole.
"""

from collections.abc import Iterator, Mapping

from platform_assets.sar.manifest import Manifest, ManifestFile
from platform_assets.sar.naming import short_path


def find_files(manifest: Manifest, present: Mapping[str, int]) -> dict[str, str]:
    """Return where the listed files lie that are there: path as ESA names it to path as it is there.

    Args:
        manifest: Of the product.
        present: The size of what is there, by path in the product's folder; names as ESA's or as the public AWS bucket's.
    """
    places = ((file.path, _place(file, present)) for file in manifest.files)
    return {path: place for path, place in places if place}


def missing(manifest: Manifest, present: Mapping[str, int]) -> tuple[str, ...]:
    """Return what a product lacks, in words, one text a file; empty when it is whole.

    Args:
        manifest: Of the product.
        present: The size of what is there, by path in the product's folder; names as ESA's or as the public AWS bucket's.
    """
    return tuple(_missing(manifest, present))


def _missing(manifest: Manifest, present: Mapping[str, int]) -> Iterator[str]:
    for file in manifest.files:
        place = _place(file, present)
        if place is None:
            yield f"{file.path} is missing"
        elif present[place] != file.size_bytes:
            yield f"{place} has {present[place]} of {file.size_bytes} bytes"


def _place(file: ManifestFile, present: Mapping[str, int]) -> str | None:
    return next((path for path in (file.path, short_path(file.path)) if path in present), None)
