"""One IMAP connection that is logged in: every command bounded in time, every fault a MailflowError."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from aioimaplib import aioimaplib

from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.mail import imap_syntax
from mailflow.mail.imap_protocol import ImapProtocol
from mailflow.mail.smtp import Security

BYTES_PER_SECOND_MIN = 64 * 1024
"""A server that delivers mails slower than this is as good as down."""
RESPONSE_BYTES_MAX = 16 * 1024 * 1024
"""Of one command, beside the mails that it fetches: a SEARCH over a million mails fits."""
LOGOUT_SECONDS_MAX = 3.0

_TRANSIENT = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG"})
"""RFC 5530: refusals of a login that say nothing against the secret."""

_TOLD_AS = {"STORE": "FETCH", "GETQUOTAROOT": "QUOTA"}
"""Commands whose responses have another name."""


class Authentication(StrEnum):
    """How we prove who we are."""

    LOGIN = "login"
    """A password, by LOGIN, or by AUTHENTICATE PLAIN (RFC 4616) when it is not all ASCII."""
    XOAUTH2 = "xoauth2"
    """A token, in the form of Google and Microsoft."""
    OAUTHBEARER = "oauthbearer"
    """A token (RFC 7628)."""


def account_name(user: str, host: str) -> str:
    """By which the register knows an account, for ever."""
    return f"{user}@{host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapAccount:
    """Where mails are read, and within which limits. Nothing falls back: STARTTLS not offered is a failure."""

    host: str
    port: int
    security: Security
    tls: ssl.SSLContext | None
    """Verifies the server; None only with `plain`."""
    authentication: Authentication
    user: str
    secret: Callable[[], str]
    """Gives the password or the token, anew for each connection, so that it can be rotated. May raise OSError."""
    timeout_seconds: float
    """Longest silence of the server, and longest duration of a command that fetches no mails."""
    size_bytes_max: int
    """Larger mails are not read."""
    fetch_batch: int
    """Mails in one FETCH: 20 to 50."""
    move_batch: int
    """Mails in one MOVE: up to 200."""

    @property
    def name(self) -> str:
        """See `account_name`."""
        return account_name(self.user, self.host)

    def __post_init__(self) -> None:
        if (self.security is Security.PLAIN) != (self.tls is None):
            raise Misconfigured("imap: a TLS context goes with security tls and starttls, and only with them")


class RefusedError(Exception):
    """The server said NO or BAD. The connection is still good."""

    def __init__(self, command: str, result: str, code: str) -> None:
        super().__init__(f"{command}: {result}{f' [{code}]' if code else ''}")
        self.code = code
        """Response code (RFC 5530), or an empty string."""
        self.word = f"refused-{code.lower()}" if code else "refused"
        """For the log."""


class ServerFailedError(Unavailable):
    """The server refused a command, or answered nonsense; perhaps because of what was asked for."""

    def __init__(self, text: str, *, why: str) -> None:
        super().__init__(text)
        self.why = why
        """A word for the log."""


class ConnectionCutError(ServerFailedError):
    """The connection ended within a command."""


class NoAnswerError(ServerFailedError):
    """The server did not answer in time, and may still be at it."""


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """What one SELECT told of a folder."""

    uidvalidity: int
    uid_next: int | None
    """None: it did not tell."""


class ImapSession:
    """Commands of one connection, one at a time. After any fault but RefusedError it is not `alive` any more."""

    def __init__(self, account: ImapAccount, protocol: ImapProtocol) -> None:
        self._account = account
        self._protocol = protocol
        self.capabilities: frozenset[str] = frozenset()
        self.arrived = protocol.arrived

    @classmethod
    async def connect(cls, account: ImapAccount) -> Self:
        """Connect, secure, log in. Raises Unavailable, or Misconfigured when trying again cannot help."""
        loop = asyncio.get_running_loop()
        protocol = ImapProtocol(loop, allowance_bytes=RESPONSE_BYTES_MAX)
        session = cls(account, protocol)
        implicit = account.tls if account.security is Security.TLS else None
        with session._ending_on_fault("connect"):
            async with asyncio.timeout(account.timeout_seconds):
                await loop.create_connection(
                    lambda: protocol,
                    account.host,
                    account.port,
                    ssl=implicit,
                    server_hostname=account.host if implicit else None,
                )
                await protocol.greeted.wait()
            if protocol.lost is not None:
                raise protocol.lost
            await session._ask_capabilities()
            if account.security is Security.STARTTLS:
                await session._start_tls()
            await session._log_in()
            await session._ask_capabilities()
        return session

    @property
    def alive(self) -> bool:
        return self._protocol.lost is None

    async def run(self, name: str, *args: str, uid: bool = False, expected_bytes: int = 0) -> Sequence[bytes]:
        """Run one command; give the lines of its response, the text of its completion last.

        Literals among them are bytearrays. `expected_bytes` is the size of the mails that it fetches, as far as it
        is known. Raises RefusedError or Unavailable.
        """
        command = aioimaplib.Command(
            name,
            self._protocol.new_tag(),
            *args,
            prefix="UID" if uid else None,
            untagged_resp_name=_TOLD_AS.get(name),
            loop=self._protocol.loop,
            timeout=self._account.timeout_seconds,  # of silence: every chunk that arrives starts it anew
        )
        # Sizes told beforehand can be wrong, of one mail even grossly.
        self._protocol.allowance_bytes = RESPONSE_BYTES_MAX + self._account.size_bytes_max + 2 * expected_bytes
        with self._ending_on_fault(name):
            try:
                async with asyncio.timeout(self._account.timeout_seconds + expected_bytes / BYTES_PER_SECOND_MIN):
                    response = await self._protocol.execute(command)
            finally:
                command._timer.cancel()
        *lines, status = response.lines
        if response.result != "OK":
            raise RefusedError(name, response.result, imap_syntax.response_code(bytes(status)))
        return [*lines, status]

    async def select(self, folder: str, *, read_only: bool) -> Selected:
        """SELECT or EXAMINE a folder. Raises Misconfigured when it is not there."""
        name = "EXAMINE" if read_only else "SELECT"
        try:
            lines = await self.run(name, imap_syntax.mailbox_name(folder))
        except RefusedError as refused:
            self.abort()
            kind = Misconfigured if refused.code in {"NONEXISTENT", "NOPERM"} else Unavailable
            raise kind(f"imap: the folder cannot be opened: {refused}") from None
        self._protocol.state = aioimaplib.SELECTED
        if not read_only and imap_syntax.response_code(bytes(lines[-1])) == "READ-ONLY":
            self.abort()
            raise Misconfigured("imap: the folder can only be read, so nothing can be moved out of it")
        with self._ending_on_fault(name):
            return Selected(imap_syntax.uidvalidity(lines), imap_syntax.uid_next(lines))

    async def idle(self, seconds: float, interrupted: asyncio.Event) -> bool:
        """IDLE (RFC 2177) until something arrives (True), `interrupted` is set, or `seconds` are over."""
        protocol = self._protocol
        protocol._idle_event.clear()
        protocol.allowance_bytes = RESPONSE_BYTES_MAX
        command = aioimaplib.Command("IDLE", protocol.new_tag(), loop=protocol.loop)
        with self._ending_on_fault("IDLE"):
            ending = asyncio.ensure_future(protocol.execute(command))
            try:
                if await self._first(ending, protocol._idle_event, seconds=self._account.timeout_seconds):
                    await self._first(ending, self.arrived, interrupted, seconds=seconds)
                    if not ending.done():
                        protocol.idle_done()
                elif not ending.done():
                    raise TimeoutError
                async with asyncio.timeout(self._account.timeout_seconds):
                    response = await ending
            finally:
                ending.cancel()
        if response.result != "OK":
            raise RefusedError("IDLE", response.result, "")
        return self.arrived.is_set()

    @staticmethod
    async def _first(ending: asyncio.Future[aioimaplib.Response], *events: asyncio.Event, seconds: float) -> bool:
        """Whether one of the events is set, before `ending` is done and `seconds` are over."""
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait([ending, *waits], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not ending.done() and any(event.is_set() for event in events)

    async def log_out(self) -> None:
        """Say goodbye if the server listens, then cut the connection. Raises nothing."""
        if self.alive:
            with contextlib.suppress(TimeoutError, RefusedError, MailflowError):
                async with asyncio.timeout(LOGOUT_SECONDS_MAX):
                    await self.run("LOGOUT")
        self.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOGOUT_SECONDS_MAX):
                await self._protocol.closed.wait()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._protocol.abort("given up")

    # Connecting

    async def _ask_capabilities(self) -> None:
        # What servers announce in the greeting or at login can be wrong or of the wrong phase: always ask.
        try:
            lines = await self.run("CAPABILITY")
        except RefusedError as refused:
            raise Unavailable(f"imap: {refused}") from None
        self.capabilities = imap_syntax.capabilities(lines[:-1])

    async def _start_tls(self) -> None:
        protocol, account = self._protocol, self._account
        if "STARTTLS" not in self.capabilities:
            raise Misconfigured("imap: the server offers no STARTTLS")
        try:
            await self.run("STARTTLS")
        except RefusedError as refused:
            raise Unavailable(f"imap: {refused}") from None
        assert account.tls is not None
        async with asyncio.timeout(account.timeout_seconds):
            transport = await protocol.loop.start_tls(
                protocol.transport, protocol, account.tls, server_hostname=account.host
            )
        if protocol.lost is not None or transport is None:
            raise Unavailable("imap: connection lost at STARTTLS")
        protocol.transport = transport
        protocol.expects_silence = False
        await self._ask_capabilities()  # those told in clear count for nothing

    async def _log_in(self) -> None:
        account = self._account
        try:
            secret = account.secret()
        except (OSError, ValueError):
            raise Unavailable("imap: the secret of the account cannot be read now") from None
        if not account.user or not secret or any(c in account.user + secret for c in "\0\1\r\n"):
            raise Misconfigured("imap: user or secret is empty or holds control characters")
        try:
            match account.authentication:
                case Authentication.XOAUTH2:
                    await self._authenticate("XOAUTH2", _bearer(f"user={account.user}", secret), error_reply="")
                case Authentication.OAUTHBEARER:
                    where = f"n,a={_saslname(account.user)},\1host={account.host}\1port={account.port}"
                    await self._authenticate("OAUTHBEARER", _bearer(where, secret), error_reply="\1")
                case Authentication.LOGIN if (account.user + secret).isascii():
                    if "LOGINDISABLED" in self.capabilities:
                        raise Misconfigured("imap: the server refuses passwords over this kind of connection")
                    await self.run("LOGIN", *self._quoted(account.user, secret))
                case Authentication.LOGIN:
                    await self._authenticate("PLAIN", f"\0{account.user}\0{secret}", error_reply="")
        except RefusedError as refused:
            kind = Unavailable if refused.code in _TRANSIENT else Misconfigured
            raise kind(f"imap: login refused: {refused}") from None
        self._protocol.state = aioimaplib.AUTH

    @staticmethod
    def _quoted(*texts: str) -> Iterator[str]:
        try:
            yield from [imap_syntax.quoted(text) for text in texts]
        except ValueError:
            raise Misconfigured("imap: user or secret holds control characters") from None

    async def _authenticate(self, mechanism: str, initial: str, *, error_reply: str) -> None:
        """SASL (RFC 3501 section 6.2.2). `error_reply` answers the challenge in which a server explains a failure."""
        if f"AUTH={mechanism}" not in self.capabilities:
            raise Misconfigured(f"imap: the server does not offer {mechanism}")
        answers = [base64.b64encode(text.encode()).decode() for text in (initial, error_reply)]
        at_once = answers[:1] if "SASL-IR" in self.capabilities else []
        self._protocol.sasl_answers.clear()
        self._protocol.sasl_answers.extend(text.encode() for text in answers[len(at_once) :])
        await self.run("AUTHENTICATE", mechanism, *at_once)

    @contextlib.contextmanager
    def _ending_on_fault(self, what: str) -> Iterator[None]:
        """Whatever goes wrong inside, cancellation too, leaves the stream at an unknown place: cut it.

        Causes are dropped on purpose: the text of aioimaplib's errors can hold a whole command line.
        """
        try:
            yield
        except (TimeoutError, aioimaplib.CommandTimeout):
            self.abort()
            raise NoAnswerError(f"imap: {what}: no answer in time", why="no-answer") from None
        except aioimaplib.AioImapException:
            reason = self._protocol.lost
            self.abort()
            text = f"imap: {what}: {reason or 'the server broke the protocol'}"
            raise ConnectionCutError(text, why="connection-lost") from None
        except ssl.SSLCertVerificationError as error:
            self.abort()
            raise Unavailable(f"imap: {what}: certificate not trusted: {error.verify_message}") from None
        except (OSError, UnicodeError, imap_syntax.UnreadableResponseError) as error:
            self.abort()
            raise Unavailable(f"imap: {what}: {type(error).__name__}") from None
        except BaseException:
            self.abort()
            raise


def _bearer(who: str, token: str) -> str:
    return f"{who}\1auth=Bearer {token}\1\1"


def _saslname(user: str) -> str:
    """RFC 5801 section 4."""
    return user.replace("=", "=3D").replace(",", "=2C")
