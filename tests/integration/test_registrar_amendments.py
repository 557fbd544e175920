"""Amendments: a request says something else, or names somebody else."""

from datetime import date, timedelta

import pytest

from mailflow.core.model import RequestState
from mailflow.register import Register, files, nir
from mailflow.registrar.work import FILE_RECEIPT
from tests.support.lives import (
    create,
    done,
    form_of,
    held,
    life_of,
    past,
    registered,
    stored,
    three_desks,
    warned,
    with_nir,
)
from tests.support.reception import Reception, a_request, about, codes_of
from tests.support.records import rows


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


async def test_an_amendment_replaces_what_a_request_says(reception: Reception) -> None:
    number = await registered(reception)
    reception.wait(days=3)
    sought = a_request("Durand", at="59512", desk="59777")
    (outcome,) = await reception.act("MOD", about(number, form=sought), sequence=2, desk="59777")
    told = done(outcome)
    assert (told.number, told.state, told.expires_on) == (number, RequestState.ACTIVE, date(2027, 1, 12))
    assert (told.attestation, told.anomalies, told.replayed) == (None, (), False)
    form = await form_of(reception, number)
    assert form.sought == sought.sought
    assert (form.desk, (await stored(reception, number)).desk) == ("59777", "59123"), "filed by another than created it"
    first, second = await past(reception, number)
    assert (first.revision, second.revision) == (1, 2)
    assert second.content_before == a_request("Durand").model_dump_json(by_alias=True, exclude_none=True).encode()
    assert second.origin is not None
    assert (second.origin.desk, second.origin.sender, second.origin.intake_id) == ("59777", "conseil", 2)
    assert second.dated_at == reception.received_at + timedelta(seconds=2)
    assert second.life == await life_of(reception, number)


async def test_who_is_amended_away_is_free_and_who_comes_in_is_not(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand", "Petit"))
    assert await held(reception) == 2
    (outcome,) = await reception.act("MOD", about(number, form=a_request("Durand", "Moreau")), sequence=2)
    assert done(outcome).state is RequestState.ACTIVE
    assert await held(reception) == 2
    assert await registered(reception, a_request("Petit"), 3)
    assert codes_of(await create(reception, a_request("Moreau"), 4)) == ["REQUEST_EXISTS"]


async def test_an_amendment_to_somebody_who_has_a_request_is_refused_and_changes_nothing(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand", "Petit"))
    other = await registered(reception, a_request("Moreau"), 2)
    (outcome,) = await reception.act("MOD", about(number, form=a_request("Durand", "Moreau")), sequence=3)
    assert codes_of(outcome) == ["REQUEST_EXISTS"]
    assert [anomaly.number for anomaly in outcome.anomalies] == [other], "the desk may consult"
    assert len(await past(reception, number)) == 1
    assert await held(reception) == 3
    assert codes_of(await create(reception, a_request("Petit"), 4)) == ["REQUEST_EXISTS"]


async def test_the_first_deposit_stays_and_a_warning_says_so(reception: Reception) -> None:
    number = await registered(reception)
    changed = a_request("Durand", deposited="2026-01-14", at="59512")
    (outcome,) = await reception.act("MOD", about(number, form=changed), sequence=2)
    assert warned(outcome) == ["DEPOSIT_KEPT"]
    now = await form_of(reception, number)
    assert now.deposited_on == date(2026, 1, 12)
    (file,) = await rows(reception.register, "SELECT name FROM file WHERE name LIKE '%000002.xml'")
    async with reception.register.read() as tx:
        receipt = (await files.by_name(tx, [("59123", file.name)]))["59123", file.name].receipt
    assert FILE_RECEIPT.validate_json(receipt).file.requests[0].form == now, "what is answered is what is registered"


@pytest.mark.parametrize("desk", ["59123", "59777"])
async def test_the_same_content_again_changes_nothing(reception: Reception, desk: str) -> None:
    number = await registered(reception)
    (outcome,) = await reception.act("MOD", about(number, form=a_request("Durand", desk=desk)), sequence=2, desk=desk)
    assert done(outcome).replayed
    assert len(await past(reception, number)) == 1


async def test_a_request_stays_in_its_territory(reception: Reception) -> None:
    number = await registered(reception)
    (outcome,) = await reception.act("MOD", about(number, form=a_request("Durand", at="75056")), sequence=2)
    assert codes_of(outcome) == ["TERRITORY_CHANGED"]
    assert outcome.anomalies[0].path == "/interfaceNuu/demande[1]/demandeLogement/logementRecherche"


async def test_a_nir_stays_with_its_person_though_a_form_leaves_it_out(reception: Reception) -> None:
    number = await registered(reception, with_nir(a_request("Durand", "Petit"), "290025935012387"))
    corrected = a_request("Durant", "Petit", at="59512")
    (outcome,) = await reception.act("MOD", about(number, form=corrected), sequence=2)
    assert done(outcome).state is RequestState.ACTIVE
    found = await stored(reception, number)
    async with reception.register.read() as tx:
        assert await nir.of(tx, [found.id]) == {found.id: {"demandeur": "290025935012387"}}
    other = with_nir(a_request("Lefort"), "290025935012387")
    assert codes_of(await create(reception, other, 3)) == ["NIR_EXISTS"]
    (leaver,) = await reception.act("CRS", about(number, "Petit", form=a_request("Durant")), sequence=4)
    async with reception.register.read() as tx:
        kept = await nir.of(tx, [row.id for row in await rows(reception.register, "SELECT id FROM request")])
    assert list(kept.values()) == [{"demandeur": "290025935012387"}]
    assert found.id not in kept
    assert (await stored(reception, done(leaver).number)).id in kept
