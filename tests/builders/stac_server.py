"""A small STAC API over a list of items: landing page, search by POST with CQL2-JSON, sorting, and pages of two items."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from platform_assets.dpr.cql2 import Search, select

_CORE = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
_FILTER = ["https://api.stacspec.org/v1.0.0/item-search#filter", "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json"]
_PAGE = 2


@dataclass
class StacServer:
    """A server that runs.

    Attributes:
        url: Its landing page.
        asked: The bodies of the searches that it got.
        filters: Whether it says that it filters.
        failing: Whether it answers all with 503.
    """

    items: list[dict[str, Any]]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    filters: bool = True
    failing: bool = False

    def landing_page(self) -> dict[str, Any]:
        links = [{"rel": "search", "type": "application/geo+json", "href": f"{self.url}/search", "method": "POST"}]
        conforms = _CORE + (_FILTER if self.filters else [])
        return {"type": "Catalog", "stac_version": "1.0.0", "id": "small", "description": "small", "links": links, "conformsTo": conforms}

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        wanted = Search(body.get("filter"), tuple(body.get("sortby") or ()))
        candidates = [item for item in self.items if item["collection"] in body["collections"]]
        found = [item for item in select(candidates, wanted, "server") if item["id"] in body.get("ids", [item["id"]])]
        start = body.get("token", 0)
        page = found[start : start + _PAGE]
        more = {"rel": "next", "method": "POST", "href": f"{self.url}/search", "body": {"token": start + _PAGE}, "merge": True}
        return {"type": "FeatureCollection", "features": page, "links": [more] if start + _PAGE < len(found) else []}


@contextmanager
def serving(items: list[dict[str, Any]]) -> Iterator[StacServer]:
    """Run a server until the end of the block."""
    api = StacServer(items)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(api.landing_page())

        def do_POST(self) -> None:
            self.answer(api.search(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def answer(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(503 if api.failing else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
