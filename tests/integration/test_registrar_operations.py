"""What is done to registered requests: each operation, what becomes of the request, and what is kept of it."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from mailflow.core.form import HousingRequest
from mailflow.core.life import Life
from mailflow.core.model import Outcome, Registered, RequestState, Right
from mailflow.core.numbers import UniqueNumber
from mailflow.core.order import Lease
from mailflow.register import Register, history, journal, nir, requests
from mailflow.registrar import ending
from mailflow.wire.envelope import RequestElement
from tests.support.reception import Reception, a_request, about, an_order, codes_of, number_of, sent
from tests.support.records import rows

ALL = frozenset(Right) - {Right.MANAGE}
LEASE = Lease(landlord="732829320", signed_on=date(2026, 1, 10), already_tenant=False, dwelling="RPLS-1")


@pytest.fixture
async def reception(register: Register) -> Reception:
    """Two desks that may do everything in the Nord, the second one in Paris too, and its manager."""
    opened = Reception(register)
    await opened.enrol(rights=ALL, territories=["059", "111"])
    await opened.enrol("conseil", "59777", rights=ALL, territories=["059"])
    await opened.enrol("prefecture", "59000", rights=frozenset(Right), territories=["059"])
    return opened


def done(outcome: Outcome) -> Registered:
    assert isinstance(outcome, Registered), outcome
    return outcome


def warned(outcome: Outcome) -> list[str]:
    return [anomaly.code.name for anomaly in done(outcome).anomalies]


async def registered(reception: Reception, form: HousingRequest | None = None, sequence: int = 1) -> str:
    return number_of(await create(reception, form or a_request("Durand"), sequence))


async def create(reception: Reception, form: HousingRequest, sequence: int) -> Outcome:
    (outcome,) = await reception.act("CRE", RequestElement(form=form), sequence=sequence)
    return outcome


async def stored(reception: Reception, number: str) -> requests.StoredRequest:
    async with reception.register.read() as tx:
        found = await requests.find(tx, number)
    assert found is not None
    return found


async def life_of(reception: Reception, number: str) -> Life:
    return (await stored(reception, number)).life


async def form_of(reception: Reception, number: str) -> HousingRequest:
    return HousingRequest.model_validate_json((await stored(reception, number)).payload or b"")


async def past(reception: Reception, number: str) -> list[history.Entry]:
    async with reception.register.read() as tx:
        return [kept.entry for kept in await history.of_number(tx, number)]


async def held(reception: Reception) -> int:
    """How many persons have an active request, by what they are found by."""
    (exact,) = await rows(reception.register, "SELECT count(*) FROM active_identity")
    (near,) = await rows(reception.register, "SELECT count(*) FROM near_person")
    assert exact[0] == near[0]
    return int(exact[0])


# Amendment


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
    assert form.desk == "59123", "the request stays that of the desk that created it"
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
    assert (await form_of(reception, number)).deposited_on == date(2026, 1, 12)


async def test_the_same_content_again_changes_nothing(reception: Reception) -> None:
    number = await registered(reception)
    (outcome,) = await reception.act("MOD", about(number, form=a_request("Durand")), sequence=2)
    assert done(outcome).replayed
    assert len(await past(reception, number)) == 1


async def test_a_request_stays_in_its_territory(reception: Reception) -> None:
    number = await registered(reception)
    (outcome,) = await reception.act("MOD", about(number, form=a_request("Durand", at="75056")), sequence=2)
    assert codes_of(outcome) == ["TERRITORY_CHANGED"]
    assert outcome.anomalies[0].path == "/interfaceNuu/demande[1]/demandeLogement/logementRecherche"


# Renewal


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


# Separation


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


async def test_a_separation_that_is_refused_leaves_the_couple_together(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    await registered(reception, a_request("Moreau"), 2)
    (outcome,) = await reception.act("CRS", about(couple, form=a_request("Petit", "Moreau")), sequence=3)
    assert codes_of(outcome) == ["REQUEST_EXISTS"]
    assert len(await past(reception, couple)) == 1
    assert await held(reception) == 3
    assert codes_of(await create(reception, a_request("Petit"), 4)) == ["REQUEST_EXISTS"]


async def test_a_separation_is_repeated_by_its_reference(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    element = about(couple, form=a_request("Petit")).model_copy(update={"reference": "d-9"})
    (first,) = await reception.act("CRS", element, sequence=2)
    (again,) = await reception.act("CRS", element, sequence=3)
    assert (done(again).number, done(again).replayed) == (done(first).number, True)
    assert len(await past(reception, couple)) == 2


# Who, and in what order


async def test_number_holder_and_mandate_fail_alike(reception: Reception) -> None:
    number = await registered(reception)
    paris = await registered(reception, a_request("Durand", at="75056"), 2)
    wrong = [
        about("059012600000999123"),
        about("nonsense"),
        about(number, "Petit"),
        about(number, born_on="1990-02-27"),
        about(paris),
    ]
    outcomes = await reception.act("REN", *wrong, sequence=3, desk="59777")
    told = [[(a.code.name, a.path, a.number) for a in outcome.anomalies] for outcome in outcomes]
    assert told == [
        [("NUMBER_UNKNOWN", f"/interfaceNuu/demande[{n}]/numUnique", None)] for n in range(1, len(wrong) + 1)
    ]


async def test_an_older_file_comes_too_late(reception: Reception) -> None:
    number = await registered(reception)
    reception.wait(hours=2)
    await reception.act("MOD", about(number, form=a_request("Durand", at="59512")), sequence=2)
    reception.received_at -= timedelta(hours=1)
    (late,) = await reception.act("MOD", about(number, form=a_request("Durand")), sequence=3)
    assert codes_of(late) == ["FILE_OVERTAKEN"]
    reception.received_at += timedelta(hours=1)
    (same,) = await reception.act("MOD", about(number, form=a_request("Durand")), sequence=4)
    assert done(same).state is RequestState.ACTIVE


async def test_a_number_goes_through_its_whole_life_in_one_chunk(reception: Reception) -> None:
    couple = await registered(reception, a_request("Durand", "Petit"))
    files = [
        ("MOD", about(couple, form=a_request("Durand", "Moreau"))),
        ("CRE", RequestElement(form=a_request("Petit"))),
        ("CRS", about(couple, form=a_request("Moreau"))),
        ("CRE", RequestElement(form=a_request("Durand"))),
        ("RAD", about(couple, motive="RADABA")),
        ("CRE", RequestElement(form=a_request("Durand"))),
        ("RAD", about(couple)),
        ("MOD", about(couple, form=a_request("Durand"))),
    ]
    made = [
        an_order(operation, element, sequence=n, dated_at=reception.received_at + timedelta(seconds=n))
        for n, (operation, element) in enumerate(files, 10)
    ]
    (receipt,) = await reception.submit(sent(*made))
    told = [outcome for file in receipt.files for outcome in file.outcomes]
    said = [codes_of(one) if not isinstance(one, Registered) else one.state.value for one in told]
    assert said == [
        "active",
        "active",
        "active",
        ["REQUEST_EXISTS"],
        "deregistered",
        "active",
        ["REQUEST_EXISTS"],
        ["NOT_ACTIVE"],
    ]
    assert [entry.operation.value for entry in await past(reception, couple)] == ["CRE", "MOD", "CRS", "RAD"]
    assert [entry.revision for entry in await past(reception, couple)] == [1, 2, 3, 4]
    assert await held(reception) == 3


# NIR


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


def with_nir(form: HousingRequest, number: str) -> HousingRequest:
    assert form.person
    assert form.person.applicant
    applicant = form.person.applicant.model_copy(update={"nir": number})
    return form.model_copy(update={"person": form.person.model_copy(update={"applicant": applicant})})
