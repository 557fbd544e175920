"""An SMTP server that says what a script tells it, and a mailer for it, in the surroundings of the present test."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from mailflow.mail.smtp import Security, SmtpMailer
from tests.servers.tls import ServerCertificate
from tests.support.mailer_worlds import plain_server

HANG = b"(no reply)"
HANG_UP = b"(close)"
OFFERS_NOTHING = b"250 host\r\n"


class Way(StrEnum):
    """How the commands before DATA travel; whatever is said of the dialogue holds for each."""

    ONE_BY_ONE = "one by one"
    TOGETHER = "together"
    TOGETHER_UNDER_TLS = "together, under TLS"


@dataclass(slots=True)
class Surroundings:
    """Of the present test."""

    way: Way = Way.ONE_BY_ONE
    certificate: ServerCertificate | None = None

    @property
    def offers(self) -> bytes:
        """What the server says to EHLO."""
        pipelining = b"" if self.way is Way.ONE_BY_ONE else b"250-PIPELINING\r\n"
        return b"250-host\r\n" + pipelining + b"250-SIZE 1000000\r\n250-8BITMIME\r\n250-AUTH PLAIN\r\n250 DSN\r\n"


HERE = Surroundings()


class ScriptedServer:
    """Answers each verb with what the script says, the last reply again and again; `.` is the final dot.

    A reply that ends with HANG_UP is its last word.
    """

    def __init__(self, script: Mapping[str, Sequence[bytes]]) -> None:
        self._script = {
            "greeting": [b"220 hello\r\n"],
            "EHLO": [HERE.offers],
            "AUTH": [b"235 2.7.0 ok\r\n"],
            "MAIL": [b"250 2.1.0 ok\r\n"],
            "RCPT": [b"250 2.1.5 ok\r\n"],
            "DATA": [b"354 go on\r\n"],
            ".": [b"250 2.0.0 ok\r\n"],
            "RSET": [b"250 2.0.0 ok\r\n"],
            "QUIT": [b"221 2.0.0 bye\r\n"],
        } | {verb: list(replies) for verb, replies in script.items()}
        self.commands: list[str] = []
        self.mails: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self.received = asyncio.Event()
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            alive = await self._reply("greeting", writer)
            while alive and (line := await reader.readline()):
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                alive = await self._reply(command.partition(" ")[0], writer)
                if command == "DATA" and self._last == b"354 go on\r\n":
                    self.mails.append((await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n"))
                    self.commands.append(".")
                    self.received.set()
                    alive = await self._reply(".", writer)
            if not alive and self._last == HANG:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.gone.set()
            writer.close()

    async def _reply(self, verb: str, writer: asyncio.StreamWriter) -> bool:
        replies = self._script[verb]
        self._last = replies.pop(0) if len(replies) > 1 else replies[0]
        if self._last in {HANG, HANG_UP}:
            return False
        writer.write(self._last.removesuffix(HANG_UP))
        await writer.drain()
        return not self._last.startswith(b"421") and not self._last.endswith(HANG_UP)


@asynccontextmanager
async def scripted(
    script: Mapping[str, Sequence[bytes]], *, timeout_seconds: float = 5.0
) -> AsyncIterator[tuple[ScriptedServer, SmtpMailer]]:
    server = ScriptedServer(script)
    tls = HERE.certificate.server_context() if HERE.certificate else None
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    described = plain_server(server.port, timeout_seconds=timeout_seconds)
    if HERE.certificate:
        described = replace(described, security=Security.TLS, tls=HERE.certificate.client_context())
    mailer = SmtpMailer(described, 1)
    try:
        yield server, mailer
    finally:
        await mailer.close()
        listener.close()
