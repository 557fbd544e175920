"""Separations: who leaves keeps the seniority, who stays keeps the number."""

import json
from datetime import date

import pytest

from mailflow.core import numbers
from mailflow.core.model import RequestState
from mailflow.register import Register, nir, requests
from tests.support.lives import (
    create,
    done,
    form_of,
    held,
    life_of,
    past,
    registered,
    three_desks,
)
from tests.support.reception import Reception, a_request, about, codes_of


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


async def test_who_leaves_a_couple_keeps_its_seniority(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit", deposited="2025-03-10"))
    reception.wait(days=2)
    leaving = a_request("Petit", deposited="2026-01-16", desk="59777")
    (outcome,) = await reception.act("CRS", about(couple, form=leaving), sequence=2, desk="59777")
    told = done(outcome)
    assert told.number == "059032500000259777"
    assert told.attestation is not None
    assert (told.attestation.deposited_on, told.attestation.renewed_on) == (date(2025, 3, 10), date(2026, 1, 16))
    assert told.expires_on == date(2027, 1, 16)
    stays = await form_of(reception, couple)
    assert stays.person is not None
    assert stays.person.applicant is not None
    assert (stays.person.applicant.surname, stays.person.co_applicant) == ("Durand", None)
    assert (await life_of(reception, couple)).expires_on == date(2026, 3, 10)
    assert await held(reception) == 2
    assert [entry.operation.value for entry in await past(reception, couple)] == ["CRE", "CRS"]
    (beginning,) = await past(reception, told.number)
    assert (beginning.operation.value, json.loads(beginning.said or b"")) == ("CRS", {"numUnique": couple})


async def test_when_the_applicant_leaves_the_other_holds_the_couple_s_request(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    (outcome,) = await reception.act("CRS", about(couple, "Petit", form=a_request("Durand")), sequence=2)
    assert done(outcome).number != couple
    person = (await form_of(reception, couple)).person
    assert person is not None
    assert person.applicant is not None
    assert (person.applicant.surname, person.co_applicant) == ("Petit", None)
    assert person.applicant.contact is not None, "reached where the couple was"
    (amended,) = await reception.act("MOD", about(couple, "Petit", form=a_request("Petit", at="59512")), sequence=3)
    assert done(amended).state is RequestState.ACTIVE
    assert codes_of(await create(reception, a_request("Petit"), 4)) == ["REQUEST_EXISTS"]
    assert codes_of(await create(reception, a_request("Durand"), 5)) == ["REQUEST_EXISTS"]


async def test_only_one_of_a_couple_can_leave_it(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    alone = await registered(reception, a_request("Moreau"), 2)
    (stranger,) = await reception.act("CRS", about(couple, form=a_request("Lefort")), sequence=3)
    assert codes_of(stranger) == ["NOT_OF_THE_COUPLE"]
    (single,) = await reception.act("CRS", about(alone, "Moreau", form=a_request("Moreau")), sequence=4)
    assert codes_of(single) == ["NOT_OF_THE_COUPLE"]
    elsewhere = a_request("Petit", at="75056")
    (moved,) = await reception.act("CRS", about(couple, form=elsewhere), sequence=5)
    assert codes_of(moved) == ["TERRITORY_CHANGED"]


async def test_after_a_renewal_nobody_leaves_with_less_than_the_year_it_gave(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    reception.wait(days=330)
    (renewed,) = await reception.act("REN", about(couple), sequence=2)
    reception.wait(days=10)
    (left,) = await reception.act("CRS", about(couple, form=a_request("Petit", deposited="2026-11-01")), sequence=3)
    assert done(left).expires_on == done(renewed).expires_on == date(2027, 12, 11)


async def test_a_separation_that_is_refused_binds_no_reference(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    element = about(couple, form=a_request("Lefort")).model_copy(update={"reference": "d-9"})
    (refused,) = await reception.act("CRS", element, sequence=2)
    assert codes_of(refused) == ["NOT_OF_THE_COUPLE"]
    other = about(couple, form=a_request("Petit")).model_copy(update={"reference": "d-9"})
    (left,) = await reception.act("CRS", other, sequence=3)
    assert not done(left).replayed
    (again,) = await reception.act("CRS", other, sequence=4)
    assert (done(again).number, done(again).replayed) == (done(left).number, True)


async def test_a_separation_that_is_refused_leaves_the_couple_together(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    await registered(reception, a_request("Moreau"), 2)
    (outcome,) = await reception.act("CRS", about(couple, form=a_request("Petit", "Moreau")), sequence=3)
    assert codes_of(outcome) == ["REQUEST_EXISTS"]
    assert len(await past(reception, couple)) == 1
    assert await held(reception) == 3
    assert codes_of(await create(reception, a_request("Petit"), 4)) == ["REQUEST_EXISTS"]


async def test_a_separation_that_is_refused_takes_no_number(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    await registered(reception, a_request("Moreau"), 2)
    (outcome,) = await reception.act("CRS", about(couple, form=a_request("Petit", "Moreau")), sequence=3)
    assert codes_of(outcome) == ["REQUEST_EXISTS"]
    following = await registered(reception, a_request("Nguyen"), 4)
    assert numbers.parse(following).sequence == numbers.parse(couple).sequence + 2


async def test_a_separation_is_repeated_by_its_reference(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    element = about(couple, form=a_request("Petit")).model_copy(update={"reference": "d-9"})
    (first,) = await reception.act("CRS", element, sequence=2)
    (again,) = await reception.act("CRS", element, sequence=3)
    assert (done(again).number, done(again).replayed) == (done(first).number, True)
    assert len(await past(reception, couple)) == 2


async def test_who_leaves_a_couple_files_the_request_and_is_not_merely_named_in_it(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    (outcome,) = await reception.act("CRS", about(couple, "Petit", form=a_request("Martin", "Petit")), sequence=2)
    assert codes_of(outcome) == ["NOT_OF_THE_COUPLE"]
    assert await held(reception) == 2


NIRS = {"demandeur": "188027512345672", "codemandeur": "290022812345629"}


async def nirs_of(reception: Reception, number: str) -> dict[str, str]:
    async with reception.register.read() as tx:
        found = await requests.find(tx, number)
        assert found is not None
        return dict((await nir.of(tx, [found.id])).get(found.id, {}))


async def test_each_of_a_couple_keeps_the_number_of_its_own(reception: Reception) -> None:
    form = a_request("Durand", "Petit")
    assert form.person is not None
    assert form.person.applicant is not None
    assert form.person.co_applicant is not None
    applicant = form.person.applicant.model_copy(update={"nir": NIRS["demandeur"]})
    other = form.person.co_applicant.model_copy(update={"nir": NIRS["codemandeur"]})
    person = form.person.model_copy(update={"applicant": applicant, "co_applicant": other})
    couple = await registered(reception, form.model_copy(update={"person": person}))
    before = await nirs_of(reception, couple)
    assert sorted(before.values()) == sorted(NIRS.values())
    amended = a_request("Durand", "Petit", at="59512")
    done((await reception.act("MOD", about(couple, form=amended), sequence=2))[0])
    assert await nirs_of(reception, couple) == before, "an amendment that says none takes none away"
    (outcome,) = await reception.act("CRS", about(couple, "Petit", form=a_request("Petit")), sequence=4)
    assert await nirs_of(reception, done(outcome).number) == {"demandeur": NIRS["codemandeur"]}
    assert await nirs_of(reception, couple) == {"demandeur": NIRS["demandeur"]}
