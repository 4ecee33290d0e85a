"""Stations that are logged in to with tokens."""

import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest

from platform_assets.dpr import sample
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.stations import read_stations
from platform_assets.dpr.transfer import StationRefused
from resources.auxip import station_client
from resources.station_login import login
from resources.station_simulator import serving
from resources.station_simulator_auxip import AuxipSimulator

SECRETS = {"CLIENT_SECRET": "s3cret"}


@dataclass
class Tokens:
    """A server of tokens."""

    answer: dict[str, Any]
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def respond(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked.append(form)
        if form.get("client_secret") != "s3cret":
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": "token", **self.answer}


@contextmanager
def tokens(**answer: Any) -> Iterator[Tokens]:
    server_of = Tokens(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            status, document = server_of.respond(form)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server_of.url = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server_of
        finally:
            server.shutdown()
            thread.join()


def config(url: str, token_url: str) -> Any:
    auth = {"kind": "oauth2", "token_url": token_url, "client_id": "gt", "client_secret": "${CLIENT_SECRET}"}
    station = {"name": "adgs", "source": "auxip", "protocol": "odata", "url": f"{url}/odata/v1", "auth": auth, "retries": {"attempts": 1}}
    return read_stations(json.dumps({"stations": [station]}).encode(), "stations.json")[0]


def test_a_token_is_asked_for_once_and_sent_with_every_request() -> None:
    simulator = AuxipSimulator(sample.make_adfs())
    with tokens(expires_in=300) as server, serving(simulator, authorization="Bearer token") as url:
        for _ in range(3):
            assert station_client(config(url, server.url), SECRETS).search(Search(), "q", timeout_s=None)
    assert server.asked == [{"grant_type": "client_credentials", "client_id": "gt", "client_secret": "s3cret"}]


def test_a_token_that_ends_is_asked_for_again() -> None:
    with tokens(expires_in=0) as server:
        header = login(config("http://station", server.url), SECRETS)
        assert callable(header)
        assert [header(), header()] == ["Bearer token", "Bearer token"]
    assert len(server.asked) == 2


def test_a_login_that_is_refused_says_so_and_tells_no_secret() -> None:
    with tokens() as server:
        asked = station_client(config("http://127.0.0.1:9", server.url), {"CLIENT_SECRET": "wr0ng"})
        with pytest.raises(StationRefused, match="/token answers 401 Unauthorized") as refused:
            asked.search(Search(), "q", timeout_s=None)
    assert "wr0ng" not in str(refused.value) + repr(asked) + repr(login(asked.config, {"CLIENT_SECRET": "wr0ng"}))


def test_an_answer_without_a_token_is_refused() -> None:
    with tokens(access_token="") as server, pytest.raises(StationRefused, match="gives no token"):
        station_client(config("http://127.0.0.1:9", server.url), SECRETS).search(Search(), "q", timeout_s=None)


def test_a_login_travels_to_workers() -> None:
    header = login(config("http://station", "http://login"), SECRETS)
    assert pickle.loads(pickle.dumps(header)) == header
