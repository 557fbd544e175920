"""The registrar on files: a name belongs to its first decided content, a repeat gets what was decided."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import FileReceipt, Outcome, Refused, Registered, RequestFile
from mailflow.core.numbers import SEQUENCE_MAX
from mailflow.register import Register
from tests.support.outcomes import retries
from tests.support.reception import (
    CORSICA,
    Reception,
    a_file,
    a_request,
    codes_of,
    number_of,
    renamed,
    sent,
)
from tests.support.records import execute, lose_keys, rows


def replayed(outcome: Outcome) -> Registered:
    """The same outcome, told again."""
    assert isinstance(outcome, Registered)
    return replace(outcome, replayed=True)


@pytest.fixture
async def reception(register: Register) -> Reception:
    """One sender, which acts for one desk in two territories."""
    opened = Reception(register)
    await opened.enrol()
    return opened


def codes(receipt: FileReceipt) -> list[Code]:
    return [anomaly.code for anomaly in receipt.anomalies]


async def decide(reception: Reception, file: RequestFile, sender: str = "mairie") -> FileReceipt:
    """Decide a mail with one file."""
    ((receipt,),) = [receipt.files for receipt in await reception.submit(sent(file, sender=sender))]
    return receipt


async def registered(reception: Reception) -> int:
    return len(await rows(reception.register, "SELECT number FROM request"))


async def bound(reception: Reception) -> list[str]:
    return [row.name for row in await rows(reception.register, "SELECT name FROM file ORDER BY name")]


async def leave(reception: Reception, sequences: int, month: str = "0126") -> None:
    """So many numbers are left in the Nord and month."""
    statement = "INSERT INTO counter (territory, month, last) VALUES ('059', :month, :last)"
    await execute(reception.register, statement, month=month, last=SEQUENCE_MAX - sequences)


async def mend(reception: Reception) -> None:
    """There are numbers again, of all months."""
    await execute(reception.register, "DELETE FROM counter")


# The same file again


async def test_the_same_file_again_gets_what_was_decided_then(reception: Reception) -> None:
    file = a_file(a_request("A"), a_request("B", complete=False), a_request("A"))
    first = await decide(reception, file)
    assert [type(outcome) for outcome in first.outcomes] == [Registered, Refused, Refused]
    reception.at += timedelta(hours=3)
    again = await decide(reception, file)
    assert again == replace(first, repeated=True)
    assert await registered(reception) == 1


async def test_a_refusal_is_repeated_even_when_its_reason_has_gone(reception: Reception) -> None:
    """Only so may a desk send a file again without asking what becomes of it."""
    file = a_file(a_request("A", at=CORSICA))
    first = await decide(reception, file)
    await reception.enrol(territories=["02A"])
    assert await decide(reception, file) == replace(first, repeated=True)
    assert await registered(reception) == 0


async def test_the_same_file_twice_in_one_mail_or_chunk_is_decided_once(reception: Reception) -> None:
    file = a_file(a_request("A"))
    mail, other = await reception.submit(sent(file, file), sent(file))
    first, again, later = *mail.files, *other.files
    assert not first.repeated
    assert again == later == replace(first, repeated=True)
    assert await registered(reception) == 1


async def test_a_name_with_other_content_is_refused_and_stays_with_the_first(reception: Reception) -> None:
    first = await decide(reception, a_file(a_request("A")))
    other = await decide(reception, a_file(a_request("B")))
    assert codes(other) == [Code.FILE_NAME_TAKEN]
    assert (other.record, other.repeated) == (None, False)
    assert other.outcomes == (Refused(anomalies=()),)
    assert await decide(reception, a_file(a_request("A"))) == replace(first, repeated=True)
    assert await registered(reception) == 1


async def test_a_name_is_bound_by_a_refused_file_too(reception: Reception) -> None:
    await decide(reception, a_file(a_request("A", complete=False)))
    assert codes(await decide(reception, a_file(a_request("A")))) == [Code.FILE_NAME_TAKEN]


async def test_of_two_contents_under_one_name_in_one_mail_only_the_first_counts(reception: Reception) -> None:
    (receipt,) = await reception.submit(sent(a_file(a_request("A")), a_file(a_request("B")), a_file(a_request("A"))))
    first, second, third = receipt.files
    assert number_of(first.outcomes[0])
    assert codes(second) == [Code.FILE_NAME_REPEATED]
    assert (second.record, second.outcomes) == (None, (Refused(anomalies=()),))
    assert third == replace(first, repeated=True)


async def test_of_two_contents_under_one_name_in_one_chunk_the_first_mail_counts(reception: Reception) -> None:
    first, second = await reception.submit(sent(a_file(a_request("A"))), sent(a_file(a_request("B"))))
    assert number_of(first.files[0].outcomes[0])
    assert codes(second.files[0]) == [Code.FILE_NAME_TAKEN]


async def test_a_file_of_which_nothing_is_kept_keeps_its_name(reception: Reception) -> None:
    """What was decided of it was erased: then nobody can tell whether this is the same."""
    file = a_file(a_request("Durand"))
    await decide(reception, file)
    await lose_keys(reception.register)
    assert codes(await decide(reception, file)) == [Code.FILE_NAME_TAKEN]
    assert await registered(reception) == 1


async def test_names_belong_to_desks(reception: Reception) -> None:
    await reception.enrol(desk="59124")
    await decide(reception, a_file(a_request("A")))
    assert number_of((await decide(reception, a_file(a_request("B", desk="59124"), desk="59124"))).outcomes[0])


# The same content under another name


async def test_known_content_under_another_name_gets_its_numbers_with_a_warning(reception: Reception) -> None:
    file = a_file(a_request("A"), a_request("B", complete=False))
    first = await decide(reception, file)
    for sequence in (2, 3):
        other = await decide(reception, renamed(file, sequence))
        assert codes(other) == [Code.FILE_CONTENT_KNOWN]
        assert other.file.name == renamed(file, sequence).name
        assert other.record not in (None, first.record)
        assert not other.repeated
        registered_again, refused = other.outcomes
        assert registered_again == replayed(first.outcomes[0])
        assert refused == first.outcomes[1]
    assert await registered(reception) == 1
    assert len(await bound(reception)) == 3


async def test_known_content_under_another_name_is_found_within_a_chunk(reception: Reception) -> None:
    file = a_file(a_request("A"))
    (receipt,) = await reception.submit(sent(file, renamed(file, 2), renamed(file, 2)))
    first, other, again = receipt.files
    assert codes(other) == [Code.FILE_CONTENT_KNOWN]
    assert number_of(other.outcomes[0]) == number_of(first.outcomes[0])
    assert again == replace(other, repeated=True)
    assert await registered(reception) == 1


async def test_content_that_registered_nothing_is_judged_anew_under_another_name(reception: Reception) -> None:
    file = a_file(a_request("A", at=CORSICA))
    assert codes_of((await decide(reception, file)).outcomes[0]) == ["TERRITORY_NOT_MANDATED"]
    still = await decide(reception, renamed(file, 2))
    assert (codes(still), codes_of(still.outcomes[0])) == ([], ["TERRITORY_NOT_MANDATED"])
    await reception.enrol(territories=["02A"])
    now = await decide(reception, renamed(file, 3))
    assert (codes(now), number_of(now.outcomes[0])) == ([], "02A012600000159123")
    later = await decide(reception, renamed(file, 4))
    assert (codes(later), number_of(later.outcomes[0])) == ([Code.FILE_CONTENT_KNOWN], "02A012600000159123")


async def test_within_a_chunk_too_content_is_judged_for_its_own_sender(reception: Reception) -> None:
    await reception.enrol("conseil", "59123", ["02A"])
    file = a_file(a_request("A", at=CORSICA))
    first, second = await reception.submit(sent(file), sent(renamed(file, 2), sender="conseil"))
    assert codes_of(first.files[0].outcomes[0]) == ["TERRITORY_NOT_MANDATED"]
    assert number_of(second.files[0].outcomes[0]) == "02A012600000159123"


# Faults of ours


async def test_when_numbers_are_used_up_the_last_ones_are_still_given(reception: Reception) -> None:
    await leave(reception, 2)
    outcomes = await reception.outcomes(
        a_file(a_request("A"), a_request("B"), a_request("C"), a_request("D", at="75056"))
    )
    assert [number_of(outcome) for outcome in outcomes if isinstance(outcome, Registered)] == [
        "059012699999859123",
        "059012699999959123",
        "111012600000159123",
    ]
    assert codes_of(outcomes[2]) == ["SEQUENCE_EXHAUSTED"]


async def test_a_fault_of_ours_binds_nothing_and_frees_what_it_claimed(reception: Reception) -> None:
    await leave(reception, 0)
    file = a_file(a_request("A", "B"), references=["dossier-1"])
    receipt = await decide(reception, file)
    assert codes_of(receipt.outcomes[0]) == ["SEQUENCE_EXHAUSTED"]
    assert receipt.record is None
    assert await bound(reception) == []
    for table in ("active_identity", "request_reference", "request"):
        assert await rows(reception.register, f"SELECT * FROM {table}") == []
    # The same name may bring something else, the same reference and persons another request.
    other = a_file(a_request("B", deposited="2025-12-01"), references=["dossier-1"])
    assert number_of((await decide(reception, other)).outcomes[0]) == "059122500000159123"


async def test_after_a_fault_of_ours_alone_the_same_file_is_to_come_again(reception: Reception) -> None:
    await leave(reception, 0)
    file = a_file(a_request("A"), a_request("B"))
    assert retries(await decide(reception, file)) == [(Code.SEQUENCE_EXHAUSTED, "plus_tard")] * 2
    await mend(reception)
    assert all(number_of(outcome) for outcome in (await decide(reception, file)).outcomes)


@pytest.mark.parametrize("beside", ["registered", "refused"])
async def test_after_a_fault_of_ours_beside_other_outcomes_the_request_is_to_come_in_a_new_file(
    reception: Reception, beside: str
) -> None:
    """The name is bound: the same file only brings the same answer."""
    await leave(reception, 0)
    other = a_request("A", at="75056") if beside == "registered" else a_request("A", complete=False)
    hit = a_request("B")
    file = a_file(other, hit)
    first = await decide(reception, file)
    assert retries(first)[-1] == (Code.SEQUENCE_EXHAUSTED, "nouveau_fichier")
    await mend(reception)
    assert await decide(reception, file) == replace(first, repeated=True)
    if beside == "registered":
        assert retries(await decide(reception, renamed(file, 2)))[-1] == (Code.SEQUENCE_EXHAUSTED, "nouveau_fichier")
    assert number_of((await decide(reception, a_file(hit, sequence=3))).outcomes[0])


async def test_a_fault_of_ours_binds_no_second_name_either(reception: Reception) -> None:
    await leave(reception, 0)
    file = a_file(a_request("A"))
    (receipt,) = await reception.submit(sent(file, renamed(file, 2), file))
    assert [codes_of(file.outcomes[0]) for file in receipt.files] == [["SEQUENCE_EXHAUSTED"]] * 3
    assert {file.record for file in receipt.files} == {None}
    assert await bound(reception) == []


async def test_whoever_waits_for_a_number_that_never_came_may_come_again(reception: Reception) -> None:
    await leave(reception, 0)
    first, second = await reception.submit(
        sent(a_file(a_request("A"), sequence=1)),
        sent(a_file(a_request("A", deposited="2025-12-01"), sequence=2)),
    )
    assert codes_of(first.files[0].outcomes[0]) == ["SEQUENCE_EXHAUSTED"]
    assert codes_of(second.files[0].outcomes[0]) == ["INTERNAL_FAULT"]
    assert await bound(reception) == []
    again = await decide(reception, a_file(a_request("A", deposited="2025-12-01"), sequence=2))
    assert number_of(again.outcomes[0]) == "059122500000159123"


# References


async def test_a_reference_replays_the_same_request(reception: Reception) -> None:
    first = await decide(reception, a_file(a_request("A"), references=["dossier-1"]))
    again = await decide(reception, a_file(a_request("A"), a_request("B"), sequence=2, references=["dossier-1"]))
    assert again.outcomes[0] == replayed(first.outcomes[0])
    assert number_of(again.outcomes[1])
    assert await registered(reception) == 2


async def test_a_reference_of_another_request_is_taken(reception: Reception) -> None:
    await decide(reception, a_file(a_request("A"), references=["dossier-1"]))
    other = await decide(reception, a_file(a_request("B"), sequence=2, references=["dossier-1"]))
    assert codes_of(other.outcomes[0]) == ["REFERENCE_TAKEN"]
    assert number_of((await decide(reception, a_file(a_request("B"), sequence=3))).outcomes[0])


async def test_references_hold_within_a_chunk_and_a_file(reception: Reception) -> None:
    same, taken = "dossier-1", "dossier-2"
    file = a_file(a_request("A"), a_request("A"), a_request("B"), a_request("C"), references=[same, same, taken, taken])
    (mail, later) = await reception.submit(sent(file), sent(a_file(a_request("A"), sequence=2, references=[same])))
    first, again, other, refused = mail.files[0].outcomes
    assert again == replayed(first)
    assert number_of(other) != number_of(first)
    assert codes_of(refused) == ["REFERENCE_TAKEN"]
    assert later.files[0].outcomes == (again,)


async def test_a_reference_is_bound_only_by_a_registration(reception: Reception) -> None:
    await decide(reception, a_file(a_request("A")))
    lost = await decide(reception, a_file(a_request("B", "A"), sequence=2, references=["dossier-1"]))
    assert codes_of(lost.outcomes[0]) == ["REQUEST_EXISTS"]
    wrong = await decide(reception, a_file(a_request("B", complete=False), sequence=3, references=["dossier-1"]))
    assert codes_of(wrong.outcomes[0]) == ["VALUE_MISSING"]
    assert number_of(
        (await decide(reception, a_file(a_request("B"), sequence=4, references=["dossier-1"]))).outcomes[0]
    )


async def test_references_belong_to_desks(reception: Reception) -> None:
    await reception.enrol(desk="59124")
    await decide(reception, a_file(a_request("A"), references=["dossier-1"]))
    other = a_file(a_request("B", desk="59124"), desk="59124", references=["dossier-1"])
    assert number_of((await decide(reception, other)).outcomes[0])
