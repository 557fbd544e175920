"""A single batch beside another worker: it is over when nothing is left that it could do, whoever began it."""

import asyncio

from mailflow.mail import worker
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.stages import Stages
from tests.support.doors import House
from tests.support.judging import a_mail, dem_part

NEVER_SECONDS = 3600.0
LETTERS = 3


async def test_it_answers_what_another_one_took_in_when_it_was_nearly_through(house: House) -> None:
    stages = Stages(house.door("first"), poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS)
    deliver, late = stages.deliver.turn, False

    async def last(door: MailDoor) -> Progress:
        nonlocal late
        if stages.compose.done.is_set() and not late:
            late = True
            for number in range(LETTERS):
                house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number))))
            await worker.receive(house.door("second"))
        return await deliver(door)

    stages.deliver.turn = last
    async with asyncio.timeout(60):
        drained = await stages.drain(asyncio.Event())
    assert late
    assert (drained.progress.received, drained.progress.sent, drained.waiting) == (0, LETTERS, 0)
    assert len(house.mailer.accepted) == LETTERS
