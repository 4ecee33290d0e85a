"""One trace a Dagster run, with a root span a task, at a receiver of OTLP that takes only what the protocol allows."""

from pathlib import Path
from uuid import UUID

import dagster as dg
import pytest
from dagster import DagsterInstance

from platform_assets.workflows.assets import workflow_assets
from platform_assets.workflows.manifest import read_manifest
from resources.dask_cluster import DaskCluster
from resources.workflow_shop import WorkflowShop
from tests.builders.commands import run as command
from tests.builders.otlp import otlp_receiver
from tests.builders.wheels import instrument


def test_t10_a_dagster_run_is_one_trace_with_a_root_span_for_every_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel = instrument(tmp_path / "dist", "1.0.0")
    done = command(tmp_path, "groundtrack", "workflows", "export", str(wheel), "--no-index", "--find-links", str(wheel.parent))
    assert done.code == 0, done.text
    folder = tmp_path / ".groundtrack/workflows"
    assets = workflow_assets(read_manifest(folder / "manifests/raw_to_l1_camera_1.0.0.json"))
    resources = {
        "workflow_shop": WorkflowShop(folder=str(folder), find_links=[str(wheel.parent)], no_index=True),
        "dask": DaskCluster(kind="local"),
    }
    with DagsterInstance.local_temp(str(tmp_path)) as instance, otlp_receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        instance.add_dynamic_partitions("raw_to_l1_camera_recipe_runs", ["7"])
        run = dg.materialize(assets, partition_key="7", instance=instance, resources=resources)
    assert run.success
    assert received.refused == []
    assert {span["traceId"] for span in received.spans} == {UUID(run.run_id).hex}
    roots = [span["name"] for span in received.spans if "dkist.root" in span["attributes"]]
    assert sorted(roots) == [f"raw_to_l1_camera.{task}" for task in ("Combine", "Dark", "Flat", "Flat", "Parse")]
    assert len({span["parentSpanId"] for span in received.spans if "dkist.root" in span["attributes"]}) == 1
