"""Notices, expiry and purge: each once, on its day or as soon as the service is back, and never for another's."""

from datetime import date, timedelta

import pytest

from mailflow.core.model import Registered
from mailflow.jobs.lifetimes import EXPIRY, NOTICES_JOB, PURGE
from mailflow.jobs.orders import Notice
from mailflow.register import Register, history, journal, requests
from tests.support.jobs import do, due, ordered
from tests.support.reception import Reception, a_file, a_request, number_of
from tests.support.records import key_rows, rows

LAST = date(2027, 1, 12)
NOTICE_DAY = LAST - timedelta(days=45)


@pytest.fixture
async def reception(register: Register) -> Reception:
    opened = Reception(register)
    await opened.enrol()
    await opened.enrol("agglo", "59777", ["059"])
    return opened


async def three(reception: Reception) -> list[str]:
    """Two of one desk and one of another, with one last day."""
    first = await reception.outcomes(a_file(a_request("A"), a_request("B")))
    second = await reception.outcomes(a_file(a_request("C", desk="59777"), desk="59777"), sender="agglo")
    return [number_of(outcome) for outcome in (*first, *second)]


async def test_each_desk_is_told_once_in_one_mail_forty_five_days_before(reception: Reception) -> None:
    a, b, c = await three(reception)
    register = reception.register
    assert await do(register, NOTICES_JOB, NOTICE_DAY - timedelta(days=1)) == 0
    assert (await due(register, NOTICES_JOB, NOTICE_DAY)).examples == (a, b, c)
    assert await do(register, NOTICES_JOB, NOTICE_DAY) == 3
    told = [order for _, order in await ordered(register)]
    assert all(isinstance(order, Notice) for order in told)
    assert [(order.sender, order.desk, *order.requests) for order in told if isinstance(order, Notice)] == [
        ("mairie", "59123", (a, LAST), (b, LAST)),
        ("agglo", "59777", (c, LAST)),
    ]
    for day in (NOTICE_DAY, LAST):
        assert await do(register, NOTICES_JOB, day) == 0


async def test_a_stop_of_days_is_made_up_for_as_long_as_the_request_is_active(reception: Reception) -> None:
    await three(reception)
    assert await do(reception.register, NOTICES_JOB, LAST + timedelta(days=1)) == 0
    assert await do(reception.register, NOTICES_JOB, LAST) == 3


async def test_a_desk_that_nobody_acts_for_is_told_when_somebody_does(reception: Reception) -> None:
    await reception.enrol("mairie", "59555", ["059"], ends_on=date(2026, 2, 1))
    await reception.outcomes(a_file(a_request("D", desk="59555"), desk="59555"))
    register = reception.register
    assert (await due(register, NOTICES_JOB, NOTICE_DAY)).count == 1
    assert await do(register, NOTICES_JOB, NOTICE_DAY) == 0
    await reception.enrol("agglo", "59555", ["059"])
    assert await do(register, NOTICES_JOB, NOTICE_DAY) == 1


async def test_who_did_not_renew_ends_the_day_after_the_last_one_whenever_that_is_noticed(reception: Reception) -> None:
    numbers = await three(reception)
    register = reception.register
    assert await do(register, EXPIRY, LAST) == 0
    late = LAST + timedelta(days=9)
    assert (await due(register, EXPIRY, late)).count == 3
    assert await do(register, EXPIRY, late) == 3
    assert await do(register, EXPIRY, late) == 0
    async with register.read() as tx:
        stored = await requests.find(tx, numbers[0])
        last = (await history.of_number(tx, numbers[0]))[-1]
        kinds = [kept.entry.kind for kept in await journal.of_number(tx, numbers[0])]
    assert stored is not None
    assert (stored.life.state, stored.life.motive, stored.life.ended_on) == (
        "deregistered",
        "RADREN",
        LAST + timedelta(days=1),
    )
    assert (last.entry.operation, last.entry.origin, last.entry.life) == ("RAD", None, stored.life)
    assert kinds == ["registered", "expired"]


async def test_an_expired_applicant_may_file_anew(reception: Reception) -> None:
    (before,) = await reception.outcomes(a_file(a_request("A")))
    await do(reception.register, EXPIRY, LAST + timedelta(days=1))
    (after,) = await reception.outcomes(a_file(a_request("A", deposited="2026-01-13"), sequence=2))
    assert isinstance(after, Registered)
    assert after.number != number_of(before)


async def test_a_year_after_the_end_nothing_that_it_said_can_be_read(reception: Reception) -> None:
    numbers = await three(reception)
    register = reception.register
    await do(register, EXPIRY, LAST + timedelta(days=1))
    kept = len(await key_rows(register))
    ended = LAST + timedelta(days=1)
    assert await do(register, PURGE, ended.replace(year=2028) - timedelta(days=1)) == 0
    assert (await due(register, PURGE, ended.replace(year=2028))).examples == tuple(sorted(numbers))
    assert await do(register, PURGE, ended.replace(year=2028)) == 3
    assert await do(register, PURGE, ended.replace(year=2028)) == 0
    assert len(await key_rows(register)) == kept - 3
    assert await rows(register, "SELECT token FROM active_identity UNION SELECT token FROM request_reference") == []
    async with register.read() as tx:
        stored = await requests.find(tx, numbers[0])
    assert stored is not None
    assert (stored.payload, stored.key, stored.life.ended_on) == (None, None, ended)
