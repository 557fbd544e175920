"""The worker while its servers fail: every line of a batch cut or stalled, servers killed, mailboxes renumbered.

The worker runs in this very process, composed as in production but for the processes of its pool, so that hundreds of
cases fit into minutes. `tests.support.letters` knows what must have come of each batch.
"""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailflow import app
from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from mailflow.mail import stages
from mailflow.mail.stages import Drained
from mailflow.settings import Settings, load
from tests.servers.faultproxy import Fault, FaultProxy, Rule, Side
from tests.support.available import require
from tests.support.judges_here import JudgesHere
from tests.support.letters import Letter, Writer, a_batch, verdict
from tests.support.mail_world import AUDIT_USER, INBOX, LATER_MINUTES, SERVICE_USER, MailWorld

REPLY_SECONDS_MAX = 0.7
BATCH_SECONDS_MAX = 60
"""Of one `run --once`, whatever fails: every wait in it has an end."""
BATCHES_MAX = 6
CUTS = {
    Side.CLIENT: (Fault.RESET_BEFORE, Fault.CLOSE_AFTER),
    Side.SERVER: (Fault.RESET_BEFORE, Fault.RESET_WITHIN),
}

STALLED = 3
"""Every third line is stalled as well: that takes a while each time."""

Line = tuple[Side, int, bytes]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A world and the batch that is played in it, again and again."""

    world: MailWorld
    letters: tuple[Letter, ...]
    at: datetime

    def begin(self) -> None:
        self.world.begin_anew()
        self.world.post([letter.raw for letter in self.letters])

    def wrong(self) -> list[str]:
        return verdict(self.world, self.letters, self.at)


@contextmanager
def a_stage(folder: Path, inbox: str = INBOX) -> Iterator[Stage]:
    require("dovecot")
    require("postfix")
    at = datetime.now(UTC).replace(microsecond=0)
    pki = Pki(at=at)
    software = desks(pki)
    with MailWorld(folder, pki, software, inbox=inbox, changes={"smtp": {"connections": 1}}) as world:
        yield Stage(world=world, letters=tuple(a_batch(Writer(world.installation, at), software)), at=at)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with a_stage(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def second_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with a_stage(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a stage waits after a failure shows nothing here."""
    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", 0.02)
    monkeypatch.setattr(stages, "BACKOFF_MOST_SECONDS", 0.1)


# The worker


def settings_of(world: MailWorld, *, imap_port: int, smtp_port: int) -> Settings:
    """Those of the installation, through these ports and with little patience."""
    settings = load(world.installation.config)
    patience = {"timeout_seconds": REPLY_SECONDS_MAX}
    mailbox = settings.mailbox.model_copy(update={"port": imap_port, **patience})
    smtp = settings.smtp.model_copy(update={"port": smtp_port, **patience, "data_timeout_seconds": REPLY_SECONDS_MAX})
    return settings.model_copy(update={"mailbox": mailbox, "smtp": smtp})


async def run_once(settings: Settings, later: timedelta) -> Drained:
    """One batch, as `mailflow run --once` does it, at a later time."""
    async with (
        asyncio.timeout(BATCH_SECONDS_MAX),
        app.register_of(settings) as register,
        app.mail_door(settings, register) as door,
    ):
        judges = JudgesHere(judge_of=app.make_judge(settings), composer_of=app.make_composer(settings))
        here = replace(door, judges=judges, clock=lambda: app.now() + later)
        return await app.stages_of(here, settings).drain(asyncio.Event())


@asynccontextmanager
async def proxies(
    world: MailWorld, *, imap: Rule | None = None, smtp: Rule | None = None
) -> AsyncIterator[tuple[FaultProxy, FaultProxy]]:
    """Before Dovecot and before Postfix."""
    async with (
        FaultProxy(world.dovecot.imap_port, *([imap] if imap else [])) as before_dovecot,
        FaultProxy(world.postfix.port, *([smtp] if smtp else [])) as before_postfix,
    ):
        yield before_dovecot, before_postfix


async def run_until_nothing(world: MailWorld, imap: FaultProxy, smtp: FaultProxy) -> None:
    """Again and again, each time later, until nothing is left to do."""
    settings = settings_of(world, imap_port=imap.port, smtp_port=smtp.port)
    for batch in range(BATCHES_MAX):
        drained = await run_once(settings, batch * timedelta(minutes=LATER_MINUTES))
        for proxy in (imap, smtp):
            proxy.drop_all()  # what was stalled ends at last for the server, too
        await asyncio.to_thread(world.settle)
        if not drained.progress and not drained.unavailable:
            return
    raise AssertionError("something is left to do for ever")


# Lines


@dataclass(frozen=True, kw_only=True)
class Case:
    protocol: str
    line: Line
    fault: Fault

    def __str__(self) -> str:
        side, number, octets = self.line
        return f"{self.protocol} {side} {number} {octets[:40]!r} {self.fault}"


async def play(stage: Stage, case: Case) -> list[str]:
    """What went wrong with this fault; that it did not happen is told as well."""
    rule = Rule(side=case.line[0], line=case.line[1], fault=case.fault)
    await asyncio.to_thread(stage.begin)
    async with proxies(stage.world, imap=rule) if case.protocol == "imap" else proxies(stage.world, smtp=rule) as both:
        await run_until_nothing(stage.world, *both)
    wrong = await asyncio.to_thread(stage.wrong)
    return wrong if rule.fired else [*wrong, "did not happen"]


async def lines_of_a_batch(stage: Stage) -> dict[str, list[Line]]:
    """What is said in a clean run, by protocol."""
    await asyncio.to_thread(stage.begin)
    async with proxies(stage.world) as (imap, smtp):
        await run_until_nothing(stage.world, imap, smtp)
        assert not await asyncio.to_thread(stage.wrong)
        return {"imap": spoken(imap.trace, IMAP_LINE), "smtp": spoken(smtp.trace, SMTP_LINE)}


IMAP_LINE = re.compile(rb"[*+)] |\)|[A-Z]+\d+ |DONE")
SMTP_LINE = re.compile(rb"\d{3}[ -]|(EHLO|MAIL|RCPT|DATA|QUIT)\b|\.\r\n|From: ")
WORDS = re.compile(rb"^From|\d{3}[ -](?:\d\.\d\.\d)?|\b[A-Z]{2,}\b|[.)]")


def spoken(trace: Sequence[Line], protocol: re.Pattern[bytes]) -> list[Line]:
    return [line for line in trace if line[2].endswith(b"\r\n") and protocol.match(line[2])]


def kind_of(line: Line) -> tuple[Side, list[bytes]]:
    """Lines that say the same kind of thing: the same first words, whatever the tag and the numbers."""
    words = WORDS.findall(line[2])[:2]
    return line[0], words[:1] if words[:1] == [b"250-"] else words


def first_and_last(lines: Sequence[Line]) -> list[Line]:
    """Of each kind."""
    kinds = [kind_of(line) for line in lines]
    return [line for at, line in enumerate(lines) if kinds[at] not in kinds[:at] or kinds[at] not in kinds[at + 1 :]]


async def test_an_answer_whose_acceptance_is_not_heard_goes_out_once(stage: Stage) -> None:
    lines = (await lines_of_a_batch(stage))["smtp"]
    dots = [at for at, (side, _, octets) in enumerate(lines) if side is Side.CLIENT and octets == b".\r\n"]
    reply = lines[dots[1] + 1]
    assert reply[0] is Side.SERVER
    for fault in (Fault.RESET_BEFORE, Fault.STALL):
        assert not await play(stage, Case(protocol="smtp", line=reply, fault=fault))


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["imap", "smtp"])
async def test_a_cut_or_a_stall_at_any_line_loses_nothing_and_doubles_nothing(
    stage: Stage, second_stage: Stage, protocol: str
) -> None:
    lines = first_and_last((await lines_of_a_batch(stage))[protocol])
    cuts = [(line, CUTS[line[0]][number % 2]) for number, line in enumerate(lines)]
    stalls = [(line, Fault.STALL) for line in lines[::STALLED]]
    cases = iter([Case(protocol=protocol, line=line, fault=fault) for line, fault in cuts + stalls])
    wrong: dict[str, list[str]] = {}

    async def play_what_is_left(stage: Stage) -> None:
        for case in cases:
            if found := await play(stage, case):
                wrong[str(case)] = found

    async with asyncio.TaskGroup() as group:
        for one in (stage, second_stage):
            group.create_task(play_what_is_left(one))
    assert not wrong


# Servers


async def when(rule: Rule, delay_seconds: float, act: Callable[[], None]) -> None:
    """Act a little after the line has begun to pass."""
    while not rule.fired:  # noqa: ASYNC110  the proxy knows of no events but stalls
        await asyncio.sleep(0.001)
    await asyncio.sleep(delay_seconds)
    await asyncio.to_thread(act)


@pytest.mark.slow
@pytest.mark.parametrize("delay_seconds", [0.0, 0.002, 0.005, 0.01, 0.02])
async def test_dovecot_killed_while_it_moves_mails(stage: Stage, delay_seconds: float) -> None:
    move = Rule(side=Side.CLIENT, fault=Fault.DRIBBLE, match=rb"UID MOVE")
    world = stage.world
    await asyncio.to_thread(stage.begin)
    async with proxies(world, imap=move) as both, asyncio.TaskGroup() as group:
        group.create_task(when(move, delay_seconds, lambda: world.dovecot.restart(kill=True)))
        await run_until_nothing(world, *both)
    wrong = await asyncio.to_thread(stage.wrong)
    # MOVE is not atomic on a server that is killed: the same mail may then lie in its folder twice.
    assert not [sentence for sentence in wrong if ": 0 mails are missing" not in sentence]


@pytest.mark.slow
@pytest.mark.parametrize("line", [rb"MAIL FROM", rb"DATA", rb"\.\r\n"])
async def test_postfix_killed_and_started_while_it_takes_answers(stage: Stage, line: bytes) -> None:
    taken = Rule(side=Side.CLIENT, fault=Fault.DRIBBLE, match=b"^" + line)
    world = stage.world
    log_before = len(world.postfix.log())
    await asyncio.to_thread(stage.begin)
    async with proxies(world, smtp=taken) as both, asyncio.TaskGroup() as group:
        group.create_task(when(taken, 0.0, lambda: world.postfix.restart(kill=True)))
        await run_until_nothing(world, *both)
    wrong = await asyncio.to_thread(stage.wrong)
    # Killed between a delivery and its note of it, Postfix delivers again. So copies are counted where it takes them.
    assert not [sentence for sentence in wrong if "identical copies" not in sentence and AUDIT_USER not in sentence]
    assert set(times_taken(world.postfix.log()[log_before:]).values()) == {1}


def times_taken(log: str) -> Counter[str]:
    """How often Postfix took each answer into its queue, by envelope sender."""
    taken = set(re.findall(r"qmgr\[\d+\]: (\w+): from=<(\S+)>", log))
    return Counter(sender for _, sender in taken)


@pytest.mark.slow
def test_mails_that_were_taken_in_are_not_taken_for_others_after_a_change_of_uidvalidity(tmp_path: Path) -> None:
    with a_stage(tmp_path, "Demandes") as stage:
        world = stage.world
        before = uidvalidity(world)
        stage.begin()
        code, said = world.run("--kill", "mailbox.move.before:1")
        assert code == -signal.SIGKILL, said
        assert len(world.dovecot.messages(SERVICE_USER, world.inbox)) == len(stage.letters)
        world.renumber()
        assert uidvalidity(world) != before
        world.finish()
        assert not stage.wrong()


def uidvalidity(world: MailWorld) -> bytes:
    with world.dovecot.session(SERVICE_USER) as client:
        return bytes(client.status(world.inbox, "(UIDVALIDITY)")[1][0])
