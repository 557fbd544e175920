"""What is written down of what was decided: the journal by its kinds, and the file as it may be answered again."""

import json
from datetime import date, timedelta

import pytest

from mailflow.register import Register
from tests.support.lives import done, past, registered, three_desks
from tests.support.reception import Reception, a_file, a_request, about, an_order, sent
from tests.support.records import rows


@pytest.fixture
async def reception(register: Register) -> Reception:
    return await three_desks(register)


async def journalled(reception: Reception) -> list[tuple[str, str | None, str | None, str]]:
    """Kind, number, desk and codes of each entry."""
    found = await rows(reception.register, "SELECT * FROM journal WHERE kind <> 'received' ORDER BY id")
    return [(row.kind, row.number, row.desk, json.loads(row.detail).get("codes", "")) for row in found if row.intake_id]


async def test_each_thing_that_is_done_to_a_request_has_its_kind(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand", "Petit"))
    acts = [
        ("MOD", about(number, form=a_request("Durand", "Petit", at="59512")), "59123"),
        ("CRS", about(number, "Petit", form=a_request("Petit")), "59123"),
        ("RAD", about(number, motive="RADABA"), "59777"),
        ("RAD", about(number), "59123"),
    ]
    for sequence, (operation, element, desk) in enumerate(acts, 2):
        done((await reception.act(operation, element, sequence=sequence, desk=desk))[0])
    reception.wait(days=330)
    (renewal,) = await reception.act("REN", about(number), sequence=9)
    attested = done(renewal).attestation
    assert attested is not None
    assert (attested.form.deposited_on, attested.renewed_on) == (date(2026, 1, 12), reception.at.date())
    (again,) = await reception.act("REN", about(number), sequence=10)
    assert done(again).replayed
    told = await journalled(reception)
    kinds = [(kind, desk) for kind, of, desk, _ in told if of == number]
    assert kinds == [
        ("registered", "59123"),
        ("amended", "59123"),
        ("separated", "59123"),
        ("deregistered", "59777"),
        ("reactivated", "59123"),
        ("renewed", "59123"),
        ("replayed", "59123"),
    ]
    assert [kind for kind, of, *_ in told if of is None] == ["file-decided"] * 7
    beginning, *_ = await past(reception, number)
    assert beginning.said is None


async def test_each_file_is_journalled_by_its_digest(reception: Reception) -> None:
    file = a_file(a_request("Durand"))
    await reception.submit(sent(file), sent(file))
    told = await rows(reception.register, "SELECT kind, detail FROM journal WHERE kind LIKE 'file-%' ORDER BY id")
    assert [(row.kind, json.loads(row.detail)["digest"]) for row in told] == [
        ("file-decided", file.digest),
        ("file-repeated", file.digest),
    ]


async def test_what_is_refused_is_journalled_with_its_codes(reception: Reception) -> None:
    await registered(reception)
    twice = a_request("Petit", complete=False)
    await reception.outcomes(a_file(twice, a_request("Durand", deposited="2026-01-02"), sequence=2))
    await reception.outcomes(a_file(twice, sequence=3, name="wrong.xml"))
    _, _, *told = await journalled(reception)
    assert [(kind, of, desk) for kind, of, desk, _ in told] == [
        ("file-decided", None, "59123"),
        ("refused", None, "59123"),
        ("refused", None, "59123"),
        ("file-refused", None, "59123"),
        ("refused", None, "59123"),
    ]
    codes = [codes.split() for *_, codes in told]
    assert codes[0] == []
    assert len(codes[1]) == len(set(codes[1])) > 0
    assert all(code.startswith("CTRL_") for some in codes for code in some)


async def test_a_changed_request_is_answered_by_what_it_says_now(reception: Reception) -> None:
    number = await registered(reception, a_request("Durand"))
    amended = a_request("Durand", at="59512", deposited="2026-01-14")
    dated_at = reception.received_at + timedelta(minutes=1)
    file = an_order("MOD", about(number, form=amended), sequence=2, dated_at=dated_at)
    ((receipt,),) = [told.files for told in await reception.submit(sent(file))]
    (kept,) = receipt.file.requests
    assert kept.form is not None
    assert kept.form.deposited_on == date(2026, 1, 12), "the day that counts, not the one that was written"
