"""An applicant's rights: all that is known, and its erasure."""

from datetime import date

import pytest

from mailflow.core.model import Right
from mailflow.jobs.dispatch import DISPATCH_JOB
from mailflow.register import Register, intake, journal, requests
from mailflow.register.journal import Act
from mailflow.registrar import person
from tests.support.jobs import do, night
from tests.support.reception import Reception, a_file, a_request, number_of
from tests.support.records import claim, rows, settlement

TODAY = date(2026, 2, 1)
ACT = Act(by="me", why="asked for by letter")


@pytest.fixture
async def reception(register: Register) -> Reception:
    opened = Reception(register)
    await opened.enrol("mairie", "59123", ["059"])
    await opened.enrol("agglo", "59777", ["059"], rights=frozenset({Right.CREATION, Right.CONSULT}))
    return opened


async def settle_all(register: Register) -> None:
    mails = await claim(register, at=night(TODAY))
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(mail.id) for mail in mails], night(TODAY))


async def erase(register: Register, number: str) -> person.Erasure:
    async with register.begin() as tx:
        plan = await person.plan_erasure(tx, number)
        assert plan is not None
        await person.erase(tx, plan, ACT, TODAY, night(TODAY))
    return plan


async def test_an_export_tells_everything_and_whom_it_was_told_to(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await do(register, DISPATCH_JOB, "2026-01-16")
    async with register.read() as tx:
        known = await person.export(tx, number)
        assert await person.export(tx, "059012600099959123") is None
    assert known is not None
    assert known["content"]["personnePhysique"]["demandeur"]["nom"] == "Durand"
    assert [entry["operation"] for entry in known["history"]] == ["CRE"]
    assert [entry["kind"] for entry in known["journal"]] == ["registered"]
    assert [(one["desk"], one["dispatch"]) for one in known["told_to"]] == [("59777", 1)]


async def test_an_erasure_ends_the_request_and_leaves_number_days_and_states(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await settle_all(register)
    plan = await erase(register, number)
    assert (plan.deregisters, plan.content, len(plan.mails), plan.shared) == (True, True, 1, ())
    async with register.read() as tx:
        stored = await requests.find(tx, number)
        kinds = [kept.entry.kind for kept in await journal.of_number(tx, number)]
        known = await person.export(tx, number)
    assert stored is not None
    assert (stored.payload, stored.life.state, stored.life.motive, stored.life.ended_on) == (
        None,
        "deregistered",
        "RADABA",
        TODAY,
    )
    assert kinds == ["registered", "deregistered", "person-erased"]
    assert known is not None
    assert known["content"] is None
    assert await rows(register, "SELECT id FROM content_key") == []
    assert await rows(register, "SELECT token FROM active_identity") == []


async def test_a_mail_that_others_share_is_left_to_retention(reception: Reception) -> None:
    register = reception.register
    outcomes = await reception.outcomes(a_file(a_request("A"), a_request("B")))
    await settle_all(register)
    plan = await erase(register, number_of(outcomes[0]))
    assert (plan.mails, len(plan.shared)) == ((), 1)
    async with register.read() as tx:
        other = await requests.find(tx, number_of(outcomes[1]))
    assert other is not None
    assert other.payload is not None


async def test_erasing_twice_does_no_more(reception: Reception) -> None:
    register = reception.register
    number = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    await erase(register, number)
    again = await erase(register, number)
    assert (again.deregisters, again.content) == (False, False)
    assert len(await rows(register, "SELECT * FROM history")) == 2
