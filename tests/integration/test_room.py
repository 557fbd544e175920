"""What stays in the mailbox, and until when: while there is no room, or nothing can be decided."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.core.rates import Budget
from mailflow.errors import Unavailable
from mailflow.mail import late, stages, worker
from mailflow.mail.door import MailDoor
from mailflow.mail.ports import Listing
from mailflow.mail.stages import Stages
from mailflow.register import Register
from tests.support.batches import NEVER_SECONDS, drain, hurry, letter, until
from tests.support.doors import PACE, House
from tests.support.fake_mailer import Fate
from tests.support.judging import conseil, dem_part, mailed, signed
from tests.support.records import rows


@pytest.fixture
async def house(register: Register, monkeypatch: pytest.MonkeyPatch) -> House:
    """A door whose stages wait for nothing but each other."""
    hurry(monkeypatch)
    made = House(register)
    await made.enrol()
    return made


async def sent(house: House) -> int:
    return len(await rows(house.register, "SELECT id FROM outbox WHERE state = 'sent'"))


async def taken_in(house: House) -> int:
    return len(await rows(house.register, "SELECT id FROM intake"))


async def test_what_the_queue_has_no_room_for_stays_in_the_mailbox_until_it_has(house: House) -> None:
    door = house.door(pace=replace(PACE, chunk=1, waiting_max=3))
    for number in range(9):
        house.mailbox.deliver(letter(number))
    await worker.receive(door)
    assert (len(house.mailbox.inbox), await taken_in(house)) == (6, 3), "each batch of a poll asks anew"
    assert not await worker.receive(door)
    assert len(house.mailbox.inbox) == 6
    for _ in range(3):  # a batch takes what there is room for when it begins; the next one goes on
        await drain(door)
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 9)


async def turn(door: MailDoor) -> None:
    """Receive and decide what can be."""
    await worker.receive(door)
    while await worker.process(door):
        pass


async def test_who_is_beyond_its_rates_closes_the_mailbox_for_nobody_else(house: House) -> None:
    await house.enrol(conseil())
    door = house.door(pace=replace(PACE, waiting_max=3, rates={**PACE.rates, Budget.MAILS_A_DAY: 1}))
    for number in range(6):
        house.mailbox.deliver(letter(number))
    await turn(door)
    put_off = "SELECT id FROM intake WHERE turn_at IS NOT NULL AND next_at IS NOT NULL"
    assert len(await rows(house.register, put_off)) == 5, "more than there is room for in the queue"
    house.mailbox.deliver(mailed(signed(dem_part(9), conseil()), conseil().address))
    await drain(door)
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 2)
    house.now += timedelta(days=1)
    await worker.receive(door)
    house.mailbox.deliver(letter(6))
    await worker.receive(door)
    assert not house.mailbox.inbox, "nor does what has its turn now, and is not decided yet"


async def test_what_is_beyond_the_rates_has_a_bound_of_its_own(house: House, caplog: pytest.LogCaptureFixture) -> None:
    room = len(letter(0)) * 3 // 2
    pace = replace(PACE, put_off_bytes_max=room, rates={**PACE.rates, Budget.MAILS_A_DAY: 1})
    door = house.door(pace=pace)
    for number in range(3):
        house.mailbox.deliver(letter(number))
        await turn(door)
    for number in (3, 4):
        house.mailbox.deliver(letter(number))
        assert not await worker.receive(door)
    assert (len(house.mailbox.inbox), await taken_in(house)) == (2, 3)
    assert [record.__dict__["pairs"]["full"] for record in caplog.records] == ["put-off"] * 2
    house.now += timedelta(days=1)
    await turn(door)
    await turn(door)
    assert not house.mailbox.inbox, "it ends by itself"


@pytest.mark.parametrize("sick", [Fate.DEFER_AT_ONCE, Fate.LOSE_MAIL], ids=["mail server", "audit mailbox"])
async def test_answers_that_do_not_leave_end_the_intake_until_they_do(
    house: House, caplog: pytest.LogCaptureFixture, sick: Fate
) -> None:
    door = house.door(pace=replace(PACE, chunk=2, waiting_max=4))
    house.mailer.fates = [sick] * 20
    for number in range(8):
        house.mailbox.deliver(letter(number))
    await turn(door)
    await drain(door)
    assert not await worker.receive(door)
    assert (len(house.mailbox.inbox), await taken_in(house), await sent(house)) == (4, 4, 0)
    assert caplog.records[-1].__dict__["pairs"]["full"] == "unsent"
    house.mailer.fates = []
    house.now += PACE.lease
    await house.miss()
    while house.mailbox.inbox:
        await drain(door)
    await drain(door)
    assert await sent(house) == 8


async def test_who_waits_is_told_so_while_the_intake_is_closed(house: House) -> None:
    door = house.door(pace=replace(PACE, waiting_max=1, rates={**PACE.rates, Budget.MAILS_A_DAY: 1}))
    house.mailer.fates = [Fate.DEFER_AT_ONCE]
    for number in range(2):
        house.mailbox.deliver(letter(number))
    await turn(door)
    await drain(door)
    house.now += timedelta(minutes=20)
    house.mailbox.deliver(letter(2))
    assert not await worker.receive(door)
    assert (await late.acknowledge(door)).late
    assert len(await rows(house.register, "SELECT id FROM outbox WHERE kind = 'receipt'")) == 1
    await drain(door)
    assert await sent(house) == 2, "the receipt, and the answer that was put off"


async def test_answers_that_a_person_holds_keep_nobody_out(house: House) -> None:
    door = house.door(pace=replace(PACE, waiting_max=1))
    house.mailer.fates = [Fate.REFUSE_RECIPIENT]
    for number in range(2):
        house.mailbox.deliver(letter(number))
        await drain(door)
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 1)
    assert len(await rows(house.register, "SELECT id FROM outbox WHERE state = 'held'")) == 1


async def test_on_a_disk_that_is_nearly_full_only_the_intake_ends(house: House) -> None:
    used = 0.5
    door = replace(house.door(), disk_used=lambda: used)
    house.mailbox.deliver(letter(0))
    await worker.receive(door)
    used = 0.98
    house.mailbox.deliver(letter(1))
    await drain(door)
    assert (len(house.mailbox.inbox), await sent(house)) == (1, 1)
    used = 0.5
    await drain(door)
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 2)


async def test_a_disk_that_fills_between_two_batches_of_one_poll_ends_it_there(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    used = iter([0.5, 0.5, 0.98])  # before anything is read, then before each batch
    door = replace(house.door(pace=replace(PACE, chunk=2)), disk_used=lambda: next(used))
    for number in range(5):
        house.mailbox.deliver(letter(number))
    assert (await worker.receive(door)).received == 2
    assert (len(house.mailbox.inbox), await taken_in(house)) == (3, 2), "what was taken in is moved all the same"
    (left,) = [record.__dict__["pairs"] for record in caplog.records if record.message == "left-in-mailbox"]
    assert (left["mails"], left["full"]) == ("3", "disk")
    await drain(house.door())
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 5)


async def test_while_nothing_can_be_decided_mails_stay_in_the_mailbox(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise Unavailable("no lists")

    sick = Stages(house.door(), poll_seconds=0.01, pause_seconds=0.01)
    house.shelf.trouble = away
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(sick.run(NEVER_SECONDS, stop))
        # A turn that began before enough had failed may still read what comes.
        await until(lambda: "left-in-mailbox" in caplog.messages)
        assert sick.process.failures >= stages.FAILURES_MAX
        house.mailbox.deliver(letter(0))
        tried = sick.process.failures
        await until(lambda: sick.process.failures >= tried + 5)
        assert len(house.mailbox.inbox) == 1
        house.shelf.trouble = lambda: None
        await until(lambda: sick.progress.sent == 1)
        stop.set()
    assert not house.mailbox.inbox


async def test_a_single_batch_too_leaves_mails_in_the_mailbox_while_nothing_can_be_decided(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Unavailable("no lists")

    sick = Stages(house.door(pace=replace(PACE, chunk=1)), poll_seconds=0.01, pause_seconds=0.01)
    look = house.mailbox.list

    async def look_once_enough_has_failed() -> Listing:
        await until(lambda: sick.process.failures >= stages.FAILURES_MAX)
        return await look()

    for number in range(3 * worker.CHUNKS_A_POLL):
        house.mailbox.deliver(letter(number))
    house.shelf.trouble = away
    with monkeypatch.context() as patched:
        patched.setattr(house.mailbox, "list", look_once_enough_has_failed)
        assert "process" in (await sick.drain(asyncio.Event())).unavailable
    assert await taken_in(house) == worker.CHUNKS_A_POLL, "only the turn that had begun before"
    assert "left-in-mailbox" in caplog.messages
    house.shelf.trouble = lambda: None
    await drain(house.door())
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 3 * worker.CHUNKS_A_POLL)


async def test_a_mail_that_is_left_in_the_mailbox_keeps_nobody_busy(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """It wakes who receives, and is told, once; then it waits for the poll like those before it."""

    def away() -> None:
        raise Unavailable("no lists")

    sick = Stages(house.door(), poll_seconds=NEVER_SECONDS, pause_seconds=0.01)
    house.shelf.trouble = away
    house.mailbox.deliver(letter(0))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(sick.run(NEVER_SECONDS, stop))
        await until(lambda: sick.process.failures >= stages.FAILURES_MAX)
        house.mailbox.deliver(letter(1))
        await until(lambda: "left-in-mailbox" in caplog.messages)
        tried = sick.process.failures
        await until(lambda: sick.process.failures >= tried + 5)
        stop.set()
    assert caplog.messages.count("left-in-mailbox") <= 2, "perhaps once before it came"
