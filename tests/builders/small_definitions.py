"""A small code location for tests of the platform's processes."""

import os
import time
from pathlib import Path

import dagster as dg

SCANS = dg.DynamicPartitionsDefinition(name="scan")


@dg.asset(partitions_def=SCANS, group_name="tests", description="A scan.")
def scan(context: dg.AssetExecutionContext) -> None:
    context.log.info(f"scanned {context.partition_key}")


@dg.asset(group_name="tests", description="Says hello.")
def greeting() -> str:
    return "hello"


@dg.op
def wait_for_file(context: dg.OpExecutionContext) -> None:
    """Run until a file appears in GROUNDTRACK_HOME."""
    context.log.info("waiting")
    while not Path(os.environ["GROUNDTRACK_HOME"], "go").exists():
        time.sleep(0.1)


@dg.job
def waiting():
    wait_for_file()


@dg.sensor(job=waiting, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def heartbeat(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    Path(os.environ["GROUNDTRACK_HOME"], "ticked").write_text(os.environ.get("GROUNDTRACK_DASK_ADDRESS", ""))
    return dg.SkipReason("nothing to do")


defs = dg.Definitions(assets=[scan, greeting], jobs=[waiting], sensors=[heartbeat])
