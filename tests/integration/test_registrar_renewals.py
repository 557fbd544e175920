"""Renewals: once for an anniversary, with or without a new form."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mailflow.core.model import RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.register import Register, journal
from mailflow.registrar import ending
from tests.support.lives import (
    done,
    form_of,
    held,
    life_of,
    past,
    registered,
    three_desks,
    warned,
)
from tests.support.reception import Reception, a_request, about, an_order, codes_of


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


async def test_a_renewal_gives_a_year_from_its_day_and_an_attestation(reception: Reception) -> None:
    number = await registered(reception)
    reception.wait(days=340)
    (outcome,) = await reception.act("REN", about(number), sequence=2, desk="59777")
    told = done(outcome)
    assert (told.expires_on, told.state) == (date(2027, 12, 21), RequestState.ACTIVE)
    assert told.attestation is not None
    attested = told.attestation
    assert (attested.deposited_on, attested.renewed_on) == (date(2026, 1, 12), date(2026, 12, 21))
    assert (attested.form, attested.desk_name) == (a_request("Durand"), "59777")
    assert [entry.content_before for entry in await past(reception, number)] == [None, None]


async def test_a_renewal_is_done_once_for_an_anniversary(reception: Reception) -> None:
    number = await registered(reception)
    reception.wait(days=320)
    (first,) = await reception.act("REN", about(number), sequence=2)
    reception.wait(days=40)
    (again,) = await reception.act("REN", about(number), sequence=3)
    assert warned(again) == ["RENEWED_ALREADY"]
    assert done(again).replayed
    assert (done(again).expires_on, done(again).attestation) == (done(first).expires_on, done(first).attestation)
    assert len(await past(reception, number)) == 2
    reception.wait(days=60)
    (late,) = await reception.act("REN", about(number), sequence=4)
    assert codes_of(late) == ["RENEWAL_TOO_EARLY"]


async def test_renewals_open_on_a_day(reception: Reception) -> None:
    number = await registered(reception)
    opens_on = (await life_of(reception, number)).renewal_opens_on()
    reception.wait(days=(opens_on - reception.at.date()).days - 1)
    (early,) = await reception.act("REN", about(number), sequence=2)
    assert codes_of(early) == ["RENEWAL_TOO_EARLY"]
    reception.wait(days=1)
    (first,) = await reception.act("REN", about(number), sequence=3)
    assert (warned(first), done(first).expires_on) == ([], opens_on.replace(year=opens_on.year + 1))


async def test_a_request_lapses_on_the_day_after_its_last(reception: Reception) -> None:
    number = UniqueNumber(await registered(reception))
    last = (await life_of(reception, number)).expires_on
    async with reception.register.begin() as tx:
        assert await ending.end_lapsed(tx, [number], last, reception.at) == []
        assert await ending.end_lapsed(tx, [number], last + timedelta(days=1), reception.at) == [number]
        assert await ending.end_lapsed(tx, [number], last + timedelta(days=2), reception.at) == []
        told = [kept.entry for kept in await journal.of_number(tx, number)]
    life = await life_of(reception, number)
    assert (life.state, life.ended_on) == (RequestState.DEREGISTERED, last + timedelta(days=1))
    assert [(entry.kind, dict(entry.detail).get("motive")) for entry in told][1:] == [("expired", life.motive)]
    assert [entry.revision for entry in await past(reception, number)] == [1, 2]


async def test_a_renewal_may_bring_a_new_form(reception: Reception) -> None:
    number = await registered(reception)
    reception.wait(days=320)
    form = a_request("Durand", at="59512")
    (first,) = await reception.act("REN", about(number, form=form), sequence=2)
    assert done(first).attestation is not None
    assert (await form_of(reception, number)).sought == form.sought
    (same,) = await reception.act("REN", about(number, form=form), sequence=3)
    assert len(await past(reception, number)) == 2
    (other,) = await reception.act("REN", about(number, form=a_request("Durand")), sequence=4)
    assert (done(same).replayed, done(other).replayed) == (True, False)
    assert done(other).expires_on == done(first).expires_on
    assert [bool(entry.content_before) for entry in await past(reception, number)] == [False, True, True]


async def test_what_was_received_in_time_is_renewed_though_it_is_decided_late(reception: Reception) -> None:
    """A job may have ended the request while the mails of two days were waiting."""
    number = await registered(reception)
    renewal = an_order("REN", about(number), sequence=2, dated_at=datetime(2027, 1, 12, 22, tzinfo=UTC))
    reception.received_at = datetime(2027, 1, 12, 22, 30, tzinfo=UTC)
    reception.at = reception.received_at + timedelta(days=2)
    async with reception.register.begin() as tx:
        assert await ending.end_lapsed(tx, [UniqueNumber(number)], date(2027, 1, 14), reception.at) == [number]
    assert await held(reception) == 0
    (outcome,) = await reception.outcomes(renewal)
    assert (done(outcome).state, done(outcome).expires_on) == (RequestState.ACTIVE, date(2028, 1, 12))
    assert await held(reception) == 1
