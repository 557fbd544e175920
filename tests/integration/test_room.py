"""What stays in the mailbox, and until when: while there is no room, or nothing can be decided."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import stages, worker
from mailflow.mail.stages import Stages
from mailflow.register import Register
from tests.support.batches import NEVER_SECONDS, SECONDS_MAX, drain, hurry, letter
from tests.support.doors import PACE, House
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


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not true():  # noqa: ASYNC110  nobody sets an event for it
            await asyncio.sleep(0.01)


async def test_what_the_queue_has_no_room_for_stays_in_the_mailbox_until_it_has(house: House) -> None:
    door = house.door(pace=replace(PACE, chunk=1, waiting_max=3))
    for number in range(9):
        house.mailbox.deliver(letter(number))
    await worker.receive(door)
    assert (len(house.mailbox.inbox), await taken_in(house)) == (5, 4), "a poll reads what it began with"
    assert not await worker.receive(door)
    assert len(house.mailbox.inbox) == 5
    for _ in range(3):  # a batch takes what there is room for when it begins; the next one goes on
        await drain(door)
    assert (len(house.mailbox.inbox), await sent(house)) == (0, 9)


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
