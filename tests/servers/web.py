"""A web server on loopback: pages that change, conditional requests, and every way to misbehave."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Post = Callable[[bytes], bytes]


@dataclass(slots=True)
class Web:
    """What is published, and who asked for what."""

    port: int = 0
    pages: dict[str, bytes] = field(default_factory=dict)
    """By path; with an ETag of their content."""
    posts: dict[str, Post] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stalls: bool = False
    """Half of each page is sent, then nothing more until this is over."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    """Path and answered status, in order."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def was_asked(self, times: int) -> None:
        """Wait until so many have asked."""
        while len(self.asked) < times:  # noqa: ASYNC110 - the server is in a thread
            await asyncio.sleep(0.01)

    @property
    def host(self) -> str:
        """As the settings name it."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def web() -> Iterator[Web]:
    """Listens while the block runs."""
    site = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = site.pages.get(self.path)
            tag = f'"{hash(page)}"'
            if page is None:
                self._answer(404, b"", {})
            elif site.status == 200 and self.headers.get("If-None-Match") == tag:
                self._answer(304, b"", {"ETag": tag})
            else:
                self._answer(site.status, page, {"ETag": tag, **site.headers})

        def do_POST(self) -> None:
            posted = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/ocsp-request"
            self._answer(site.status, site.posts[self.path](posted), site.headers)

        def _answer(self, status: int, page: bytes, headers: dict[str, str]) -> None:
            site.asked.append((self.path, status))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(page)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page[: len(page) // 2])
            self.wfile.flush()
            while site.stalls:
                time.sleep(0.02)
            self.wfile.write(page[len(page) // 2 :])

        def log_request(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # whoever asked has gone
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.stalls = False
        server.shutdown()
        thread.join()
        server.server_close()
