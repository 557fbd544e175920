"""Changes of registered requests: for whom, and in what order."""

from datetime import timedelta

import pytest

from mailflow.core.model import Registered, RequestState
from mailflow.register import Register
from mailflow.wire.envelope import RequestElement
from tests.support.lives import create, done, held, past, registered, stored, three_desks
from tests.support.reception import Reception, a_request, about, an_order, codes_of, renamed, sent


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


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


async def test_a_change_that_is_refused_frees_nobody_and_nothing(reception: Reception) -> None:
    element = RequestElement(reference="d-1", form=a_request("Durand", "Petit"))
    (created,) = await reception.act("CRE", element, sequence=1)
    (refused,) = await reception.act(
        "MOD", about(done(created).number, form=a_request("Durand", at="75056")), sequence=2
    )
    assert codes_of(refused) == ["TERRITORY_CHANGED"]
    for sequence, surname in enumerate(("Durand", "Petit"), 3):
        assert codes_of(await create(reception, a_request(surname), sequence)) == ["REQUEST_EXISTS"]
    (again,) = await reception.act("CRE", element, sequence=5)
    assert (done(again).number, done(again).replayed) == (done(created).number, True)


async def test_a_change_and_its_repetition_in_one_chunk_are_written_once(reception: Reception) -> None:
    number = await registered(reception)
    form = a_request("Durand", at="59512")
    dated_at = reception.received_at + timedelta(minutes=1)
    first = an_order("MOD", about(number, form=form), sequence=2, dated_at=dated_at)
    told = await reception.submit(sent(first), sent(renamed(first, 3)))
    assert [done(file.outcomes[0]).number for receipt in told for file in receipt.files] == [number] * 2
    assert [entry.revision for entry in await past(reception, number)] == [1, 2]
    assert (await stored(reception, number)).revision == 2


async def test_who_joins_and_leaves_within_one_chunk_is_free_for_who_comes_after(reception: Reception) -> None:
    number = await registered(reception)
    orders = [
        ("MOD", about(number, form=a_request("Durand", "Petit"))),
        ("MOD", about(number, form=a_request("Durand"))),
        ("CRE", RequestElement(form=a_request("Petit"))),
    ]
    made = [
        an_order(operation, element, sequence=n, dated_at=reception.received_at + timedelta(seconds=n))
        for n, (operation, element) in enumerate(orders, 2)
    ]
    (receipt,) = await reception.submit(sent(*made))
    joined, left, after = (done(file.outcomes[0]) for file in receipt.files)
    assert joined.number == left.number == number
    assert after.number != number
    assert await held(reception) == 2


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
