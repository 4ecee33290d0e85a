"""The jobs of the dpr domain: a batch of requests that the sensor took, and a request that is typed into the launchpad."""

import hashlib
import json
from typing import Any

import dagster as dg
import yaml
from pydantic import Field

from platform_assets.common.errors import MissingInput
from platform_assets.dpr import naming
from platform_assets.dpr.batch import Order, run_batch
from platform_assets.dpr.claim import RequestRecords
from platform_assets.dpr.intake import task_tables
from platform_assets.dpr.model import read_request
from platform_assets.dpr.report import settle
from platform_assets.dpr.specs import STEP_KEYS
from platform_assets.execution.claimed import carry_out
from resources.dask_cluster import DaskCluster
from resources.dpr_archive import DprArchive


class RequestBatchConfig(dg.Config):
    """Which batch."""

    batch: str = Field(description="Id of the batch that the sensor claimed.")


@dg.op
def process_request_batch(context: dg.OpExecutionContext, config: RequestBatchConfig, dpr_archive: DprArchive, dask: DaskCluster) -> None:
    """Process the requests of one batch, record how every one ended, and write the batch's report."""
    records = RequestRecords(dpr_archive.target, dpr_archive.output_prefix)
    batch = records.claim(config.batch)
    if batch is None:
        raise MissingInput(f"nobody claimed a batch {config.batch}", remedy="Take the id from a run that the sensor requested.")
    keys = [claim.partition for claim in batch.requests]
    carry_out(
        context,
        records,
        batch.id,
        keys,
        work=lambda heartbeat: run_batch(
            context, dpr_archive, dask, Order(batch.requests, STEP_KEYS, by_partition=False, heartbeat=heartbeat)
        ),
        settle=lambda: settle(records, batch),
    )


@dg.job(
    description="Processes a batch of requests; requested by the sensor.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_retries": "0"},  # the sensor starts an interrupted batch again, and only one of the two may
)
def request_batch() -> None:
    """One batch of requests."""
    process_request_batch()


class RequestConfig(dg.Config):
    """A processing request."""

    name: str = Field(default="launchpad", description="What its partition is called; a digest of its content is added.")
    request: dict[str, Any] = Field(description="The request, with the field names of the Copernicus Reference System.")


@dg.op
def submit(context: dg.OpExecutionContext, config: RequestConfig, dpr_archive: DprArchive) -> None:
    """Check a request and put it among those that are waiting; the sensor takes it within seconds."""
    naming.check_name(config.name, "the request")
    request = read_request(json.dumps(config.request).encode(), "the request")
    task_tables(dpr_archive.source, dpr_archive.dpr_prefix).choose(request)
    document = yaml.safe_dump(request.model_dump(mode="json", exclude_none=True), sort_keys=False).encode()
    # A folder of its own: another request of that name may not have been taken yet, and may be materialized again.
    key = f"{dpr_archive.request_prefix}launchpad/{hashlib.sha256(document).hexdigest()[:16]}/{config.name}.yaml"
    etag = dpr_archive.source.write(key, document, content_type="application/yaml")
    partition = naming.request_id(key, etag)
    context.log.info(f"the request is s3://{dpr_archive.input_bucket}/{key}; its partition will be {partition}")
    context.add_output_metadata({"partition": partition, "uri": f"s3://{dpr_archive.input_bucket}/{key}"})


@dg.job(
    description="Submits one processing request: give it as run configuration. The sensor takes it as if it had been uploaded.",
    executor_def=dg.in_process_executor,
)
def dpr_request() -> None:
    """One processing request."""
    submit()
