"""Orders for processors, on buckets in memory or real ones."""

from collections.abc import Sequence
from pathlib import Path

from platform_assets.dpr.model import read_request
from platform_assets.dpr.payload import BEFORE, CPM3, Destination, build_payload
from platform_assets.dpr.processors import Order, reveal
from platform_assets.dpr.secrets import stored
from platform_assets.dpr.storage import BucketRule, read_storage
from platform_assets.dpr.tasktable import read_task_table
from platform_assets.dpr.units import build_units
from tests.builders.bucket import MemoryBucket
from tests.builders.dpr import Document, as_json, request, storage, task_table

LOOKUP = {"CLOUD_KEY": "canary-key-7f3a", "CLOUD_SECRET": "canary/secret+7f3a"}


class MemoryBuckets:
    """Buckets in memory, each made when it is first asked for."""

    def __init__(self) -> None:
        self.made: dict[str, MemoryBucket] = {}

    def bucket(self, name: str) -> MemoryBucket:
        return self.made.setdefault(name, MemoryBucket(name))

    def keys(self, name: str) -> list[str]:
        return [ref.key for ref in self.bucket(name).list()]

    def put(self, path: str, data: bytes) -> None:
        bucket, _, key = path.removeprefix("s3://").partition("/")
        self.bucket(bucket).write(key, data, content_type="application/octet-stream")


EVERYTHING = [{"name": name, "product_type": name.upper(), "collection_name": f"{name}s".lower()} for name in ("cal", "DEM", "geo")]
"""Collections for all that the wave processor makes."""


def in_store(**client: str) -> Document:
    """A storage configuration in which all is in the object store."""
    sections = [{"section": section, "storage": "cloud"} for section in ("input_products", "output_products")]
    origins = [{"section": section, "storage": "cloud"} for section in ("pipeline_input", "pipeline_output", "other")]
    options = {"key": "${CLOUD_KEY}", "secret": "${CLOUD_SECRET}", **client}
    return {
        "product": {"default": {"adfs": {"storage": "cloud"}, "unit": sections, "pipeline": origins}},
        "storage_configuration": [{"name": "cloud", "kind": "obs", "storage_options": options}],
    }


def order(
    scratch: Path,
    *,
    table: Document | None = None,
    stores: Document | None = None,
    inputs: dict[str, Sequence[str]] | None = None,
    adfs: dict[str, Sequence[str]] | None = None,
    lookup: dict[str, str] | None = None,
    request_id: str = "wave.0123abcd",
    attempt: int = 1,
    bucket: str = "products",
    lines: list[str] | None = None,
    **asked: object,
) -> Order:
    """What a processor is given for the wave processor's pipeline."""
    wanted = read_request(as_json(request(**asked)), "request.json")
    read = read_task_table(as_json(table or task_table()), "wave.json")
    units = build_units(
        read, pipeline=wanted.pipeline, unit=wanted.unit, modes=wanted.processing_mode, variables=wanted.external_variables
    ).units
    destination = Destination(
        read_storage(as_json(stores or storage()), "storage.json"),
        [BucketRule("*", "*", "*", "90", bucket)],
        lambda name: f"id-{name}",
        str(scratch.name),
    )
    payload = build_payload(
        wanted,
        read,
        units,
        inputs or {"slc": ["s3://archive/slcs/A.SAFE"]},
        adfs if adfs is not None else {"ORB": ["s3://archive/aux/ORB.EOF"]},
        destination,
        BEFORE if read.is_first_generation else CPM3,
    )
    revealed, used = reveal(payload.document, LOOKUP if lookup is None else lookup)
    told = (lambda _: None) if lines is None else lines.append
    return Order(
        request_id,
        wanted,
        revealed,
        stored(payload.document),
        payload.outputs,
        scratch,
        told,
        attempt,
        f"s3://{bucket}/records/wave/payload.yaml",
        used,
    )
