"""The server behind a proxy, reached as the service itself reaches it: by TLS or STARTTLS, its certificate verified.

So the proxy sees the lines of the protocol, whatever protects them on their way.
"""

import asyncio
import ssl
from dataclasses import dataclass

from mailflow.mail.smtp import Security

LINE_SECONDS_MAX = 20.0


class UpgradeRefused(OSError):
    """The server does not go on to TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int
    security: Security = Security.PLAIN
    tls: ssl.SSLContext | None = None
    """Verifies it; None only with `plain`."""
    protocol: str = "imap"
    """`imap` or `smtp`: in which STARTTLS is asked for."""

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """A connection, and the octets of its greeting as far as they were read already. Raises OSError."""
        implicit = self.tls if self.security is Security.TLS else None
        name = self.host if implicit else None
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=implicit, server_hostname=name)
        if self.security is not Security.STARTTLS:
            return reader, writer, b""
        assert self.tls is not None
        try:
            async with asyncio.timeout(LINE_SECONDS_MAX):
                greeting = await _start_tls(reader, writer, self.protocol)
                await writer.start_tls(self.tls, server_hostname=self.host)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer, greeting


async def _start_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str) -> bytes:
    """Up to the last reply in clear; what the server greeted with."""
    if protocol == "imap":
        greeting = await reader.readline()
        await _ask(reader, writer, b"t1 STARTTLS", until=b"t1 ", wanted=b"t1 OK")
        return greeting
    greeting = await _reply(reader, b"220 ")
    await _ask(reader, writer, b"EHLO selftest.invalid", until=b"250 ", wanted=b"250 ")
    await _ask(reader, writer, b"STARTTLS", until=b"220 ", wanted=b"220 ")
    return greeting


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes, *, until: bytes, wanted: bytes
) -> None:
    writer.write(command + b"\r\n")
    reply = await _reply(reader, until)
    if not reply.splitlines()[-1].startswith(wanted):
        raise UpgradeRefused(reply.splitlines()[-1].decode("ascii", "replace"))


async def _reply(reader: asyncio.StreamReader, until: bytes) -> bytes:
    """Lines up to the one that begins so, or that is a refusal of SMTP."""
    lines = b""
    while line := await reader.readline():
        lines += line
        if line.startswith(until) or line[:1] in {b"4", b"5"}:
            return lines
    raise UpgradeRefused("the server hung up")
