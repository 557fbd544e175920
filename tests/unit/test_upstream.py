"""How the proxy reaches a server that wants STARTTLS: never without it. On real servers: `test_selftest`."""

import asyncio
import contextlib
import ssl

import pytest

from mailflow.mail.smtp import Security
from mailflow.selftest.upstream import UpgradeRefused, Upstream


async def refused(protocol: str, *replies: bytes) -> bool:
    """Whether a server that says this, line after line, is left alone."""

    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for number, reply in enumerate(replies):
                if number:
                    await reader.readline()
                writer.write(reply)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        upstream = Upstream(
            port=server.sockets[0].getsockname()[1],
            security=Security.STARTTLS,
            tls=ssl.create_default_context(),
            protocol=protocol,
        )
        with pytest.raises(UpgradeRefused):
            await upstream.open()
        await over.wait()
    return True


@pytest.mark.parametrize(
    ("protocol", "replies"),
    [
        ("imap", [b"* OK ready\r\n", b"t1 NO not here\r\n"]),
        ("imap", [b"* OK ready\r\n", b"* BYE\r\n"]),
        ("imap", []),
        ("smtp", [b"220 ready\r\n", b"250-mx\r\n250 SIZE\r\n", b"502 5.5.1 unknown\r\n"]),
        ("smtp", [b"554 5.7.1 nobody\r\n"]),
    ],
)
async def test_a_server_that_does_not_go_on_to_tls_is_left_alone(protocol: str, replies: list[bytes]) -> None:
    assert await refused(protocol, *replies)
