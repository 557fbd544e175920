"""Places in which the contract of `ports.Mailer` is held against a mailer: real, embedded and fake."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from mailflow.demo.mailhost import MailHost
from mailflow.mail.imap import ImapCopies
from mailflow.mail.imap_session import Authentication, ImapAccount
from mailflow.mail.ports import Mailer, Outgoing
from mailflow.mail.smtp import Security, SmtpMailer, SmtpServer
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.support.fake_mailer import FakeMailer

USERS = ("ann", "bob", "audit", "svc")
LATE = "late"
"""Accepted by Postfix, unknown to Dovecot behind it."""

_serial = itertools.count(1)


class World(Protocol):
    """A mailer, and a look into the mailboxes behind it."""

    @property
    def mailer(self) -> Mailer: ...

    async def settle(self) -> None:
        """Return when everything that was accepted is delivered."""
        ...

    async def copies(self, user: str, message_id: str) -> Sequence[bytes]:
        """What was delivered to a user under this Message-ID."""
        ...


@dataclass(kw_only=True)
class PostfixWorld:
    """Postfix before Dovecot."""

    mailer: Mailer
    postfix: Postfix
    dovecot: Dovecot

    async def settle(self) -> None:
        if isinstance(self.mailer, SmtpMailer):
            await self.mailer.close()
        await asyncio.to_thread(self.postfix.wait_until_quiet)

    async def copies(self, user: str, message_id: str) -> Sequence[bytes]:
        return await find_copies(self.dovecot.host, self.dovecot.imap_port, user, message_id)


@dataclass(kw_only=True)
class EmbeddedWorld:
    """The mail host of the demo; it has delivered when it answers."""

    mailer: Mailer
    host: MailHost

    async def settle(self) -> None:
        pass

    async def copies(self, user: str, message_id: str) -> Sequence[bytes]:
        return await find_copies(self.host.host, self.host.imap_port, user, message_id)


@dataclass(kw_only=True)
class FakeWorld:
    """No server at all."""

    mailer: FakeMailer

    async def settle(self) -> None:
        pass

    async def copies(self, user: str, message_id: str) -> Sequence[bytes]:
        return [raw for raw in self.mailer.mailboxes.get(user, ()) if message_id.encode() in raw]


@asynccontextmanager
async def embedded_world() -> AsyncIterator[World]:
    async with MailHost(users=dict.fromkeys(USERS, "secret")) as host, open_mailer(host.smtp_port) as mailer:
        yield EmbeddedWorld(mailer=mailer, host=host)


@asynccontextmanager
async def open_mailer(port: int, connections: int = 2) -> AsyncIterator[SmtpMailer]:
    mailer = SmtpMailer(plain_server(port), connections)
    try:
        yield mailer
    finally:
        await mailer.close()


def plain_server(port: int, *, timeout_seconds: float = 10) -> SmtpServer:
    """A server on this machine, in clear, without log-in."""
    return SmtpServer(
        host="127.0.0.1",
        port=port,
        security=Security.PLAIN,
        tls=None,
        user=None,
        secret=None,
        timeout_seconds=timeout_seconds,
        data_timeout_seconds=timeout_seconds,
        local_hostname="client.example.test",
    )


def a_mail(
    body: bytes = b"Number\r\n",
    *,
    recipient: str = "ann@example.test",
    audit: str | None = "audit@example.test",
    envelope_from: str = "svc@example.test",
) -> tuple[str, Outgoing]:
    """A mail that no other test sends, and its Message-ID."""
    message_id = f"<{next(_serial)}.test@example.test>"
    header = f"From: svc@example.test\r\nSubject: test\r\nMessage-ID: {message_id}\r\n\r\n"
    return message_id, Outgoing(
        envelope_from=envelope_from,
        recipient=recipient,
        audit=audit,
        envelope_id=message_id.strip("<>"),
        raw=header.encode() + body,
    )


async def find_copies(host: str, port: int, user: str, message_id: str) -> Sequence[bytes]:
    account = ImapAccount(
        host=host,
        port=port,
        security=Security.PLAIN,
        tls=None,
        authentication=Authentication.LOGIN,
        user=user,
        secret=lambda: "secret",
        timeout_seconds=10,
        size_bytes_max=30_000_000,
        fetch_batch=50,
        move_batch=200,
    )
    copies = ImapCopies(account, "INBOX")
    try:
        return await copies.find(message_id)
    finally:
        await copies.close()
