"""Near matches are told to who may know, homonyms are told apart, and what is released is free."""

import json

import pytest
import sqlalchemy as sa

from mailflow.core.anomalies import Anomaly
from mailflow.core.form import HousingRequest
from mailflow.core.model import Outcome, Registered, Right
from mailflow.core.numbers import DeskCode
from mailflow.errors import Unavailable
from mailflow.register import Register, duplicates, files, identities, likeness, nir, requests
from mailflow.registrar import releasing
from tests.support.lives import three_desks
from tests.support.reception import (
    AT,
    LILLE,
    PARIS,
    Reception,
    a_file,
    a_request,
    about,
    an_order,
    codes_of,
    number_of,
    sent,
)
from tests.support.records import rows

NAME = "DEM59123-202601151030-{:06}.xml"
CONSULTS = frozenset({Right.CREATION, Right.CONSULT})


@pytest.fixture
async def reception(register: Register) -> Reception:
    """A desk that may only register, and one that may consult in the Nord as well."""
    opened = Reception(register)
    await opened.enrol()
    await opened.enrol("conseil", "59777", ["059"], rights=CONSULTS)
    await opened.enrol("conseil", "59777", ["111"])
    return opened


def warnings_of(outcome: Outcome) -> list[Anomaly]:
    assert isinstance(outcome, Registered), outcome
    return list(outcome.anomalies)


def consulting(surname: str, *, first_name: str = "Zoé", at: str = LILLE) -> HousingRequest:
    return a_request(surname, desk="59777", first_name=first_name, at=at)


async def pairs(register: Register) -> list[tuple[str, str, str]]:
    async with register.read() as tx:
        return [(p.number, p.other, p.likeness) for p in await duplicates.of_active(tx, None, 10)]


async def test_a_near_match_is_a_warning_with_the_number_to_who_may_consult(reception: Reception) -> None:
    known = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    near = await reception.outcome(consulting("Durant"), sequence=2, sender="conseil")
    (warning,) = warnings_of(near)
    assert (warning.code.name, warning.number) == ("REQUEST_MAY_EXIST", known)
    assert warning.path == "/interfaceNuu/demande[1]/demandeLogement/personnePhysique/demandeur"
    assert await pairs(reception.register) == [(number_of(near), known, "typing-error")]


async def test_others_are_told_nothing_and_the_manager_all(reception: Reception) -> None:
    known = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    near = await reception.outcome(a_request("Zoé", first_name="Durand"), sequence=2)
    assert warnings_of(near) == []
    elsewhere = await reception.outcome(consulting("Durand", at=PARIS), sequence=3, sender="conseil")
    assert warnings_of(elsewhere) == [], "another territory"
    assert await pairs(reception.register) == [(number_of(near), known, "swapped-names")]
    journal = await rows(reception.register, "SELECT detail FROM journal WHERE kind = 'near-match'")
    assert [known in row.detail for row in journal] == [True]


async def test_near_matches_within_one_chunk_are_told_to_the_later(reception: Reception) -> None:
    file = a_file(consulting("Durand"), consulting("Petit"), consulting("Durant"), desk="59777")
    ((receipt,),) = [r.files for r in await reception.submit(sent(file, sender="conseil"))]
    first, other, later = receipt.outcomes
    assert (warnings_of(first), warnings_of(other)) == ([], [])
    assert [warning.number for warning in warnings_of(later)] == [number_of(first)]


@pytest.mark.parametrize(("operation", "motive"), [("RAD", "RADABA"), ("SUP", None)])
async def test_within_a_chunk_persons_are_found_where_they_are_when_a_requests_turn_comes(
    register: Register, operation: str, motive: str | None
) -> None:
    reception = await three_desks(register)
    known = number_of(await reception.outcome(a_request("Durand", "Petit"), sequence=1))
    before = a_file(consulting("Durant"), sequence=2, desk="59777")
    ending = an_order(operation, about(known, motive=motive), sequence=3)
    after = a_file(consulting("Petid"), sequence=4, desk="59777")
    mails = sent(before, sender="conseil"), sent(ending), sent(after, sender="conseil")
    first, ended, later = [r.files[0].outcomes[0] for r in await reception.submit(*mails)]
    assert number_of(ended) == known
    assert [[warning.number for warning in warnings_of(outcome)] for outcome in (first, later)] == [[known], []]
    found = f"SELECT n.id FROM near_person n JOIN request r ON r.id = n.request_id WHERE r.number = '{known}'"
    assert await rows(register, found) == [], "and nowhere afterwards"


async def test_a_co_applicant_is_looked_for_too(reception: Reception) -> None:
    known = number_of(await reception.outcome(a_request("Petit", "Durand"), sequence=1))
    near = await reception.outcome(consulting("Durant"), sequence=2, sender="conseil")
    assert [warning.number for warning in warnings_of(near)] == [known]


async def test_who_is_deregistered_is_found_no_more(reception: Reception) -> None:
    assert number_of(await reception.outcome(a_request("Durand", "Petit"), sequence=1))
    (row,) = await rows(reception.register, "SELECT id FROM request")
    async with reception.register.begin() as tx:
        await identities.release(tx, [row.id])
    assert await rows(reception.register, "SELECT * FROM near_token") == []
    near = await reception.outcome(consulting("Durant"), sequence=2, sender="conseil")
    assert warnings_of(near) == []


async def test_a_crowded_token_leads_to_no_more_persons(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found by what else is known of them."""
    monkeypatch.setattr(likeness, "PERSONS_A_TOKEN_MAX", 2)
    for number, surname in enumerate(["Durand", "Lefort", "Moreau"], 1):
        assert number_of(await reception.outcome(a_request(surname), sequence=number))
    crowd = await rows(reception.register, "SELECT count(*) AS persons FROM near_token GROUP BY token")
    assert max(row.persons for row in crowd) == 2
    near = await reception.outcome(consulting("Moreau", first_name="Zoey"), sequence=4, sender="conseil")
    assert len(warnings_of(near)) == 1


# Homonyms


def with_nir(form: HousingRequest, nir: str) -> HousingRequest:
    assert form.person
    assert form.person.applicant
    applicant = form.person.applicant.model_copy(update={"nir": nir})
    return form.model_copy(update={"person": form.person.model_copy(update={"applicant": applicant})})


NIR, OTHER_NIR = "2 90 02 59 350 123 87", "290025935012486"


async def test_two_numbers_tell_homonyms_apart_and_one_number_is_one_person(reception: Reception) -> None:
    first = number_of(await reception.outcome(with_nir(a_request("Durand"), NIR), sequence=1))
    assert codes_of(await reception.outcome(again("Durand", 2), sequence=2)) == ["REQUEST_EXISTS"]
    same = with_nir(again("Durand", 3), NIR)
    assert codes_of(await reception.outcome(same, sequence=3)) == ["REQUEST_EXISTS"]
    other = number_of(await reception.outcome(with_nir(again("Durand", 4), OTHER_NIR), sequence=4))
    assert other != first
    married = with_nir(a_request("Petit"), OTHER_NIR)
    assert codes_of(await reception.outcome(married, sequence=5)) == ["NIR_EXISTS"]
    assert number_of(await reception.outcome(a_request("Petit"), sequence=6))


async def test_a_number_on_one_side_only_tells_nobody_apart(reception: Reception) -> None:
    assert number_of(await reception.outcome(a_request("Durand"), sequence=1))
    second = with_nir(again("Durand", 2), NIR)
    assert codes_of(await reception.outcome(second, sequence=2)) == ["HOMONYM_POSSIBLE"]


async def test_a_nir_is_kept_apart_and_nowhere_else(reception: Reception) -> None:
    ((receipt,),) = [r.files for r in await reception.submit(sent(a_file(with_nir(a_request("Durand"), NIR))))]
    assert NIR not in repr(receipt)
    number, name, bare = number_of(receipt.outcomes[0]), ("59123", receipt.file.name), NIR.replace(" ", "")
    async with reception.register.begin() as tx:
        request = await requests.find(tx, number)
        kept = (await files.by_name(tx, [name]))[name].receipt
        assert request is not None
        assert request.payload is not None
        for stored in (request.payload, kept):
            assert b"Durand" in stored
            assert NIR.encode() not in stored
            assert bare.encode() not in stored
        assert await nir.of(tx, [request.id]) == {request.id: {"demandeur": bare}}
        await nir.erase(tx, [request.id])
        assert await nir.of(tx, [request.id]) == {}


def again(surname: str, day: int) -> HousingRequest:
    """Somebody of the same names and birth date, by other content."""
    return a_request(surname, deposited=f"2026-01-{day:02}")


async def test_a_released_homonym_is_registered_once_by_that_desk(reception: Reception) -> None:
    first = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    assert codes_of(await reception.outcome(again("Durand", 2), sequence=2)) == ["REQUEST_EXISTS"]
    async with reception.register.begin() as tx:
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(2), 1)
        await releasing.release(tx, homonym, by="manager", why="two cousins", at=AT)
        await releasing.release(tx, homonym, by="manager", why="two cousins", at=AT)
    assert homonym.beside == (first,)
    told = await rows(reception.register, "SELECT number, desk, detail FROM journal WHERE kind = 'homonym-released'")
    assert [(row.number, row.desk, json.loads(row.detail)) for row in told] == 2 * [
        (first, "59123", {"file": NAME.format(2), "position": 1, "by": "manager", "why": "two cousins"})
    ]
    elsewhere = await reception.outcome(consulting("Durand"), sequence=3, sender="conseil")
    assert codes_of(elsewhere) == ["REQUEST_EXISTS"], "the release is for the other desk"
    second = number_of(await reception.outcome(again("Durand", 4), sequence=4))
    assert second != first
    assert codes_of(await reception.outcome(again("Durand", 5), sequence=5)) == ["REQUEST_EXISTS"]
    assert await pairs(reception.register) == [(second, first, "exact")]


async def test_any_number_of_homonyms_stand_beside_each_other(reception: Reception) -> None:
    numbers = [number_of(await reception.outcome(a_request("Durand"), sequence=1))]
    for sequence in (2, 4, 6):
        assert codes_of(await reception.outcome(again("Durand", sequence), sequence=sequence)) == ["REQUEST_EXISTS"]
        async with reception.register.begin() as tx:
            homonym = await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(sequence), 1)
            await releasing.release(tx, homonym, by="manager", why="cousins", at=AT)
        assert sorted(homonym.beside) == sorted(numbers)
        numbers.append(number_of(await reception.outcome(again("Durand", sequence + 1), sequence=sequence + 1)))
    held = await rows(reception.register, "SELECT ordinal FROM active_identity ORDER BY ordinal")
    assert [row.ordinal for row in held] == [0, 1, 2, 3]
    told = await rows(reception.register, "SELECT number, detail FROM journal WHERE kind = 'near-match' ORDER BY id")
    pairs = {(row.number, json.loads(row.detail)["other"], json.loads(row.detail)["likeness"]) for row in told}
    assert pairs == {(later, earlier, "exact") for n, later in enumerate(numbers) for earlier in numbers[:n]}


async def test_of_several_refused_the_one_that_is_named_is_released(reception: Reception) -> None:
    numbers = [number_of(await reception.outcome(a_request(name), sequence=n)) for n, name in ((1, "A"), (2, "B"))]
    await reception.outcomes(a_file(again("A", 2), again("B", 2), sequence=3))
    async with reception.register.read() as tx:
        found = [await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(3), position) for position in (1, 2)]
    assert [homonym.beside for homonym in found] == [(number,) for number in numbers]


async def test_who_has_the_request_that_is_changed_stands_in_nobodys_way(register: Register) -> None:
    reception = await three_desks(register)
    own = number_of(await reception.outcome(a_request("Durand"), sequence=1))
    other = number_of(await reception.outcome(a_request("Petit"), sequence=2))
    (refused,) = await reception.act("MOD", about(own, form=a_request("Durand", "Petit")), sequence=3)
    assert codes_of(refused) == ["REQUEST_EXISTS"]
    async with register.read() as tx:
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(3), 1)
    assert homonym.beside == (other,)
    assert len(homonym.releases) == 1


async def test_whom_the_first_of_two_homonyms_gives_up_nobody_else_may_register_beside_the_second(
    register: Register,
) -> None:
    """Of homonyms one always stands where a creation looks: the second takes the place of the first."""
    reception = await three_desks(register)
    couple = number_of(await reception.outcome(a_request("Durand", "Petit"), sequence=1))
    assert codes_of(await reception.outcome(a_request("Petit"), sequence=2)) == ["REQUEST_EXISTS"]
    async with register.begin() as tx:
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(2), 1)
        await releasing.release(tx, homonym, by="manager", why="two cousins", at=AT)
    assert number_of(await reception.outcome(again("Petit", 4), sequence=4))
    (alone,) = await reception.act("MOD", about(couple, form=a_request("Durand")), sequence=5)
    assert number_of(alone) == couple
    assert codes_of(await reception.outcome(again("Petit", 6), sequence=6)) == ["REQUEST_EXISTS"]


async def test_the_request_of_a_file_that_is_released_is_the_one_at_its_place(reception: Reception) -> None:
    await reception.outcome(a_request("B"), sequence=1)
    await reception.outcomes(a_file(a_request("A"), again("B", 2), sequence=2))
    async with reception.register.read() as tx:
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(2), 2)
        with pytest.raises(releasing.NothingToRelease, match="not refused for the identity"):
            await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(2), 1)
        for nowhere in (0, 3):
            with pytest.raises(releasing.NothingToRelease, match="2 decided requests"):
                await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(2), nowhere)
    assert homonym.position == 2


async def test_who_loses_the_place_beside_a_homonym_to_another_process_is_decided_again(reception: Reception) -> None:
    """Between finding the next place and taking it, another process takes it."""
    await reception.outcome(a_request("Durand"), sequence=1)
    await reception.outcome(again("Durand", 2), sequence=2)
    async with reception.register.begin() as tx:
        homonym = await releasing.find_homonym(tx, DeskCode("59123"), NAME.format(2), 1)
        await releasing.release(tx, homonym, by="manager", why="two cousins", at=AT)
    taken: list[bool] = []

    def takes_it(
        connection: sa.Connection, cursor: object, statement: str, parameters: object, context: object, many: bool
    ) -> None:
        if "FROM homonym_release" in statement and not taken:
            taken.append(True)
            connection.execute(sa.text(ANOTHER_TAKES_IT))

    sa.event.listen(reception.register._engine.sync_engine, "before_cursor_execute", takes_it)
    with pytest.raises(Unavailable, match="by somebody else"):
        await reception.outcome(again("Durand", 4), sequence=4)
    assert number_of(await reception.outcome(again("Durand", 4), sequence=4)), "the other one did not commit after all"


ANOTHER_TAKES_IT = """
INSERT INTO active_identity (territory, token, ordinal, nir_token, request_id)
SELECT territory, token, ordinal + 1, NULL, 'of-another-process' FROM active_identity
"""


async def test_only_a_refusal_for_the_identity_can_be_released(reception: Reception) -> None:
    await reception.outcomes(a_file(a_request("Durand"), a_request("Petit", complete=False)))
    assert codes_of(await reception.outcome(again("Durand", 2), sequence=2)) == ["REQUEST_EXISTS"]

    async def refusal(desk: str, sequence: int, position: int) -> str:
        with pytest.raises(releasing.NothingToRelease) as refused:
            async with reception.register.begin() as tx:
                await releasing.find_homonym(tx, DeskCode(desk), NAME.format(sequence), position)
        return str(refused.value)

    assert "no such file" in await refusal("59777", 1, 1)
    assert "not refused for the identity" in await refusal("59123", 1, 1)
    assert "not refused for the identity" in await refusal("59123", 1, 2)
    assert "2 decided requests" in await refusal("59123", 1, 3)
    (row,) = await rows(reception.register, "SELECT id FROM request")
    async with reception.register.begin() as tx:
        await identities.release(tx, [row.id])
    assert "nobody stands in its way" in await refusal("59123", 2, 1)


async def test_of_homonyms_the_one_that_stays_still_stands_in_the_way(reception: Reception) -> None:
    await test_a_released_homonym_is_registered_once_by_that_desk(reception)
    first, second = await rows(reception.register, "SELECT id FROM request ORDER BY number")
    async with reception.register.begin() as tx:
        await identities.release(tx, [first.id])
    assert codes_of(await reception.outcome(again("Durand", 6), sequence=6)) == ["REQUEST_EXISTS"]
    async with reception.register.begin() as tx:
        await identities.release(tx, [second.id])
    assert number_of(await reception.outcome(again("Durand", 6), sequence=7))
