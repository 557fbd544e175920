"""Of a number that the register lost only the answer to another desk tells, as that of a request that exists."""

from dataclasses import replace
from datetime import date

import pytest

from mailflow.core import numbers
from mailflow.core.anomalies import Code
from mailflow.core.model import Operation, Right
from mailflow.core.order import Holder
from mailflow.mail import entities, recovery, worker
from mailflow.mail.recovery import Recovery
from mailflow.register import directory
from mailflow.register.acts import Verb
from mailflow.wire.codec import EXTENSION, NUU, to_bytes, write
from mailflow.wire.dispatch import read_creations
from mailflow.wire.envelope import ROOT, VERSIONS, AnomalyElement, Header, InterfaceFile, RequestElement
from mailflow.wire.management import (
    MANAGEMENT,
    AnswerElement,
    ManagementFile,
    ManagementHeader,
    ManagementType,
    QuestionElement,
    StatusElement,
)
from mailflow.wire.questions import read_told_numbers
from tests.support.fake_mailer import Fate
from tests.support.judging import a_dem, dem_name, ges_part, mailed, mairie, multipart, signed
from tests.support.operating import operate
from tests.support.records import rows
from tests.support.restored import Loser, a_letter, recover, resume, unexplained, what_went_out


async def test_a_number_that_only_another_answer_names_goes_to_nobody(loser: Loser) -> None:
    """The answer to the request that has it never left; it was told who asked for the same person again."""
    house = loser.house
    (mandate,) = mairie().enrolment().mandates
    consulting = replace(mandate, rights=frozenset({Right.CONSULT}), starts_on=date(2025, 2, 1))
    async with house.register.begin() as tx:
        change = directory.Change(by="operator", why="test", at=house.now)
        await directory.add_mandate(tx, mairie().enrolment().code, consulting, change)
    backup = await loser.back_up()
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    house.mailbox.deliver(a_letter(3))
    assert (await loser.work()).deferred == 1
    (number,) = await loser.numbers()
    other_file = a_dem("Nomc").replace(b"0199001234", b"0199004321")
    again = mailed(signed(multipart(entities.file_part(dem_name(4), other_file, "application/xml"))))
    house.mailbox.deliver(again.replace(b"<1@mairie.example>", b"<again@mairie.example>"))
    assert (await loser.work()).sent == 1
    await house.register.close()
    loser.use(backup)
    del house.mailbox.folders["Processed"][:]
    loss, went_out = await what_went_out(loser)
    assert not went_out.numbers
    assert went_out.named == {number}
    assert (await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))).reserved == 1
    await resume(loser)
    house.mailbox.deliver(a_letter(4))
    await loser.work()
    (given,) = await loser.numbers()
    assert numbers.parse(given).sequence == 2
    assert not await unexplained(loser), "the reconciliation knows what is kept"


def a_letter_with_reference(sequence: int, reference: str, *, surname: str = "") -> bytes:
    """As `a_letter`, in a file that has its own digest even where it asks for the same as another."""
    form = a_dem(surname or "Nom" + chr(96 + sequence))
    file = form.replace(b"<tns:demande>", f'<tns:demande mf:reference="{reference}">'.encode())
    file += b"\n" * sequence
    raw = mailed(signed(multipart(entities.file_part(dem_name(sequence), file, "application/xml"))))
    return raw.replace(b"<1@mairie.example>", f"<{sequence}-{reference}@mairie.example>".encode())


async def given_by_file(loser: Loser) -> dict[str, str]:
    found = await rows(
        loser.house.register,
        "SELECT file.name, request.number FROM request JOIN file ON file.record = request.file_record",
    )
    return {row.name: row.number for row in found}


@pytest.mark.parametrize(
    "question", [QuestionElement(file_name=dem_name(4)), QuestionElement(reference="D4")], ids=["file", "reference"]
)
async def test_a_number_that_only_an_answer_to_a_question_tells_is_given_to_the_same_request(
    loser: Loser, question: QuestionElement
) -> None:
    """Its own answer never left; and a mail that had come before waits when it is lost, and is decided then."""
    house = loser.house
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter_with_reference(3, "D3"))
    await worker.receive(loser.door())
    await operate(house.register, Verb.HOLD, house.now, states=["received"])
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    house.mailbox.deliver(a_letter_with_reference(4, "D4"))
    assert (await loser.work()).deferred == 1
    (number,) = await loser.numbers()
    asks = mailed(signed(multipart(ges_part(question))))
    house.mailbox.deliver(asks.replace(b"<1@mairie.example>", b"<question@mairie.example>"))
    assert (await loser.work()).sent == 1
    await house.register.close()
    loser.use(backup)
    loss, went_out = await what_went_out(loser)
    assert went_out.told == {number}
    assert (await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))).reserved == 1
    await resume(loser)
    await loser.work()
    given = await given_by_file(loser)
    assert len(given) == 2
    assert given[dem_name(4)] == number
    assert not await unexplained(loser)


async def test_a_number_that_was_told_of_the_same_request_in_another_file_is_given_to_the_first_of_them(
    loser: Loser,
) -> None:
    """The answer to the first never left; the desk sent the request again under its reference, and was told."""
    house = loser.house
    house.mailbox.deliver(a_letter(1))
    assert (await loser.work()).sent == 1
    backup = await loser.back_up()
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    house.mailbox.deliver(a_letter_with_reference(3, "D", surname="Nomc"))
    assert (await loser.work()).deferred == 1
    house.mailbox.deliver(a_letter_with_reference(4, "D", surname="Nomc"))
    assert (await loser.work()).sent == 1
    told = loser.told()
    _, number = await loser.numbers()
    assert told[-1][2] == number
    await house.register.close()
    loser.use(backup)
    loss, went_out = await what_went_out(loser)
    assert (await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))).reserved == 1
    await resume(loser)
    assert (await loser.work()).sent == 2
    assert (await given_by_file(loser))[dem_name(3)] == number
    assert {again for _, _, again in loser.told()[len(told) :]} == {number}, "both are told of it"
    assert not await unexplained(loser)


async def test_a_number_that_was_told_under_a_reference_goes_to_no_other_request_under_that(loser: Loser) -> None:
    """One that had come before and waited, and is decided before it when the register is lost."""
    house = loser.house
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter_with_reference(3, "D"))
    await worker.receive(loser.door())
    await operate(house.register, Verb.HOLD, house.now, states=["received"])
    house.mailbox.deliver(a_letter_with_reference(4, "D"))
    assert (await loser.work()).sent == 1
    (number,) = await loser.numbers()
    await house.register.close()
    loser.use(backup)
    loss, went_out = await what_went_out(loser)
    assert (await recover(loser, Recovery(loss=loss, went_out=went_out, jump=0))).reserved == 1
    await resume(loser)
    await loser.work()
    (other,) = await loser.numbers()
    assert list(await given_by_file(loser)) == [dem_name(3)]
    assert other != number
    assert not await unexplained(loser)


async def test_a_number_that_was_asked_after_by_its_holder_goes_to_nobody_else(loser: Loser) -> None:
    """Of a request whose own answer is not there any more, say, nor its mail."""
    house = loser.house
    backup = await loser.back_up()
    house.mailbox.deliver(a_letter(3))
    assert (await loser.work()).sent == 1
    (number,) = await loser.numbers()
    holder = Holder(surname="Nomca", born_on=date(1990, 1, 1))
    asks = mailed(signed(multipart(ges_part(QuestionElement(number=number, holder=holder)))))
    house.mailbox.deliver(asks.replace(b"<1@mairie.example>", b"<question@mairie.example>"))
    assert (await loser.work()).sent == 1
    await house.register.close()
    loser.use(backup)
    del house.mailbox.folders["Processed"][:]
    del house.mailer.mailboxes["audit"][0]
    _, went_out = await what_went_out(loser)
    assert not went_out.told
    assert went_out.named == {number}


@pytest.mark.parametrize("written", ["0590226999999591AB", "no number"])
def test_a_number_that_a_refused_change_names_is_none_that_went_out(written: str) -> None:
    """It would be kept, and the counter go beyond it, to its end; or nothing could be read of it at all."""
    refused = RequestElement(number=written, anomalies=(AnomalyElement(code=Code.NUMBER_UNKNOWN, severity="erreur"),))
    changed = RequestElement(number="059022600000159123", revision=2)
    document = InterfaceFile(
        version=VERSIONS[-1],
        answered_file=dem_name(4),
        answered_digest="ab",
        header=Header(file_type=Operation.RETURN),
        requests=(refused, changed),
    )
    returned = read_creations(to_bytes(write(document, ROOT, NUU)))
    assert (returned.numbers, returned.named) == ((), ("059022600000159123",))


def _answer(desk: str, *references: tuple[str, str]) -> bytes:
    """An `RGE` that tells these numbers by these references."""
    questions = tuple(
        QuestionElement(reference=reference, answer=AnswerElement(requests=(StatusElement(number=number),)))
        for reference, number in references
    )
    header = ManagementHeader(file_type=ManagementType.ANSWER)
    name = f"GES{desk}-202603021000-000001.xml"
    document = ManagementFile(answered_file=name, header=header, questions=questions)
    return to_bytes(write(document, MANAGEMENT, EXTENSION))


def test_a_reference_that_was_of_one_request_after_the_other_tells_of_neither() -> None:
    first, second, third = (f"0590226000000{n}59123" for n in (1, 2, 3))
    told = recovery.Told()
    told.by_questions(read_told_numbers(_answer("59123", ("R", first), ("S", third))))
    told.by_questions(read_told_numbers(_answer("59123", ("R", second))))
    assert [(reference, number) for _, reference, number in told.clearly_referred()] == [("S", third)]
    assert told.named == {first, second, third}
