"""Two mailboxes on one register, with workers of their own: any of them decides, and none hides what another one lacks.

The settings differ in `[mailbox]`; the audit mailbox is the same.
"""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailflow.cli.main import call
from mailflow.demo.pki import Pki
from mailflow.demo.story import desks
from mailflow.mail import hindsight
from mailflow.mail.hindsight import NEWEST
from mailflow.ops.alarms import Alarm
from mailflow.register import Register, restoring
from mailflow.register.issuing import SERVICE
from mailflow.register.restoring import Trail
from tests.support.available import require
from tests.support.databases import KINDS, server_of
from tests.support.doors import House
from tests.support.letters import Letter, Writer, many, verdict
from tests.support.mail_world import SERVICE_USER, MailWorld
from tests.support.nursery import Worker
from tests.support.records import NOW
from tests.support.restored import Loser, a_letter, lose, recovered, resume, stopped
from tests.support.watching import RAISED, Lookout, Working, at_work, lasting

OTHER_USER = "demandes2"
LETTERS, KILLS = 24, 3
SEED = 20261202
POINTS_MAX = 60
KILLED = -9
DRAIN_SECONDS = 300
SHORT_LEASES = {
    "worker": {"processes": 1, "chunk": 5, "lease_seconds": 6, "task_seconds_max": 5, "attempts_max": 20},
    "mailbox": {"poll_seconds": 1},
}


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MailWorld]:
    require("dovecot")
    require("postfix")
    pki = Pki(at=datetime.now(UTC).replace(microsecond=0))
    boxes = (SERVICE_USER, OTHER_USER)
    with MailWorld(
        tmp_path, pki, desks(pki), postgres=server_of(request), changes=SHORT_LEASES, mailboxes=boxes
    ) as made:
        made.begin_anew()
        yield made


def written(world: MailWorld) -> tuple[list[Letter], datetime]:
    at = datetime.now(UTC).replace(microsecond=0)
    return many(Writer(world.installation, at), world.software, LETTERS), at


def post(world: MailWorld, letters: list[Letter]) -> None:
    """In turn to one mailbox and the other."""
    for number, letter in enumerate(letters):
        world.post([letter.raw], to=world.mailboxes[number % 2])


@pytest.mark.long_on("sqlite")
@pytest.mark.slow
def test_workers_of_both_are_killed_and_each_mail_has_one_answer(world: MailWorld) -> None:
    chance, (letters, at) = random.Random(SEED), written(world)
    steady: list[Worker] = [world.start(arguments=("run",), mailbox=one) for one in world.mailboxes]
    try:
        for turn in range(KILLS):
            box = world.mailboxes[turn % 2]
            victim = world.start("--kill", f"any:{chance.randint(1, POINTS_MAX)}", arguments=("run",), mailbox=box)
            post(world, letters[turn::KILLS])
            code, said = victim.wait()
            assert code == KILLED, said
        until = time.monotonic() + DRAIN_SECONDS
        while world.lying(world.inbox) and time.monotonic() < until:
            time.sleep(0.2)
        assert [one.stop()[0] for one in steady] == [0, 0]
    finally:
        for one in steady:
            one.kill()
    world.finish()
    assert not verdict(world, letters, at)
    assert adds_up(world)


@pytest.mark.slow
def test_a_worker_decides_what_came_to_the_other_mailbox(world: MailWorld) -> None:
    letters, at = written(world)
    post(world, letters[:4])
    dies = ("--kill", "intake.take_in.after-commit:1")
    assert world.run(*dies, mailbox=OTHER_USER)[0] == KILLED
    assert world.run("--later", "80", "--until-nothing")[0] == 0
    assert sum(len(world.dovecot.messages(one.sender)) for one in world.software) == 4, "two are of the other mailbox"
    world.finish()
    assert not verdict(world, letters[:4], at)
    assert adds_up(world)


@pytest.mark.slow
def test_a_mail_that_came_to_both_in_the_same_second_is_one_of_each(world: MailWorld) -> None:
    letters, at = written(world)
    for box in reversed(world.mailboxes):
        world.post([letters[0].raw], received_at=at, to=box)
    world.finish(later=0)
    assert not verdict(world, [letters[0]] * 2, at)
    assert adds_up(world)


def adds_up(world: MailWorld) -> bool:
    """Whether nothing differs, by the settings of either."""
    told = [call(["--config", str(world.config_of(box)), "reconcile", "--settled", "0"]) for box in world.mailboxes]
    return not any(told)


# After a loss


async def test_what_is_accounted_for_to_one_mailbox_is_not_to_the_other(register: Register) -> None:
    """Folders that were made in the same second have the same UIDVALIDITY, as Dovecot gives it."""
    mark = restoring.Mark(uidvalidity=1_764_000_000, uid=500)
    async with register.begin() as tx:
        await restoring.account(tx, {Trail.AUDIT.of("demandes@imap.example"): mark}, {}, NOW)
    async with register.read() as tx:
        told = [
            await restoring.accounted(tx, trail.of(f"{user}@imap.example"), 1_764_000_000, 600)
            for user in ("demandes", "demandes2")
            for trail in Trail
        ]
    assert told == [0, 500, 0, 0]


async def test_who_resumes_after_a_look_at_one_mailbox_does_not_answer_for_the_other(loser: Loser) -> None:
    await lose(loser)
    ours = loser.door()
    await loser.work(ours)
    await resume(loser)  # as somebody does whose own mailbox lost nothing
    loser.house.mailbox.deliver(a_letter(6))
    done = await loser.work(ours)
    assert (await stopped(loser), done.registered) == (SERVICE, 0)
    await recovered(loser, jump=False)
    await resume(loser)
    assert (await loser.work(ours)).registered == 5
    assert await stopped(loser) == ""


async def test_who_goes_on_does_not_stop_again_for_what_whoever_resumed_has_looked_through(
    loser: Loser, monkeypatch: pytest.MonkeyPatch
) -> None:
    loser.house.mailbox.deliver(a_letter(1))
    await loser.work()
    loser.house.mailer.mailboxes["audit"] += [b"Message-ID: <%d@others.example>\r\n\r\n" % n for n in range(3 * NEWEST)]
    monkeypatch.setattr(hindsight, "SECONDS_MAX", 0.0)
    ours = loser.door()
    loser.house.mailbox.deliver(a_letter(2))
    await loser.work(ours)
    assert await stopped(loser) == SERVICE
    await resume(loser)
    assert (await loser.work(ours)).registered == 1
    assert await stopped(loser) == ""


# Who watches


@pytest.fixture
async def house(register: Register) -> House:
    made = House(register)
    await made.enrol()
    return made


def two(house: House) -> tuple[tuple[Working, Lookout], tuple[Working, Lookout]]:
    """A worker of each mailbox, on one host, with what it watches."""
    pairs = [
        (at_work(house, box, mailbox=box), Lookout(register=house.register, at=house.now)) for box in ("ours", "theirs")
    ]
    for worker, lookout in pairs:
        worker.join(lookout)
    return pairs[0], pairs[1]


def seen_empty(worker: Working, at: datetime) -> None:
    worker.metrics.level("mailbox_emptied_at", at.timestamp())


async def test_a_mailbox_of_which_no_worker_lives_any_more_is_told_though_others_work_on_that_host(
    house: House,
) -> None:
    (ours, watching), (theirs, dying) = two(house)
    seen_empty(theirs, dying.at)
    await dying.look()
    for _ in range(8 * 12):
        seen_empty(ours, watching.at)
        await watching.look(timedelta(minutes=5))
    told = watching.ears.told()
    assert RAISED[Alarm.DOWN] in told
    assert RAISED[Alarm.DEADLINE_NEAR] in told, "of the mails there nobody knows whether they were answered"
    subjects = {one.subject for one in await lasting(house.register) if one.code == Alarm.DOWN}
    assert subjects == {'{"host": "host-a", "mailbox": "theirs@imap.example.org INBOX"}'}


async def test_a_mailbox_that_a_stranger_holds_is_told_though_the_other_one_is_read(house: House) -> None:
    (ours, watching), (theirs, _) = two(house)
    ours.metrics.level("lock_held", 1.0, lock="receive")
    theirs.metrics.level("lock_held", 0.0, lock="receive")
    theirs.join(other := Lookout(register=house.register, at=house.now, ears=watching.ears))
    for _ in range(4):
        await watching.look(timedelta(minutes=5))
        await other.look(timedelta(minutes=5))
    assert watching.ears.told() == [RAISED[Alarm.NOBODY_RECEIVES]]
