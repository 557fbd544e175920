"""A batch while the mailbox fails at single mails or calls, or is slow: what is received, and that it ends."""

import asyncio
from dataclasses import replace

import pytest

from mailflow.mail import worker
from mailflow.mail.door import MailDoor
from mailflow.mail.stages import Drained, Stages
from tests.support.doors import PACE, House
from tests.support.judging import a_mail, dem_part

SECONDS_MAX = 60
NEVER_SECONDS = 3600.0


def letter(number: int) -> bytes:
    """A mail about somebody of its own."""
    return a_mail(dem_part(number, surname="Nom" + chr(97 + number)))


async def drain(door: MailDoor) -> Drained:
    async with asyncio.timeout(SECONDS_MAX):
        return await Stages(door, poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS).drain(asyncio.Event())


async def test_a_move_that_fails_once_leaves_nothing_to_be_done(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.troubles += ["move"]
    drained = await drain(house.door())
    assert (drained.unavailable, drained.waiting) == ((), 0)
    assert (drained.progress.received, drained.progress.sent) == (1, 1)
    assert not house.mailbox.inbox


async def test_mails_that_cannot_be_read_end_no_batch_late_and_keep_nobody_waiting(house: House) -> None:
    """The oldest of them; with more in the mailbox than one poll looks at."""
    pace = replace(PACE, chunk=1)
    bad = [house.mailbox.deliver(letter(number)) for number in range(worker.CHUNKS_A_POLL - 1)]
    good = [house.mailbox.deliver(letter(number)) for number in range(10, 12 + worker.CHUNKS_A_POLL)]
    house.mailbox.unreadable.update(bad)
    async with asyncio.timeout(SECONDS_MAX):
        drained = await drain(house.door(pace=pace))
    assert (drained.progress.received, drained.progress.sent, drained.unavailable) == (len(good), len(good), ())
    assert (sorted(house.mailbox.inbox), drained.waiting) == (bad, len(bad))
    house.mailbox.unreadable.clear()
    drained = await drain(house.door(pace=pace))
    assert (drained.progress.received, drained.progress.sent) == (len(bad), len(bad))
    assert (sorted(house.mailbox.inbox), drained.waiting) == ([], 0)


async def test_a_slow_server_is_read_for_a_bounded_time_in_one_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FETCH_SECONDS_MAX", -1.0)
    for number in range(3):
        house.mailbox.deliver(letter(number))
    assert (await worker.receive(house.door())).received == 1
    assert len(house.mailbox.inbox) == 2
    drained = await drain(house.door())
    assert (drained.progress.received, drained.progress.sent) == (2, 3)
