"""The registrar: numbers, one outcome for each request, persons registered once."""

from datetime import timedelta

import pytest

from mailflow import registrar
from mailflow.core.anomalies import Code
from mailflow.core.model import Receipt, Refused, Registered, Right
from mailflow.register import Register, journal, requests
from tests.support.reception import (
    AT,
    CORSICA,
    LILLE,
    PARIS,
    Reception,
    a_file,
    a_request,
    codes_of,
    number_of,
    sent,
)
from tests.support.records import rows


@pytest.fixture
async def reception(register: Register) -> Reception:
    """One sender, which acts for one desk in two territories."""
    opened = Reception(register)
    await opened.enrol()
    return opened


def names_in(text: str) -> list[str]:
    return [name for name in ("Durand", "Zoé", "zoe@exemple.invalid", "Inventée", "1990-02-28") if name in text]


async def test_a_number_says_where_when_and_who(reception: Reception) -> None:
    outcome = await reception.outcome(a_request("Durand", deposited="2025-10-01"), sequence=1)
    assert number_of(outcome) == "059102500000159123"


async def test_numbers_are_dense_within_territory_and_month_of_the_deposit(reception: Reception) -> None:
    first = a_file(a_request("A"), a_request("B", at=PARIS), a_request("C", deposited="2025-12-31"), sequence=1)
    second = a_file(a_request("D"), a_request("E", complete=False), a_request("F"), sequence=2)
    third = a_file(a_request("G", at="92050"), a_request("H"), sequence=3)
    outcomes = [*await reception.outcomes(first), *await reception.outcomes(second, third)]
    given = [number_of(outcome) for outcome in outcomes if isinstance(outcome, Registered)]
    assert given == [
        "059012600000159123",
        "111012600000159123",
        "059122500000159123",
        "059012600000259123",
        "059012600000359123",
        "111012600000259123",
        "059012600000459123",
    ]


async def test_a_rolled_back_chunk_leaves_no_hole(reception: Reception) -> None:
    terms, submissions = await reception.prepare(sent(a_file(a_request("A"))))

    async def abandoned() -> None:
        async with reception.register.begin() as tx:
            await registrar.submit(tx, submissions, terms, AT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await abandoned()
    assert number_of(await reception.outcome(a_request("B"), sequence=2)) == "059012600000159123"
    assert number_of(await reception.outcome(a_request("A"), sequence=1)) == "059012600000259123"


async def test_every_request_has_its_outcome_in_order_and_bad_ones_stop_no_others(reception: Reception) -> None:
    mixed = a_file(a_request("A"), a_request("B", complete=False), a_request("C"), a_request("D", at=CORSICA))
    (receipt,) = await reception.submit(sent(mixed))
    (file,) = receipt.files
    good, incomplete, also_good, elsewhere = file.outcomes
    assert number_of(good)[7:13] == "000001"
    assert number_of(also_good)[7:13] == "000002"
    assert codes_of(incomplete) == ["VALUE_MISSING"]
    assert codes_of(elsewhere) == ["TERRITORY_NOT_MANDATED"]
    assert isinstance(elsewhere, Refused)
    assert elsewhere.anomalies[0].path == "/interfaceNuu/demande[4]/demandeLogement/logementRecherche"
    assert file.anomalies == ()
    assert (receipt.decided_at, file.decided_at, file.repeated) == (AT, AT, False)


async def test_all_anomalies_of_a_request_are_told_at_once(reception: Reception) -> None:
    outcome = await reception.outcome(a_request("B", complete=False, at=CORSICA, deposited="2026-01-20"), sequence=1)
    assert codes_of(outcome) == ["VALUE_MISSING", "DEPOSIT_IN_FUTURE", "TERRITORY_NOT_MANDATED"]


async def test_warnings_come_along_with_the_number(reception: Reception) -> None:
    form = a_request("Durand")
    assert form.person is not None
    applicant = form.person.applicant
    assert applicant is not None
    assert applicant.contact is not None
    contact = applicant.contact.model_copy(update={"telephone": "12"})
    person = form.person.model_copy(update={"applicant": applicant.model_copy(update={"contact": contact})})
    outcome = await reception.outcome(form.model_copy(update={"person": person}), sequence=1)
    assert number_of(outcome)
    assert [anomaly.code for anomaly in outcome.anomalies] == [Code.TELEPHONE_DOUBTFUL]


async def test_a_request_is_kept_as_it_was_registered(reception: Reception) -> None:
    form = a_request("Durand", "Petit", deposited="2025-02-28")
    number = number_of(await reception.outcome(form, sequence=7))
    async with reception.register.read() as tx:
        found = await requests.find(tx, number)
    assert found is not None
    assert type(form).model_validate_json(found.payload or b"") == form
    assert (found.sender, found.desk, found.territory, found.life.state) == ("mairie", "59123", "059", "active")
    assert (found.life.expires_on.isoformat(), found.registered_at) == ("2026-02-28", AT)


async def test_the_journal_has_a_line_for_each_outcome_and_no_personal_data(reception: Reception) -> None:
    file = a_file(a_request("Durand"), a_request("Durand"), a_request("Zoé", complete=False))
    (receipt,) = await reception.submit(sent(file))
    (again,) = await reception.submit(sent(file))
    assert again.files[0].repeated
    async with reception.register.read() as tx:
        told = [kept.entry for kept in await journal.of_intake(tx, 1)]
        repeated = [kept.entry for kept in await journal.of_intake(tx, 2)]
    number = number_of(receipt.files[0].outcomes[0])
    assert [(e.kind, e.number, e.detail.get("position"), e.detail["codes"]) for e in told] == [
        ("file-decided", None, None, ""),
        ("registered", number, 0, ""),
        ("refused", None, 1, "CTRL_UNI_0001"),
        ("refused", None, 2, "CTRL_DEM_0001"),
    ]
    assert {(e.sender, e.desk) for e in told} == {("mairie", "59123")}
    assert [(e.kind, e.detail) for e in repeated] == [("file-repeated", {"digest": file.digest})]
    everything = " ".join(str(row) for row in await rows(reception.register, "SELECT * FROM journal"))
    assert names_in(everything) == []


# Persons


async def test_a_person_has_one_active_request_in_a_territory(reception: Reception) -> None:
    assert number_of(await reception.outcome(a_request("Durand"), sequence=1))
    again = await reception.outcome(a_request("DURAND", deposited="2026-01-13"), sequence=2)
    assert codes_of(again) == ["REQUEST_EXISTS"]
    assert number_of(await reception.outcome(a_request("Durand", first_name="Léa"), sequence=3))
    assert number_of(await reception.outcome(a_request("Durand", at=PARIS), sequence=4)).startswith("111")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Durand", "Petit"), ("Petit", None)),
        (("Durand", None), ("Petit", "Durand")),
        (("Durand", "Petit"), ("Moreau", "Petit")),
        (("Durand", "Petit"), ("Petit", "Durand")),
    ],
)
async def test_a_co_applicant_counts_as_much_as_the_applicant(
    reception: Reception, first: tuple[str, str | None], second: tuple[str, str | None]
) -> None:
    assert number_of(await reception.outcome(a_request(*first), sequence=1))
    assert codes_of(await reception.outcome(a_request(*second), sequence=2)) == ["REQUEST_EXISTS"]


async def test_who_was_refused_blocks_nobody(reception: Reception) -> None:
    assert number_of(await reception.outcome(a_request("Durand"), sequence=1))
    refused = await reception.outcome(a_request("Petit", "Durand"), sequence=2)
    assert codes_of(refused) == ["REQUEST_EXISTS"]
    assert number_of(await reception.outcome(a_request("Petit"), sequence=3))


async def test_the_existing_number_is_told_only_to_who_may_consult_there(reception: Reception) -> None:
    await reception.enrol("conseil", "59777", ["059"], rights=frozenset({Right.CREATION, Right.CONSULT}))
    await reception.enrol("conseil", "59777", ["111"])
    at_home = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    assert number_of(await reception.outcome(a_request("Durand", at=PARIS), sequence=2))

    async def told(at: str, sender: str, desk: str, sequence: int) -> str | None:
        form = a_request("Durand", at=at, desk=desk, deposited="2026-01-13")
        outcome = await reception.outcome(form, sequence=sequence, sender=sender)
        assert isinstance(outcome, Refused)
        (anomaly,) = outcome.anomalies
        assert (anomaly.code, anomaly.path) == (Code.REQUEST_EXISTS, "/interfaceNuu/demande[1]/demandeLogement")
        return anomaly.number

    assert await told(LILLE, "conseil", "59777", 3) == at_home
    assert await told(PARIS, "conseil", "59777", 4) is None
    assert await told(LILLE, "mairie", "59123", 5) is None


async def test_the_number_is_not_told_under_a_mandate_that_has_ended(reception: Reception) -> None:
    consults = frozenset({Right.CREATION, Right.CONSULT})
    ended = (AT - timedelta(days=1)).date()
    await reception.enrol("conseil", "59777", ["059"], rights=consults, ends_on=ended)
    await reception.enrol("conseil", "59778", ["059"])
    assert number_of(await reception.outcome(a_request("Durand"), sequence=1))
    outcome = await reception.outcome(a_request("Durand", desk="59778"), sequence=2, sender="conseil")
    assert isinstance(outcome, Refused)
    assert [anomaly.number for anomaly in outcome.anomalies] == [None]


def _first_wins(receipts: tuple[Receipt, ...]) -> None:
    first, *others = [outcome for receipt in receipts for file in receipt.files for outcome in file.outcomes]
    assert number_of(first)
    assert {code for other in others for code in codes_of(other)} == {"REQUEST_EXISTS"}


async def test_of_one_person_in_one_file_the_first_wins(reception: Reception) -> None:
    _first_wins(await reception.submit(sent(a_file(a_request("Durand"), a_request("Petit", "Durand")))))


async def test_of_one_person_in_one_chunk_the_first_wins(reception: Reception) -> None:
    _first_wins(
        await reception.submit(
            sent(a_file(a_request("Durand", "Petit"), sequence=1)),
            sent(a_file(a_request("Petit"), sequence=2), a_file(a_request("Durand"), sequence=3)),
        )
    )


async def test_who_loses_within_a_chunk_blocks_nobody_after(reception: Reception) -> None:
    """The couple fails on the one, so that the other is free."""
    first, couple, other = await reception.submit(
        sent(a_file(a_request("Durand"), sequence=1)),
        sent(a_file(a_request("Durand", "Petit"), sequence=2)),
        sent(a_file(a_request("Petit"), sequence=3)),
    )
    assert number_of(first.files[0].outcomes[0])
    assert codes_of(couple.files[0].outcomes[0]) == ["REQUEST_EXISTS"]
    assert number_of(other.files[0].outcomes[0])
