"""Deregistration, reactivation, removal: who is free afterwards, and who is not."""

import json
from datetime import date, timedelta

import pytest

from mailflow.core.model import RequestState
from mailflow.core.numbers import DeskCode
from mailflow.jobs.lifetimes import EXPIRY
from mailflow.register import Register, journal
from mailflow.registrar import person, releasing
from mailflow.wire.envelope import RequestElement
from tests.support.jobs import do
from tests.support.lives import (
    LEASE,
    create,
    done,
    held,
    life_of,
    past,
    registered,
    three_desks,
)
from tests.support.reception import Reception, a_request, about, an_order, codes_of, number_of, sent


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


# Deregistration and reactivation


async def test_a_deregistration_ends_a_request_and_frees_its_persons(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand", "Petit"))
    reception.wait(days=1)
    element = about(number, motive="RADATT", lease=LEASE)
    (outcome,) = await reception.act("RAD", element, sequence=2, desk="59777")
    assert (done(outcome).state, done(outcome).attestation) == (RequestState.DEREGISTERED, None)
    life = await life_of(reception, number)
    assert (life.motive, life.ended_on) == ("RADATT", date(2026, 1, 16))
    assert await held(reception) == 0
    _, entry = await past(reception, number)
    assert json.loads(entry.said or b"")["bail"]["sirenBailleur"] == "732829320"
    assert await registered(reception, a_request("Petit"), 3)


async def test_a_reactivation_gives_back_what_is_left_of_the_year(reception: Reception) -> None:
    number = await registered(reception)
    await reception.act("RAD", about(number, motive="RADCON"), sequence=2)
    reception.wait(days=30)
    (outcome,) = await reception.act("RAD", about(number), sequence=3, desk="59777")
    assert (done(outcome).state, done(outcome).expires_on) == (RequestState.ACTIVE, date(2027, 1, 12))
    assert done(outcome).attestation is None
    assert await held(reception) == 1
    assert codes_of(await create(reception, a_request("Durand"), 4)) == ["REQUEST_EXISTS"]
    assert [entry.life.state.value for entry in await past(reception, number)] == ["active", "deregistered", "active"]


async def test_who_has_another_request_by_now_is_not_reactivated(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand", "Petit"))
    await reception.act("RAD", about(number, motive="RADABA"), sequence=2)
    other = await registered(reception, a_request("Petit"), 3)
    (outcome,) = await reception.act("RAD", about(number), sequence=4)
    assert codes_of(outcome) == ["REQUEST_EXISTS"]
    assert (outcome.anomalies[0].number, outcome.anomalies[0].path) == (other, "/interfaceNuu/demande[1]")
    assert await held(reception) == 1
    assert await registered(reception, a_request("Durand"), 5)


async def test_a_homonym_is_reactivated_once_the_manager_has_said_so(reception: Reception) -> None:
    number = await registered(reception)
    await reception.act("RAD", about(number, motive="RADABA"), sequence=2)
    other = await registered(reception, a_request("Durand"), 3)
    (refused,) = await reception.act("RAD", about(number), sequence=4)
    assert codes_of(refused) == ["REQUEST_EXISTS"]
    async with reception.register.begin() as tx:
        name = "DEM59123-202601151030-000004.xml"
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), name, 1)
        assert homonym.beside == (other,)
        await releasing.release(tx, homonym, by="manager", why="two cousins", at=reception.at)
    (done_now,) = await reception.act("RAD", about(number), sequence=5)
    assert done(done_now).state is RequestState.ACTIVE
    assert await held(reception) == 2


async def test_the_manager_ends_what_was_not_renewed_and_takes_it_back(reception: Reception) -> None:
    number = await registered(reception)
    reception.wait(days=370)
    (refused,) = await reception.act("RAD", about(number, motive="RADREN"), sequence=2)
    assert codes_of(refused) == ["MANAGER_ONLY"]
    (outcome,) = await reception.act("RAD", about(number, motive="RADREN"), sequence=3, desk="59000")
    assert done(outcome).state is RequestState.DEREGISTERED
    assert (await life_of(reception, number)).ended_on == date(2027, 1, 13), "as of the day after the last"
    (outcome,) = await reception.act("RAD", about(number), sequence=4, desk="59000")
    assert done(outcome).expires_on == date(2028, 1, 20), "as if renewed that day"
    async with reception.register.read() as tx:
        kinds = [kept.entry.kind for kept in await journal.of_number(tx, number)]
    assert kinds == ["registered", "expired", "reactivated"]


async def erase(reception: Reception, number: str) -> None:
    act = journal.Act(by="operator", why="asked for by letter")
    async with reception.register.begin() as tx:
        plan = await person.plan_erasure(tx, number)
        assert plan is not None
        await person.erase(tx, plan, act, reception.at.date(), reception.at)


async def test_of_what_was_erased_nothing_can_be_done_and_nobody_is_held(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand", "Petit"))
    await erase(reception, number)
    elements = {
        "MOD": about(number, form=a_request("Durand")),
        "REN": about(number),
        "RAD": about(number, motive="RADABA"),
        "SUP": about(number),
    }
    for sequence, (operation, element) in enumerate(elements.items(), 2):
        (outcome,) = await reception.act(operation, element, sequence=sequence)
        assert codes_of(outcome) == ["NUMBER_UNKNOWN"], operation
    assert await held(reception) == 0
    assert (await life_of(reception, number)).motive == "RADABA"
    assert await registered(reception, a_request("Durand"), 9) != number


async def test_a_reactivation_of_what_was_erased_since_cannot_be_released(reception: Reception) -> None:
    number = await registered(reception)
    await reception.act("RAD", about(number, motive="RADABA"), sequence=2)
    await registered(reception, a_request("Durand"), 3)
    (refused,) = await reception.act("RAD", about(number), sequence=4)
    assert codes_of(refused) == ["REQUEST_EXISTS"]
    await erase(reception, number)
    async with reception.register.begin() as tx:
        with pytest.raises(releasing.NothingToRelease, match="erased"):
            await releasing.find_homonym(tx, DeskCode("59123"), "DEM59123-202601151030-000004.xml", 1)


async def test_the_same_creation_again_tells_that_its_request_has_ended(reception: Reception) -> None:
    creation = RequestElement(reference="d-1", form=a_request("Durand"))
    (first,) = await reception.act("CRE", creation, sequence=1)
    assert done(first).attestation is not None
    number = number_of(first)
    await reception.act("RAD", about(number, motive="RADABA"), sequence=2)
    (again,) = await reception.act("CRE", creation, sequence=3)
    told = done(again)
    assert (told.number, told.replayed, told.state) == (number, True, RequestState.DEREGISTERED)
    assert told.attestation is None, "it attests nothing any more"


# Removal


async def test_an_erroneous_creation_is_removed_for_good(reception: Reception) -> None:
    number = await registered(reception)
    (outcome,) = await reception.act("SUP", about(number), sequence=2)
    assert done(outcome).state is RequestState.REMOVED
    assert await held(reception) == 0
    (again,) = await reception.act("SUP", about(number), sequence=3)
    assert codes_of(again) == ["NUMBER_REMOVED"]
    assert await registered(reception, a_request("Durand"), 4) == "059012600000259123", "the number is not used again"
    async with reception.register.read() as tx:
        kinds = [kept.entry.kind for kept in await journal.of_number(tx, number)]
    assert kinds == ["registered", "removed"]


async def test_a_removal_frees_the_desk_s_reference(reception: Reception) -> None:
    creation = RequestElement(reference="d-1", form=a_request("Durand"))
    (first,) = await reception.act("CRE", creation, sequence=1)
    await reception.act("SUP", about(number_of(first)), sequence=2)
    again = RequestElement(reference="d-1", form=a_request("Petit"))
    (second,) = await reception.act("CRE", again, sequence=3)
    assert number_of(second) != number_of(first)


@pytest.mark.parametrize(("hours", "codes"), [(71, None), (73, ["REMOVAL_TOO_LATE"])])
async def test_a_creation_is_removed_within_three_days(
    reception: Reception, hours: int, codes: list[str] | None
) -> None:
    number = await registered(reception)
    reception.wait(hours=hours)
    (outcome,) = await reception.act("SUP", about(number), sequence=2)
    assert codes is None or codes_of(outcome) == codes


async def test_what_another_desk_has_acted_on_is_not_removed(reception: Reception) -> None:
    number = await registered(reception)
    form = a_request("Durand", at="59512")
    await reception.act("MOD", about(number, form=form), sequence=2)
    await reception.act("MOD", about(number, form=a_request("Durand", desk="59777")), sequence=2, desk="59777")
    (outcome,) = await reception.act("SUP", about(number), sequence=3)
    assert codes_of(outcome) == ["ACTED_ON_BY_OTHERS"]


@pytest.mark.parametrize(("desk", "removed"), [("59123", True), ("59777", False)])
async def test_what_has_acted_on_it_within_a_chunk_counts_too(reception: Reception, desk: str, removed: bool) -> None:
    number = await registered(reception)
    dated_at = reception.received_at + timedelta(minutes=1)
    form = a_request("Durand", at="59512", desk=desk)
    change = an_order("MOD", about(number, form=form), sequence=2, desk=desk, dated_at=dated_at)
    removal = an_order("SUP", about(number), sequence=3, dated_at=dated_at + timedelta(minutes=1))
    changed, ended = await reception.submit(sent(change, sender=reception.senders[desk]), sent(removal))
    assert number_of(changed.files[0].outcomes[0]) == number
    (outcome,) = ended.files[0].outcomes
    if removed:
        assert done(outcome).state is RequestState.REMOVED
    else:
        assert codes_of(outcome) == ["ACTED_ON_BY_OTHERS"]


async def test_what_only_the_service_has_ended_is_still_removed_by_its_desk(reception: Reception) -> None:
    reception.wait(days=361)
    number = await registered(reception)
    reception.wait(days=2)
    await do(reception.register, EXPIRY, reception.at.date())
    assert (await life_of(reception, number)).state is RequestState.DEREGISTERED
    (outcome,) = await reception.act("SUP", about(number), sequence=2)
    assert done(outcome).state is RequestState.REMOVED
