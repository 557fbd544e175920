"""A small OTLP/HTTP collector: it keeps what it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/v1/traces"


@dataclass(slots=True)
class Collector:
    """What came, in order."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def resources(self) -> list[dict[str, str]]:
        """The attributes of whoever sent each batch."""
        return [attributes(one["resource"]) for one in self._batches()]

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [span for one in self._batches() for scope in one["scopeSpans"] for span in scope["spans"]]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]

    def _batches(self) -> Iterator[dict[str, Any]]:
        for body in self.bodies:
            yield from json.loads(body)["resourceSpans"]


def attributes(of: dict[str, Any]) -> dict[str, str]:
    """As a mapping; numbers as OTLP's JSON writes them, as text."""
    return {one["key"]: str(next(iter(one["value"].values()))) for one in of.get("attributes", ())}


@contextmanager
def collector() -> Iterator[Collector]:
    """Listens on a free port of this machine."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == PATH
            assert self.headers["Content-Type"] == "application/json"
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
