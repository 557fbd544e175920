"""Doubtful sends are settled one by one: what befalls one of them is nothing to the others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, worker
from mailflow.mail.door import MailDoor, Progress
from tests.support.doors import PACE, AuditCopies, House
from tests.support.fake_mailer import Fate
from tests.support.judging import a_mail, dem_part
from tests.support.records import rows


@dataclass(slots=True)
class Spoilt(AuditCopies):
    """A mailbox where mails of one Message-ID cannot be read, or that is away."""

    message_id: str
    away: bool = False

    async def find(self, message_id: str) -> Sequence[bytes]:
        if self.away or message_id == self.message_id:
            raise Unavailable("imap: FETCH NO")
        return await AuditCopies.find(self, message_id)


async def states(house: House) -> list[str]:
    return [row.state for row in await rows(house.register, "SELECT state FROM outbox ORDER BY id")]


@pytest.fixture
async def door(house: House) -> MailDoor:
    """Three answers were taken, and nobody heard that they were; the first of them is the spoilt one."""
    for number in range(3):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number))))
    house.mailer.fates = [Fate.LOSE_REPLY] * 3
    door = house.door()
    for turn in (worker.receive, worker.process, composing.compose, delivery.deliver):
        await turn(door)
    assert await states(house) == ["sending"] * 3
    house.now += PACE.lease
    (first,) = await rows(house.register, "SELECT message_id FROM outbox ORDER BY id LIMIT 1")
    return replace(door, copies=Spoilt(house.mailer, first.message_id))


async def test_one_that_cannot_be_looked_for_keeps_no_other_one_waiting(
    house: House, door: MailDoor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    assert await delivery.settle_doubtful(door) == Progress(sent=2)
    assert await states(house) == ["sending", "sent", "sent"]
    assert [record.getMessage() for record in caplog.records] == ["not-looked-for"]
    house.now += PACE.deadline
    assert await delivery.settle_doubtful(door) == Progress(), "nor is it sent again unseen"
    assert await delivery.settle_doubtful(house.door()) == Progress(sent=1)
    assert len(house.mailer.accepted) == 3


async def test_a_mailbox_that_is_away_is_said(house: House, door: MailDoor) -> None:
    assert isinstance(door.copies, Spoilt)
    door.copies.away = True
    with pytest.raises(Unavailable):
        await delivery.settle_doubtful(door)
    assert await states(house) == ["sending"] * 3
    door.copies.away = False
    assert await delivery.settle_doubtful(door) == Progress(sent=2)
