"""Dispatch: a desk learns what others did where it may consult, all of it, once, in numbered files."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from lxml import etree

from mailflow.core.model import Right
from mailflow.jobs import dispatch as telling
from mailflow.jobs.dispatch import DISPATCH_JOB
from mailflow.jobs.lifetimes import EXPIRY, PURGE
from mailflow.jobs.orders import Dispatch
from mailflow.register import Register, directory, dispatches, outbox
from mailflow.wire.dispatch import Told, read_told
from mailflow.wire.xsd import validator
from tests.support.jobs import TERMS, do, due, file_of, night, ordered
from tests.support.lives import registered, three_desks
from tests.support.reception import PARIS, Reception, a_file, a_request, about, number_of
from tests.support.records import NOW, a_draft, execute, rows

FULL = frozenset({Right.CREATION, Right.CONSULT})
DAY = date(2026, 1, 16)


@pytest.fixture
async def reception(register: Register) -> Reception:
    """A desk that may consult in 059; one that may not; both create."""
    opened = Reception(register)
    await opened.enrol("mairie", "59123", ["059"], rights=FULL)
    await opened.enrol("agglo", "59777", ["059", "111"])
    return opened


async def created(reception: Reception, *surnames: str, desk: str, sequence: int = 1, at: str = "59350") -> list[str]:
    forms = [a_request(surname, desk=desk, at=at) for surname in surnames]
    sender = "mairie" if desk == "59123" else "agglo"
    outcomes = await reception.outcomes(a_file(*forms, desk=desk, sequence=sequence), sender=sender)
    return [number_of(outcome) for outcome in outcomes]


async def told(register: Register) -> list[tuple[Dispatch, tuple[Told, ...]]]:
    orders = [order for _, order in await ordered(register) if isinstance(order, Dispatch)]
    return [(order, read_told(file_of(order))) for order in orders]


async def test_a_desk_is_told_what_others_did_where_it_may_consult(reception: Reception) -> None:
    register = reception.register
    await created(reception, "A", desk="59123")
    (b,) = await created(reception, "B", desk="59777")
    await created(reception, "C", desk="59777", sequence=2, at=PARIS)
    assert (await due(register, DISPATCH_JOB, DAY)).examples == ("desk 59123 (mairie) in 059: 1 requests",)
    assert await do(register, DISPATCH_JOB, DAY) == 1
    ((order, (about,)),) = await told(register)
    assert (order.sender, order.desk, order.number, order.name) == (
        "mairie",
        "59123",
        1,
        "DIS59123-202601160400-000001.xml",
    )
    assert (about.number, about.state, about.expires_on) == (b, "active", date(2027, 1, 12))
    assert about.form == a_request("B", desk="59777")


async def test_a_dispatch_is_valid_against_the_published_schema(reception: Reception) -> None:
    await created(reception, "B", desk="59777")
    await do(reception.register, DISPATCH_JOB, DAY)
    ((order, _),) = await told(reception.register)
    assert validator().validate(etree.fromstring(file_of(order)))
    assert b'acteur="59777"' in file_of(order)


async def test_nothing_is_told_twice_and_numbers_have_no_holes(reception: Reception) -> None:
    register = reception.register
    await created(reception, "B", desk="59777")
    assert await do(register, DISPATCH_JOB, DAY) == 1
    assert await do(register, DISPATCH_JOB, DAY + timedelta(days=1)) == 0
    await created(reception, "A", desk="59123")
    assert await do(register, DISPATCH_JOB, DAY + timedelta(days=1)) == 0
    (c,) = await created(reception, "C", desk="59777", sequence=2)
    assert await do(register, DISPATCH_JOB, DAY + timedelta(days=2)) == 1
    assert [(order.number, [one.number for one in about]) for order, about in await told(register)][1:] == [(2, [c])]


async def test_a_large_period_comes_in_several_dispatches(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "REQUESTS_MAX", 2)
    numbers = await created(reception, "B", "C", "D", "E", "F", desk="59777")
    assert await do(reception.register, DISPATCH_JOB, DAY) == 5
    files = await told(reception.register)
    assert [order.number for order, _ in files] == [1, 2, 3]
    assert [one.number for _, about in files for one in about] == numbers


async def test_what_ends_is_told_as_a_fact_to_its_own_desk_too(reception: Reception) -> None:
    register = reception.register
    (a,) = await created(reception, "A", desk="59123")
    (b,) = await created(reception, "B", desk="59777")
    late = date(2027, 1, 13)
    await do(register, EXPIRY, late)
    await do(register, DISPATCH_JOB, late)
    ((order, about),) = await told(register)
    assert [(one.number, one.state, one.expires_on, one.form) for one in about] == [
        (b, "radiee", None, None),
        (a, "radiee", None, None),
    ]
    assert b'motifRadiation code="RADREN"' in file_of(order)


async def test_a_mandate_begins_with_its_first_day(reception: Reception) -> None:
    register = reception.register
    await created(reception, "B", desk="59777")
    await reception.enrol("agglo", "59888", ["059"], rights=FULL, starts_on=DAY)
    later = replace_at(reception, timedelta(days=2))
    (c,) = await created(later, "C", desk="59777", sequence=2)
    await do(register, DISPATCH_JOB, DAY + timedelta(days=2))
    by_desk = {str(order.desk): [one.number for one in about] for order, about in await told(register)}
    assert by_desk["59888"] == [c]


def replace_at(reception: Reception, later: timedelta) -> Reception:
    return replace(reception, at=reception.at + later)


async def test_what_was_done_between_two_mandates_is_not_told(reception: Reception) -> None:
    register = reception.register
    await reception.enrol("agglo", "59888", ["059"], rights=FULL, ends_on=DAY)
    (b,) = await created(reception, "B", desk="59777")
    await do(register, DISPATCH_JOB, DAY)
    between = replace_at(reception, timedelta(days=10))
    await created(between, "C", desk="59777", sequence=2)
    again = DAY + timedelta(days=20)
    await reception.enrol("agglo", "59888", ["059"], rights=FULL, starts_on=again)
    (d,) = await created(replace_at(reception, timedelta(days=30)), "D", desk="59777", sequence=3)
    await do(register, DISPATCH_JOB, again + timedelta(days=15))
    assert [[one.number for one in about] for order, about in await told(register) if order.desk == "59888"] == [
        [b],
        [d],
    ]


async def test_a_mandate_that_follows_another_at_once_goes_on_where_that_was(
    reception: Reception,
) -> None:
    """So a mandate is changed, as the handbook says; what came since the last dispatch is told all the same."""
    register = reception.register
    await reception.enrol("agglo", "59888", ["059"], rights=FULL, ends_on=DAY)
    await do(register, DISPATCH_JOB, DAY)
    (b,) = await created(replace_at(reception, timedelta(days=1)), "B", desk="59777")
    await reception.enrol("agglo", "59888", ["059"], rights=FULL, starts_on=DAY + timedelta(days=1))
    for days in range(1, 4):
        await do(register, DISPATCH_JOB, DAY + timedelta(days=days))
    dispatched = [[one.number for one in about] for order, about in await told(register) if order.desk == "59888"]
    assert dispatched == [[b]]


async def test_a_dispatch_can_be_told_again_also_when_its_requests_were_purged(reception: Reception) -> None:
    register = reception.register
    (b,) = await created(reception, "B", desk="59777")
    await do(register, DISPATCH_JOB, DAY)
    await told(register)
    for job, day in ((EXPIRY, "2027-01-13"), (PURGE, "2028-01-13")):
        assert await do(register, job, day) == 1
    async with register.read() as tx:
        (made,) = await dispatches.find(tx, "59123", 1)
        known = await directory.read(tx)
    assert await telling.resend(register, made, known, TERMS, night("2028-02-01"))
    ((order, (about,)),) = await told(register)
    assert order.name == "DIS59123-202802010400-000001.xml"
    assert (about.number, about.state, about.form) == (b, "radiee", None)


async def test_who_may_not_consult_any_more_is_told_nothing_again(reception: Reception) -> None:
    register = reception.register
    await created(reception, "B", desk="59777")
    await do(register, DISPATCH_JOB, DAY)
    await reception.suspend_desk("59123")
    async with register.read() as tx:
        (made,) = await dispatches.find(tx, "59123", 1)
        known = await directory.read(tx)
    assert not await telling.resend(register, made, known, TERMS, night("2026-02-01"))
    await created(reception, "C", desk="59777", sequence=2)
    assert await do(register, DISPATCH_JOB, DAY) == 0


async def test_of_its_own_acts_a_desk_is_told_what_its_answers_do_not_say(register: Register) -> None:
    reception = await three_desks(register)
    couple = await registered(reception, a_request("Durand", "Petit"), 1)
    ended = await registered(reception, a_request("Martin"), 2)
    await reception.act("CRS", about(couple, "Petit", form=a_request("Petit")), sequence=3)
    await reception.act("RAD", about(ended, "Martin", motive="RADABA"), sequence=4)
    await reception.act("RAD", about(ended, "Martin"), sequence=5)
    await do(register, DISPATCH_JOB, DAY)
    mine = [about for order, about in await told(register) if order.desk == "59123"]
    assert [
        (one.number, one.state, one.revision, one.form and one.form.person and one.form.person.co_applicant)
        for about in mine
        for one in about
    ] == [(couple, "active", 2, None), (ended, "active", 3, None)]
    assert all(one.form is not None for about in mine for one in about)
    async with register.read() as tx:
        assert {made.desk for made in await dispatches.telling_of(tx, ended)} == {"59123", "59777", "59000"}


async def test_who_renewed_in_time_and_was_ended_meanwhile_is_told_with_its_content(register: Register) -> None:
    reception = await three_desks(register)
    number = await registered(reception)
    reception.wait(days=361)
    received_at = reception.received_at
    reception.wait(days=3)
    await do(register, EXPIRY, reception.at.date())
    await do(register, DISPATCH_JOB, reception.at.date())
    await told(register)
    late = replace(reception, received_at=received_at)
    await late.act("REN", about(number), sequence=2)
    await do(register, DISPATCH_JOB, reception.at.date() + timedelta(days=1))
    mine = [about for order, about in await told(register) if order.desk == "59123"]
    assert [(one.number, one.state, one.form is not None) for about in mine for one in about] == [
        (number, "active", True)
    ]


async def an_answer(register: Register, number: str) -> int:
    """That to the mail in which this request came: ordered, and not sent. The id of its outgoing mail."""
    (made,) = await rows(register, f"SELECT intake_id FROM history WHERE number = '{number}' AND revision = 1")
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(made.intake_id, key=str(made.intake_id))], NOW)
    (order,) = await rows(register, f"SELECT id FROM outbox WHERE intake_id = {made.intake_id}")
    return int(order.id)


async def test_nobody_else_is_told_a_new_number_before_its_own_desk(reception: Reception) -> None:
    """A register that has lost its latest time learns from answers which numbers went out, and from nothing else."""
    register = reception.register
    (b,) = await created(reception, "B", desk="59777")
    (c,) = await created(reception, "C", desk="59777", sequence=2)
    (d,) = await created(reception, "D", desk="59777", sequence=3)
    answer = await an_answer(register, c)
    assert (await due(register, DISPATCH_JOB, DAY)).count == 1
    assert await do(register, DISPATCH_JOB, DAY) == 1
    left = "UPDATE outbox SET state = 'sent', next_at = NULL, sent_at = queued_at WHERE id = :id"
    await execute(register, left, id=answer)
    assert await do(register, DISPATCH_JOB, DAY + timedelta(days=1)) == 2
    files = await told(register)
    assert [(order.number, [one.number for one in about]) for order, about in files] == [(1, [b]), (2, [c, d])]


async def test_an_answer_that_is_held_for_days_keeps_nobody_uninformed(reception: Reception) -> None:
    register = reception.register
    (b,) = await created(reception, "B", desk="59777")
    await an_answer(register, b)
    await execute(register, "UPDATE outbox SET state = 'held', next_at = NULL")
    nights = [DAY + timedelta(days=days) for days in range(5)]
    assert [await do(register, DISPATCH_JOB, day) for day in nights].count(1) == 1
    ((order, (about,)),) = await told(register)
    assert (order.number, about.number) == (1, b)
