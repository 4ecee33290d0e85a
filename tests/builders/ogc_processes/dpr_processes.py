"""Processes of a small DPR service, for pygeoapi: run in its own environment, so that they import nothing of ours.

`wave` does as the payload's first step says: writes a product of each output to S3, with the credentials of the service.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import yaml
from pygeoapi.process.base import BaseProcessor, ProcessorExecuteError

METADATA = {
    "version": "1.0.0",
    "id": "wave",
    "title": {"en": "Wave"},
    "description": {"en": "Calibrates, renders and maps"},
    "jobControlOptions": ["async-execute"],
    "keywords": [],
    "links": [],
    "inputs": {},
    "outputs": {},
}


class Wave(BaseProcessor):
    """The processor `wave`."""

    def __init__(self, definition: Any) -> None:
        super().__init__(definition, METADATA)

    def execute(self, data: dict[str, Any]) -> Any:
        """Run a payload."""
        Path(os.environ["WAVE_SEEN"]).write_text(json.dumps(data))
        payload = data.get("payload") or yaml.safe_load(_get(f"{data['s3_config_dir']}/{data['payload_subpath']}"))
        told = payload["workflow"][0].get("parameters", {})
        time.sleep(float(told.get("seconds", 0)))
        if told.get("do") == "fail":
            raise ProcessorExecuteError(f"the strip is too short; I know {told['tell']}")
        for product in payload["io"]["output_products"]:
            _put(f"{product['path']}/.zattrs", json.dumps({"stac_discovery": {"properties": {}}}).encode())
        if told.get("log"):
            stem = data["payload_subpath"].removesuffix(".yaml")
            _put(f"{data['s3_report_dir']}/reports/{stem}.processor.log", told["log"].encode())
        return "application/json", {"products": len(payload["io"]["output_products"])}


def _client() -> Any:
    return boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name="us-east-1")


def _get(path: str) -> bytes:
    bucket, _, key = path.removeprefix("s3://").partition("/")
    body: bytes = _client().get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def _put(path: str, data: bytes) -> None:
    bucket, _, key = path.removeprefix("s3://").partition("/")
    _client().put_object(Bucket=bucket, Key=key, Body=data)
