"""Every line of an SMTP dialogue with Postfix is cut, stalled, dribbled or garbled: the mailer claims only what is so.

The oracle is the recipient's mailbox. SENT: the mail is there. DEFERRED or REFUSED: it is not and never will be.
Only DOUBTFUL may be either, and only once `before_data` had its say.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from mailflow.mail.ports import Sending, SendResult
from mailflow.mail.smtp import SmtpMailer
from mailflow.selftest.lines import BITS, WORD, garbled
from mailflow.selftest.proxy import Fault, FaultProxy, Rule, Side
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix
from tests.support.available import require
from tests.support.mailer_worlds import USERS, a_mail, plain_server

BODY = b"Number\r\n.\r\n..\r\nthe last line but the dot\r\n"
REPLY_SECONDS_MAX = 20.0
"""Far more than a server that is only slow: its replies are cut, not late."""
STALL_SECONDS = 2.0
"""A stall ends by it alone, so each costs as much; whatever comes before the stall must be quicker."""
SEND_SECONDS_MAX = 60.0
"""A send ends within a few times the longest wait for a reply, whatever is cut."""
SIDE_BY_SIDE = 8

Line = tuple[Side, int, bytes]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was done to one dialogue, and what the mailer said of it."""

    fault: Fault
    line: Line
    fired: bool
    message_id: str
    claimed: bool
    result: SendResult

    def __str__(self) -> str:
        side, number, octets = self.line
        return f"{self.fault} {side} {number} {octets[:30]!r}: {self.result}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postfix, Dovecot]]:
    require("dovecot")
    require("postfix")
    folder = tmp_path_factory.mktemp("servers")
    with (
        Dovecot(folder / "dovecot") as dovecot,
        Postfix(folder / "postfix", lmtp_port=dovecot.lmtp_port, recipients=USERS) as postfix,
    ):
        yield postfix, dovecot


async def send_through(port: int, reply_seconds_max: float = REPLY_SECONDS_MAX) -> tuple[str, bool, SendResult]:
    """One mail over one connection, and QUIT; its Message-ID, whether it was claimed, and the result."""
    claimed = False

    async def claim() -> bool:
        nonlocal claimed
        claimed = True
        return True

    message_id, outgoing = a_mail(BODY)
    mailer = SmtpMailer(plain_server(port, timeout_seconds=reply_seconds_max), 1)
    try:
        result = await asyncio.wait_for(mailer.send(outgoing, claim), SEND_SECONDS_MAX)
    finally:
        await asyncio.wait_for(mailer.close(), SEND_SECONDS_MAX)
    return message_id, claimed, result


async def lines_of_the_dialogue(postfix: Postfix) -> list[Line]:
    async with FaultProxy(postfix.port) as proxy:
        _, _, result = await send_through(proxy.port)
        assert result.state is Sending.SENT
        return [(side, number, octets) for side, number, octets in proxy.trace if octets.endswith(b"\r\n")]


async def break_each(
    postfix: Postfix, lines: Sequence[Line], faults: Sequence[Fault], instead: Callable[[bytes], bytes] = bytes
) -> list[Case]:
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(fault: Fault, line: Line) -> Case:
        rule = Rule(side=line[0], line=line[1], fault=fault, replacement=instead(line[2]))
        async with turn, FaultProxy(postfix.port, rule) as proxy:
            patience = STALL_SECONDS if fault in {Fault.STALL, Fault.REPLACE} else REPLY_SECONDS_MAX
            message_id, claimed, result = await send_through(proxy.port, patience)
        return Case(fault=fault, line=line, fired=rule.fired, message_id=message_id, claimed=claimed, result=result)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(fault, line)) for line in lines for fault in faults]
    await asyncio.to_thread(postfix.wait_until_quiet)
    return [task.result() for task in tasks]


def judge(cases: Sequence[Case], dovecot: Dovecot) -> Counter[tuple[Sending, int]]:
    """Hold each case against the mailboxes. How often each result went with how many delivered mails."""
    arrived = {user: dovecot.messages(user) for user in ("ann", "audit")}
    counts: Counter[tuple[Sending, int]] = Counter()
    for case in cases:
        assert case.fired, case
        copies = {user: sum(case.message_id.encode() in raw for raw in mails) for user, mails in arrived.items()}
        assert copies["ann"] == copies["audit"] <= 1, case
        state, delivered = case.result.state, copies["ann"]
        counts[state, delivered] += 1
        if state is Sending.SENT:
            assert delivered == 1, case
        elif state is Sending.DOUBTFUL:
            assert case.claimed, case
        else:
            assert delivered == 0, case
        if case.fault is Fault.DRIBBLE:
            assert state is Sending.SENT, case
    return counts


def one_line_a_step(lines: Sequence[Line]) -> list[Line]:
    """Without the continuation lines of the server and all but the first lines of header and body."""
    kept = []
    for side, number, octets in lines:
        if side is Side.SERVER:
            wanted = octets[3:4] != b"-"
        else:
            wanted = octets.startswith((b"EHLO", b"MAIL", b"RCPT", b"DATA", b"From:", b"Number", b".\r\n", b"QUIT"))
        if wanted:
            kept.append((side, number, octets))
    return kept


CUTS = (Fault.RESET_BEFORE, Fault.RESET_WITHIN, Fault.CLOSE_AFTER, Fault.STALL)


async def test_a_cut_at_any_step_never_makes_a_false_claim(servers: tuple[Postfix, Dovecot]) -> None:
    postfix, dovecot = servers
    lines = one_line_a_step(await lines_of_the_dialogue(postfix))
    counts = judge(await break_each(postfix, lines, CUTS), dovecot)
    # The sweep reached the window that it is about: doubtful sends that had gone out, and some that had not.
    assert counts[Sending.DOUBTFUL, 1]
    assert counts[Sending.DOUBTFUL, 0]
    assert counts[Sending.DEFERRED, 0]


@pytest.mark.parametrize("how", [BITS, WORD])
async def test_a_command_that_arrives_garbled_never_refuses_the_mail(
    servers: tuple[Postfix, Dovecot], how: str
) -> None:
    postfix, dovecot = servers
    lines = one_line_a_step(await lines_of_the_dialogue(postfix))
    commands = [line for line in lines if line[0] is Side.CLIENT and not line[2].startswith((b"From:", b"Number"))]
    counts = judge(await break_each(postfix, commands, [Fault.REPLACE], partial(garbled, how)), dovecot)
    assert Sending.REFUSED not in {state for state, _ in counts}, "Postfix refuses the command for good: 500, 502"


@pytest.mark.slow
async def test_a_cut_at_any_line_never_makes_a_false_claim(servers: tuple[Postfix, Dovecot]) -> None:
    postfix, dovecot = servers
    lines = await lines_of_the_dialogue(postfix)
    judge(await break_each(postfix, lines, (*CUTS, Fault.DRIBBLE)), dovecot)


@pytest.mark.parametrize("reply", [b"250 2.0.0 ok\r\n", b"552 5.3.4 too large\r\n"])
async def test_a_reply_that_comes_before_the_mail_has_left_is_not_the_reply_to_it(reply: bytes) -> None:
    told = asyncio.Event()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while not (command := await reader.readline()).startswith(b"DATA"):
            writer.write(b"250 ok\r\n" if command else b"")
        writer.write(b"354 go on\r\n")
        await reader.readline()
        writer.write(reply)  # and reads no further
        await told.wait()
        writer.transport.abort()

    listener = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=1_000)
    async with listener:
        mailer = SmtpMailer(plain_server(listener.sockets[0].getsockname()[1]), 1)
        try:
            result = await asyncio.wait_for(mailer.send(a_mail(b"a line\r\n" * 4_000_000)[1], go_on), SEND_SECONDS_MAX)
        finally:
            told.set()
    assert result == SendResult(state=Sending.DOUBTFUL, detail="DATA lost")


async def go_on() -> bool:
    return True
