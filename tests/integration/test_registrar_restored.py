"""The registrar after a loss: the numbers that went out in the time that was lost, and what goes on without any."""

import pytest

from mailflow import registrar
from mailflow.core.form import digest_of
from mailflow.core.model import CREATIONS, Outcome, RequestFile, Right
from mailflow.core.numbers import SEQUENCE_MAX, DeskCode, UniqueNumber, parse
from mailflow.register import Register, restoring
from mailflow.register.restoring import Place
from tests.support.lives import with_nir
from tests.support.operating import ACT
from tests.support.reception import Reception, a_file, a_request, about, an_order, number_of, sent
from tests.support.records import execute, rows
from tests.support.requests import RECEIVED_AT


@pytest.fixture
async def reception(register: Register) -> Reception:
    opened = Reception(register)
    await opened.enrol(rights=frozenset(Right))
    return opened


async def reserve(register: Register, file: RequestFile, position: int, number: UniqueNumber) -> None:
    async with register.begin() as tx:
        place = Place(desk=file.desk, digest=file.digest, position=position)
        await restoring.reserve(tx, [(place, number)], ACT, RECEIVED_AT)


async def given(register: Register) -> list[tuple[str, bool]]:
    async with register.read() as tx:
        return [(one.number, one.given) for one in await restoring.reserved(tx)]


def numbers(outcomes: tuple[Outcome, ...]) -> list[UniqueNumber]:
    return [number_of(outcome) for outcome in outcomes]


async def test_a_request_of_the_lost_time_has_its_number_again_and_the_others_have_new_ones(
    reception: Reception,
) -> None:
    (first,) = await reception.outcomes(a_file(a_request("Durand")))
    last = number_of(first)
    lost = UniqueNumber(last.replace("000001", "000005", 1))
    assert parse(lost).sequence == 5
    again = a_file(a_request("Martin"), a_request("Nguyen"), sequence=2)
    await reserve(reception.register, again, 1, lost)
    new, same = numbers(await reception.outcomes(again))
    assert same == lost
    assert parse(new).sequence == 6, "the counters have gone beyond what is reserved"
    assert await given(reception.register) == [(lost, True)]
    (other,) = numbers(await reception.outcomes(a_file(a_request("Lefebvre"), sequence=3)))
    assert parse(other).sequence == 7


async def test_a_reserved_number_needs_nothing_of_what_is_left(reception: Reception) -> None:
    (first,) = await reception.outcomes(a_file(a_request("Durand")))
    lost = UniqueNumber(number_of(first).replace("000001", "000005", 1))
    again = a_file(a_request("Martin"), sequence=2)
    await reserve(reception.register, again, 0, lost)
    await execute(reception.register, "UPDATE counter SET last = :last", last=SEQUENCE_MAX)
    assert numbers(await reception.outcomes(again)) == [lost]


async def test_a_number_is_reserved_for_its_own_place_only(reception: Reception) -> None:
    (first,) = await reception.outcomes(a_file(a_request("Durand")))
    lost = UniqueNumber(number_of(first).replace("000001", "000005", 1))
    await reserve(reception.register, a_file(a_request("Martin"), sequence=2), 0, lost)
    (other,) = numbers(await reception.outcomes(a_file(a_request("Nguyen"), sequence=2)))
    assert other != lost
    assert await given(reception.register) == [(lost, False)]


async def test_a_number_that_is_kept_for_what_a_reference_asked_goes_to_nothing_else(reception: Reception) -> None:
    """Neither to another request under that reference, nor to the same under another one."""
    (first,) = await reception.outcomes(a_file(a_request("Durand")))
    lost = UniqueNumber(number_of(first).replace("000001", "000005", 1))
    async with reception.register.begin() as tx:
        place = restoring.under_reference(tx, DeskCode("59123"), "R", digest_of(a_request("Martin")))
        await restoring.reserve(tx, [(place, lost)], ACT, RECEIVED_AT)
    others = a_file(a_request("Nguyen"), a_request("Martin"), sequence=2, references=["R", "S"])
    assert [parse(number).sequence for number in numbers(await reception.outcomes(others))] == [6, 7]
    assert await given(reception.register) == [(lost, False)]


@pytest.mark.parametrize("nir", [None, "290025935012387"], ids=["without a NIR", "with a NIR"])
async def test_the_same_request_under_its_reference_has_the_number_again_that_another_file_was_told(
    reception: Reception, nir: str | None
) -> None:
    (first,) = await reception.outcomes(a_file(a_request("Durand")))
    lost = UniqueNumber(number_of(first).replace("000001", "000005", 1))
    form = a_request("Martin")
    async with reception.register.begin() as tx:
        place = restoring.under_reference(tx, DeskCode("59123"), "R", digest_of(form))
        await restoring.reserve(tx, [(place, lost)], ACT, RECEIVED_AT)
    sent_form = with_nir(form, nir) if nir else form
    again = a_file(sent_form, sequence=2, references=["R"])
    assert numbers(await reception.outcomes(again)) == [lost]
    assert await given(reception.register) == [(lost, True)]


async def test_which_mails_need_numbers(reception: Reception) -> None:
    decided = a_file(a_request("Durand"))
    (first,) = await reception.outcomes(decided)
    renewal = an_order("REN", about(number_of(first), form=a_request("Durand")), sequence=2)
    broken = a_file(a_request("Martin", complete=False), sequence=3)
    half_broken = a_file(a_request("Martin", complete=False), a_request("Nguyen"), sequence=4)
    whole = a_file(a_request("Lefebvre"), sequence=5)
    nameless = a_file(a_request("Moreau"), name="wrong.xml")
    assert {renewal.operation} - CREATIONS
    _, submissions = await reception.prepare(
        *(sent(file) for file in (decided, renewal, broken, half_broken, whole, nameless)), sent(renewal, whole)
    )
    async with reception.register.begin() as tx:
        needs = await registrar.need_numbers(tx, submissions)
    assert needs == [False, False, False, True, True, False, True]
    assert len(await rows(reception.register, "SELECT number FROM request")) == 1


@pytest.mark.parametrize("elsewhere", ["territory", "month"])
async def test_a_number_of_another_territory_or_month_is_not_the_numbers_of_a_request(
    reception: Reception, elsewhere: str
) -> None:
    """Under a reference that was another request's, say: it is numbered as any, and the kept number is nobody's."""
    (first,) = await reception.outcomes(a_file(a_request("Durand")))
    own = parse(number_of(first))
    kept = number_of(first).replace("000001", "000005", 1)
    kept = f"080{kept[3:]}" if elsewhere == "territory" else f"{kept[:3]}{own.month % 12 + 1:02}{kept[5:]}"
    again = a_file(a_request("Martin"), sequence=2)
    await reserve(reception.register, again, 0, UniqueNumber(kept))
    (new,) = numbers(await reception.outcomes(again))
    assert parse(new).sequence == 2
    assert await given(reception.register) == [(kept, False)]
