"""Alerts and signs of life over HTTP: one bounded request, no redirect, of the answer only the status is read."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailflow.errors import Misconfigured, Unavailable

SECONDS_MAX = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Somebody who listens. The address is a secret: whoever knows it can speak there."""

    name: str
    """The setting, for messages; the address is in none."""
    url: Callable[[], str]
    """Anew each time. Raises Misconfigured."""
    tls: ssl.SSLContext

    def check(self) -> None:
        """Raises Misconfigured when the address cannot be used."""
        checked(self.name, self.url())

    async def post(self, document: Mapping[str, object]) -> None:
        """Tell. Raises Unavailable unless it was taken."""
        await self._ask("POST", document)

    async def ping(self) -> None:
        """Say that we live. Raises Unavailable unless it was heard."""
        await self._ask("GET", None)

    async def _ask(self, method: str, document: Mapping[str, object] | None) -> None:
        import httpx  # for those who have somebody to tell: large for all others

        url = checked(self.name, self.url())
        try:
            async with (
                httpx.AsyncClient(verify=self.tls, timeout=SECONDS_MAX, follow_redirects=False) as client,
                client.stream(method, url, json=document) as answer,
            ):
                status = answer.status_code
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.name}: {type(error).__name__}") from None
        if not 200 <= status < 300:
            raise Unavailable(f"{self.name}: answered {status}")


def checked(name: str, url: str) -> str:
    """The address, when what is sent there is protected. Raises Misconfigured, without a word of it."""
    parts = urlsplit(url.strip())
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in (("http", "https") if local else ("https",)):
        raise Misconfigured(f"{name}: the file should hold an https:// address (http:// on this machine only)")
    return url.strip()
