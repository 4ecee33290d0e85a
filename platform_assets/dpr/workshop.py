"""What a request is processed with: the values that travel to the workers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_assets.common.store import Bucket
from platform_assets.dpr.auxiliary import Catalogue
from platform_assets.dpr.processors import Processor
from platform_assets.dpr.storage import BucketRule, Storage


@dataclass(frozen=True)
class RequestJob:
    """A processing request that was claimed.

    Attributes:
        id: Its partition key.
        document: The request in JSON types; secrets are references.
        table: The key of its task table in the input bucket.
        key: The key of its document in the input bucket; empty for one that was given in the UI.
        etag: That object's version.
    """

    id: str
    document: Mapping[str, Any]
    table: str
    key: str = ""
    etag: str = ""


@dataclass(frozen=True)
class Workshop:
    """What all requests of a batch have in common; travels to the workers.

    Attributes:
        source: The input bucket.
        target: The output bucket.
        prefix: The output prefix.
        open_bucket: Returns a bucket of that name on the same server: bucket rules may name any.
        catalogue: Where inputs and auxiliary files are found; brings auxiliary files from their stations.
        processor: What runs payloads.
        secrets: What references stand for; looked up on the worker, so that nothing secret travels.
        storage: Where products go; secrets are references.
        rules: Which bucket they go to.
        run_id: The Dagster run.
        run_url: Where people see the run; empty when that is not known.
    """

    source: Bucket
    target: Bucket
    prefix: str
    open_bucket: Callable[[str], Bucket]
    catalogue: Catalogue
    processor: Processor
    secrets: Mapping[str, str] = field(repr=False)
    storage: Storage
    rules: tuple[BucketRule, ...]
    run_id: str
    run_url: str = ""
