"""One raw image, from the bucket to its catalogue item: what a worker does.

The order is the promise: products first, each whole or not at all, and the item last. A crash anywhere leaves an old item
with old products, or new products that no item names yet; both are put right by doing it again.
"""

import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_assets.catalog.static import Extent, publish_folders
from platform_assets.common.errors import Conflict, MissingInput
from platform_assets.common.keys import object_key, partition_key, shown
from platform_assets.common.published import SOURCE_METADATA, PublishedAsset, is_there, publish
from platform_assets.common.stac import to_json
from platform_assets.common.stages import Stages
from platform_assets.common.store import Bucket
from platform_assets.common.values import Outcome, State, Work
from platform_assets.imagery import naming, stac
from platform_assets.imagery.model import Conversion, ImageJob, Limits, Made, Product
from platform_assets.imagery.preview import small_jpeg
from platform_assets.imagery.products import Result, make_products

_ITEM_BYTES = 16 << 20
_PARALLEL = 16
_NAME_BYTES = 200  # file systems end at 255, and products have longer suffixes
# Measured on 2k to 10k photographs: 0.05 s an image and 1.7 s for 100 MB, of one core.
_COST_S, _COST_S_PER_BYTE = 0.05, 1.7e-8


@dataclass(frozen=True)
class Workshop:
    """What all images of a batch have in common; travels to the workers.

    Attributes:
        source: The input bucket.
        target: The output bucket.
        prefix: The output prefix.
        conversion: How to convert.
        limits: What images may announce.
        wanted: The products that are asked for.
        run_id: The Dagster run.
    """

    source: Bucket
    target: Bucket
    prefix: str
    conversion: Conversion
    limits: Limits
    wanted: frozenset[Product]
    run_id: str


def work_of(job: ImageJob) -> Work:
    """Return an image as an item of a batch, with its estimated cost."""
    return Work(partition_key(job.source.key), job, _COST_S + _COST_S_PER_BYTE * job.source.size_bytes)


def convert_image(shop: Workshop, job: ImageJob, stages: Stages) -> tuple[State, dict[str, Any]]:
    """Convert one image unless it is done, publish its products, and write its item last.

    Args:
        shop: What all images have in common.
        job: The image.
        stages: Told of `look_up`, `stage_in`, those of `make_products`, `publish` and `catalogue`.

    Raises:
        PermanentError: The image cannot be converted as it is.
        TransientError: The store cannot answer.
    """
    with stages("look_up"):
        item = read_item(shop, job.source.key)
        if item and stac.is_done(item, job, shop.conversion, shop.wanted) and _products_are_there(shop.target, item, shop.prefix):
            return State.CARRIED_OVER, dict(stac.facts_from_item(item, naming.item_key(job.source.key, shop.prefix)))
    with TemporaryDirectory(prefix="groundtrack-") as scratch:
        with stages("stage_in"):
            source, md5 = _stage_in(shop.source, job, Path(scratch))
        made = make_products(source, Path(scratch), job, shop.wanted, shop.conversion, shop.limits, stages)
        with stages("publish"):
            _check_owner(shop, job, made.made)
            assets = {one.product: _publish(shop, job, one) for one in made.made}
        with stages("catalogue"):
            facts = _write_item(shop, job, made, assets, md5, item, stages)
        return State.DONE, facts | _preview(made.made)


def find_done(shop: Workshop, jobs: Sequence[ImageJob]) -> list[Outcome]:
    """Return the outcomes of those images that are done already: one listing for many, then one read each."""
    by_item = {naming.item_key(job.source.key, shop.prefix): job for job in jobs}
    there = shop.target.stat_many(by_item)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        items = dict(zip(there, pool.map(lambda key: read_item(shop, by_item[key].source.key), there), strict=True))
    done = {key: item for key, item in items.items() if item and stac.is_done(item, by_item[key], shop.conversion, shop.wanted)}
    facts = {key: stac.facts_from_item(item, key) for key, item in done.items()}
    published = shop.target.stat_many(product["key"] for fact in facts.values() for product in fact["products"].values())
    return [
        Outcome(partition_key(by_item[key].source.key), State.CARRIED_OVER, dict(fact))
        for key, fact in facts.items()
        if all(is_there(product, published.get(product["key"])) for product in fact["products"].values())
    ]


def publish_catalogue(shop: Workshop, outcomes: Sequence[Outcome]) -> None:
    """Bring the catalogue up to date with the items of a batch; doing it again changes nothing."""
    folders: dict[str, Extent] = {}
    for outcome in outcomes:
        if outcome.state is not State.FAILED:
            folder = naming.folder(naming.raw_key(outcome.facts["item_key"], shop.prefix))
            bbox, moment = outcome.facts["bbox"], outcome.facts["datetime"]
            folders[folder] = folders.get(folder, Extent()) | Extent(tuple(bbox) if bbox else None, (moment, moment))
    if folders:
        publish_folders(shop.target, shop.prefix, stac.COLLECTION, folders)


def read_item(shop: Workshop, raw_key: str) -> dict[str, Any] | None:
    """Return the item of an image, or None when there is none."""
    try:
        data, _ = shop.target.read(naming.item_key(raw_key, shop.prefix), limit_bytes=_ITEM_BYTES)
    except MissingInput:
        return None
    item: dict[str, Any] = json.loads(data)
    return item


def _products_are_there(target: Bucket, item: dict[str, Any], prefix: str) -> bool:
    facts = stac.facts_from_item(item, naming.item_key(item["properties"]["groundtrack:source_key"], prefix))
    return all(is_there(product, target.stat(product["key"])) for product in facts["products"].values())


def _stage_in(source: Bucket, job: ImageJob, scratch: Path) -> tuple[Path, str]:
    """Download an image and its sidecars under one stem, as GDAL looks for them."""
    stem = job.source.key.rpartition(".")[0]
    name = stem.rpartition("/")[2]
    local = scratch / (name if len(name.encode()) <= _NAME_BYTES else "image")
    for sidecar in job.sidecars:
        source.download(sidecar, Path(f"{local}{sidecar.key.removeprefix(stem)}"))
    path = Path(f"{local}{job.source.key.removeprefix(stem)}")
    return path, source.download(job.source, path)


def _check_owner(shop: Workshop, job: ImageJob, made: Sequence[Made]) -> None:
    """Refuse to overwrite what belongs to another image: of all products only JPEGs leave a part of the image's name out.

    Raises:
        Conflict: `a.tif` and `a.tiff` have the same JPEG.
    """
    if not any(one.product is Product.JPEG for one in made):
        return
    key = naming.product_key(job.source.key, Product.JPEG, shop.prefix)
    owner = (shop.target.metadata(key) or {}).get(SOURCE_METADATA)
    if owner not in (None, partition_key(job.source.key)):
        other = shown(object_key(owner)) if owner else ""
        raise Conflict(f"{shown(key)} is a product of another image, {other}: both have the same name", code="key_collision")


def _publish(shop: Workshop, job: ImageJob, made: Made) -> PublishedAsset:
    key = naming.product_key(job.source.key, made.product, shop.prefix)
    return publish(shop.target, Path(made.path), key, made.media_type, made.details, partition_key(job.source.key))


def _write_item(
    shop: Workshop,
    job: ImageJob,
    made: Result,
    assets: dict[Product, PublishedAsset],
    md5: str,
    previous: dict[str, Any] | None,
    stages: Stages,
) -> dict[str, Any]:
    item = stac.image_item(
        job,
        made.facts,
        made.statistics,
        assets,
        shop.conversion,
        source_bucket=shop.source.name,
        source_md5=md5,
        prefix=shop.prefix,
        run_id=shop.run_id,
        created=datetime.now(UTC),
        seconds=stages.seconds,
        gcps=made.gcps,
        previous=previous,
    )
    document = stac.document(item)
    key = naming.item_key(job.source.key, shop.prefix)
    shop.target.write(key, to_json(document), content_type="application/geo+json")
    return dict(stac.facts_from_item(document, key))


def _preview(made: Sequence[Made]) -> dict[str, Any]:
    """Return a small thumbnail in base64, for the web UI and the report."""
    for one in made:
        if one.product is Product.THUMBNAIL:
            return {"thumbnail": base64.b64encode(small_jpeg(Path(one.path).read_bytes())).decode()}
    return {}
