"""The status server: health, metrics and a page, read-only, inside the process that works.

Starlette and uvicorn, because the web service is to stand on them too: the ASGI standard, pure Python, and a server
that runs inside our event loop. All who ask at one time get one snapshot: a crowd costs the register no more than one.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mailflow.errors import Misconfigured
from mailflow.log import event
from mailflow.ops import health, page
from mailflow.ops.metrics import CONTENT_TYPE, Metrics
from mailflow.ops.snapshot import Snapshot, StageState

FRESH_SECONDS = 2.0
"""How old a snapshot may be that is shown."""
KEEP_ALIVE_SECONDS = 5
CONNECTIONS_MAX = 64
STOP_SECONDS = 2
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)


class Looks(Protocol):
    """Who looks at the service."""

    def stages(self) -> tuple[StageState, ...]:
        """How the stages fare. At once: whether the process lives depends on no server."""
        ...

    async def look(self) -> Snapshot:
        """All of it, within some seconds, whatever hangs."""
        ...


class Latest:
    """The latest snapshot; taken anew, once for all who ask meanwhile, when it is too old."""

    def __init__(self, look: Callable[[], Awaitable[Snapshot]]) -> None:
        self._look = look
        self._turn = asyncio.Lock()
        self._known: Snapshot | None = None
        self._taken = 0.0

    async def __call__(self) -> Snapshot:
        """At most `FRESH_SECONDS` old."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if self._known is None or now - self._taken > FRESH_SECONDS:
                self._known = await self._look()
                self._taken = asyncio.get_running_loop().time()
            return self._known


def application(looks: Looks, metrics: Metrics) -> Starlette:
    """What answers requests."""
    latest = Latest(looks.look)

    async def live(_: Request) -> Response:
        return _health(health.dead(looks.stages()))

    async def ready(_: Request) -> Response:
        return _health(health.unready(await latest()))

    async def numbers(_: Request) -> Response:
        return Response(metrics.text(await latest()), headers=HEADERS | {"Content-Type": CONTENT_TYPE})

    async def people(_: Request) -> Response:
        return HTMLResponse(page.render(await latest()), headers=HEADERS)

    async def style(_: Request) -> Response:
        return Response(page.style(), media_type="text/css", headers=HEADERS)

    routes = {"/": people, "/style.css": style, "/metrics": numbers, "/health/live": live, "/health/ready": ready}
    return Starlette(routes=[Route(path, answer) for path, answer in routes.items()])


def _health(problems: list[str]) -> Response:
    word = "trouble" if problems else "ok"
    return JSONResponse({"status": word, "problems": problems}, 503 if problems else 200, headers=HEADERS)


class _Server(uvicorn.Server):
    """One that leaves the signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(host: str, port: int, answers: Starlette) -> AsyncIterator[int]:
    """Serve until the block ends; the port. Raises Misconfigured when the address cannot be had."""
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Misconfigured(f"status.address: {host} port {port}: {error.strerror}") from None
    config = uvicorn.Config(
        answers,
        access_log=False,
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
    )
    server = _Server(config)
    bound = int(listening.getsockname()[1])
    task = asyncio.create_task(server.serve([listening]))
    event(log, "status-served", port=bound)
    try:
        yield bound
    finally:
        server.should_exit = True
        await asyncio.wait({task})
        listening.close()
