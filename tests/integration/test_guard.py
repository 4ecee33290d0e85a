"""The guard in front of Dagster's real web server: what other pages, other names and other clients can do, and what a user can."""

import http.client
import json
import shutil
import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.builders.platform import LAUNCH, TOKEN, Up
from tests.builders.servers import wait_for

ADD = 'mutation { addDynamicPartition(partitionsDefName: "scan", partitionKey: "%s", repositorySelector: {%s}) { __typename } }'
REPOSITORY = 'repositoryLocationName: "groundtrack", repositoryName: "__repository__"'
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def up(small_platform: Up) -> Up:
    return small_platform


@pytest.fixture(scope="module")
def cookie(up: Up) -> dict[str, str]:
    status, headers, _ = request(up, "GET", f"/?token={TOKEN}")
    assert status == 303
    return {"Cookie": headers["set-cookie"].partition(";")[0]}


def address(up: Up) -> str:
    return urlsplit(up.url).netloc


def request(up: Up, method: str, path: str, headers: dict[str, str] | None = None, body: str | None = None):
    connection = http.client.HTTPConnection(address(up), timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def graphql(up: Up, query: str, headers: dict[str, str]):
    return request(up, "POST", "/graphql", headers, json.dumps({"query": query}))


def partitions(up: Up) -> set[str]:
    found = up.ask('{ assetNodeOrError(assetKey: {path: ["scan"]}) { ... on AssetNode { partitionKeys } } }')
    return set(found["assetNodeOrError"]["partitionKeys"])


def test_a_mutation_by_get_from_another_site_changes_nothing(up, cookie):
    runs = len(up.runs())
    other_site = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Accept": "application/json"}
    for mutation in (LAUNCH, ADD % ("by-get", REPOSITORY)):
        for headers in ({}, other_site, cookie, cookie | other_site, BEARER):
            status, _, _ = request(up, "GET", f"/graphql?query={quote(mutation)}", headers)
            assert status in (401, 403, 405)
            status, _, _ = request(up, "HEAD", f"/graphql?query={quote(mutation)}", headers)
            assert status in (401, 403, 405)
    assert len(up.runs()) == runs
    assert "by-get" not in partitions(up)


def test_a_name_that_is_not_this_hosts_is_refused(up, cookie):
    port = address(up).partition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "",
        f"127.0.0.1.evil.example:{port}",
        f"127.0.0.1:{port}@evil.example",
        "169.254.169.254",
    ):
        status, _, content = request(up, "GET", "/server_info", cookie | {"Host": host})
        assert status == 421
        assert "dagster" not in content
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
        assert request(up, "GET", "/server_info", cookie | {"Host": host})[0] == 200


def test_two_host_headers_are_refused(up):
    with socket.create_connection((urlsplit(up.url).hostname, urlsplit(up.url).port)) as client:
        lines = (
            "GET /server_info HTTP/1.1",
            f"Host: {address(up)}",
            "Host: evil.example",
            f"Authorization: Bearer {TOKEN}",
            "Connection: close",
        )
        client.sendall("\r\n".join((*lines, "", "")).encode())
        assert b" 4" in client.makefile("rb").readline()


@pytest.mark.parametrize(
    "origin",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
def test_a_post_with_the_cookie_but_not_from_the_ui_is_refused(up, cookie, origin):
    runs = len(up.runs())
    assert graphql(up, LAUNCH, cookie | JSON | origin)[0] == 403
    assert len(up.runs()) == runs


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "text/plain; x=application/json",
        "",
    ],
)
def test_a_post_that_a_form_can_send_is_refused(up, cookie, kind):
    runs = len(up.runs())
    for headers in (cookie | {"Origin": up.url}, BEARER):
        status, _, _ = request(
            up, "POST", f"/graphql?query={quote(LAUNCH)}", headers | {"Content-Type": kind}, json.dumps({"query": LAUNCH})
        )
        assert status == 415
    assert len(up.runs()) == runs


@pytest.mark.parametrize(
    "path", ["/", "/server_info", "/assets", "/graphql", "/logs/x/compute_logs/y.err", "/download_debug/x", "/favicon.png"]
)
def test_nothing_is_shown_without_the_token(up, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic " + TOKEN}, {"Cookie": f"groundtrack={TOKEN}"}):
        status, answered, content = request(up, "GET", path, headers)
        assert status == 401
        assert answered["www-authenticate"] == "Bearer"
        assert "dagster" not in content.lower()


def test_a_browser_without_the_token_gets_a_page_to_enter_it(up):
    status, headers, content = request(up, "GET", "/assets", {"Accept": "text/html,*/*"})
    assert status == 401
    assert "text/html" in headers["content-type"]
    assert '<input name="token" type="password"' in content


def test_a_wrong_token_is_refused(up):
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x", "%00", "é"):
        status, headers, _ = request(up, "GET", f"/?token={quote(token)}")
        assert status == 401
        assert "set-cookie" not in headers


def test_the_token_goes_from_the_address_into_a_cookie_that_scripts_cannot_read(up):
    status, headers, _ = request(up, "GET", f"/assets/scan?view=lineage&token={TOKEN}&x=a%20b")
    assert (status, headers["location"]) == (303, "/assets/scan?view=lineage&x=a+b")
    cookie = headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert request(up, "GET", f"//evil.example/%5C?token={TOKEN}")[1]["location"] == "/evil.example/%5C"


def test_the_access_log_has_no_token_and_no_query(up):
    request(up, "GET", f"/seen-in-the-log?token={TOKEN}")
    request(up, "GET", "/seen-in-the-log?secret=hidden", BEARER)
    log = (up.home / "logs" / "web_ui.log").read_text()
    assert "/seen-in-the-log" in log
    assert TOKEN not in log
    assert "secret=hidden" not in log


@pytest.mark.parametrize("path", ["/", "/server_info", "/graphql", "/nothing.js"])
@pytest.mark.parametrize("known", [True, False])
def test_no_page_can_be_framed(up, path, known):
    _, headers, _ = request(up, "GET", path, BEARER if known else {})
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_dagsters_own_content_policy_is_kept(up):
    _, headers, _ = request(up, "GET", "/", BEARER)
    assert "script-src 'nonce-" in headers["content-security-policy"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"])
def test_other_methods_are_refused(up, cookie, method):
    assert request(up, method, "/assets", cookie | {"Origin": up.url})[0] == 405


def test_a_report_of_an_asset_needs_the_header(up, cookie):
    path, body = "/report_asset_materialization/external", json.dumps({"metadata": {"by": "script"}})
    assert request(up, "POST", path, JSON, body)[0] == 401
    assert request(up, "POST", path, cookie | JSON | {"Origin": up.url}, body)[0] == 405
    assert request(up, "POST", path, BEARER | JSON | {"Origin": "http://evil.example"}, body)[0] == 403
    assert request(up, "POST", path, BEARER | JSON, body)[0] == 200


def test_a_script_with_the_header_can_ask_and_change(up):
    status, _, content = graphql(up, ADD % ("by-script", REPOSITORY), BEARER | JSON)
    assert status == 200
    assert "AddDynamicPartitionSuccess" in content
    assert "by-script" in partitions(up)


def handshake(up: Up, headers: dict[str, str]) -> bytes:
    """Ask for a websocket and return the status line."""
    lines = {"Host": address(up), "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    lines |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "graphql-ws"} | headers
    with socket.create_connection((urlsplit(up.url).hostname, urlsplit(up.url).port), timeout=30) as client:
        head = "\r\n".join(["GET /graphql HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""])
        client.sendall(head.encode())
        return client.makefile("rb").readline()


def test_a_websocket_opens_only_from_the_ui(up, cookie):
    for headers in (
        {"Origin": up.url},
        cookie,
        cookie | {"Origin": "http://evil.example"},
        cookie | {"Origin": up.url, "Host": "evil.example"},
    ):
        assert b" 403 " in handshake(up, headers)
    assert b" 101 " in handshake(up, cookie | {"Origin": up.url})
    assert b" 101 " in handshake(up, BEARER)


@pytest.fixture
def chromium_page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_the_ui_works_behind_the_guard(up, chromium_page):
    page, refused, sockets = chromium_page, [], []
    page.on("response", lambda answer: refused.append((answer.status, answer.url)) if answer.status >= 400 else None)
    page.on("websocket", lambda opened: sockets.append(opened.url))
    page.goto(f"{up.url}/assets/greeting?token={TOKEN}")
    assert page.url == f"{up.url}/assets/greeting"
    expect(page.get_by_text("Says hello.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Never materialized")).to_be_visible()
    before = len(up.runs())
    page.get_by_role("button", name="Materialize").first.click()
    wait_for(lambda: up.runs()[: -before or None] == ["SUCCESS"], "success of the run that was clicked")
    run = up.ask("{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }")["runsOrError"]["results"][0]["runId"]
    # The page polls: what the run made appears on it without being asked for.
    expect(page.get_by_text("Never materialized")).to_be_hidden(timeout=30_000)
    page.goto(f"{up.url}/runs/{run}")
    expect(page.get_by_text("RUN_SUCCESS").first).to_be_visible(timeout=30_000)
    assert sockets
    assert not refused


FRAME = """url => new Promise(done => {
  const frame = document.createElement('iframe'); frame.onload = done; frame.src = url; document.body.append(frame) })"""
POST = """([url, body, kind]) => fetch(url, {
  method: 'POST', mode: 'no-cors', credentials: 'include', headers: {'Content-Type': kind}, body}).catch(() => 0)"""
GET = "url => fetch(url, {mode: 'no-cors', credentials: 'include'}).catch(() => 0)"
IMAGE = "url => new Promise(done => { const image = new Image(); image.onload = image.onerror = done; image.src = url })"
SOCKET = """url => new Promise(done => {
  const socket = new WebSocket(url, 'graphql-ws'); socket.onopen = () => done(true); socket.onerror = () => done(false) })"""


def test_a_page_of_another_site_can_neither_frame_nor_change_anything(up, chromium_page):
    page = chromium_page
    page.goto(f"{up.url}/runs?token={TOKEN}")
    expect(page.get_by_role("link", name="Runs").first).to_be_visible(timeout=30_000)
    before = len(up.runs())
    with another_site() as site:
        page.goto(site)
        page.evaluate(FRAME, up.url)
        assert page.frames[1].url.startswith("chrome-error:")
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            page.evaluate(POST, [f"{up.url}/graphql", json.dumps({"query": LAUNCH}), kind])
        page.evaluate(GET, f"{up.url}/graphql?query={quote(LAUNCH)}")
        page.evaluate(IMAGE, f"{up.url}/graphql?query={quote(LAUNCH)}")
        assert not page.evaluate(SOCKET, f"{up.url.replace('http', 'ws')}/graphql")
    assert len(up.runs()) == before


@contextmanager
def another_site():
    """A page on another port of this host: cookies reach it and come from it, which makes it the strongest attacker."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
