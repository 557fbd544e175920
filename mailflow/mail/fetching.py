"""What is fetched by HTTP: one bounded request, no redirect, nothing that would have to be unpacked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mailflow import __version__
from mailflow.errors import Unavailable

if TYPE_CHECKING:
    import httpx

VALIDATOR_CHARACTERS_MAX = 200


class Silent(Unavailable):
    """Nobody answers there, or not as HTTP wants: whoever asks again at once only loses time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a server answered."""

    octets: bytes
    etag: str | None
    modified: str | None
    """Last-Modified as the server wrote it."""


class Fetcher:
    """Fetches while it is entered. No answer is larger or takes longer than this."""

    def __init__(self, *, bytes_max: int, seconds_max: float) -> None:
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx  # for those who fetch: large for all others

        headers = {"User-Agent": f"mailflow/{__version__}", "Accept-Encoding": "identity"}
        self._client = httpx.AsyncClient(headers=headers, timeout=self._seconds_max, follow_redirects=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def get(self, url: str, *, etag: str | None = None, modified: str | None = None) -> Page | None:
        """What is there; None: still the same. Raises Unavailable, whose text names a kind of failure only."""
        asked = {"If-None-Match": etag, "If-Modified-Since": modified}
        headers = {name: value for name, value in asked.items() if value is not None}
        async with self._bounded(), self._opened.stream("GET", url, headers=headers) as answer:
            if answer.status_code == 304 and headers:
                return None
            return await self._read(answer)

    async def post(self, url: str, octets: bytes, kind: str) -> Page:
        """What is answered to `octets` of this media type. Raises Unavailable likewise."""
        async with (
            self._bounded(),
            self._opened.stream("POST", url, content=octets, headers={"Content-Type": kind}) as answer,
        ):
            return await self._read(answer)

    @property
    def _opened(self) -> "httpx.AsyncClient":
        assert self._client is not None, "entered"
        return self._client

    @contextlib.asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        import httpx

        try:
            async with asyncio.timeout(self._seconds_max):
                yield
        except TimeoutError:
            raise Silent(f"no whole answer in {self._seconds_max:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Silent(type(error).__name__) from None

    async def _read(self, answer: "httpx.Response") -> Page:
        if answer.status_code != 200:
            raise Unavailable(f"answered {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise Unavailable("answered in a packed form")
        octets = bytearray()
        async for part in answer.aiter_raw():
            octets += part
            if len(octets) > self._bytes_max:
                raise Unavailable(f"answered more than {self._bytes_max} octets")
        return Page(
            octets=bytes(octets),
            etag=_validator(answer.headers.get("ETag")),
            modified=_validator(answer.headers.get("Last-Modified")),
        )


def _validator(value: str | None) -> str | None:
    """What can be sent back as it came."""
    fit = value is not None and len(value) <= VALIDATOR_CHARACTERS_MAX and value.isascii() and value.isprintable()
    return value if fit else None
