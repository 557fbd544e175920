"""SMTP commands that are written at once, and their replies one by one (RFC 2920): one journey to the server.

aiosmtplib reads one reply for each command, and drops what comes along with it. So while several are awaited, the
connection speaks to `_Replies`, and to aiosmtplib's own protocol again when they are there.
"""

import asyncio
import re
from collections.abc import Sequence

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPReadTimeoutError,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from aiosmtplib.protocol import SMTPProtocol

REPLY_BYTES_MAX = 32_768
"""Of one reply, all its lines together: aiosmtplib's own bound."""

MALFORMED = -1
"""The code of what is no reply, as aiosmtplib has it."""

_LINE = re.compile(rb"(\d{3})(?:([- ])(.*?))?[ \t\r]*")


async def ask(client: SMTP, commands: Sequence[bytes], reply_seconds_max: float) -> list[SMTPResponse | SMTPException]:
    """Write these commands, without their line ends, at once: the server has offered that, or there is one.

    A reply to each of them, in order, or what came in its place: then nothing follows, and the connection is of no
    more use.
    """
    protocol, transport = client.protocol, client.transport
    if protocol is None or not isinstance(transport, asyncio.Transport):
        return [SMTPServerDisconnected("connection lost")]
    replies = _Replies(protocol)
    transport.set_protocol(replies)
    try:
        transport.write(b"".join(command + b"\r\n" for command in commands))
        return await replies.take(len(commands), reply_seconds_max)
    finally:
        transport.set_protocol(protocol)


class Reader:
    """Puts replies together from octets as they come (RFC 5321, 4.2.1)."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def is_between_replies(self) -> bool:
        """Nothing of another reply is here."""
        return not self._octets and not self._lines

    def feed(self, octets: bytes) -> list[SMTPResponse]:
        """The replies that are complete now. Nothing comes after one that is MALFORMED."""
        self._octets += octets
        found: list[SMTPResponse] = []
        while (end := self._octets.find(b"\n")) >= 0:
            line = bytes(self._octets[:end])
            del self._octets[: end + 1]
            self._size += len(line)
            parts = _LINE.fullmatch(line)
            if parts is None or self._size > REPLY_BYTES_MAX:
                return [*found, SMTPResponse(MALFORMED, "")]
            code, mark, text = parts.groups(b"")
            self._lines.append(text.strip())
            if mark != b"-":
                found.append(SMTPResponse(int(code), b"\n".join(self._lines).decode("utf-8", "surrogateescape")))
                self._lines, self._size = [], 0
        if self._size + len(self._octets) > REPLY_BYTES_MAX:
            found.append(SMTPResponse(MALFORMED, ""))
        return found


class _Replies(asyncio.Protocol):
    """Has the connection while replies are awaited. That it is lost is told to aiosmtplib as well."""

    def __init__(self, client: SMTPProtocol) -> None:
        self._client = client
        self._reader = Reader()
        self._come: asyncio.Queue[SMTPResponse | SMTPException] = asyncio.Queue()

    async def take(self, count: int, seconds_max: float) -> list[SMTPResponse | SMTPException]:
        """So many, each within this time; see `ask`."""
        taken: list[SMTPResponse | SMTPException] = []
        while len(taken) < count:
            taken.append(await self._next(seconds_max))
            if isinstance(taken[-1], SMTPException):
                return taken
        if not (self._come.empty() and self._reader.is_between_replies):
            # It would be taken for the reply to whatever is asked next.
            taken[-1] = SMTPServerDisconnected("more replies than commands")
        return taken

    async def _next(self, seconds_max: float) -> SMTPResponse | SMTPException:
        try:
            async with asyncio.timeout(seconds_max):
                come = await self._come.get()
        except TimeoutError:
            return SMTPReadTimeoutError("no reply in time")
        if isinstance(come, SMTPResponse) and come.code == MALFORMED:
            return SMTPResponseException(MALFORMED, "no reply")
        return come

    def data_received(self, data: bytes) -> None:
        for reply in self._reader.feed(data):
            self._come.put_nowait(reply)

    def eof_received(self) -> bool | None:
        self._come.put_nowait(SMTPServerDisconnected("connection closed"))
        return self._client.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._come.put_nowait(SMTPServerDisconnected("connection lost"))
        self._client.connection_lost(exc)
