"""A small processing centre for tests: two buckets, a Dagster instance, the sensor and the runs, without daemon."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterInstance

from platform_assets.common.keys import partition_key
from platform_assets.definitions import build_definitions, image_archive
from platform_assets.imagery.claim import Records
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
    """

    server: S3Server
    settings: Settings
    instance: DagsterInstance
    dask: str
    cursor: str | None = None
    requested: list[dg.RunRequest] = field(default_factory=list)

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

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        for key, content in files.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            self.source.write(key, data, content_type="application/octet-stream")

    def drop(self, key: str, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self.put({key: text.getvalue().encode()})

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        """Evaluate the sensor once and remember what it requested and where it was."""
        [sensor] = self.definitions.sensors or []
        assert isinstance(sensor, dg.SensorDefinition)
        resources = {"archive": image_archive(self.settings)}
        with dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions, resources=resources) as context:
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        self.requested += data.run_requests or []
        if data.run_requests:
            return dg.SensorResult(run_requests=data.run_requests, cursor=data.cursor)
        return dg.SkipReason(data.skip_message or "")

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute a requested run in this process."""
        job = self.definitions.resolve_job_def("image_batch")
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

