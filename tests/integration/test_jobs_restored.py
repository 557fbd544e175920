"""What jobs had told in a time that was lost is told again under other Message-IDs: with other things it is no copy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta

import pytest

from mailflow.core.model import Right
from mailflow.jobs.dispatch import DISPATCH_JOB
from mailflow.jobs.lifetimes import NOTICES_JOB
from mailflow.jobs.work import Job
from mailflow.register import Register
from tests.support.databases import VAULT, Databases
from tests.support.jobs import do
from tests.support.reception import Reception, a_file, a_request
from tests.support.records import rows

CREATED = date(2026, 1, 16)
NOTICED = date(2027, 1, 12) - timedelta(days=45)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Register]:
    register = Register.open(url, VAULT)
    try:
        yield register
    finally:
        await register.close()


async def told(register: Register, job: Job, day: date) -> list[tuple[str, str]]:
    """Kind and Message-ID of what the job orders on that day."""
    assert await do(register, job, day)
    found = await rows(register, "SELECT kind, message_id FROM outbox WHERE intake_id IS NULL")
    return [(row.kind, row.message_id) for row in found]


@pytest.mark.parametrize(
    ("job", "day", "kind"),
    [(DISPATCH_JOB, CREATED, "dispatch"), (NOTICES_JOB, NOTICED, "notice")],
    ids=["dispatch", "notice"],
)
async def test_what_is_told_again_bears_another_message_id(
    databases: Databases, register_url: str, job: Job, day: date, kind: str
) -> None:
    async with opened(register_url) as register:
        reception = Reception(register)
        await reception.enrol("mairie", "59123", ["059"], rights=frozenset({Right.CREATION, Right.CONSULT}))
        await reception.enrol("agglo", "59777", ["059"])
        await created(reception, "A", 1)
    backup = databases.copy(register_url)
    async with opened(register_url) as register:
        ((was, lost),) = await told(register, job, day)
    async with opened(backup) as register:
        await created(Reception(register), "B", 2)
        ((again, message_id),) = await told(register, job, day + timedelta(days=1))
        assert await do(register, job, day + timedelta(days=1)) == 0, "told once all the same"
    assert was == again == kind
    assert message_id != lost


async def created(reception: Reception, surname: str, sequence: int) -> None:
    file = a_file(a_request(surname, desk="59777"), desk="59777", sequence=sequence)
    await reception.outcomes(file, sender="agglo")
