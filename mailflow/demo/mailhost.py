"""A small IMAP and SMTP server in our own event loop, for `make demo` and quick tests: no root, no files, no set-up.

IMAP is pymap on its dict backend, SMTP is aiosmtpd. Mails live in memory and come back octet for octet.
"""

import asyncio
import uuid
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session
from proxyprotocol.result import ProxyResultLocal
from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import Config, DictBackend, Identity
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.user import Passwords, UserMetadata
from pysasl.hashing import Cleartext

HOST = "127.0.0.1"
SIZE_BYTES_MAX = 26_214_400


class MailHost:
    """Serves while it is entered (`async with`). Users receive at `user@` any domain, with or without `+detail`.

    There are no delivery reports: an unknown user is refused at RCPT. STARTTLS, log-in and DSN are not offered
    over SMTP. To know of IMAP: CAPABILITY tells more after the log-in than before, and a session does not see a
    new mail before it asks (NOOP) or is in IDLE.
    """

    def __init__(self, *, users: Mapping[str, str], imap_port: int = 0, smtp_port: int = 0) -> None:
        """`users`: passwords by name. Port 0 is any free one; read the attributes once it is entered."""
        self.users = dict(users)
        self.host = HOST
        self.imap_port = imap_port
        self.smtp_port = smtp_port
        self._config: Config
        self._identities: dict[str, Identity] = {}
        self._servers: list[asyncio.Server] = []
        self._imap_sessions: set[asyncio.Task[None]] = set()
        self._smtp_sessions: WeakSet[SMTP] = WeakSet()

    async def __aenter__(self) -> Self:
        self._servers = [await self._serve_imap(), await self._serve_smtp()]
        self.imap_port, self.smtp_port = (server.sockets[0].getsockname()[1] for server in self._servers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for session in list(self._smtp_sessions):
            if session.transport is not None:
                session.transport.close()
        for task in self._imap_sessions:
            task.cancel()
        await asyncio.gather(*self._imap_sessions, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    async def deliver(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """Put these octets into a folder, as they are."""
        self._config.apply_context()
        message = AppendMessage(raw, datetime.now(UTC), frozenset())
        async with self._identities[user].new_session() as session:
            await session.append_messages(folder, [message])

    async def _serve_imap(self) -> asyncio.Server:
        arguments = Namespace(
            host=HOST,
            port=self.imap_port,
            debug=False,
            cert=None,
            key=None,
            tls=False,
            proxy_protocol=None,
            passlib_cfg=None,
            inherited_sockets=None,
            demo_data=False,
            demo_user=uuid.uuid4().hex,  # the backend insists on one; nobody knows this one
            demo_password=uuid.uuid4().hex,
        )
        # A hash that is slow on purpose would guard what nobody else can reach, and cost seconds at each start.
        backend, self._config = await DictBackend.init(
            arguments, invalid_user_sleep=0.0, secure_auth=False, hash_context=Cleartext()
        )
        self._config.apply_context()
        passwords = Passwords(self._config)
        for user, password in self.users.items():
            identity = Identity(user, backend.login, None, frozenset())
            hashed = await passwords.hash_password(password)
            await identity.set(UserMetadata(self._config, user, password=hashed))
            self._identities[user] = identity
        imap = IMAPServer(backend.login, self._config)

        # pymap's own listener keeps no reference to the task of a connection: Python 3.13 collects it, and the
        # connection falls silent.
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._imap_sessions.add(task)
            task.add_done_callback(self._imap_sessions.discard)
            await imap(reader, writer, SocketInfo.get(writer, ProxyResultLocal(), unique_id=uuid.uuid4().bytes))

        return await asyncio.start_server(talk, HOST, self.imap_port)

    async def _serve_smtp(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def accept() -> SMTP:
            session = SMTP(
                self, data_size_limit=SIZE_BYTES_MAX, enable_SMTPUTF8=True, hostname="mailhost.test", loop=loop
            )
            self._smtp_sessions.add(session)
            return session

        return await loop.create_server(accept, HOST, self.smtp_port)

    # The two hooks that aiosmtpd looks for by these names

    async def handle_RCPT(  # noqa: N802 - the name is given by aiosmtpd
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if _user_of(address) not in self.users:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        assert isinstance(envelope.content, bytes)
        sender = (envelope.mail_from or "").strip("<>")  # aiosmtpd leaves the brackets around a null sender
        raw = f"Return-Path: <{sender}>\r\n".encode() + envelope.content
        for address in envelope.rcpt_tos:
            await self.deliver(_user_of(address), raw)
        return "250 2.0.0 delivered"


def _user_of(address: str) -> str:
    return address.partition("@")[0].partition("+")[0].lower()
