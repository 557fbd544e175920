"""A register in which mails were accepted by the real worker, and what their evidence proves."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from mailflow.jobs.sealing import seal
from mailflow.mail.stages import Stages
from mailflow.register import Register
from mailflow.register.evidence import Period
from mailflow.review.archive import Archive, Checked
from tests.support.doors import House
from tests.support.jobs import TERMS
from tests.support.judging import a_judge, a_mail, dem_part, encrypted, mailed, signed

ALWAYS = Period()
NEVER_SECONDS = 3600.0


async def work(house: House) -> None:
    """Until nothing is left to do; then the journal is sealed."""
    async with asyncio.timeout(60):
        await Stages(house.door(), poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS).drain(asyncio.Event())
    await seal(house.register, TERMS, house.now)


@pytest.fixture
async def archived(register: Register) -> House:
    """Three mails that were accepted (detached, opaque, encrypted), one refused for what it holds, one of nobody."""
    house = House(register)
    await house.enrol()
    house.mailbox.deliver(a_mail(dem_part(1, surname="Premier")))
    house.mailbox.deliver(a_mail(dem_part(2, surname="Second"), opaque=True))
    house.mailbox.deliver(mailed(encrypted(signed(dem_part(3, surname="Tiers")))))
    house.mailbox.deliver(a_mail(b"Content-Type: text/plain\r\n\r\nBonjour\r\n"))
    house.mailbox.deliver(b"From: a@b.example\r\n\r\nBonjour\r\n")
    await work(house)
    return house


async def checked(register: Register, *intakes: int, period: Period = ALWAYS, with_keys: bool = True) -> list[Checked]:
    archive = Archive(register, a_judge if with_keys else None)
    return [one async for one in archive.check(period, intakes)]


async def found(register: Register) -> list[tuple[int, str, str]]:
    """What is wrong with which mail."""
    return [
        (mail.intake, finding.fault.value, finding.detail)
        for mail in await checked(register)
        for finding in mail.findings
    ]


def contents(mails: Sequence[Checked]) -> list[str]:
    return [mail.content.value for mail in mails]


LONG_AFTER = timedelta(days=200)
"""When everything that may be erased is."""
