"""Nobody is proven, nobody learns why: whatever is wrong with a mail, mailbox and mail server see the same."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from mailflow import app
from mailflow.demo.pki import Pki
from mailflow.register import backlog
from mailflow.selftest.proxy import FaultProxy, Side
from mailflow.settings import Settings, load
from tests.support.available import require
from tests.support.judges_here import JudgesHere
from tests.support.mail_world import AUDIT_USER, INBOX, PROCESSED, SERVICE_USER, MailWorld
from tests.support.silent_mails import WHY, Writer, desks

AT = datetime.now(UTC).replace(microsecond=0)
BATCH_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailWorld]:
    require("dovecot")
    require("postfix")
    pki = Pki(at=AT)
    with MailWorld(tmp_path_factory.mktemp("world"), pki, desks(pki)) as made:
        yield made


def writer(world: MailWorld) -> Writer:
    good, revoked = world.software
    return Writer(installation=world.installation, good=good, revoked=revoked, at=AT)


def spoken(proxy: FaultProxy) -> list[str]:
    """What the worker said, without tags and numbers."""
    said = _said(proxy)
    return [re.sub(r"\d+(?::\d+)?", "n", line.decode().strip().partition(" ")[2]) for line in said]


def moves(proxy: FaultProxy) -> list[int]:
    found = re.findall(rb"UID MOVE (\d+)(?::(\d+))? ", b"".join(_said(proxy)))
    return [int(last or first) - int(first) + 1 for first, last in found]


def _said(proxy: FaultProxy) -> list[bytes]:
    """By the worker, on one connection after the other."""
    return [octets for trace in proxy.traces for side, _, octets in trace if side is Side.CLIENT]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What can be seen from outside of one batch."""

    imap: list[str]
    moved: list[int]
    """How many mails each command put away."""
    smtp: list[str]
    folders: dict[str, int]


def through(world: MailWorld, imap: FaultProxy, smtp: FaultProxy) -> Settings:
    """The settings of the installation, with these on the way to its servers."""
    settings = load(world.installation.config)
    mailbox = settings.mailbox.model_copy(update={"port": imap.port})
    return settings.model_copy(
        update={"mailbox": mailbox, "smtp": settings.smtp.model_copy(update={"port": smtp.port})}
    )


async def batch(world: MailWorld, *mails: bytes) -> tuple[Seen, dict[str, int]]:
    """A single batch of these mails; and for which reasons some were set aside, which only operators see."""
    await asyncio.to_thread(world.begin_anew)
    await asyncio.to_thread(world.post, mails)
    async with (
        asyncio.timeout(BATCH_SECONDS_MAX),
        FaultProxy(world.dovecot.imap_port) as imap,
        FaultProxy(world.postfix.port) as smtp,
    ):
        settings = through(world, imap, smtp)
        async with app.register_of(settings) as register, app.mail_door(settings, register) as door:
            judges = JudgesHere(judge_of=app.make_judge(settings), composer_of=app.make_composer(settings))
            await app.stages_of(replace(door, judges=judges), settings).drain(asyncio.Event())
            async with register.read() as tx:
                reasons = await backlog.set_aside_reasons(tx)
        await asyncio.to_thread(world.settle)
        users = {SERVICE_USER: INBOX, AUDIT_USER: INBOX, **{one.sender: INBOX for one in world.software}}
        folders = {user: len(world.dovecot.messages(user, folder)) for user, folder in users.items()}
        folders[PROCESSED] = len(world.dovecot.messages(SERVICE_USER, PROCESSED))
        return Seen(imap=spoken(imap), moved=moves(imap), smtp=spoken(smtp), folders=folders), reasons


async def test_alone_each_leaves_the_same_trace_and_no_mail(world: MailWorld) -> None:
    traces = []
    for why in WHY:
        seen, reasons = await batch(world, writer(world).silent(why))
        assert reasons == {why.value: 1}, "the mail is wrong in what it is meant to be wrong in"
        assert seen.smtp == [], "not even a connection"
        assert seen.folders == {SERVICE_USER: 0, AUDIT_USER: 0, "lille": 0, "volee": 0, PROCESSED: 1}
        assert set(seen.moved) == {1}
        traces.append(seen)
    assert all(seen == traces[0] for seen in traces)


async def test_beside_a_good_mail_each_leaves_the_same_trace(world: MailWorld) -> None:
    good = writer(world).written(world.software[0], 2)
    traces = []
    for why in WHY:
        seen, reasons = await batch(world, good, writer(world).silent(why))
        assert reasons == {why.value: 1}
        assert seen.folders == {SERVICE_USER: 0, AUDIT_USER: 1, "lille": 1, "volee": 0, PROCESSED: 2}
        assert sum(line.startswith("FROM:") for line in seen.smtp) == 1, "one answer, to the good one"
        assert set(seen.moved) == {2}, "with the good one, by one command, at one moment"
        traces.append((seen.imap, seen.moved, seen.folders))
    assert all(seen == traces[0] for seen in traces)
