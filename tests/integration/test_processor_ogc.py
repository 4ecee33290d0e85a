"""The client of OGC API - Processes against pygeoapi, a conforming service that runs beside the test."""

import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from distributed import Client

from platform_assets.common.errors import ConfigurationError, TransientError
from platform_assets.dpr.errors import MissingSecret
from platform_assets.dpr.payload import to_yaml
from platform_assets.dpr.processors import (
    Order,
    ProcessorCrashed,
    ProcessorFailed,
    ProcessorTimeout,
    ProcessorUnavailable,
    UnknownProcessor,
)
from resources.object_store import S3Bucket
from resources.processor_ogc import OgcProcessor
from tests.builders.dpr import task_table
from tests.builders.dpr_service import DprService, dpr_service, make_environment
from tests.builders.processors import EVERYTHING, LOOKUP, in_store, order
from tests.builders.servers import S3Server, free_port, wait_for
from tests.integration.conftest import new_bucket

CANARY = LOOKUP["CLOUD_SECRET"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, embedded_server: S3Server, package_index: None) -> Iterator[DprService]:
    folder = tmp_path_factory.mktemp("pygeoapi")
    python = make_environment(folder / "environment")
    with dpr_service(python, folder / "service", embedded_server.connection) as running:
        yield running


@pytest.fixture
def products(embedded_server: S3Server, request: pytest.FixtureRequest) -> S3Bucket:
    return new_bucket(embedded_server, request.node.nodeid)


def client(service: DprService, products: S3Bucket, **changes: object) -> OgcProcessor:
    given = {"poll_s": 0.1, "longest_poll_s": 0.2, "deadline_s": 30.0} | changes
    return OgcProcessor(service.url, products.connection, **given)


def wanted(scratch: Path, products: S3Bucket, lines: list[str] | None = None, **parameters: object) -> Order:
    table = task_table()
    table["pipelines"][0]["steps"][0]["parameters"] = parameters
    made = order(
        scratch,
        table=table,
        stores=in_store(),
        bucket=products.name,
        generated_product_to_collection_identifier=EVERYTHING,
        dask_cluster_label="dask-l0",
        lines=lines,
    )
    products.write("records/wave/payload.yaml", to_yaml(made.stored).encode(), content_type="application/yaml")
    return made


def keys(bucket: S3Bucket, ending: str) -> list[str]:
    return [ref.key for ref in bucket.list(ending=(ending,))]


def jobs(service: DprService) -> dict[str, str]:
    found = requests.get(f"{service.url}/jobs", params={"f": "json"}, timeout=10).json()["jobs"]
    return {job["jobID"]: job["status"] for job in found}


def test_a_job_reads_the_payload_from_s3_and_its_products_are_there_when_it_has_ended(service, products, tmp_path):
    lines: list[str] = []
    processed = client(service, products).run(wanted(tmp_path, products, lines, log="one\ntwo"))
    assert len(keys(products, "/.zattrs")) == 3
    assert processed.facts["job"] in jobs(service)
    assert lines[-2:] == ["one", "two"]
    assert processed.log.splitlines() == lines


def test_the_service_is_told_where_the_payload_lies_and_no_secret(service, products, tmp_path):
    given = client(service, products, inputs={"jupyter_token": "${HUB}"}, secrets={"HUB": "hub-5e1c"})
    given.run(wanted(tmp_path, products))
    seen = json.loads(service.seen.read_text())
    folder = f"s3://{products.name}/records/wave"
    assert (seen["s3_config_dir"], seen["payload_subpath"], seen["s3_report_dir"]) == (folder, "payload.yaml", folder)
    assert (seen["cluster_label"], seen["jupyter_token"]) == ("dask-l0", "hub-5e1c")
    assert "canary" not in service.seen.read_text()


def test_the_payload_is_in_the_request_itself_if_that_is_wanted(service, products, tmp_path):
    client(service, products, send="inline").run(wanted(tmp_path, products))
    seen = json.loads(service.seen.read_text())
    assert seen["payload"]["workflow"][0]["name"] == "Calib.1"
    assert "${CLOUD_SECRET}" in service.seen.read_text()
    assert "canary" not in service.seen.read_text()


def test_the_reason_of_a_failed_job_is_told_without_secrets(service, products, tmp_path):
    lines: list[str] = []
    with pytest.raises(ProcessorFailed, match="the strip is too short") as raised:
        client(service, products).run(wanted(tmp_path, products, lines, do="fail", tell=CANARY))
    assert CANARY not in str(raised.value)
    assert not any(CANARY in line for line in lines)
    assert not keys(products, "ogc-job.json")


def test_a_job_that_is_not_done_at_its_deadline_is_dismissed(service, products, tmp_path):
    with pytest.raises(ProcessorTimeout):
        client(service, products, deadline_s=1.0).run(wanted(tmp_path, products, seconds=5))
    assert "running" not in jobs(service).values()
    assert "accepted" not in jobs(service).values()


def test_a_job_that_is_dismissed_by_others_is_tried_again(service, products, tmp_path):
    def dismiss() -> None:
        wait_for(lambda: bool(keys(products, "ogc-job.json")), "the job")
        note = json.loads(products.read("records/wave/payload.yaml.ogc-job.json", limit_bytes=1 << 16)[0])
        requests.delete(f"{service.url}/jobs/{note['job']}", timeout=10)

    other = threading.Thread(target=dismiss)
    other.start()
    with pytest.raises(ProcessorCrashed, match="does not know job"):
        client(service, products).run(wanted(tmp_path, products, seconds=5))
    other.join()


def test_a_process_that_there_is_not_is_an_error_that_lists_those_there_are(service, products, tmp_path):
    with pytest.raises(UnknownProcessor, match="processes: wave"):
        client(service, products, process="wove").run(wanted(tmp_path, products))


def test_the_job_of_a_worker_that_was_killed_is_dismissed_by_the_next(service, products, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=run_one, args=(service.url, products, tmp_path))
    process.start()
    wait_for(lambda: bool(keys(products, "ogc-job.json")), "the job")
    left = json.loads(products.read("records/wave/payload.yaml.ogc-job.json", limit_bytes=1 << 16)[0])["job"]
    process.kill()
    process.join()
    assert left in jobs(service)
    lines: list[str] = []
    client(service, products).run(wanted(tmp_path, products, lines))
    assert f"job {left} is dismissed" in lines
    assert left not in jobs(service)


def test_payloads_in_one_folder_have_jobs_of_their_own(service, products, tmp_path):
    first = replace(wanted(tmp_path, products, seconds=5), stored_url=f"s3://{products.name}/records/wave/first.yaml")
    products.write("records/wave/first.yaml", to_yaml(first.stored).encode(), content_type="application/yaml")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client(service, products).run, first)
        wait_for(lambda: bool(keys(products, "ogc-job.json")), "the job")
        client(service, products).run(wanted(tmp_path, products))
        assert running.result().facts["job"] in jobs(service)


def run_one(url: str, products: S3Bucket, scratch: Path) -> None:
    OgcProcessor(url, products.connection, poll_s=0.1).run(wanted(scratch, products, seconds=60))


def test_a_job_is_dismissed_when_its_dask_task_is_canceled(service, products, tmp_path, dask_address):
    with Client(dask_address, set_as_default=False) as dask:
        future = dask.submit(run_one, service.url, products, tmp_path, pure=False)
        wait_for(lambda: bool(keys(products, "ogc-job.json")), "the job")
        left = json.loads(products.read("records/wave/payload.yaml.ogc-job.json", limit_bytes=1 << 16)[0])["job"]
        dask.cancel([future], force=True)
        wait_for(lambda: left not in jobs(service), "dismissal of the job", timeout_s=20)
        wait_for(lambda: not keys(products, "ogc-job.json"), "end of the task", timeout_s=20)


def test_a_service_that_does_not_answer_is_tried_again(products, tmp_path):
    with pytest.raises(ProcessorUnavailable, match="does not answer"):
        OgcProcessor(f"http://127.0.0.1:{free_port()}", products.connection).run(wanted(tmp_path, products))


def test_an_address_with_credentials_in_it_is_refused(products):
    with pytest.raises(ConfigurationError, match="has credentials in it") as raised:
        OgcProcessor("https://ana:geheim@example.org", products.connection)
    assert "geheim" not in str(raised.value)


def test_a_secret_that_is_not_defined_is_named(service, products, tmp_path):
    with pytest.raises(MissingSecret, match="DPR_TOKEN"):
        client(service, products, authorization="Bearer ${DPR_TOKEN}").run(wanted(tmp_path, products))


class Answers(BaseHTTPRequestHandler):
    """A service that has what pygeoapi has not: credentials, overload, and logs as a stream of events."""

    looks = 0

    def do_POST(self) -> None:
        if self.headers["Authorization"] != "Bearer token-1b9d":
            self.tell(401, {"title": "no"})
            return
        self.tell(201, {"jobID": "7", "status": "accepted"})

    def do_GET(self) -> None:
        Answers.looks += 1
        if self.path.endswith("/logs"):
            self.tell(200, "event: log\ndata: first token-1b9d\n\ndata:second\n\n: comment\n", "text/event-stream")
        elif Answers.looks < 4:
            self.tell(503 if Answers.looks % 2 else 429, {})
        else:
            self.tell(200, {"jobID": "7", "status": "successful", "message": "all", "progress": 100})

    def do_DELETE(self) -> None:
        self.tell(200, {})

    def tell(self, status: int, document: object, kind: str = "application/json") -> None:
        data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other(products: S3Bucket) -> Iterator[OgcProcessor]:
    Answers.looks = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield OgcProcessor(url, products.connection, {"TOKEN": "token-1b9d"}, authorization="Bearer ${TOKEN}", poll_s=0.05)
        server.shutdown()


def test_overload_is_waited_out_and_logs_are_taken_from_the_stream(other, products, tmp_path):
    processed = other.run(wanted(tmp_path, products))
    assert processed.log.splitlines()[-2:] == ["first **********", "second"]


def test_a_service_that_is_silent_for_too_long_is_given_up(other, products, tmp_path):
    Answers.looks = -1_000_000
    began = time.monotonic()
    with pytest.raises(ProcessorUnavailable, match="has not told of job 7"):
        replace(other, silence_s=0.5).run(wanted(tmp_path, products))
    assert time.monotonic() - began < 10


def test_credentials_that_are_refused_are_an_error_that_does_not_show_them(other, products, tmp_path):
    with pytest.raises(ConfigurationError, match="refuses the credentials") as raised:
        replace(other, secrets={"TOKEN": "wrong-77aa"}).run(wanted(tmp_path, products))
    assert not isinstance(raised.value, TransientError)
    assert "wrong-77aa" not in str(raised.value) + repr(other)
