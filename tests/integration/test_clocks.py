"""Wrong clocks, ours or the mail server's: nothing is decided before it came, and what waits for that waits alone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NoReturn

import pytest

from mailflow.core.alerting import WorkerSign
from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, stages, worker
from mailflow.mail.deciding import STOPPED_AGAIN
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.hindsight import Hindsight
from mailflow.mail.model import FetchedMail
from mailflow.mail.ports import Listing
from mailflow.mail.stages import FAILURES_MAX, Stages
from mailflow.register import clocks, intake, presence, watching
from tests.integration.test_process_turns import attempts, left_by_a_killed_worker, letter
from tests.support.batches import NEVER_SECONDS, drain, hurry, until
from tests.support.doors import PACE, House
from tests.support.fake_mailer import Fate
from tests.support.judging import RECEIVED_AT
from tests.support.records import execute, rows

DAYS = timedelta(days=3)


def all_clocks(house: House, at: datetime) -> None:
    """It is so late by the mail server's clock and by ours."""
    house.now = at
    house.mailbox.clock = lambda: at


async def one_from_to_come(house: House) -> MailDoor:
    """A mail was taken in while all clocks were days ahead; by now they are right."""
    all_clocks(house, RECEIVED_AT + DAYS)
    house.mailbox.deliver(letter(0))
    door = house.door()
    assert await worker.receive(door) == Progress(received=1)
    all_clocks(house, RECEIVED_AT)
    return door


async def test_a_mail_server_whose_clock_is_behind_keeps_nobody_from_a_number(house: House) -> None:
    """By it every mail was signed, and its file made, after it had come."""
    house.mailbox.clock = lambda: RECEIVED_AT - timedelta(hours=1)
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    assert (await worker.process(door)).registered == 1


@pytest.mark.parametrize("alone", [False, True])
async def test_no_mail_is_decided_before_it_came(house: House, alone: bool) -> None:
    """A clock that is put back for days makes a request of today one of the future."""
    if alone:
        door = await left_by_a_killed_worker(house, letter(0))
    else:
        house.mailbox.deliver(letter(0))
        door = house.door()
        await worker.receive(door)
    right = house.now

    def put_back() -> None:
        house.now = right - timedelta(days=3)

    house.judges.trouble = put_back
    with pytest.raises(Unavailable, match="clock: it is"):
        await worker.process(door)
    house.judges.trouble = lambda: None
    with pytest.raises(Unavailable, match="clock: it is"):
        await worker.process(door)  # nothing is due by such a clock, which is told as well
    assert await attempts(house) == [("received", 0)]
    house.now = right
    assert await worker.process(door) == Progress(answered=1, registered=1)


async def test_an_answer_that_waits_for_the_clock_is_told_as_well(house: House) -> None:
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    await worker.process(door)
    right = house.now
    house.now -= timedelta(days=3)
    assert await composing.compose(door) == Progress()
    with pytest.raises(Unavailable, match="clock: it is"):
        await worker.process(door)
    house.now = right
    assert await worker.process(door) == Progress()
    assert (await composing.compose(door)).composed == 1


async def test_clocks_of_two_hosts_that_differ_a_little_are_no_matter(house: House) -> None:
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    right = house.now
    house.now = RECEIVED_AT - clocks.APART_MAX
    assert await worker.process(door) == Progress()
    house.now -= timedelta(seconds=1)
    with pytest.raises(Unavailable, match="clock: it is"):
        await worker.process(door)
    house.now = right
    assert await worker.process(door) == Progress(answered=1, registered=1)


@pytest.mark.parametrize("alone", [False, True])
async def test_a_mail_from_a_time_to_come_holds_up_no_other_though_an_operator_makes_it_due(
    house: House, alone: bool
) -> None:
    door = await one_from_to_come(house)
    house.mailbox.deliver(letter(1))
    await worker.receive(door)
    await execute(house.register, f"UPDATE intake SET solo = {alone}, next_at = (SELECT MIN(next_at) FROM intake)")
    assert await worker.process(door) == Progress(answered=1, registered=1)
    assert [state for state, _ in await attempts(house)] == ["received", "answered"]
    with pytest.raises(Unavailable, match="clock: it is"):
        await worker.process(door)
    all_clocks(house, RECEIVED_AT + DAYS)
    assert await worker.process(door) == Progress(answered=1, registered=1)


async def test_nor_do_many_of_them(house: House) -> None:
    all_clocks(house, RECEIVED_AT + DAYS)
    door = house.door(pace=replace(PACE, chunk=2))
    for number in range(5):
        house.mailbox.deliver(letter(number))
    assert await worker.receive(door) == Progress(received=5)
    all_clocks(house, RECEIVED_AT)
    house.mailbox.deliver(letter(5))
    await worker.receive(door)
    await execute(house.register, "UPDATE intake SET round = 0, next_at = (SELECT MIN(next_at) FROM intake)")
    await execute(house.register, "UPDATE intake SET round = 1 WHERE id = 6")
    assert await worker.process(door) == Progress(answered=1, registered=1)
    assert await attempts(house) == [("received", 0)] * 5 + [("answered", 0)]


async def test_while_a_mail_waits_for_its_time_others_are_received_and_answered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    stop = asyncio.Event()
    work = Stages(await one_from_to_come(house), poll_seconds=0.02, pause_seconds=0.02)
    running = asyncio.create_task(work.run(0.02, stop))
    await until(lambda: work.process.failures > FAILURES_MAX)
    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", NEVER_SECONDS)
    monkeypatch.setattr(stages, "BACKOFF_MOST_SECONDS", NEVER_SECONDS)
    failures = work.process.failures
    await until(lambda: work.process.failures > failures)  # from now on it waits to be woken
    house.mailbox.deliver(letter(1))
    await until(lambda: house.mailer.accepted)
    stop.set()
    await running
    assert work.progress.received == 1


async def test_a_batch_decides_what_is_received_after_it_found_such_a_mail(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    door = await one_from_to_come(house)
    house.mailbox.deliver(letter(1))
    fetch = house.mailbox.fetch

    async def slow(listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        await asyncio.sleep(1)
        async for mail in fetch(listing, uids):
            yield mail

    monkeypatch.setattr(house.mailbox, "fetch", slow)
    drained = await drain(door)
    assert (drained.progress.answered, drained.unavailable) == (1, ("process",))


async def test_by_a_clock_that_is_behind_as_two_witnesses_say_mails_are_left_where_they_are(house: House) -> None:
    """They would be decided at a time before they came: a request of today is one of the future then."""
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    await worker.process(door)
    await composing.compose(door)
    await delivery.deliver(door)
    house.now -= DAYS
    house.mailbox.deliver(letter(1))
    for _ in range(2):
        with pytest.raises(Unavailable, match="clock: it is"):
            await worker.receive(door)
    assert len(house.mailbox.inbox) == 1
    house.now += DAYS
    assert await worker.receive(door) == Progress(received=1)
    assert await worker.process(door) == Progress(answered=1, registered=1)


async def test_the_mail_server_s_clock_alone_keeps_nobody_waiting(house: House) -> None:
    house.mailbox.clock = lambda: RECEIVED_AT + DAYS
    house.mailbox.deliver(letter(0))
    door = house.door()
    assert await worker.receive(door) == Progress(received=1)
    assert await worker.process(door) == Progress(answered=1, registered=1)


@pytest.mark.parametrize(("behind", "looked_for"), [(clocks.APART_MAX, 0), (DAYS, 1)])
async def test_a_send_is_looked_for_whose_lease_is_longer_than_any(
    house: House, behind: timedelta, looked_for: int
) -> None:
    """The clock was ahead when it began, or is behind: a copy proves that it left all the same. Hosts may differ."""
    house.mailbox.deliver(letter(0))
    house.mailer.fates = [Fate.LOSE_REPLY]
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    house.now -= behind
    assert await delivery.settle_doubtful(door) == Progress(sent=looked_for)


async def test_by_a_clock_that_is_behind_a_send_under_way_has_its_time(house: House) -> None:
    """Its copy may be still to come, and that it waits is told; set right, the clock gives it no less."""
    house.mailbox.deliver(letter(0))
    house.mailer.fates = [Fate.LOSE_MAIL]
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    right = house.now
    house.now -= DAYS
    assert await delivery.settle_doubtful(door) == Progress(looked_for=1)
    with pytest.raises(Unavailable, match="clock: it is"):
        await worker.process(door)
    house.now = right + PACE.audit_wait
    assert await worker.process(door) == Progress()
    assert await delivery.settle_doubtful(door) == Progress(looked_for=1)
    await house.miss()
    (row,) = await rows(house.register, "SELECT state FROM outbox")
    assert row.state == "composed"


# A clock that was ahead


OTHERS = PACE.lease + clocks.APART_MAX
LONG = 2 * STOPPED_AGAIN + clocks.APART_MAX


@pytest.mark.parametrize("table", ["intake", "outbox"])
@pytest.mark.parametrize(
    ("what", "longest"), [("next_at = :until", LONG), ("lease_owner = 'me', lease_until = :until", OTHERS)]
)
async def test_what_waits_by_a_clock_that_was_ahead_is_due(
    house: House, caplog: pytest.LogCaptureFixture, table: str, what: str, longest: timedelta
) -> None:
    """It was put off, or somebody had it who did not get to give it back; then the clock was set right."""
    caplog.set_level(logging.WARNING)
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    if table == "outbox":
        await worker.process(door)
    for too_long in (timedelta(0), timedelta(seconds=1)):
        await execute(house.register, f"UPDATE {table} SET {what}", until=house.now + longest + too_long)
        assert await worker.process(door) == Progress()
        assert [record.getMessage() for record in caplog.records] == ["clock-was-ahead"] * bool(too_long)
    await drain(house.door())
    assert len(house.mailer.accepted) == 1


async def test_one_whose_turn_by_its_senders_rates_is_over_is_due_as_well(house: House) -> None:
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    long_ago, far = house.now - timedelta(hours=1), house.now + DAYS
    await execute(house.register, "UPDATE intake SET turn_at = :turn, next_at = :far", turn=long_ago, far=far)
    await drain(door)
    assert len(house.mailer.accepted) == 1


@pytest.mark.parametrize("why", ["trust", "mailbox"])
async def test_answers_are_due_though_nothing_can_be_decided(house: House, why: str) -> None:
    """A file of the trust material cannot be read just now, or the mailboxes are away when a worker begins."""
    house.mailbox.deliver(letter(0))
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose):
        await turn(door)
    await execute(house.register, "UPDATE outbox SET next_at = :far", far=house.now + DAYS)

    def unreadable() -> NoReturn:
        raise Unavailable("not there")

    if why == "trust":
        house.shelf.trouble = unreadable
    else:
        door = replace(door, hindsight=Hindsight(unreadable))
    with pytest.raises(Unavailable, match="not there"):
        await worker.process(door)
    assert await delivery.deliver(door) == Progress(sent=1)


@pytest.mark.parametrize("alive", [True, False])
async def test_what_a_worker_whose_clock_is_right_has_put_off_stays_so(house: House, *, alive: bool) -> None:
    """Each of its put-offs would end at once, and with the last of them an answer that cannot be composed is held."""
    house.mailbox.deliver(letter(0))
    for turn in (worker.receive, worker.process):
        await turn(house.door())
    right = house.now
    house.now -= DAYS
    until = right + timedelta(minutes=1)
    await execute(
        house.register,
        "UPDATE outbox SET received_at = :long_ago, next_at = :until",
        until=until,
        long_ago=right - 2 * DAYS,
    )
    sign = WorkerSign(owner="other", host="elsewhere", begun_at=right, beaten_at=right, emptied_at=None, state="")
    async with house.register.begin() as tx:
        await watching.beat(tx, sign)
    async with contextlib.AsyncExitStack() as living:
        if alive:
            await living.enter_async_context(presence.present(house.register, "other", lambda: right))
            with pytest.raises(Unavailable, match=r"clock: it is .* later for another worker"):
                await worker.process(house.door())
        else:
            await worker.process(house.door())
        assert bool(await composing.compose(house.door())) is not alive


async def test_by_a_clock_that_is_behind_nobody_else_loses_what_is_his(house: House) -> None:
    """A mail that waited for long had come even by that clock."""
    house.mailbox.deliver(letter(0))
    await worker.receive(house.door())
    house.now += DAYS
    async with house.register.begin() as tx:
        until = house.now + PACE.lease
        (claimed,) = await intake.claim_chunk(tx, "other", 9, house.now, until, size_bytes_max=1 << 20)
    house.now -= timedelta(hours=1)
    assert await worker.process(house.door()) == Progress()
    (row,) = await rows(house.register, "SELECT id, lease_owner, solo FROM intake WHERE lease_until IS NOT NULL")
    assert (row.id, row.lease_owner, bool(row.solo)) == (claimed.id, "other", False)


async def test_one_that_is_beyond_its_senders_rates_may_wait_for_days(house: House) -> None:
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    await execute(house.register, "UPDATE intake SET turn_at = :far, next_at = :far", far=house.now + DAYS)
    for _ in range(2):
        assert await worker.process(door) == Progress()
