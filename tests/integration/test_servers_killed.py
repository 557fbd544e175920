"""The worker while the mail servers are killed under it, or come back with other numbers for the same mails."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mailflow.selftest.points import Point
from mailflow.selftest.proxy import Fault, Rule, Side
from tests.faults.kills import killed
from tests.faults.played import Played
from tests.faults.stage import Stage
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix, times_taken
from tests.servers.process import START_SECONDS_MAX
from tests.support.available import require
from tests.support.mail_world import AUDIT_USER, SERVICE_USER, MailWorld

DISTURBED = "batch 0 could not work"
"""The one in which the servers are killed."""


@pytest.fixture(autouse=True)
def servers() -> None:
    require("dovecot")
    require("postfix")


async def played_while(stage: Stage, proxy: str, line: bytes, delay_seconds: float, act: Callable[[], None]) -> Played:
    """A story in which this is done a little after the line has begun to pass, octet by octet."""
    rule = Rule(side=Side.CLIENT, fault=Fault.DRIBBLE, match=line)
    stage.proxies[proxy].rules[:] = [rule]

    async def when() -> None:
        while not rule.fired:  # noqa: ASYNC110  the proxy knows of no events but stalls
            await asyncio.sleep(0.001)
        await asyncio.sleep(delay_seconds)
        await asyncio.to_thread(act)

    async with asyncio.TaskGroup() as group:
        group.create_task(when())
        return await stage.play()


@pytest.mark.slow
async def test_dovecot_killed_while_it_moves_mails(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        kill = partial(stage.world.dovecot.restart, kill=True)
        for delay_seconds in (0.0, 0.002, 0.005, 0.01, 0.02):
            # A Dovecot that was killed may hide a mail for a moment, and show it again to the next batch.
            played = await played_while(stage, "mailbox", rb"UID MOVE", delay_seconds, kill)
            # MOVE is not atomic on a server that is killed: the same mail may then lie in its folder twice.
            expected = (": 0 mails are missing", DISTURBED)
            assert not [sentence for sentence in played.wrong if not any(word in sentence for word in expected)]


@pytest.mark.long
async def test_postfix_killed_and_started_while_it_takes_answers(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        postfix = stage.world.postfix
        for line in (rb"^MAIL FROM", rb"^DATA", rb"^\.\r\n"):
            log_before = len(postfix.log())
            played = await played_while(stage, "smtp", line, 0.0, lambda: postfix.restart(kill=True))
            # Killed between a delivery and its note of it, Postfix delivers again: counted where it takes them.
            unsure = ("identical copies", AUDIT_USER, DISTURBED)
            assert not [sentence for sentence in played.wrong if not any(word in sentence for word in unsure)]
            assert set(times_taken(postfix.log()[log_before:]).values()) == {1}


@pytest.mark.slow
async def test_mails_that_were_taken_in_are_not_taken_for_others_after_a_change_of_uidvalidity(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage:
        world = stage.world
        before = uidvalidity(world)
        stage.begin_anew()
        at = Point(kind="kill", name="mailbox.move.before", nth=1)
        assert await asyncio.to_thread(killed, world, at, timedelta(0))
        assert len(world.mailbox.messages(SERVICE_USER, world.inbox)) == len(stage.letters)
        world.renumber()
        assert uidvalidity(world) != before
        assert not await stage.finish(1)


def test_a_connection_that_ends_with_its_process_is_not_waited_for(tmp_path: Path) -> None:
    dovecot = Dovecot(tmp_path / "dovecot")
    postfix = Postfix(
        tmp_path / "postfix", lmtp_port=dovecot.lmtp_port, recipients=("ann",), sasl_port=dovecot.sasl_port
    )
    with contextlib.ExitStack() as stack:
        with dovecot:
            stack.enter_context(postfix)
        # Each smtpd that was there before knows how users log in, and is kept busy by a connection that it greets; the
        # next one cannot ask, gives up, and says no goodbye.
        with contextlib.ExitStack() as connections:
            address = (postfix.host, postfix.port)
            while connections.enter_context(socket.create_connection(address, START_SECONDS_MAX)).recv(1):
                pass
        postfix.wait_until_quiet()
        assert postfix.log().count(": connect from") == postfix.log().count(": disconnect from") + 1


def uidvalidity(world: MailWorld) -> bytes:
    with world.mailbox.session(SERVICE_USER) as client:
        return bytes(client.status(world.inbox, "(UIDVALIDITY)")[1][0])
