"""A canary in every credential of on-demand processing: afterwards it is found nowhere, whatever went wrong with it."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from platform_assets.dpr import naming
from platform_assets.dpr.sample import AUX_COLLECTION, PROCESSOR, make_request, make_task_table
from tests.builders.platform import processes_of
from tests.builders.site import Site
from tests.e2e.test_dpr import SESSION, prepare, put, wait_until_ended

CANARIES = {
    name: f"canary/{number}+{name.lower()}~7f3a"
    for number, name in enumerate(("CLOUD_KEY", "CLOUD_SECRET", "STATION_TOKEN", "STATION_PASSWORD", "DPR_TOKEN", "EDH_KEY"))
}


@contextmanager
def echo() -> Iterator[str]:
    """A server that refuses everything and says what it was sent: the worst that a station or service can do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"detail": f"refused: {self.path} with {dict(self.headers)}"}).encode()
            self.send_response(403, f"refused {self.headers.get('Authorization')}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def storage(site: Site) -> dict[str, Any]:
    options = {
        "key": "${CLOUD_KEY}",
        "secret": "${CLOUD_SECRET}",
        "endpoint_url": site.up.state.environment["GROUNDTRACK_S3_ENDPOINT_URL"],
    }
    unit, pipeline = ("input_products", "output_products"), ("pipeline_input", "pipeline_output", "other")
    defaults = {kind: [{"section": name, "storage": "cloud"} for name in names] for kind, names in (("unit", unit), ("pipeline", pipeline))}
    store = {"name": "cloud", "kind": "obs", "storage_options": options}
    return {"product": {"default": {"adfs": {"storage": "cloud"}, **defaults}}, "storage_configuration": [store]}


def stations(url: str) -> dict[str, Any]:
    auths = {
        "prip": {"kind": "bearer", "token": "${STATION_TOKEN}"},
        "cdse": {"kind": "basic", "username": "groundtrack", "password": "${STATION_PASSWORD}"},
        "cadip": {"kind": "bearer", "token": "${STATION_TOKEN}"},
    }
    return {
        "stations": [
            {"name": name, "source": name, "protocol": "odata", "url": url, "auth": auth, "retries": {"attempts": 1, "pause_s": 0}}
            for name, auth in auths.items()
        ]
    }


def from_source(source: str) -> dict[str, Any]:
    return {"auxiliary_product_to_collection_identifier": [{"product_type": "*", "collection_name": AUX_COLLECTION, "source": source}]}


def on_earth_data_hub(site: Site) -> dict[str, Any]:
    """Give an orbit file a place on Earth Data Hub, to which the payload adds the key; and return what a request needs for it."""
    [item_ref] = [ref for ref in site.target.list(naming.items_prefix(AUX_COLLECTION)) if "RESORB" in ref.key]
    item = json.loads(site.target.read(item_ref.key, limit_bytes=1 << 20)[0])
    [asset] = item["assets"].values()
    asset["href"] = "https://data.earthdatahub.destine.eu/orbits/resorb.zarr"
    item["collection"] = "edh"
    put_item = naming.item_key("edh", item["id"])
    site.target.write(put_item, json.dumps(item).encode(), content_type="application/geo+json")
    rows = [{"product_type": "AUX_RESORB", "collection_name": "edh"}, {"product_type": "*", "collection_name": AUX_COLLECTION}]
    return {"auxiliary_product_to_collection_identifier": rows, "edh_api_key": "${EDH_KEY}"}


class Arguments(threading.Thread):
    """The command lines of all processes of a platform while it works."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.ended = threading.Event()
        self._home = home

    def run(self) -> None:
        while not self.ended.wait(0.3):
            for process in processes_of(self._home):
                with suppress(psutil.Error):
                    self.seen.add(" ".join(process.cmdline()))


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, dict[str, dict[str, Any]], Arguments]:
    """A platform that has processed requests in every way that touches a credential, has ended, and what was seen of it."""
    home = tmp_path_factory.mktemp("canary") / "home"
    with echo() as url:
        processors = {
            "*": {"kind": "simulator", "faults": {"share": 1, "kinds": ["crash"], "requests": "crash*", "attempts": 1}},
            "ogc_l0": {"kind": "ogc", "url": url, "authorization": "Bearer ${DPR_TOKEN}"},
        }
        site = Site(home, CANARIES, dask_workers=2, sensor_interval_s=1, item_attempts=2, dpr_processors=json.dumps(processors))
        arguments = Arguments(home)
        arguments.start()
        try:
            prepare(site)
            put(site, "dpr/storage.json", storage(site))
            put(site, "dpr/stations.json", stations(url))
            table = make_task_table()
            table["tasktable"]["name"] = "ogc_l0"
            put(site, "dpr/tasktables/ogc_l0.json", table)
            requests = {
                "good": {},
                "crash": {"owner_id": "crash"},
                "prip": from_source("prip"),
                "cdse": from_source("cdse"),
                "ogc": {"processor_name": "ogc_l0"},
                "edh": on_earth_data_hub(site),
            }
            assert make_request(SESSION)["processor_name"] == PROCESSOR
            names = {
                name: naming.request_id(name, put(site, f"requests/{name}.json", make_request(SESSION) | changes))
                for name, changes in requests.items()
            }
            ended = wait_until_ended(site, *names.values())
        finally:
            site.end()
            arguments.ended.set()
    return site, {name: ended[partition] for name, partition in names.items()}, arguments


def test_every_credential_was_used(cage):
    _, ended, _ = cage
    assert {name: row.get("error_class", row["state"]) for name, row in ended.items()} == {
        "good": "done",
        "crash": "done",
        "prip": "station_refused",
        "cdse": "station_refused",
        "ogc": "configuration_error",
        "edh": "done",
    }


def spelled(canary: str) -> set[bytes]:
    """The ways in which a secret may be written."""
    plain = canary.encode()
    basic = base64.b64encode(f"groundtrack:{canary}".encode())
    return {
        plain,
        quote(canary, safe="").encode(),
        quote(canary).encode(),
        base64.b64encode(plain),
        basic,
        json.dumps(canary)[1:-1].encode(),
    }


def contents(home: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of a home: objects, logs, databases; those that are gzipped also as what they hold."""
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield path, data
            if data[:2] == b"\x1f\x8b":
                yield path, gzip.decompress(data)


def test_no_canary_is_in_any_object_log_or_database(cage):
    site, _, _ = cage
    wanted = {name: spelled(canary) for name, canary in CANARIES.items()}
    found = [
        f"{name} in {path.relative_to(site.home)}"
        for folder in (site.home, site.scratch)
        for path, data in contents(folder)
        for name, spellings in wanted.items()
        if any(spelling in data for spelling in spellings)
    ]
    assert not found, "\n".join(found)


def test_no_canary_is_in_the_arguments_of_a_process(cage):
    _, _, arguments = cage
    assert len(arguments.seen) > 5
    assert [line for line in arguments.seen for canary in CANARIES.values() if canary in line] == []


def test_the_key_of_the_object_store_is_nowhere_but_where_it_belongs(cage):
    site, _, arguments = cage
    lines = dict(line.split(" = ") for line in (site.home / "s3-credentials").read_text().splitlines()[1:])
    secret = lines["aws_secret_access_key"].encode()
    private = {site.home / "s3-credentials", site.home / "run" / "state.json"}
    assert [path.relative_to(site.home) for path, data in contents(site.home) if secret in data and path not in private] == []
    assert [line for line in arguments.seen if secret.decode() in line] == []


def test_the_output_of_the_command_has_no_canary(cage):
    site, _, _ = cage
    assert [canary for canary in CANARIES.values() if canary in site.up.text] == []
