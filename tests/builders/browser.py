"""Chromium as a user has it, and a page of another site."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 60_000

expect.set_options(timeout=_PATIENCE_MS)


@contextmanager
def browser() -> Iterator[Browser]:
    """The Chromium that is installed, without a window."""
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS) as found:
        yield found


@contextmanager
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile without cookies, patient with a machine that is busy."""
    with chromium.new_context(viewport={"width": 1600, "height": 1000}) as context:
        context.set_default_timeout(_PATIENCE_MS)
        yield context


def complaints(context: BrowserContext) -> list[str]:
    """Return a list that gets every error that pages of this profile raise or write to the console."""
    found: list[str] = []
    context.on("console", lambda message: found.append(f"{message.text} ({message.location['url']})") if message.type == "error" else None)
    context.on("weberror", lambda error: found.append(str(error.error)))
    return found


@contextmanager
def another_site(host: str) -> Iterator[str]:
    """An empty page on this machine under a name of it, on a port of its own; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{host}:{server.server_port}/"
        server.shutdown()


def origin(url: str) -> str:
    """Return where an address is: scheme, host and port."""
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def open_partition(page: Page, asset: str, partition: str) -> None:
    """Look at a partition in the list of an asset's partitions; the list cuts long names short."""
    page.goto(f"{origin(page.url)}/assets/{asset}?view=partitions&partition={quote(partition)}")
    expect(page.get_by_role("button", name="View all historical events")).to_be_enabled()


def metadata(page: Page) -> dict[str, str]:
    """What the page shows of a partition, by its labels."""
    expect(page.get_by_role("cell", name="object", exact=True)).to_be_visible()
    rows = page.locator("tr").evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))")
    return {row[0]: row[1] for row in rows if len(row) > 1}


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = b'<!doctype html><title>evil</title><link rel="icon" href="data:,"><body>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
