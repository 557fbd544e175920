"""What is said on an SMTP connection once it is logged in: commands, several at once if need be, and their replies.

aiosmtplib opens connections, secures them and logs in. After that it reads one reply for each command and drops what
comes along with it; here several replies may come together (RFC 2920), and none that nobody asked for is taken for the
answer to what is said next.
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

REPLY_BYTES_MAX = 32_768
"""Of one reply, all its lines together: aiosmtplib's own bound."""

MALFORMED = -1
"""The code of what is no reply, as aiosmtplib has it."""

_LINE = re.compile(rb"(\d{3})(?:([- ])(.*))?")


class Session(asyncio.Protocol):
    """Has the connection of a client that is logged in, from now to its end."""

    def __init__(self, client: SMTP) -> None:
        """Raises SMTPServerDisconnected when it is lost already."""
        if client.protocol is None or not isinstance(client.transport, asyncio.Transport):
            raise SMTPServerDisconnected("connection lost")
        self._client = client.protocol
        self._transport = client.transport
        self._reader = Reader()
        self._come: asyncio.Queue[SMTPResponse | SMTPException] = asyncio.Queue()
        self._awaited = 0
        """Replies that are still to come."""
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Commands can be said: the server is there, and has begun to say nothing unasked."""
        return not self._transport.is_closing() and self._come.empty() and self._reader.is_between_replies

    async def ask(self, commands: Sequence[bytes], reply_seconds_max: float) -> list[SMTPResponse | SMTPException]:
        """Write these commands, without their line ends, at once: the server has offered that, or there is one.

        A reply to each of them, in order, or what came in its place: then nothing follows, and the session is of no
        more use. So it is after a cancellation. When it is not open nothing is written.
        """
        if not self.is_open:
            return [SMTPServerDisconnected("connection lost")]
        self._awaited = len(commands)
        self._transport.write(b"".join(command + b"\r\n" for command in commands))
        replies: list[SMTPResponse | SMTPException] = []
        while len(replies) < len(commands):
            replies.append(await self._next(reply_seconds_max))
            if isinstance(replies[-1], SMTPException):
                break
        return replies

    async def _next(self, seconds_max: float) -> SMTPResponse | SMTPException:
        try:
            async with asyncio.timeout(seconds_max):
                come = await self._come.get()
        except TimeoutError:
            return SMTPReadTimeoutError("no reply in time")
        if isinstance(come, SMTPResponse) and come.code == MALFORMED:
            return SMTPResponseException(MALFORMED, "no reply")
        return come

    def abort(self) -> None:
        """Drop the connection at once, with whatever was not sent yet."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        early = self._transport.get_write_buffer_size() > 0
        for reply in self._reader.feed(data):
            # Whoever says more than was asked, or replies to what has not left us yet, cannot be followed.
            if early or not self._awaited:
                self.abort()
                return
            self._awaited -= 1
            self._come.put_nowait(reply)

    def eof_received(self) -> None:
        self._come.put_nowait(SMTPServerDisconnected("connection closed"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._come.put_nowait(SMTPServerDisconnected("connection lost"))
        self._client.connection_lost(exc)


class Reader:
    """Puts replies together from octets as they come (RFC 5321, 4.2.1)."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._lines: list[bytes] = []
        self._code = b""
        """Of those lines."""
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
            self._size += end
            line = bytes(self._octets[:end]).rstrip(b" \t\r")
            del self._octets[: end + 1]
            parts = _LINE.fullmatch(line) if self._size <= REPLY_BYTES_MAX else None
            code, mark, text = parts.groups(b"") if parts else (b"", b"", b"")
            if not code or (self._lines and code != self._code):
                return [*found, SMTPResponse(MALFORMED, "")]
            self._code = code
            self._lines.append(text.strip())
            if mark != b"-":
                found.append(SMTPResponse(int(code), b"\n".join(self._lines).decode("utf-8", "surrogateescape")))
                self._lines, self._size = [], 0
        if self._size + len(self._octets) > REPLY_BYTES_MAX:
            found.append(SMTPResponse(MALFORMED, ""))
        return found
