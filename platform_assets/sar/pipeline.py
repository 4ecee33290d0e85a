"""One Sentinel-1 product, from the bucket to its catalogue item: what a worker does.

The order is the promise: files first, each whole or not at all, and the item last. A crash anywhere leaves an old item
with old files, or new files that no item names yet; both are put right by doing it again.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_assets.catalog.static import Extent, publish_folders
from platform_assets.common.errors import MissingInput
from platform_assets.common.published import PublishedAsset, is_there, publish
from platform_assets.common.stac import to_json
from platform_assets.common.stages import Stages
from platform_assets.common.store import Bucket
from platform_assets.common.values import Outcome, State, Work
from platform_assets.sar import naming, stac
from platform_assets.sar.manifest import LIMIT_BYTES, Manifest, read_manifest
from platform_assets.sar.model import ClaimedSafe, SafeJob
from platform_assets.sar.naming import MANIFEST, ProductName
from platform_assets.sar.options import L1bOptions, Processing
from platform_assets.sar.process import process, signature
from platform_assets.sar.quicklook import make_quicklook
from platform_assets.sar.stage import check_files, check_name, manifest_of, to_esa_names, unpack
from platform_assets.sar.support import check_channels, check_supported
from platform_assets.sar.versions import link_versions
from platform_assets.sar.whole import find_files

_ITEM_BYTES = 16 << 20
_PARALLEL = 16
_SUFFIXES = {stac.L1B: "_L1B.nc", stac.QUICKLOOK: "_L1B.png"}
_MEDIA_TYPES = {stac.L1B: "application/x-netcdf", stac.QUICKLOOK: "image/png"}
# Measured on a full IW GRDH: 1.2 s, and 3.4 s to fetch and check 1.74 GB from a server on the same machine.
_COST_S, _COST_S_PER_BYTE = 0.5, 2.3e-9


@dataclass(frozen=True)
class Workshop:
    """What all products of a batch have in common; travels to the workers.

    Attributes:
        source: The input bucket.
        target: The output bucket.
        prefix: The output prefix.
        processing: How to process.
        run_id: The Dagster run.
        institution: Who processes; empty for not saying so.
    """

    source: Bucket
    target: Bucket
    prefix: str
    processing: Processing
    run_id: str
    institution: str = ""


def work_of(job: SafeJob) -> Work:
    """Return a product as an item of a batch, with its estimated cost."""
    return Work(job.name, job, _COST_S + _COST_S_PER_BYTE * job.size_bytes)


def refused(safe: ClaimedSafe) -> Outcome:
    """Return the outcome of a product that was refused when it was claimed."""
    return Outcome(safe.partition, State.FAILED, {}, safe.problem)


def process_safe(shop: Workshop, job: SafeJob, stages: Stages) -> tuple[State, dict[str, Any]]:
    """Process one product unless it is done, publish what was made, and write its item last.

    Args:
        shop: What all products have in common.
        job: The product.
        stages: Told of `look_up`, `stage_in`, those of `process`, `quicklook`, `publish` and `catalogue`.

    Raises:
        PermanentError: The product cannot be processed as it is.
        TransientError: The store cannot answer.
    """
    product = ProductName.parse(job.name)
    with stages("look_up"):
        check_supported(product)
        item = read_item(shop, product)
        if item and stac.is_done(item, job, shop.processing, _wanted(shop.processing)) and _files_are_there(shop, item, product):
            return State.CARRIED_OVER, dict(stac.facts_from_item(item, naming.item_key(product, shop.prefix)))
    with TemporaryDirectory(prefix="groundtrack-") as folder:
        scratch = Path(folder)
        with stages("stage_in"):
            safe, manifest, md5 = _stage_in(shop.source, job, scratch)
            check_channels(manifest)
        out, picture = (scratch / f"{job.name}{suffix}" for suffix in _SUFFIXES.values())
        facts = process(safe, out, manifest, shop.processing, stages, signature(shop.institution))
        with stages("quicklook"):
            shown = _quicklook(out, picture, shop.processing)
        with stages("publish"):
            made = {stac.L1B: (out, facts.get("statistics", {})), stac.QUICKLOOK: (picture, shown)}
            assets = {name: _publish(shop, product, name, path, details) for name, (path, details) in made.items() if path.exists()}
        with stages("catalogue"):
            run = stac.Run(shop.source.name, md5, shop.prefix, shop.run_id, datetime.now(UTC), dict(stages.seconds))
            document = stac.document(stac.l1b_item(job, manifest, facts, assets, shop.processing, run, previous=item))
            key = naming.item_key(product, shop.prefix)
            shop.target.write(key, to_json(document), content_type="application/geo+json")
        image = {"picture": base64.b64encode(picture.read_bytes()).decode()} if picture.exists() else {}
        return State.DONE, dict(stac.facts_from_item(document, key)) | image


def find_done(shop: Workshop, jobs: Sequence[SafeJob]) -> list[Outcome]:
    """Return the outcomes of those products that are done already."""
    known = {naming.item_key(ProductName.parse(job.name), shop.prefix): job for job in jobs}
    there = shop.target.stat_many(known)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        items = dict(zip(there, pool.map(lambda key: read_item(shop, ProductName.parse(known[key].name)), there), strict=True))
    done = {key: item for key, item in items.items() if item and stac.is_done(item, known[key], shop.processing, _wanted(shop.processing))}
    facts = {key: stac.facts_from_item(item, key) for key, item in done.items()}
    published = shop.target.stat_many(made["key"] for fact in facts.values() for made in fact["products"].values())
    return [
        Outcome(known[key].name, State.CARRIED_OVER, dict(fact))
        for key, fact in facts.items()
        if all(is_there(made, published.get(made["key"])) for made in fact["products"].values())
    ]


def publish_catalogue(shop: Workshop, outcomes: Iterable[Outcome]) -> None:
    """Bring the catalogue up to date with the items of a batch, and link processings of the same data; can be done again."""
    collections: dict[str, tuple[ProductName, dict[str, Extent]]] = {}
    for outcome in outcomes:
        if outcome.state is State.FAILED:
            continue
        product = ProductName.parse(outcome.key)
        link_versions(shop.target, shop.prefix, product)
        _, folders = collections.setdefault(naming.collection_id(product), (product, {}))
        folder, facts = naming.item_folder(product), outcome.facts
        bbox, interval = facts["bbox"], (facts["start_datetime"], facts["end_datetime"])
        folders[folder] = folders.get(folder, Extent()) | Extent(tuple(bbox) if bbox else None, interval)
    for product, folders in collections.values():
        publish_folders(shop.target, shop.prefix, stac.l1b_collection(product), folders)


def read_item(shop: Workshop, product: ProductName) -> dict[str, Any] | None:
    """Return the item of a product, or None when there is none."""
    try:
        data, _ = shop.target.read(naming.item_key(product, shop.prefix), limit_bytes=_ITEM_BYTES)
    except MissingInput:
        return None
    item: dict[str, Any] = json.loads(data)
    return item


def _wanted(processing: Processing) -> frozenset[str]:
    """Return what must have been made: of what a user's function writes, there may be nothing to draw a quicklook from."""
    return frozenset(_SUFFIXES) if isinstance(processing, L1bOptions) else frozenset({stac.L1B})


def _files_are_there(shop: Workshop, item: dict[str, Any], product: ProductName) -> bool:
    facts = stac.facts_from_item(item, naming.item_key(product, shop.prefix))
    return all(is_there(made, shop.target.stat(made["key"])) for made in facts["products"].values())


def _stage_in(source: Bucket, job: SafeJob, scratch: Path) -> tuple[Path, Manifest, str]:
    """Fetch a product whole and check it; return its folder under ESA's names, its manifest, and the MD5 of manifest or zip."""
    if job.packaging == "zip":
        archive = scratch / job.root.rpartition("/")[2]
        md5 = source.download(job.objects[0], archive)
        folder = unpack(archive, scratch / "unpacked")
        archive.unlink()
        check_name(archive.name, folder, ProductName.parse(job.name))
        manifest = manifest_of(folder)
        safe = to_esa_names(folder, manifest, scratch)
        check_files(safe, manifest)
        return safe, manifest, md5
    safe = scratch / ProductName.parse(job.name).folder
    by_path = {job.path(ref): ref for ref in job.objects}
    safe.mkdir()
    md5 = source.download(by_path[MANIFEST], safe / MANIFEST)
    with (safe / MANIFEST).open("rb") as file:
        manifest = read_manifest(file.read(LIMIT_BYTES + 1), job.name)
    md5s = {}
    for path, place in find_files(manifest, {path: ref.size_bytes for path, ref in by_path.items()}).items():
        (safe / path).parent.mkdir(parents=True, exist_ok=True)
        md5s[path] = source.download(by_path[place], safe / path)
    check_files(safe, manifest, md5s)
    return safe, manifest, md5


def _quicklook(out: Path, picture: Path, processing: Processing) -> dict[str, Any]:
    """Draw the quicklook; a user's function need not write what it is drawn from."""
    try:
        return make_quicklook(out, picture)
    except Exception:
        if isinstance(processing, L1bOptions):
            raise
        return {}


def _publish(shop: Workshop, product: ProductName, name: str, path: Path, details: dict[str, Any]) -> PublishedAsset:
    key = naming.output_key(product, _SUFFIXES[name], shop.prefix)
    return publish(shop.target, path, key, _MEDIA_TYPES[name], details, product.name)
