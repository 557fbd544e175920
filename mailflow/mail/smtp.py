"""Sends frozen mails over a few reused SMTP connections: accepted, surely not accepted, or doubtful."""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import aiosmtplib

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail.connections import Connections
from mailflow.mail.ports import BeforeData, Outgoing, Sending, SendResult
from mailflow.mail.smtp_session import Session

IDLE_SECONDS_MAX = 60.0
"""An idle connection older than this is not used again: servers close theirs after one to five minutes."""

QUIT_SECONDS_MAX = 3.0
"""Longest wait for the reply to QUIT."""

AROUND_DATA_SECONDS_MAX = 20.0
"""What a send takes, after it was put on record, beside the two replies that it waits for."""

ENVELOPE_ID_LENGTH_MAX = 100
"""RFC 3461, 4.4: of the ENVID parameter, encoded."""

ADDRESS_LENGTH_MAX = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 octets less its angle brackets."""

_ATOM = r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]+"
_ADDR_SPEC = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")
_NOT_XCHAR = re.compile(rb"[^\x21-\x2a\x2c-\x3c\x3e-\x7e]")
_ENHANCED_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?![.\d])")
_ABOUT_THE_SESSION = frozenset({500, 502, 503, 530, 535, 538})
"""5xx codes that speak of a command that was not understood, of the order of commands or of our log-in, never of the
mail (RFC 5321, 4.2.3; RFC 4954, 6): it may go again. No server refuses a command that we know of in each session."""

_ACCEPTED = {b"MAIL": (250,), b"RCPT": (250, 251)}
_START_INPUT, _COMPLETED, _CLOSING = 354, 250, 421

_LOST = (aiosmtplib.SMTPException, OSError, ValueError)
"""What aiosmtplib raises when a connection is of no more use (ValueError: an undecodable challenge)."""


class Security(StrEnum):
    """How the connection is protected."""

    TLS = "tls"
    STARTTLS = "starttls"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where and how to send. Nothing falls back: STARTTLS that is not offered is a failure."""

    host: str
    port: int
    security: Security
    tls: ssl.SSLContext | None
    """Verifies the server; None only with `plain`."""
    user: str | None
    """None: no authentication."""
    secret: Callable[[], str] | None
    """Gives the password, anew for each connection. When it cannot, the mail is deferred."""
    timeout_seconds: float
    """For each reply but the last."""
    data_timeout_seconds: float
    """For the reply to DATA and for the one to the final dot (RFC 5321, 4.5.3.2.6: ten minutes)."""
    local_hostname: str
    """What we call ourselves in EHLO."""

    def __post_init__(self) -> None:
        if (self.security is Security.PLAIN) != (self.tls is None):
            raise Misconfigured("smtp: a TLS context goes with security tls and starttls, and only with them")
        if (self.user is None) != (self.secret is None):
            raise Misconfigured("smtp: user and secret go together")


class _Step(StrEnum):
    """How far a mail came; the first word of every detail."""

    CONNECT = "connect"
    MAIL = "MAIL"
    RECIPIENT = "RCPT"
    AUDIT = "RCPT audit"
    DATA = "DATA"


@dataclass(slots=True, kw_only=True, eq=False)
class _Connection:
    client: aiosmtplib.SMTP
    """Knows what the server offers."""
    session: Session
    idle_since: float = 0.0
    reached: _Step = _Step.CONNECT
    """How far the present mail came."""

    @property
    def usable(self) -> bool:
        """It is open, and has not been idle for too long."""
        return self.session.is_open and _now() - self.idle_since <= IDLE_SECONDS_MAX

    def abort(self) -> None:
        """Drop the connection at once, with whatever it had not sent yet."""
        self.session.abort()


class _NotConnected(Exception):
    """No connection is to be had; a mail that waits for one is deferred."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.result = SendResult(state=Sending.DEFERRED, detail=detail)


class SmtpMailer:
    """`ports.Mailer` over one server, with at most `connections` of them side by side.

    Opened when needed; each serves one mail at a time and is used again unless anything was lost on it.

    A `send` that is cancelled closes its connection and passes the cancellation on. If that happened after
    `before_data` had said yes, the mail may have been accepted: the outbox row stays `sending`, as after a
    crash, and only the audit mailbox decides it. Exceptions of `before_data` are passed on too; then nothing
    was sent.
    """

    def __init__(self, server: SmtpServer, connections: int) -> None:
        self._server = server
        self._slots = asyncio.Semaphore(connections)
        self._connections = Connections(self._connect)

    async def send(self, outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        """MAIL, RCPT, RCPT of the audit mailbox, `before_data`, DATA. See `ports.Mailer`."""
        fault = fault_of(outgoing)
        if fault:
            return SendResult(state=Sending.REFUSED, detail=fault)
        async with self._slots:
            try:
                connection = await self._begin(outgoing)
            except _NotConnected as failure:
                return failure.result
            if isinstance(connection, SendResult):
                return connection
            return await self._transmit(connection, outgoing.raw, before_data)

    async def check(self) -> None:
        """Connect, secure and log in; the connection is kept for the first mail. Raises Unavailable."""
        async with self._slots:
            try:
                self._put_back(await self._connections.take_new())
            except _NotConnected as failure:
                raise Unavailable(f"smtp: {failure}") from failure

    async def close(self) -> None:
        """Say QUIT on the idle connections, all at once. Those in use are closed when their mail is done."""
        await asyncio.gather(*(_quit(connection) for connection in self._connections.close()))

    async def _begin(self, outgoing: Outgoing) -> _Connection | SendResult:
        """A connection on which the envelope was accepted. One that died while it was idle is replaced, once."""
        connection = await self._connections.take()
        refusal = await self._address(connection, outgoing)
        if refusal is None:
            return connection
        if connection.session.is_open or not connection.idle_since or connection.reached is not _Step.MAIL:
            return refusal
        fresh = await self._connections.take_new()
        return await self._address(fresh, outgoing) or fresh

    async def _connect(self) -> _Connection:
        server = self._server
        try:
            password = server.secret() if server.secret is not None else ""
        except (OSError, ValueError, Misconfigured) as error:
            # It may be about to be replaced: no reason to stop the worker, which goes on receiving.
            raise _NotConnected(f"{_Step.CONNECT} no secret") from error
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=server.local_hostname,
            timeout=server.timeout_seconds,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.STARTTLS,
            tls_context=server.tls,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
            if server.user is not None:
                await client.login(server.user, password)
            session = Session(client)
        except _LOST as error:
            client.close()
            raise _NotConnected(_detail(_Step.CONNECT, error)) from error
        except BaseException:
            client.close()
            raise
        return _Connection(client=client, session=session)

    async def _address(self, connection: _Connection, outgoing: Outgoing) -> SendResult | None:
        """None when MAIL, the recipient and the audit mailbox are accepted, all of them; else see `_ask`.

        The three travel together where the server has offered it: nobody is bound by anything before DATA.
        """
        envelope = _envelope(connection.client, outgoing)
        together = connection.client.supports_extension("pipelining")
        for group in [envelope] if together else [[one] for one in envelope]:
            refusal = await self._ask(connection, group)
            if refusal is not None:
                return refusal
        return None

    async def _ask(self, connection: _Connection, commands: Sequence[tuple[_Step, bytes]]) -> SendResult | None:
        """None when the server agreed to each; else the result, and the connection is ready for more, or closed."""
        try:
            octets = [command for _, command in commands]
            replies = await connection.session.ask(octets, self._server.timeout_seconds)
        except BaseException:
            self._connections.drop(connection)
            raise
        for (step, command), reply in zip(commands, replies, strict=False):
            connection.reached = step
            if isinstance(reply, aiosmtplib.SMTPException):
                self._connections.drop(connection)
                return SendResult(state=Sending.DEFERRED, detail=_detail(step, reply))
            if reply.code not in _ACCEPTED[command[:4]]:
                lost = isinstance(replies[-1], aiosmtplib.SMTPException)
                await self._reset(connection, _CLOSING if lost else reply.code)
                return _refusal(step, aiosmtplib.SMTPResponseException(reply.code, reply.message))
        return None

    async def _transmit(self, connection: _Connection, raw: bytes, before_data: BeforeData) -> SendResult:
        try:
            if not await before_data():
                await self._reset(connection, None)
                return SendResult(state=Sending.DEFERRED, detail="taken")
            try:
                await _data(connection.session, raw, self._server.data_timeout_seconds)
            except aiosmtplib.SMTPResponseException as refusal:
                await self._reset(connection, refusal.code)
                return _refusal(_Step.DATA, refusal)
            except aiosmtplib.SMTPException as loss:
                self._connections.drop(connection)
                return SendResult(state=Sending.DOUBTFUL, detail=_detail(_Step.DATA, loss))
        except BaseException:
            self._connections.drop(connection)
            raise
        self._put_back(connection)
        return SendResult(state=Sending.SENT)

    async def _reset(self, connection: _Connection, code: int | None) -> None:
        """Make the connection ready for another mail. After what is no plain refusal its state is unknown."""
        if code is not None and (code == _CLOSING or not 400 <= code < 600):
            self._connections.drop(connection)
            return
        try:
            (reply,) = await connection.session.ask([b"RSET"], self._server.timeout_seconds)
        except BaseException:
            self._connections.drop(connection)
            raise
        if isinstance(reply, aiosmtplib.SMTPException) or reply.code != _COMPLETED:
            self._connections.drop(connection)
        else:
            self._put_back(connection)

    def _put_back(self, connection: _Connection) -> None:
        connection.idle_since = _now()
        self._connections.put_back(connection)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _envelope(client: aiosmtplib.SMTP, outgoing: Outgoing) -> list[tuple[_Step, bytes]]:
    """MAIL, RCPT of the recipient and RCPT of the audit mailbox, with what the server knows of parameters."""
    dsn = client.supports_extension("dsn")
    mail = [f"MAIL FROM:<{outgoing.envelope_from}>"]
    if client.supports_extension("size"):
        mail.append(f"SIZE={len(outgoing.raw)}")
    if client.supports_extension("8bitmime") and not outgoing.raw.isascii():
        mail.append("BODY=8BITMIME")
    if dsn:
        mail += ["RET=HDRS", f"ENVID={xtext(outgoing.envelope_id)}"]
    commands = [(_Step.MAIL, " ".join(mail))]
    for step, address, notify in (
        (_Step.RECIPIENT, outgoing.recipient, "FAILURE"),
        (_Step.AUDIT, outgoing.audit, "NEVER"),
    ):
        if address is not None:
            commands.append((step, f"RCPT TO:<{address}>" + f" NOTIFY={notify}" * dsn))
    return [(step, command.encode("ascii")) for step, command in commands]


async def _data(session: Session, raw: bytes, timeout_seconds: float) -> None:
    """DATA, and the mail (RFC 5321, 4.5.2), whose line ends `fault_of` has looked at. Raises what came instead."""
    mail = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:] + b"."
    for command, wanted in ((b"DATA", _START_INPUT), (mail, _COMPLETED)):
        (reply,) = await session.ask([command], timeout_seconds)
        if isinstance(reply, aiosmtplib.SMTPException):
            raise reply
        if reply.code != wanted:
            raise aiosmtplib.SMTPResponseException(reply.code, reply.message)


async def _quit(connection: _Connection) -> None:
    try:
        await connection.session.ask([b"QUIT"], QUIT_SECONDS_MAX)
    finally:
        connection.abort()


def sending_seconds_max(data_timeout_seconds: float) -> float:
    """Longest time from the record that a mail is being sent until its sender has let go of it."""
    return 2 * data_timeout_seconds + AROUND_DATA_SECONDS_MAX


def is_addr_spec(address: str) -> bool:
    """Whether it is one bare ASCII address without quoting: exactly what the server will read."""
    return len(address) <= ADDRESS_LENGTH_MAX and _ADDR_SPEC.fullmatch(address) is not None


def fault_of(outgoing: Outgoing) -> str:
    """What makes this mail unfit to be sent as it is, octet for octet; empty when nothing does."""
    addresses = [outgoing.recipient, *(a for a in (outgoing.envelope_from, outgoing.audit) if a)]
    if not all(is_addr_spec(address) for address in addresses):
        return "address is not a bare addr-spec"
    if len(xtext(outgoing.envelope_id)) > ENVELOPE_ID_LENGTH_MAX:
        return "envelope id is too long"
    raw = outgoing.raw
    if not raw.endswith(b"\r\n") or not raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n"):
        # A server would mend the line ends, or refuse them, and to mend them breaks the signature over them.
        return "line ends are not CRLF"
    return ""


def xtext(text: str) -> str:
    """RFC 3461, 4: printable ASCII without `+` and `=`; any other octet as `+` and two hexadecimal digits."""
    octets = text.encode("utf-8", "backslashreplace")
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % ord(found[0]), octets).decode("ascii")


def _refusal(step: _Step, refusal: aiosmtplib.SMTPResponseException) -> SendResult:
    """What a reply that is not the hoped-for one means for the mail.

    Codes outside 4xx and 5xx are no answer to what was asked: after DATA or the final dot the mail may be accepted.
    """
    if not 400 <= refusal.code < 600:
        state = Sending.DOUBTFUL if step is _Step.DATA else Sending.DEFERRED
    elif refusal.code < 500 or step is _Step.AUDIT or refusal.code in _ABOUT_THE_SESSION:
        state = Sending.DEFERRED
    else:
        state = Sending.REFUSED
    return SendResult(state=state, detail=_detail(step, refusal))


def _detail(step: _Step, error: Exception) -> str:
    """Step, code and enhanced status, or the kind of loss; never the free text, which may quote addresses."""
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{step} {'timeout' if isinstance(error, TimeoutError) else 'lost'}"
    enhanced = _ENHANCED_STATUS.match(error.message)
    return f"{step} {error.code}" + (f" {enhanced.group()}" if enhanced else "")
