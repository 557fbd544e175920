"""Our subclass of aioimaplib's protocol: the same results as the original, without its faults."""

import asyncio
import itertools
import random

import pytest
from aioimaplib import aioimaplib

from mailflow.mail.imap_protocol import ConnectionLostError, ImapProtocol

STREAMS = 500
MEBIBYTE = 1024 * 1024


class Wire:
    """Stands for the transport: keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, octets: bytes) -> None:
        self.written.append(octets)

    def abort(self) -> None:
        self.aborted = True


def selected(protocol: aioimaplib.IMAP4ClientProtocol) -> aioimaplib.IMAP4ClientProtocol:
    """In a session with a folder open, where the next tag is T0."""
    protocol.transport = Wire()
    protocol.state = aioimaplib.SELECTED
    protocol.tagpre, protocol.tagnum = "T", 0
    protocol.capabilities = {"MOVE", "UIDPLUS", "IDLE"}
    return protocol


def ours(allowance_bytes: int = MEBIBYTE) -> ImapProtocol:
    protocol = ImapProtocol(asyncio.get_running_loop(), allowance_bytes=allowance_bytes)
    selected(protocol)
    return protocol


# The same results as the original


def _body(dice: random.Random) -> bytes:
    body = bytes(dice.choice(b'ab()\r\n{}*+ T0K"\\\x00\xff1') for _ in range(dice.choice([0, 1, 2, 5, 50, 500])))
    traps = [b"\r\n", b"\r", b"T0 OK fake\r\n", b"* 3 FETCH (UID 9 BODY[] {3}\r\nabc)\r\n", b"{10}\r\n", b")"]
    return body + dice.choice([b"", *traps])


def _fetch_stream(dice: random.Random) -> bytes:
    stream = b""
    between = [b"* 7 EXISTS\r\n", b"* 3 EXPUNGE\r\n", b"* 2 FETCH (FLAGS (\\Seen))\r\n", b"* OK still here\r\n"]
    for number in range(1, dice.randint(0, 8) + 1):
        body, head = _body(dice), _body(dice)
        stream += dice.choice([b"", b"", b"", dice.choice(between)])
        items = dice.choice(
            [
                b"UID %d BODY[] {%d}\r\n%b" % (100 + number, len(body), body),
                b"BODY[] {%d}\r\n%b UID %d RFC822.SIZE %d" % (len(body), body, 100 + number, len(body)),
                b"UID %d BODY[HEADER] {%d}\r\n%b BODY[TEXT] {%d}\r\n%b" % (number, len(head), head, len(body), body),
                b"UID %d RFC822.SIZE %d FLAGS ()" % (100 + number, len(body)),
                b"UID %d BODY[] NIL" % (100 + number),
            ]
        )
        stream += b"* %d FETCH (%b)\r\n" % (number, items)
    return stream + b"T0 OK Fetch done\r\n"


def _stream(dice: random.Random) -> tuple[str, bytes]:
    kind = dice.choice(["fetch", "fetch", "fetch", "move", "search"])
    if kind == "fetch":
        return kind, _fetch_stream(dice)
    if kind == "move":
        moved = b"* OK [COPYUID 1 1:3 4:6] Moved\r\n* 3 EXPUNGE\r\n* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n"
        return kind, moved + b"T0 OK done\r\n"
    return kind, b"* SEARCH 1 2 3\r\n* 5 EXISTS\r\nT0 OK done\r\n"


def _chunks(dice: random.Random, stream: bytes) -> list[bytes]:
    cuts = {0, len(stream)}
    cuts |= {dice.randint(0, len(stream)) for _ in range(dice.choice([0, 1, 3, 20, len(stream)]))}
    places = sorted(cuts)
    return [stream[start:end] for start, end in itertools.pairwise(places)]


async def _result(
    protocol: aioimaplib.IMAP4ClientProtocol, kind: str, chunks: list[bytes]
) -> tuple[str, list[tuple[str, bytes]]]:
    commands = {
        "fetch": lambda: protocol.fetch("1:*", "(UID BODY.PEEK[])", by_uid=True, timeout=30),
        "move": lambda: protocol.move("1:3", "P", by_uid=True),
        "search": lambda: protocol.search("ALL", charset=None, by_uid=True),
    }
    task = asyncio.ensure_future(commands[kind]())
    await asyncio.sleep(0)
    for chunk in chunks:
        protocol.data_received(chunk)
    async with asyncio.timeout(60):
        response = await task
    return response.result, [(type(line).__name__, bytes(line)) for line in response.lines]


async def test_any_stream_cut_anywhere_gives_what_the_original_gives() -> None:
    for seed in range(STREAMS):
        dice = random.Random(seed)
        kind, stream = _stream(dice)
        original = selected(aioimaplib.IMAP4ClientProtocol(asyncio.get_running_loop()))
        expected = await _result(original, kind, _chunks(dice, stream))
        assert await _result(ours(), kind, _chunks(dice, stream)) == expected, f"seed {seed}"


# Without its faults


async def test_two_thousand_lines_in_one_read_are_no_recursion() -> None:
    stream = b"".join(b"* %d FETCH (UID %d RFC822.SIZE 5)\r\n" % (n, n) for n in range(2000)) + b"T0 OK done\r\n"
    result, lines = await _result(ours(), "fetch", [stream])
    assert (result, len(lines)) == ("OK", 2001)


async def test_stars_inside_of_a_response_stay() -> None:
    _, lines = await _result(ours(), "fetch", [b'* 1 FETCH (UID 1 ENVELOPE ("* one (two * three"))\r\nT0 OK done\r\n'])
    assert lines[0] == ("bytes", b'1 FETCH (UID 1 ENVELOPE ("* one (two * three"))')


@pytest.mark.parametrize(
    "stream",
    [
        b"x" * 3000,
        b"* 1 FETCH (UID 1 BODY[] {100000}\r\n",
        b"* OK again\r\n" * 300,
        b"* 1 FETCH (BODY[] {900}\r\n" + b"y" * 900 + b" BODY[] {900}\r\n" + b"y" * 1200,
    ],
)
async def test_a_server_that_sends_more_than_was_asked_for_is_cut_off(stream: bytes) -> None:
    protocol = ours(allowance_bytes=2000)
    with pytest.raises(ConnectionLostError):
        await _result(protocol, "fetch", [stream[n : n + 100] for n in range(0, len(stream), 100)])
    assert protocol.transport.aborted


async def test_a_completion_that_fits_no_command_cuts_the_connection() -> None:
    protocol = ours()
    with pytest.raises(ConnectionLostError):
        await _result(protocol, "fetch", [b"T9 OK not yours\r\n"])
    assert protocol.transport.aborted


async def test_any_octets_leave_a_pending_command_an_answer_or_a_lost_connection() -> None:
    dice = random.Random(1)
    pieces = [*b"* |+ |T0 |OK |NO|FETCH|(|)|{3}|1 |EXISTS|abc|\xff".split(b"|"), b"\r\n"]
    for _ in range(STREAMS):
        protocol = ours()
        stream = b"".join(dice.choice(pieces) for _ in range(dice.randint(1, 40)))
        task = asyncio.ensure_future(protocol.search("ALL", charset=None, by_uid=True))
        await asyncio.sleep(0)
        for chunk in _chunks(dice, stream):
            protocol.data_received(chunk)
        protocol.connection_lost(None)
        try:
            async with asyncio.timeout(60):
                assert (await task).result in {"OK", "NO", "BAD"}
        except ConnectionLostError:
            assert protocol.lost is not None


async def test_the_loss_of_the_connection_ends_a_pending_command_at_once() -> None:
    protocol = ours()
    task = asyncio.ensure_future(protocol.search("ALL", charset=None, by_uid=True))
    await asyncio.sleep(0)
    protocol.connection_lost(ConnectionResetError())
    with pytest.raises(ConnectionLostError):
        await task


async def test_a_sasl_challenge_gets_the_prepared_answers_and_then_a_cancellation() -> None:
    protocol = ours()
    protocol.state = aioimaplib.NONAUTH
    protocol.sasl_answers.append(b"AQ==")
    command = aioimaplib.Command("AUTHENTICATE", protocol.new_tag(), "OAUTHBEARER", loop=protocol.loop)
    task = asyncio.ensure_future(protocol.execute(command))
    await asyncio.sleep(0)
    protocol.data_received(b"+ eyJ9\r\n+ eyJ9\r\nT0 NO refused\r\n")
    assert (await task).result == "NO"
    assert protocol.transport.written[1:] == [b"AQ==\r\n", b"*\r\n"]
