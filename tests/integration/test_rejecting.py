"""An operator refuses mails: the sender is told if, and only if, it is proven; once, instead of any other answer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import Standing
from mailflow.mail import composing, delivery, late, rejecting, worker
from mailflow.mail.desk import OpenedAnswer, open_answer
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Recognition
from mailflow.mail.rejecting import Refusal, Rejection
from mailflow.register import Register, cases, directory, journal
from mailflow.register.acts import MAILS, Left, Verb
from mailflow.register.cases import MAIL, Filter
from mailflow.register.types import IntakeState
from mailflow.registrar import StaleDirectory
from tests.integration.test_operator_acts import a_mail_in
from tests.support.doors import PACE, House, InProcess
from tests.support.judging import a_mail, dem_part, mairie
from tests.support.operating import ids, operate
from tests.support.pki import shared_pki
from tests.support.pool_parts import BREAKS
from tests.support.records import DESK, LONG_AFTER, execute, rows

STRANGER = b"From: a@b.example\r\n\r\nBonjour\r\n"
REFUSAL = Refusal(act=journal.Act(by="anna", why="agreed by telephone"), note="Envoi d'essai.\nÀ refaire.")
ALL = Filter(kinds=[MAIL])


@pytest.fixture
async def house(register: Register) -> House:
    """A good mail, one of nobody, and one that breaks the judge; nothing is decided."""
    made = House(register)
    await made.enrol()
    for raw in (a_mail(dem_part(1)), STRANGER, BREAKS + STRANGER):
        made.mailbox.deliver(raw)
    await worker.receive(made.door())
    return made


async def reject(house: House, which: Filter = ALL) -> Rejection:
    return await rejecting.reject(house.door("operator"), which, REFUSAL)


async def work(house: House) -> None:
    """As often as a mail is attempted."""
    door = house.door()
    for _ in range(PACE.attempts_max):
        await worker.process(door)
    await composing.compose(door)
    await delivery.deliver(door)


def told(house: House) -> list[OpenedAnswer]:
    key, certificates = mairie().decryption_key, [shared_pki().service_ec.der]
    return [open_answer(mail.raw, [key], certificates, house.now) for mail in house.mailer.accepted]


async def states(house: House) -> dict[int, tuple[str, str | None]]:
    async with house.register.read() as tx:
        return {item.id: (item.state.value, item.reason) for item in await cases.find(tx, ALL)}


async def test_who_is_proven_is_told_and_nobody_else_is(house: House) -> None:
    planned = await rejecting.plan(house.door("operator"), ALL)
    assert {state for state, _ in (await states(house)).values()} == {"received"}, "a plan changes nothing"
    assert house.mailer.accepted == []
    rejection = await reject(house)
    assert rejection == planned
    assert (ids(rejection.weighed), [item.id for item in rejection.told]) == ([1, 2], [1])
    assert [(item.id, why) for item, why in rejection.weighed.left] == [(3, Left.UNCLEAR)]
    rejected = Code.MAIL_REJECTED.value
    assert await states(house) == {1: ("answered", rejected), 2: ("set_aside", rejected), 3: ("received", None)}
    await work(house)
    (answer,) = told(house)
    assert f"{rejected} (fatale)" in answer.text
    assert "L'exploitant précise :\n    Envoi d'essai.\n    À refaire.\n" in answer.text
    assert rejected.encode() in answer.files["accuse-1.xml"]
    assert answer.in_reply_to == "<1@mairie.example>"
    assert await rows(house.register, "SELECT number FROM request") == []
    assert await rows(house.register, "SELECT name FROM file") == [], "its file's name stays free"


async def test_no_more_octets_are_read_at_once_than_a_chunk_may_have(house: House) -> None:
    read: list[int] = []

    class Watched(InProcess):
        async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
            read.append(sum(len(mail.raw) for mail in mails))
            return await InProcess.recognise(self, mails, at)

    for number in range(2, 6):
        house.mailbox.deliver(a_mail(dem_part(number)))
    door = replace(house.door("operator"), judges=Watched())
    await worker.receive(door)
    size = len(a_mail(dem_part(1)))
    door = replace(door, pace=replace(PACE, chunk_bytes_max=2 * size + size // 2))
    rejection = await rejecting.plan(door, Filter(intakes=[1, 4, 5, 6, 7]))
    assert len(rejection.told) == 5
    assert (len(read), max(read) <= door.pace.chunk_bytes_max) == (3, True)


async def test_one_that_does_not_open_any_more_keeps_no_other_from_being_refused(house: House) -> None:
    for octets in (None, b"spoilt in some way"):  # what is written once can only be emptied
        await execute(house.register, "UPDATE intake SET raw = :octets WHERE id = 2", octets=octets)
    rejection = await reject(house)
    assert ids(rejection.weighed) == [1]
    assert {item.id: why for item, why in rejection.weighed.left} == {2: Left.UNCLEAR, 3: Left.UNCLEAR}


async def test_each_is_in_the_journal_with_who_why_and_whether_anybody_was_told(house: House) -> None:
    await reject(house)
    async with house.register.read() as tx:
        kept = [[one.entry for one in await journal.of_intake(tx, id_)] for id_ in (1, 2, 3)]
    assert [[entry.kind for entry in entries] for entries in kept] == [["mail-rejected"], ["mail-rejected"], []]
    assert [entries[0].detail["told"] for entries in kept[:2]] == [True, False]
    assert kept[0][0].detail["by"] == "anna"
    assert kept[0][0].detail["why"] == "agreed by telephone"


async def test_what_was_refused_is_never_decided_otherwise(house: House) -> None:
    await reject(house)
    for verb in (Verb.REJUDGE, Verb.RELEASE, Verb.HOLD):
        assert 1 not in ids(await operate(house.register, verb, house.now, intakes=[1], kinds=[MAIL]))
    again = await reject(house)
    assert (again.told, [why for _, why in again.weighed.left][:2]) == ([], [Left.DECIDED, Left.REJECTED])
    await work(house)
    house.now += PACE.late
    await late.acknowledge(house.door())
    await work(house)
    assert len(told(house)) == 1


async def test_a_stranger_who_turns_out_to_be_somebody_can_be_judged_again(house: House) -> None:
    await reject(house)
    assert ids(await operate(house.register, Verb.REJUDGE, house.now, reasons=[Code.MAIL_REJECTED.value])) == [2]
    assert (await states(house))[2] == ("received", None)


async def test_nobody_is_passed_over_who_may_turn_out_to_be_proven(house: House) -> None:
    """Once the revocation list is out of date nobody is proven, and nobody disproven."""
    house.now += timedelta(days=400)
    rejection = await reject(house, Filter(intakes=[1]))
    assert [why for _, why in rejection.weighed.left] == [Left.UNCLEAR]
    assert (await states(house))[1][0] == "received"


async def test_what_a_worker_decides_meanwhile_is_left_to_it(house: House) -> None:
    class Slow(InProcess):
        async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
            await worker.process(house.door())
            return await InProcess.recognise(self, mails, at)

    door = replace(house.door("operator"), judges=Slow())
    rejection = await rejecting.reject(door, Filter(intakes=[1]), REFUSAL)
    assert [why for _, why in rejection.weighed.left] == [Left.DECIDED]
    await work(house)
    (answer,) = told(house)
    assert "1 demande(s), dont 1 acceptée(s)" in answer.text


async def test_enrolments_that_change_meanwhile_are_looked_at_again(house: House) -> None:
    class Overtaken(InProcess):
        async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
            async with house.register.begin() as tx:
                change = directory.Change(by="me", why="test", at=house.now)
                await directory.set_desk_standing(tx, DESK, Standing.SUSPENDED, change)
            return await InProcess.recognise(self, mails, at)

    door = replace(house.door("operator"), judges=Overtaken())
    with pytest.raises(StaleDirectory):
        await rejecting.reject(door, ALL, REFUSAL)
    assert {state for state, _ in (await states(house)).values()} == {"received"}


@pytest.mark.parametrize("state", IntakeState)
async def test_the_table_decides(register: Register, state: IntakeState) -> None:
    house = House(register, now=LONG_AFTER)
    mail = await a_mail_in(register, state)
    rejection = await reject(house, Filter(intakes=[mail]))
    expected = MAILS[Verb.REJECT][state]
    assert [why for _, why in rejection.weighed.left] == ([] if expected is None else [expected])
    if expected is None:
        assert await states(house) == {mail: ("set_aside", Code.MAIL_REJECTED.value)}
