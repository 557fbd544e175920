"""Connections to the IMAP server that break at every line of a dialogue."""

import asyncio

import pytest

from mailflow.errors import Unavailable
from mailflow.mail.imap import ImapMailbox
from mailflow.mail.ports import Mailbox
from mailflow.selftest.proxy import Fault, FaultProxy, Rule, Side
from tests.servers.dovecot import Dovecot
from tests.support.mailbox_places import (
    ServerPlace,
    a_mail,
    a_name,
    an_account,
    closing,
    read,
)


async def _dialogue(mailbox: Mailbox, done: str) -> None:
    """Everything that the worker does in one round."""
    listing = await mailbox.list()
    for mail in await read(mailbox, listing):
        assert mail.raw
    await mailbox.move(listing, await mailbox.look(listing, listing.uids), done)
    await mailbox.wait(0.02)
    await mailbox.list()


async def _lines_of_a_dialogue(server: Dovecot) -> list[tuple[Side, int]]:
    place = ServerPlace(server, a_name("In"))
    place.put(a_mail("a"), a_mail("b"))
    async with (
        FaultProxy(server.imap_port) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), place.folder)) as mailbox,
    ):
        await _dialogue(mailbox, a_name("Done"))
    return sorted({(side, line) for side, line, octets in proxy.trace if octets.endswith(b"\r\n")})


STALLED_SECONDS = 4.0
"""How long a stall is borne in the sweep: many of them, and none is the machine's being busy."""
SIDE_BY_SIDE = 32
"""Mostly they wait."""


async def _survives(server: Dovecot, gate: asyncio.Semaphore, rule: Rule) -> str:
    """What is wrong with the behaviour at this fault, or an empty string."""
    place = ServerPlace(server, a_name("In"))
    mails = [a_mail("a"), a_mail("b")]
    done = a_name("Done")
    async with gate, FaultProxy(server.imap_port, rule) as proxy:
        place.put(*mails)
        stalls = rule.fault is Fault.STALL
        account = an_account(port=proxy.port, timeout_seconds=STALLED_SECONDS if stalls else 15.0)
        async with closing(ImapMailbox(account, place.folder)) as mailbox:
            failures: list[str] = []
            # Three times: a fault at the very end shows only when the connection is used again.
            for _ in range(3):
                try:
                    async with asyncio.timeout(60):
                        await _dialogue(mailbox, done)
                except Unavailable as error:
                    failures.append(str(error))
                except TimeoutError:
                    return f"{rule}: hangs"
            if len(failures) > 1:
                return f"{rule}: {failures}"
    if not rule.fired:
        return ""  # the stream was cut in other places than when it was recorded
    if place.inbox() or set(place.moved(done, done)) != set(mails):
        return f"{rule}: mails are not where they belong"
    return ""


async def _sweep(server: Dovecot, *faults: Fault, stall_every: int) -> None:
    lines = await _lines_of_a_dialogue(server)
    rules = [Rule(side=side, fault=fault, line=line) for side, line in lines for fault in faults]
    rules += [Rule(side=side, fault=Fault.STALL, line=line) for side, line in lines if line % stall_every == 0]
    gate = asyncio.Semaphore(SIDE_BY_SIDE)
    wrong = [found for found in await asyncio.gather(*(_survives(server, gate, rule) for rule in rules)) if found]
    assert not wrong, "\n".join(wrong)
    assert sum(rule.fired for rule in rules) > len(rules) * 0.9


async def test_a_connection_that_is_reset_at_any_line_is_survived(dovecot: Dovecot) -> None:
    await _sweep(dovecot, Fault.RESET_BEFORE, stall_every=7)


@pytest.mark.long
async def test_a_connection_that_breaks_in_any_way_at_any_line_is_survived(dovecot: Dovecot) -> None:
    await _sweep(dovecot, Fault.RESET_WITHIN, Fault.CLOSE_AFTER, stall_every=1)


async def test_lines_of_which_each_octet_comes_alone_are_understood(dovecot: Dovecot) -> None:
    lines = await _lines_of_a_dialogue(dovecot)
    place = ServerPlace(dovecot, a_name("In"))
    mails, done = [a_mail("a"), a_mail("b")], a_name("Done")
    place.put(*mails)
    rules = [Rule(side=side, fault=Fault.DRIBBLE, line=line) for side, line in lines]
    async with (
        FaultProxy(dovecot.imap_port, *rules) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), place.folder)) as mailbox,
    ):
        await _dialogue(mailbox, done)
    assert sum(rule.fired for rule in rules) > len(rules) * 0.9
    assert set(place.moved(done, done)) == set(mails)
