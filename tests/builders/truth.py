"""What must hold once a manifest is settled, whatever happened on the way: looked at with others' readers, not with ours."""

import csv
import hashlib
import io
import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import rasterio
from rio_cogeo.cogeo import cog_validate

from tests.builders.site import PRODUCTS, Site

_RECORD = re.compile(r"_groundtrack/(sensors/\w+\.json|manifests/[^/]+/(claim\.json\.gz|(lease|outcomes)-\d{4}\.json(\.gz)?))")
_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Settled:
    """One folder with one manifest that is settled.

    Attributes:
        site: Where.
        folder: The folder of manifest and images, without a slash inside.
        manifest: The manifest's key.
        good: The keys of the images that must have been converted.
        bad: The keys of those that must have failed.
        scratch: A folder for files.
        bad_status: How Dagster shows those that must have failed.
    """

    site: Site
    folder: str
    manifest: str
    good: frozenset[str]
    bad: frozenset[str]
    scratch: Path
    bad_status: str = "failed"

    def contradictions(self) -> str:
        """Return every sentence of the promise that is false, one a line; empty when all is well."""
        return "\n".join([*self._results(), *self._objects(), *self._products(), *self._catalogue(), *self._grid()])

    @cached_property
    def report(self) -> dict[str, Any]:
        return self.site.report(self.folder)

    def _results(self) -> Iterator[str]:
        """The report has every row once, and so have the two CSVs."""
        rows = Counter(row["key"] for row in self.report["rows"])
        yield from _unequal("rows of the report", rows, Counter([*self.good, *self.bad]))
        states = {row["key"]: row["state"] for row in self.report["rows"]}
        yield from (f"{key} is {states.get(key)} in the report" for key in self.good if states.get(key) not in ("done", "carried_over"))
        yield from (f"{key} is {states.get(key)} in the report" for key in self.bad if states.get(key) != "failed")
        stem, stamp = self._stem_and_stamp
        for word, keys in (("processed", self.good), ("failed", self.bad)):
            found = _first_columns(self.site, f"{stem}{word}-{stamp}.csv") if keys else []
            yield from _unequal(f"rows of the {word} CSV", Counter(found), Counter(keys))

    def _objects(self) -> Iterator[str]:
        """There is nothing but what must be: no second report, no processing CSV, no half product, nothing temporary."""
        stem, stamp = self._stem_and_stamp
        results = [f"{stem}report-{stamp}.{suffix}" for suffix in ("json", "csv", "html")]
        results += [f"{stem}{word}-{stamp}.csv" for word, keys in (("processed", self.good), ("failed", self.bad)) if keys]
        found = Counter(ref.key for ref in self.site.source.list(f"{self.folder}/"))
        yield from _unequal("objects beside the manifest", found, Counter([*self.good, *self.bad, *results]))
        products = [name for key in self.good for name in (key, key.removesuffix(".tif") + ".jpg")]
        yield from _unequal("products", Counter(ref.key for ref in self.site.target.list(f"{self.folder}/")), Counter(products))
        items = [name for key in self.good for name in (_item_key(key), _item_key(key).removesuffix(".json") + ".thumb.jpg")]
        shelf = f"_stac/imagery/{self.folder}/"
        yield from _unequal(
            "objects of the catalogue", Counter(ref.key for ref in self.site.target.list(shelf)), Counter([*items, f"{shelf}catalog.json"])
        )
        records = [ref.key for ref in self.site.target.list("_groundtrack/")]
        yield from (f"{key} was left behind" for key in records if not _RECORD.fullmatch(key))
        for bucket in (self.site.source, self.site.target):
            uploads = bucket.connection.client().list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])
            yield from (f"the upload of {upload['Key']} was left open" for upload in uploads)

    def _products(self) -> Iterator[str]:
        """Each product is whole, is what its item says, and shows what the raw image shows."""
        for key in sorted(self.good):
            if self.site.target.stat(_item_key(key)) is None:
                yield f"{key} has no item"
                continue
            item = json.loads(self._read(_item_key(key)))
            yield from _unequal(f"assets of {key}", Counter(list(item["assets"])), Counter(PRODUCTS[:3]))
            for name, asset in item["assets"].items():
                data = self._read(posixpath.normpath(posixpath.join(posixpath.dirname(_item_key(key)), asset["href"])))
                yield from _unequal(f"size of {name} of {key}", len(data), asset["file:size"])
                yield from _unequal(f"checksum of {name} of {key}", "1220" + hashlib.sha256(data).hexdigest(), asset["file:checksum"])
                yield from self._unreadable(name, key, data)

    def _unreadable(self, name: str, key: str, data: bytes) -> Iterator[str]:
        raw = self._pixels(self.site.source.read(key, limit_bytes=_LIMIT_BYTES)[0])
        if name == "cog":
            valid, errors, warnings = cog_validate(self._file(data), strict=True, quiet=True)
            if not valid:
                yield f"the COG of {key} is not valid: {errors} {warnings}"
            elif not np.array_equal(self._pixels(data), raw):
                yield f"the COG of {key} has other pixels than the image"
            return
        decoded = imagecodecs.jpeg8_decode(data)
        if name == "jpeg" and decoded.shape[:2] != raw.shape[1:]:
            yield f"the JPEG of {key} is {decoded.shape}"

    def _catalogue(self) -> Iterator[str]:
        """The catalogue lists exactly the items, and the collection the folder."""
        shelf = f"_stac/imagery/{self.folder}/"
        links = [shelf + link["href"].removeprefix("./") for link in self._links(f"{shelf}catalog.json", "item")]
        yield from _unequal("items of the catalogue", Counter(links), Counter(map(_item_key, self.good)))
        children = Counter(link["href"] for link in self._links("_stac/imagery/collection.json", "child"))
        yield from _unequal("links of the collection to the folder", children[f"./{self.folder}/catalog.json"], 1)

    def _grid(self) -> Iterator[str]:
        """Dagster shows every image as the report does, and the report once."""
        for asset in PRODUCTS:
            shown = self.site.statuses(asset)
            for keys, expected in ((self.good, "materialized"), (self.bad, self.bad_status)):
                wrong = Counter(shown.get(_partition(key)) for key in keys if shown.get(_partition(key)) != expected)
                yield from (f"Dagster shows {number} partitions of {asset} as {status}, not {expected}" for status, number in wrong.items())
        reported = self.site.materializations("manifest_report")[self.report["manifest"]["id"]]
        yield from _unequal("materializations of the report", reported, 1)

    @property
    def _stem_and_stamp(self) -> tuple[str, str]:
        stem = self.manifest.removesuffix("raw.csv")
        return stem, self.site.reports(self.folder)[0].removeprefix(f"{stem}report-").removesuffix(".json")

    def _links(self, key: str, rel: str) -> list[dict[str, str]]:
        there = self.site.target.stat(key) is not None
        return [link for link in json.loads(self._read(key))["links"] if link["rel"] == rel] if there else []

    def _read(self, key: str) -> bytes:
        return self.site.target.read(key, limit_bytes=_LIMIT_BYTES)[0]

    def _file(self, data: bytes) -> Path:
        path = self.scratch / "image.tif"
        path.write_bytes(data)
        return path

    def _pixels(self, data: bytes) -> np.ndarray:
        with rasterio.open(self._file(data)) as dataset:
            return dataset.read()


def _first_columns(site: Site, key: str) -> list[str]:
    text = site.source.read(key, limit_bytes=1 << 30)[0].decode()
    return [row[0] for row in csv.reader(io.StringIO(text))]


def _partition(key: str) -> str:
    return key.replace("/", "~~")


def _item_key(key: str) -> str:
    return f"_stac/imagery/{key.rpartition('/')[0]}/{_partition(key)}.json"


def _unequal(what: str, found: Any, expected: Any) -> Iterator[str]:
    if found == expected:
        return
    if isinstance(found, Counter):
        yield f"{what}: missing {dict(expected - found)}, too many {dict(found - expected)}"
    else:
        yield f"{what}: {found} instead of {expected}"
