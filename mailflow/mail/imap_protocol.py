"""aioimaplib's protocol with its faults mended: one pass over what arrives, bounded memory, prompt failure.

aioimaplib 2.0.3 parses by recursion (a thousand lines in one read end in RecursionError), tests for the end
of a message in quadratic time, formats every chunk for a log that nobody reads, deletes `* ` inside of
responses, sends CAPABILITY from a task that nobody awaits, and does not notice a lost connection. This is a
subclass, so that no fork has to be kept.
"""

import asyncio
import re
from collections import deque

from aioimaplib import aioimaplib

_LITERAL = re.compile(rb"\{(\d{1,19})\}\Z")
_COMPLETION = re.compile(rb"[A-Z0-9]+ (OK|NO|BAD)(?: |\Z)")
_EXISTS = re.compile(rb"\d+ EXISTS\Z", re.IGNORECASE)


class ConnectionLostError(aioimaplib.Abort):  # type: ignore[misc]  # aioimaplib is not typed
    """The connection ended, or the server broke the protocol and was cut off."""


class ImapProtocol(aioimaplib.IMAP4ClientProtocol):  # type: ignore[misc]  # aioimaplib is not typed
    """One connection. `allowance_bytes` is what the server may still send for the present command."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, allowance_bytes: int) -> None:
        super().__init__(loop)
        self.allowance_bytes = allowance_bytes
        self.lost: ConnectionLostError | None = None
        self.greeted = asyncio.Event()
        """Set by the greeting, or by the loss of the connection before it."""
        self.arrived = asyncio.Event()
        """Set when the server announces a number of mails; whoever lists the folder clears it."""
        self.closed = asyncio.Event()
        self.sasl_answers: deque[bytes] = deque()
        """What to reply to each challenge of AUTHENTICATE; then `*` cancels (RFC 3501 section 6.2.2)."""
        self.expects_silence = False
        """After STARTTLS was accepted nothing may arrive in clear (RFC 9051 section 6.2.1)."""
        self._rest = b""
        self._response: list[bytes | bytearray] = []
        self._literal = bytearray()
        self._literal_missing = 0

    # Receiving

    def data_received(self, data: bytes) -> None:
        self.allowance_bytes -= len(data)
        if self.lost is not None:
            return
        if self.allowance_bytes < 0:
            self.abort("the server sends more than was asked for")
        elif self.expects_silence:
            self.abort("the server sends in clear after STARTTLS")
        else:
            try:
                self._receive(data)
            except (aioimaplib.AioImapException, ValueError):
                self.abort("the server's response cannot be understood")

    def _receive(self, data: bytes) -> None:
        if self._literal_missing:
            part = data[: self._literal_missing]
            self._literal += part
            self._literal_missing -= len(part)
            data = data[len(part) :]
        if not self._literal_missing:
            self._rest = self._lines(self._rest + data)
        if self.pending_sync_command is not None:
            self.pending_sync_command.flush()
        command = self.pending_sync_command or next(iter(self.pending_async_commands.values()), None)
        if command is not None:
            command._reset_timer()

    def _lines(self, data: bytes) -> bytes:
        """Handle every whole line and literal; return the unfinished line at the end."""
        position = 0
        while (end := data.find(b"\r\n", position)) >= 0:
            line = data[position:end]
            position = end + 2
            self._response.append(line)
            literal = _LITERAL.search(line)
            if literal is None:
                response, self._response = self._response, []
                self._respond(response)
                if self.expects_silence and position < len(data):
                    raise aioimaplib.Abort("more in clear after STARTTLS was accepted")
                continue
            size = int(literal[1])
            if size > self.allowance_bytes + len(data):
                raise aioimaplib.Abort("a literal larger than was asked for")
            self._literal = bytearray(data[position : position + size])
            self._response.append(self._literal)
            position += len(self._literal)
            self._literal_missing = size - len(self._literal)
            if self._literal_missing:
                return b""
        return data[position:]

    def _respond(self, response: list[bytes | bytearray]) -> None:
        line = bytes(response[0])
        if self.state == aioimaplib.CONNECTED:
            self._greet(line)
        elif line.startswith(b"* "):
            self._untagged([line[2:], *response[1:]])
        elif line.startswith(b"+"):
            self._continuation(line)
        elif completion := _COMPLETION.match(line):
            command = self.pending_sync_command
            self.expects_silence = command is not None and command.name == "STARTTLS" and completion[1] == b"OK"
            self._response_done(line)

    def _greet(self, line: bytes) -> None:
        """RFC 3501 section 7.1. Neither BYE nor PREAUTH will do: we say who we are, and over what security."""
        if re.match(rb"\* OK\b", line, re.IGNORECASE) is None:
            raise aioimaplib.Abort("not the greeting of a server that lets us log in")
        self.state = aioimaplib.NONAUTH
        self.greeted.set()

    def _untagged(self, response: list[bytes | bytearray]) -> None:
        line = response[0]
        if _EXISTS.match(line):
            self.arrived.set()
        if (command := self.pending_sync_command) is None:
            fetch_or_expunge = aioimaplib.message_data_re.match(line)
            name, _, text = bytes(line).partition(b" ")
            if fetch_or_expunge:
                name, text = fetch_or_expunge.group(1), bytes(line)
            command = self.pending_async_commands.get(name.decode("ascii", "replace").upper())
            if command is None:
                if (command := self.pending_async_commands.get("NOOP")) is None:
                    return
            else:
                response[0] = text
        # Command.append_to_resp() would arm a timer for every line.
        command._resp_lines.extend(response)

    def _continuation(self, line: bytes) -> None:
        command = self.pending_sync_command
        if command is not None and command.name == "AUTHENTICATE":
            self.transport.write((self.sasl_answers.popleft() if self.sasl_answers else b"*") + b"\r\n")
        else:
            super()._continuation(line)

    # Sending

    def send(self, line: str, scrub: str | None = None) -> None:  # noqa: ARG002  # aioimaplib's signature
        """Without a log: a line may hold a password."""
        self.transport.write(f"{line}\r\n".encode())

    # The end

    def abort(self, reason: str) -> None:
        """Cut the connection. The stream's position is unknown now, so nothing more is read from it."""
        self._fail(reason)
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("connection lost")
        self.closed.set()
        super().connection_lost(exc)

    def _fail(self, reason: str) -> None:
        if self.lost is not None:
            return
        self.lost = ConnectionLostError(reason)
        for command in [self.pending_sync_command, *self.pending_async_commands.values()]:
            if command is not None and not command._event.is_set():
                command._exception = self.lost
                command._timer.cancel()
                command._event.set()
        self.greeted.set()
