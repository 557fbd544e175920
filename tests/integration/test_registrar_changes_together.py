"""Changes of registered requests by two workers at once: each is judged by what the other has left."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from mailflow.core.model import Outcome, Registered
from mailflow.register import Register
from mailflow.wire.envelope import RequestElement
from tests.support.lives import LEASE, form_of, held, life_of, past, registered, three_desks
from tests.support.processes import at_once, two_processes
from tests.support.reception import Reception, Sent, a_request, about, an_order, sent


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


def by(reception: Reception, desk: str, operation: str, *elements: RequestElement) -> Sent:
    """A mail with one file, made a minute after all others."""
    dated_at = reception.received_at + timedelta(minutes=1)
    file = an_order(operation, *elements, sequence=90, desk=desk, dated_at=dated_at)
    return sent(file, sender=reception.senders[desk])


def said(outcomes: Sequence[tuple[Outcome, ...]]) -> list[str]:
    """What each was told, sorted: who came first is chance."""
    found = []
    for outcome in (one for several in outcomes for one in several):
        if isinstance(outcome, Registered):
            found.append("again" if outcome.replayed else outcome.state.value)
        else:
            found.append(" ".join(anomaly.code.name for anomaly in outcome.anomalies))
    return sorted(found)


async def test_of_two_renewals_one_is_done(reception: Reception, register_url: str) -> None:
    number = await registered(reception)
    reception.wait(days=330)
    async with two_processes(reception, register_url) as processes:
        mails = [by(reception, desk, "REN", about(number)) for desk in ("59123", "59777")]
        assert said(await at_once(processes, *mails)) == ["active", "again"]
    assert len(await past(reception, number)) == 2


async def test_of_two_deregistrations_one_is_done(reception: Reception, register_url: str) -> None:
    number = await registered(reception)
    async with two_processes(reception, register_url) as processes:
        mails = [
            by(reception, "59123", "RAD", about(number, motive="RADABA")),
            by(reception, "59777", "RAD", about(number, motive="RADATT", lease=LEASE)),
        ]
        assert said(await at_once(processes, *mails)) == ["NOT_ACTIVE", "deregistered"]
    assert len(await past(reception, number)) == 2
    assert await held(reception) == 0


async def test_of_a_couple_only_one_leaves(reception: Reception, register_url: str) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    async with two_processes(reception, register_url) as processes:
        mails = [
            by(reception, "59123", "CRS", about(couple, form=a_request("Durand"))),
            by(reception, "59777", "CRS", about(couple, "Petit", form=a_request("Petit", desk="59777"))),
        ]
        outcomes = await at_once(processes, *mails)
    told = said(outcomes)
    # The second has left the couple's request, or is alone in it, by the time that it is judged.
    assert "active" in told
    assert told[0] in ("NUMBER_UNKNOWN", "NOT_OF_THE_COUPLE")
    assert await held(reception) == 2


async def test_a_person_goes_to_one_request_only(reception: Reception, register_url: str) -> None:
    number = await registered(reception)
    async with two_processes(reception, register_url) as processes:
        mails = [
            by(reception, "59123", "MOD", about(number, form=a_request("Durand", "Petit"))),
            by(reception, "59777", "CRE", RequestElement(form=a_request("Petit", desk="59777"))),
        ]
        assert said(await at_once(processes, *mails)) == ["REQUEST_EXISTS", "active"]
    assert await held(reception) == 2


async def test_who_is_freed_is_free_once_it_is_committed(reception: Reception, register_url: str) -> None:
    """A creation waits for the deregistration that may be undone, or comes before it."""
    number = await registered(reception)
    async with two_processes(reception, register_url) as processes:
        mails = [
            by(reception, "59123", "RAD", about(number, motive="RADABA")),
            by(reception, "59777", "CRE", RequestElement(form=a_request("Durand", desk="59777"))),
        ]
        told = said(await at_once(processes, *mails))
    assert told in (["active", "deregistered"], ["REQUEST_EXISTS", "deregistered"])
    assert await held(reception) == told.count("active")


async def test_numbers_in_opposite_order_do_not_stop_each_other(reception: Reception, register_url: str) -> None:
    one = await registered(reception, a_request("Durand"))
    other = await registered(reception, a_request("Moreau"), 2)
    reception.wait(minutes=5)
    async with two_processes(reception, register_url) as processes:
        mails = []
        for desk, order in (("59123", (one, other)), ("59777", (other, one))):
            names = {one: "Durand", other: "Moreau"}
            elements = [
                about(number, names[number], form=a_request(names[number], at="59512", desk=desk)) for number in order
            ]
            mails.append(by(reception, desk, "MOD", *elements))
        assert said(await at_once(processes, *mails)) == ["active", "active", "again", "again"]
    for number in (one, other):
        assert len(await past(reception, number)) == 2
        assert (await form_of(reception, number)).sought == a_request("Durand", at="59512").sought
        assert (await life_of(reception, number)).renewed_on is None
