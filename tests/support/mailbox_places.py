"""The places where the contract of the port `Mailbox` is tested: two IMAP servers and the fake, seen alike."""

import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from mailflow.mail.imap import ImapAccount, ImapCopies, ImapMailbox, Security
from mailflow.mail.imap_session import Authentication
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Copies, Listing, Mailbox
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.support.fakes import FakeMailbox

SIZE_BYTES_MAX = 400_000

ImapServer = Dovecot | Cyrus


def an_account(
    *,
    port: int,
    user: str = "svc",
    secret: Callable[[], str] = lambda: PASSWORD,
    security: Security = Security.PLAIN,
    authentication: Authentication = Authentication.LOGIN,
    server: Dovecot | None = None,
    timeout_seconds: float = 10,
    fetch_batch: int = 3,
    move_batch: int = 200,
) -> ImapAccount:
    """An account on the loopback interface; `server` gives the certificate to trust."""
    return ImapAccount(
        host="localhost",
        port=port,
        security=security,
        tls=server.certificate.client_context() if server and security is not Security.PLAIN else None,
        authentication=authentication,
        user=user,
        secret=secret,
        timeout_seconds=timeout_seconds,
        size_bytes_max=SIZE_BYTES_MAX,
        fetch_batch=fetch_batch,
        move_batch=move_batch,
    )


class Place(Protocol):
    """A mailbox, and what others do to it."""

    def mailbox(self) -> Mailbox: ...
    def copies(self) -> Copies: ...
    def put(self, *mails: bytes) -> None: ...
    def inbox(self) -> list[bytes]: ...
    def moved(self, name_in_utf7: str, name: str) -> list[bytes]: ...
    def take_away(self, which: int) -> None: ...
    def renumber(self) -> None: ...


class ServerPlace:
    """A folder of its own on a real server, so that tests do not meet."""

    def __init__(self, server: ImapServer, folder: str, *, port: int | None = None) -> None:
        self.server = server
        self.folder = folder
        self.account = an_account(port=port or server.imap_port)
        with server.session("svc") as client:
            client.create(folder)

    def mailbox(self) -> Mailbox:
        return ImapMailbox(self.account, self.folder)

    def copies(self) -> Copies:
        return ImapCopies(self.account, self.folder)

    def put(self, *mails: bytes, received_at: datetime | None = None) -> None:
        """`received_at`: what the server is to say of it (INTERNALDATE); by default now."""
        instant = f'"{received_at:%d-%b-%Y %H:%M:%S +0000}"' if received_at else ""
        with self.server.session("svc") as client:
            for raw in mails:
                assert client.append(self.folder, "", instant, raw)[0] == "OK"

    def inbox(self) -> list[bytes]:
        return self.server.messages("svc", self.folder)

    def moved(self, name_in_utf7: str, name: str) -> list[bytes]:
        return self.server.messages("svc", name_in_utf7)

    def flag(self, which: int, *flags: str) -> None:
        """Another client sets flags on the mail with this sequence number."""
        with self.server.session("svc") as client:
            client.select(self.folder)
            client.store(str(which), "+FLAGS", f"({' '.join(flags)})")

    def flags(self) -> list[bytes]:
        """What FETCH FLAGS says of every mail."""
        with self.server.session("svc") as client:
            client.select(self.folder, readonly=True)
            return [bytes(line) for line in client.fetch("1:*", "(FLAGS)")[1] if isinstance(line, bytes)]

    def take_away(self, which: int) -> None:
        with self.server.session("svc") as client:
            client.select(self.folder)
            client.store(str(which), "+FLAGS", r"(\Deleted)")
            client.expunge()

    def renumber(self) -> None:
        mails, before = self.inbox(), self._uidvalidity()
        with self.server.session("svc") as client:
            while self._uidvalidity() == before:  # a time in seconds on some servers
                time.sleep(0.1)
                for command in (client.delete, client.create):
                    assert command(self.folder)[0] == "OK"
        self.put(*mails)

    def _uidvalidity(self) -> bytes:
        with self.server.session("svc") as client:
            return bytes(client.status(self.folder, "(UIDVALIDITY)")[1][0])


class FakePlace:
    """The same, in memory."""

    def __init__(self) -> None:
        self.fake = FakeMailbox(clock=lambda: datetime.now(UTC), size_bytes_max=SIZE_BYTES_MAX)

    def mailbox(self) -> Mailbox:
        return self.fake

    def copies(self) -> Copies:
        return self.fake

    def put(self, *mails: bytes) -> None:
        for raw in mails:
            self.fake.deliver(raw)

    def inbox(self) -> list[bytes]:
        return self.fake.messages()

    def moved(self, name_in_utf7: str, name: str) -> list[bytes]:
        return self.fake.messages(name)

    def take_away(self, which: int) -> None:
        self.fake.remove(sorted(self.fake.inbox)[which - 1])

    def renumber(self) -> None:
        self.fake.renumber()


_numbers = itertools.count(1)


def a_name(stem: str) -> str:
    """A folder name that no other test of this run uses."""
    return f"{stem}{next(_numbers)}"


def a_mail(subject: str, body: bytes = b"Bonjour\r\n") -> bytes:
    head = f"From: ann@example.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.test>\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def closing(mailbox: Mailbox) -> AsyncIterator[Mailbox]:
    try:
        yield mailbox
    finally:
        await mailbox.close()


async def read(mailbox: Mailbox, listing: Listing) -> list[FetchedMail]:
    return [mail async for mail in mailbox.fetch(listing, listing.uids)]
