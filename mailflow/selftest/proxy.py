"""A TCP proxy that breaks connections on purpose: cut, reset, stall, delay at a chosen line of either side.

It knows nothing of IMAP or SMTP; it counts and matches lines that end in CRLF. Where the server is reached by TLS it
ends that, verified, and begins another one for its client.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self

from mailflow.selftest.upstream import Upstream


class Side(StrEnum):
    """Who speaks."""

    CLIENT = "client"
    SERVER = "server"


class Fault(StrEnum):
    """What happens at the line."""

    RESET_BEFORE = "reset before"
    """RST to both sides; the line is not passed on."""
    RESET_WITHIN = "reset within"
    """Half of the line is passed on first."""
    CLOSE_AFTER = "close after"
    """The line is passed on, then both sides see the end of the stream."""
    STALL = "stall"
    """Neither this line nor anything after it is passed on, in either direction; the sockets stay open."""
    DRIBBLE = "dribble"
    """The line is passed on octet by octet."""
    REPLACE = "replace"
    """Other octets are passed on instead."""
    ACT = "act"
    """Something is done first, with which the line has nothing to do."""


@dataclass(kw_only=True)
class Break:
    """What happens at a line."""

    fault: Fault
    replacement: bytes = b""
    act: Callable[[], Awaitable[None]] | None = None


@dataclass(kw_only=True)
class Rule(Break):
    """Fires once: at the first line of `side` that matches, or at its `line`-th line (from 1)."""

    side: Side
    match: bytes | None = None
    line: int | None = None
    fired: bool = False

    def hits(self, side: Side, line: int, octets: bytes) -> bool:
        if self.fired or side is not self.side:
            return False
        if self.match is not None:
            return re.search(self.match, octets) is not None
        return line == self.line and octets.endswith(b"\r\n")


@dataclass(eq=False)
class _Connection:
    writers: dict[Side, asyncio.StreamWriter]
    """By who speaks: the writer towards the other side."""
    lines: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    trace: list[tuple[Side, int, bytes]] = field(default_factory=list)
    stalled: bool = False
    dead: bool = False

    def end(self, *, reset: bool) -> None:
        self.dead = True
        for writer in self.writers.values():
            if reset:
                _reset(writer)
            else:
                writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side gets RST (SO_LINGER 0)."""
    with contextlib.suppress(OSError, AttributeError):  # TLS that has ended knows of no socket any more
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class FaultProxy:
    """An async context manager that listens on a free loopback `port` and passes on to `upstream`.

    That is a server, or the port of one on this machine that is reached in clear. Beside the rules, `at_line` is asked
    at each line of any connection. With `tls` clients are to begin with TLS.
    """

    def __init__(
        self,
        upstream: Upstream | int,
        *rules: Rule,
        at_line: Callable[[Side, bytes], Break | None] = lambda *_: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.upstream = Upstream(port=upstream) if isinstance(upstream, int) else upstream
        self._tls = tls
        self.rules = list(rules)
        self._at_line = at_line
        self.port = 0
        self.traces: list[list[tuple[Side, int, bytes]]] = []
        """Of each connection, in the order in which they were opened: side, number and octets of every line."""
        self.connections = 0
        self.stalled = asyncio.Event()
        """Set once a rule has stalled a connection."""
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def trace(self) -> list[tuple[Side, int, bytes]]:
        """That of the first connection."""
        return self.traces[0] if self.traces else []

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.drop_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_all(self) -> None:
        """Reset every open connection now."""
        for connection in list(self._open):
            connection.end(reset=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own, so that leaving the proxy can end it.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            up_reader, up_writer, greeting = await self.upstream.open()
        except OSError:
            _reset(writer)
            return
        connection = _Connection({Side.CLIENT: up_writer, Side.SERVER: writer})
        self._open.add(connection)
        self.traces.append(connection.trace)
        try:
            await asyncio.gather(
                self._pump(connection, Side.CLIENT, reader),
                self._pump(connection, Side.SERVER, up_reader, greeting),
                return_exceptions=True,
            )
        finally:
            self._open.discard(connection)
            for one in (writer, up_writer):
                one.close()

    async def _pump(
        self, connection: _Connection, side: Side, reader: asyncio.StreamReader, begun: bytes = b""
    ) -> None:
        rest = b""
        writer = connection.writers[side]
        while data := begun or await reader.read(65536):
            rest, begun = rest + data, b""
            while rest and not connection.stalled and not connection.dead:
                line, separator, tail = rest.partition(b"\r\n")
                octets, rest = line + separator, tail
                connection.lines[side] += bool(separator)
                connection.trace.append((side, connection.lines[side], octets))
                await self._pass_on(connection, side, octets)
        if not connection.dead and not connection.stalled:
            writer.close()

    def _broken(self, side: Side, line: int, octets: bytes) -> Break | None:
        for rule in self.rules:
            if rule.hits(side, line, octets):
                rule.fired = True
                return rule
        return self._at_line(side, octets)

    async def _pass_on(self, connection: _Connection, side: Side, octets: bytes) -> None:
        writer = connection.writers[side]
        broken = self._broken(side, connection.lines[side], octets)
        match broken.fault if broken else None:
            case None:
                writer.write(octets)
            case Fault.STALL:
                connection.stalled = True
                self.stalled.set()
                return
            case Fault.DRIBBLE:
                for octet in octets:
                    writer.write(bytes([octet]))
                    await writer.drain()
                    await asyncio.sleep(0)
            case Fault.REPLACE:
                assert broken is not None
                writer.write(broken.replacement)
            case Fault.ACT:
                assert broken is not None
                assert broken.act is not None
                await broken.act()
                writer.write(octets)
            case fault:
                writer.write(
                    {Fault.CLOSE_AFTER: octets, Fault.RESET_WITHIN: octets[: len(octets) // 2]}.get(fault, b"")
                )
                await writer.drain()
                await asyncio.sleep(0.01)  # let it arrive before the reset overtakes it
                connection.end(reset=fault is not Fault.CLOSE_AFTER)
                return
        await writer.drain()
