"""What desks may ask: each question has its answer as things stand, and what a desk may not know is never told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest

from mailflow import registrar
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.inquiry import Inquiry, Question, QuestionFile, QuestionReceipt, Situation, StatusAnswer
from mailflow.core.model import Environment, Operation, RequestState, Right, SenderCode, Standing, Submitter
from mailflow.core.numbers import DeskCode
from mailflow.core.order import Holder
from mailflow.register import Register, directory, lateness
from mailflow.registrar import StaleDirectory, answering
from tests.support.reception import AT, CHANGE, Reception, a_file, a_request, number_of, renamed, sent
from tests.support.records import execute, lose_keys, rows
from tests.support.requests import RECEIVED_AT

NAME = "DEM59123-202601151030-000001.xml"
WHO = Holder(surname="Durand", born_on=date(1990, 2, 28))
NOTHING = StatusAnswer(anomalies=(Anomaly(code=Code.QUESTION_UNKNOWN),))
CONSULT = frozenset({Right.CREATION, Right.CONSULT})


@pytest.fixture
async def reception(register: Register) -> Reception:
    """One sender, which acts for one desk in two territories."""
    opened = Reception(register)
    await opened.enrol()
    return opened


def asked(*questions: Question, desk: str = "59123", anomalies: Sequence[Code] = ()) -> QuestionFile:
    return QuestionFile(
        name=f"GES{desk}-202601151030-000001.xml",
        desk=DeskCode(desk),
        digest="d" * 64,
        questions=questions,
        anomalies=tuple(Anomaly(code=code) for code in anomalies),
    )


async def ask(reception: Reception, *files: QuestionFile, sender: str = "mairie") -> tuple[QuestionReceipt, ...]:
    """Ask in a transaction that can only read: nothing is changed by a question."""
    terms = await reception.terms()
    submitter = Submitter(sender=SenderCode(sender), certificate="c" * 64, trust_generation=terms.directory.generation)
    async with reception.register.read() as tx:
        inquiry = Inquiry(submitter=submitter, files=files)
        (receipts,) = await registrar.answer_questions(tx, [inquiry], terms, reception.at)
    return receipts


async def answers(
    reception: Reception, *questions: Question, desk: str = "59123", sender: str = "mairie"
) -> tuple[StatusAnswer, ...]:
    (receipt,) = await ask(reception, asked(*questions, desk=desk), sender=sender)
    assert receipt.anomalies == ()
    return receipt.answers


async def answer(
    reception: Reception, question: Question, *, desk: str = "59123", sender: str = "mairie"
) -> StatusAnswer:
    (one,) = await answers(reception, question, desk=desk, sender=sender)
    return one


# Files


async def test_a_decided_file_is_told_with_what_became_of_each_request(reception: Reception) -> None:
    file = a_file(a_request("Durand"), a_request("Petit", complete=False), references=("D-1", "D-2"))
    registered, refused = await reception.outcomes(file)
    told = await answer(reception, Question(file_name=NAME))
    assert (told.situation, told.since, told.digest) == (Situation.DECIDED, AT, file.digest)
    assert (told.registered, told.refused, told.anomalies) == (1, 1, ())
    first, second = told.requests
    assert (first.number, first.reference, first.state) == (number_of(registered), "D-1", RequestState.ACTIVE)
    assert (first.expires_on, first.operation) == (date(2027, 1, 12), Operation.CREATION)
    assert first.operated_on == date(2026, 1, 15)
    assert (second.number, second.reference, second.state) == (None, "D-2", None)
    assert second.anomalies == refused.anomalies


async def test_a_request_of_a_file_is_told_as_it_stands_now(reception: Reception) -> None:
    await reception.outcomes(a_file(a_request("Durand")))
    await execute(
        reception.register, "UPDATE request SET state = 'deregistered', motive = 'RADABA', ended_on = '2026-01-15'"
    )
    (request,) = (await answer(reception, Question(file_name=NAME))).requests
    assert (request.state, request.expires_on) == (RequestState.DEREGISTERED, None)


async def test_a_file_that_was_refused_whole_says_why(reception: Reception) -> None:
    await reception.outcomes(a_file(a_request("Durand"), operation="AAA"))
    told = await answer(reception, Question(file_name=NAME))
    assert (told.situation, told.registered) == (Situation.DECIDED, 0)
    assert Code.FILE_TYPE_UNKNOWN in {anomaly.code for anomaly in told.anomalies}


async def test_a_file_that_nobody_knows_is_unknown_and_asking_binds_no_name(reception: Reception) -> None:
    assert await answer(reception, Question(file_name=NAME)) == StatusAnswer(situation=Situation.UNKNOWN)
    assert number_of(await reception.outcome(a_request("Durand"), sequence=1))


@pytest.mark.parametrize(
    ("state", "situation"),
    [
        ("received", Situation.WAITING),
        ("held", Situation.WITH_OPERATOR),
        ("set_aside", Situation.WITH_OPERATOR),
        ("answered", Situation.UNKNOWN),
    ],
)
async def test_a_file_that_waits_says_where_and_since_when(
    reception: Reception, state: str, situation: Situation
) -> None:
    await reception.prepare(sent(a_file(a_request("Durand"))))
    async with reception.register.begin() as tx:
        await lateness.remember_files(tx, [(1, DeskCode("59123"), NAME, "d" * 64)] * 2)
    due = "next_at" if state == "received" else "NULL"
    await execute(reception.register, f"UPDATE intake SET state = '{state}', next_at = {due}")
    told = await answer(reception, Question(file_name=NAME))
    known = situation is not Situation.UNKNOWN
    assert told == StatusAnswer(
        situation=situation, since=RECEIVED_AT if known else None, digest="d" * 64 if known else None
    )
    assert await answer(reception, Question(file_name=NAME.replace("59123", "59001"))) == NOTHING


async def test_a_file_is_told_whole_once_and_only_so_many_are(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a small question could have a huge answer."""
    await reception.outcomes(*(a_file(a_request(str(n)), sequence=n) for n in (1, 2, 3)))
    questions = [Question(file_name=NAME.replace("000001", f"00000{n}")) for n in (1, 1, 2, 3)]
    whole = [bool(one.requests) for one in await answers(reception, *questions)]
    assert whole == [True, False, True, True]
    monkeypatch.setattr(answering, "RECEIPTS_BYTES_MAX", 1)
    told = await answers(reception, *questions)
    assert [bool(one.requests) for one in told] == [True, False, False, False]
    assert [one.situation for one in told] == [Situation.DECIDED] * 4
    assert [[anomaly.code for anomaly in one.anomalies] for one in told[1:]] == [[Code.OUTCOMES_LEFT_OUT]] * 3


async def test_what_was_erased_of_a_file_is_left_out(reception: Reception) -> None:
    await reception.outcomes(a_file(a_request("Durand")))
    await lose_keys(reception.register)
    told = await answer(reception, Question(file_name=NAME))
    assert (told.situation, told.requests, told.registered) == (Situation.DECIDED, (), None)
    assert [anomaly.code for anomaly in told.anomalies] == [Code.OUTCOMES_LEFT_OUT]


# Requests


async def test_a_request_is_told_by_number_and_holder_and_by_reference(reception: Reception) -> None:
    (outcome,) = await reception.outcomes(a_file(a_request("Durand"), references=("D-1",)))
    by_number, by_reference = await answers(
        reception, Question(number=number_of(outcome), holder=WHO), Question(reference="D-1")
    )
    assert by_number.situation is None
    (request,) = by_number.requests
    assert (request.number, request.state, request.expires_on) == (
        number_of(outcome),
        RequestState.ACTIVE,
        date(2027, 1, 12),
    )
    assert by_reference.requests == (replace(request, reference="D-1"),)


async def test_what_a_desk_may_not_know_gives_one_identical_answer(reception: Reception) -> None:
    await reception.enrol("other", "59001")
    (outcome,) = await reception.outcomes(a_file(a_request("Durand"), references=("D-1",)))
    number = number_of(outcome)
    unknown = number.replace("000001", "000002")
    for question in (
        Question(number=number, holder=Holder(surname="Petit", born_on=WHO.born_on)),
        Question(number=number, holder=Holder(surname="Durand", born_on=date(1990, 2, 27))),
        Question(number=number, holder=Holder(surname="Durand")),
        Question(number=unknown, holder=WHO),
        Question(number="no number", holder=WHO),
        Question(reference="D-2"),
        Question(file_name=NAME.replace("59123", "59001")),
    ):
        assert await answer(reception, question) == NOTHING, question
    for question in (
        Question(number=number, holder=WHO),
        Question(reference="D-1"),
        Question(file_name=NAME),
    ):
        assert await answer(reception, question, desk="59001", sender="other") == NOTHING, question


async def test_who_may_consult_in_the_territory_may_ask_after_others_requests_there(reception: Reception) -> None:
    await reception.enrol("other", "59001", ["059"], rights=CONSULT)
    await reception.enrol("far", "75001", ["111"], rights=CONSULT)
    (outcome,) = await reception.outcomes(a_file(a_request("Durand"), references=("D-1",)))
    question = Question(number=number_of(outcome), holder=WHO)
    assert (await answer(reception, question, desk="59001", sender="other")).requests
    assert await answer(reception, question, desk="75001", sender="far") == NOTHING
    assert await answer(reception, Question(reference="D-1"), desk="59001", sender="other") == NOTHING


async def test_a_desk_of_its_own_in_a_territory_where_the_sender_no_longer_acts_is_not_told(
    reception: Reception,
) -> None:
    await reception.enrol("newcomer", "59123", ["111"])
    (outcome,) = await reception.outcomes(a_file(a_request("Durand")))
    question = Question(number=number_of(outcome), holder=WHO)
    assert await answer(reception, question, sender="newcomer") == NOTHING
    assert (await answer(reception, question)).requests


async def test_an_erased_request_has_no_holder_any_more(reception: Reception) -> None:
    (outcome,) = await reception.outcomes(a_file(a_request("Durand")))
    await lose_keys(reception.register)
    assert await answer(reception, Question(number=number_of(outcome), holder=WHO)) == NOTHING


# Files of questions


async def test_a_faulty_question_stops_no_others(reception: Reception) -> None:
    faulty = Question(anomalies=(Anomaly(code=Code.QUESTION_UNCLEAR),))
    told = await answers(reception, faulty, Question(file_name=NAME))
    assert told == (
        StatusAnswer(anomalies=faulty.anomalies),
        StatusAnswer(situation=Situation.UNKNOWN),
    )


async def test_nobody_is_told_anything_who_may_not_act_for_the_desk(reception: Reception) -> None:
    await reception.enrol("other", "59001")
    await reception.outcomes(a_file(a_request("Durand")))
    question = Question(file_name=NAME)
    mine, school, theirs, wrong = await ask(
        reception,
        asked(question),
        asked(question, desk="Z0001"),
        asked(question, desk="59001"),
        asked(question, anomalies=[Code.FILE_NAME_WRONG]),
    )
    assert mine.answers[0].requests
    codes = [[anomaly.code for anomaly in one.anomalies] for one in (school, theirs, wrong)]
    assert codes == [[Code.SCHOOL_DESK], [Code.DESK_NOT_MANDATED], [Code.FILE_NAME_WRONG]]
    assert [one.answers for one in (school, theirs, wrong)] == [(), (), ()]
    await reception.suspend_desk("59123")
    (suspended,) = await ask(reception, asked(question))
    assert ([a.code for a in suspended.anomalies], suspended.answers) == ([Code.DESK_SUSPENDED], ())
    reception.environment = Environment.SCHOOL
    (production,) = await ask(reception, asked(question))
    assert [anomaly.code for anomaly in production.anomalies] == [Code.NOT_A_SCHOOL_DESK]


async def test_whoever_was_proven_by_older_enrolments_is_proven_again(reception: Reception) -> None:
    terms = await reception.terms()
    submitter = Submitter(
        sender=SenderCode("mairie"), certificate="c" * 64, trust_generation=terms.directory.generation
    )
    async with reception.register.begin() as tx:
        await directory.set_desk_standing(tx, DeskCode("59123"), Standing.SUSPENDED, CHANGE)
    async with reception.register.read() as tx:
        with pytest.raises(StaleDirectory):
            await registrar.answer_questions(tx, [Inquiry(submitter=submitter, files=())], terms, AT)


async def test_the_same_file_under_another_name_is_found_by_either_name(reception: Reception) -> None:
    file = a_file(a_request("Durand"))
    await reception.outcomes(file)
    reception.at += timedelta(minutes=1)
    await reception.outcomes(renamed(file, 2))
    first, second = await answers(
        reception, Question(file_name=NAME), Question(file_name=NAME.replace("000001", "000002"))
    )
    assert first.requests == second.requests
    assert (await rows(reception.register, "SELECT count(*) FROM request"))[0][0] == 1
