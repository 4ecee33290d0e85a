"""A small processing centre for tests: two buckets, a Dagster instance, the sensor and the runs, without daemon."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterInstance

from platform_assets.common.keys import partition_key
from platform_assets.definitions import build_definitions, dpr_archive, image_archive, safe_archive
from platform_assets.imagery import naming
from platform_assets.imagery.claim import Records
from platform_assets.imagery.intake import Intake
from platform_assets.imagery.partitions import images
from resources.dask_cluster import DaskCluster
from resources.object_store import S3Bucket
from resources.settings import Settings
from tests.builders.servers import S3Server


@dataclass
class Centre:
    """One deployment.

    Attributes:
        server: Its S3 server.
        settings: Its settings.
        instance: Its Dagster instance.
        dask: Address of its Dask scheduler.
        sensor: The sensor that `tick` evaluates.
    """

    server: S3Server
    settings: Settings
    instance: DagsterInstance
    dask: str
    sensor: str = "image_manifests"
    cursor: str | None = None
    dropped_at: str = ""
    requested: list[dg.RunRequest] = field(default_factory=list)
    run_keys: set[str | None] = field(default_factory=set)

    @property
    def job(self) -> str:
        return {"sentinel_1_safes": "l1b_batch", "processing_requests": "request_batch", "cadip_stations": "session_fetch"}.get(
            self.sensor, "image_batch"
        )

    @property
    def source(self) -> S3Bucket:
        return self.server.connection.bucket(self.settings.input_bucket)

    @property
    def target(self) -> S3Bucket:
        return self.server.connection.bucket(self.settings.output_bucket)

    @property
    def records(self) -> Records:
        return Records(self.target, self.settings.output_prefix)

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.settings, {"dask": DaskCluster(kind="address", address=self.dask)})

    def with_settings(self, **changes: Any) -> "Centre":
        """Return the centre with other settings."""
        return replace(self, settings=self.settings.model_copy(update=changes))

    def intake(self) -> Intake:
        archive = image_archive(self.settings)
        names = ("input_prefix", "manifest_pattern", "manifest_grace_s", "manifest_bytes", "batch_rows")
        return Intake(self.source, self.records, *(getattr(archive, name) for name in names))

    def lose(self, request: dg.RunRequest) -> None:
        """Leave a requested run in the state that a killed run worker ends in."""
        self.requested.remove(request)
        job = self.definitions.resolve_job_def(self.job)
        run = self.instance.create_run_for_job(job, run_config=request.run_config, tags=request.tags)
        self.instance.report_run_failed(run)

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        for key, content in files.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            self.source.write(key, data, content_type="application/octet-stream")

    def drop(self, key: str, rows: Sequence[Sequence[object]]) -> None:
        """Drop a manifest, in a second of its own: the same content dropped twice within a second is one drop."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        while True:
            self.put({key: text.getvalue().encode()})
            dropped = self.source.stat(key)
            if dropped and dropped.modified != self.dropped_at:
                self.dropped_at = dropped.modified
                return
            time.sleep(0.1)

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        """Evaluate the sensor once and remember what it requested and where it was; like the daemon, take each run key once."""
        sensor = self.definitions.resolve_sensor_def(self.sensor)
        resources = {
            "archive": image_archive(self.settings),
            "safe_archive": safe_archive(self.settings),
            "dpr_archive": dpr_archive(self.settings),
        }
        with dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions, resources=resources) as context:
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        new = [request for request in data.run_requests or [] if request.run_key not in self.run_keys]
        self.run_keys |= {request.run_key for request in new}
        self.requested += new
        return dg.SensorResult(run_requests=new) if new else dg.SkipReason(data.skip_message or "")

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute a requested run in this process."""
        job = self.definitions.resolve_job_def(self.job)
        return job.execute_in_process(run_config=request.run_config, tags=request.tags, instance=self.instance, raise_on_error=False)

    def run_requested(self) -> list[dg.ExecuteInProcessResult]:
        """Execute what was requested since the last time."""
        requests, self.requested = self.requested, []
        return [self.run(request) for request in requests]

    def convert(self, key: str, rows: Sequence[Sequence[object]]) -> "Report":
        """Drop a manifest and bring it to its end."""
        self.drop(key, rows)
        self.tick()
        self.run_requested()
        return self.report(key)

    def report(self, key: str) -> "Report":
        """Return the newest report of a manifest."""
        stem = key.removesuffix("raw.csv")
        [*_, newest] = sorted(ref.key for ref in self.source.list(f"{stem}report-") if ref.key.endswith(".json"))
        return Report(json.loads(self.source.read(newest, limit_bytes=1 << 30)[0]))

    def input_keys(self, prefix: str = "") -> list[str]:
        return [ref.key for ref in self.source.list(prefix)]

    def item(self, key: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.target.read(naming.item_key(key), limit_bytes=1 << 20)[0])
        return document

    def statuses(self, asset: str, keys: Sequence[str]) -> dict[str, str]:
        found = self.instance.get_status_by_partition(dg.AssetKey(asset), [partition_key(key) for key in keys], images) or {}
        return {key: status.value if (status := found.get(partition_key(key))) else "MISSING" for key in keys}

    def materialize(self, assets: Sequence[str], partitions: Sequence[str], **config: Any) -> dg.ExecuteInProcessResult:
        """Materialize assets over a range of image partitions, as the web UI's backfill does."""
        tags = {"dagster/asset_partition_range_start": partitions[0], "dagster/asset_partition_range_end": partitions[-1]}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            tags=tags,
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": {"imagery": {"config": config}}} if config else {},
        )


class Report:
    """A JSON report, by key of the image."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.rows: list[dict[str, Any]] = document["rows"]

    @property
    def states(self) -> dict[str, str]:
        return {row["key"]: row["state"] for row in self.rows}

    @property
    def classes(self) -> dict[str, str]:
        return {row["key"]: row["failure"]["error_class"] for row in self.rows if "failure" in row}

    def failure(self, key: str) -> dict[str, Any]:
        return next(row["failure"] for row in self.rows if row["key"] == key)
