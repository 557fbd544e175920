"""A `GES` file through the whole mail door: asked by signed mail, answered by signed mail, nothing registered."""

from datetime import date, timedelta

from mailflow.core.anomalies import Code
from mailflow.core.order import Holder
from mailflow.mail import composing, delivery, entities, worker
from mailflow.mail.desk import OpenedAnswer, open_answer
from mailflow.mail.door import Progress
from mailflow.mail.late import acknowledge
from mailflow.wire.management import AnswerElement, QuestionElement
from mailflow.wire.questions import read_answers
from tests.support.doors import PACE, House
from tests.support.judging import (
    MAIRIE,
    a_mail,
    conseil,
    dem_name,
    dem_part,
    ges_part,
    mailed,
    mairie,
    multipart,
    signed,
)
from tests.support.pki import shared_pki
from tests.support.records import execute, rows

RGE = "RGE59123-202603021000-000001.xml"
RET = "RET59123-202603021000-000001.xml"


async def answered(house: House, *mails: bytes) -> OpenedAnswer:
    """These mails come in, everything is decided and sent; the last answer."""
    for raw in mails:
        house.mailbox.deliver(raw)
    door = house.door()
    await worker.receive(door)
    while await worker.process(door):
        pass
    await composing.compose(door)
    await delivery.deliver(door)
    key, certificates = mairie().decryption_key, [shared_pki().service_ec.der]
    return open_answer(house.mailer.accepted[-1].raw, [key], certificates, house.now)


def told(answer: OpenedAnswer, name: str = RGE) -> list[AnswerElement]:
    found = [question.answer for question in read_answers(answer.files[name]).questions]
    return [one for one in found if one is not None]


async def test_a_desk_asks_what_became_of_its_file_and_of_the_request_in_it(house: House) -> None:
    first = await answered(house, a_mail(dem_part()))
    number = first.text.partition("numéro unique ")[2].partition("\n")[0]
    who = Holder(surname="Durandz", born_on=date(1990, 1, 1))
    by_file = QuestionElement(file_name=dem_name())
    wrong = QuestionElement(number=number, holder=who)
    right = QuestionElement(number=number, holder=who.model_copy(update={"surname": "Duranda"}))
    before = await rows(house.register, "SELECT count(*) FROM request")
    answer = await answered(house, a_mail(ges_part(by_file, wrong, right)))
    assert sorted(answer.files) == [RGE, "accuse-2.xml"]
    file, nothing, request = told(answer)
    assert (file.situation, file.registered, file.refused) == ("decide", 1, 0)
    assert [one.number for one in (*file.requests, *request.requests)] == [number, number]
    assert [anomaly.code for anomaly in nothing.anomalies] == [Code.QUESTION_UNKNOWN]
    assert f"{number} : active jusqu'au " in answer.text
    assert b"<mf:questions>3</mf:questions>" in answer.files["accuse-2.xml"]
    assert await rows(house.register, "SELECT count(*) FROM request") == before
    (entry,) = await rows(house.register, "SELECT * FROM journal WHERE kind = 'questions-answered'")
    assert (entry.desk, entry.sender, entry.detail) == ("59123", "mairie", '{"questions": 3, "unknown": 1}')


async def test_questions_and_requests_of_one_mail_are_answered_together_and_the_questions_last(house: House) -> None:
    asking, other = ges_part(), ges_part(QuestionElement(reference="D-1"), sequence=2)
    answer = await answered(house, a_mail(multipart(asking, dem_part(), other)))
    attestation = RET.replace("RET", "ATT").replace(".xml", ".pdf")
    assert sorted(answer.files) == [attestation, RET, RGE, RGE.replace("000001", "000002"), "accuse-1.xml"]
    assert told(answer)[0].situation == "decide"


async def test_the_same_question_may_be_asked_again_and_is_answered_as_things_stand_then(house: House) -> None:
    question = a_mail(ges_part())
    before = await answered(house, question)
    assert told(before)[0].situation == "inconnu"
    await answered(house, a_mail(dem_part()))
    after = await answered(house, question)
    assert told(after)[0].situation == "decide"


async def test_what_waits_and_what_the_operator_has_is_told(house: House) -> None:
    """What is late was looked at for the technical receipt, and can be told from then on."""
    house.mailbox.deliver(a_mail(dem_part()))
    door = house.door()
    await worker.receive(door)
    house.now += PACE.late
    await acknowledge(door)
    await execute(house.register, "UPDATE intake SET state = 'held', next_at = NULL")
    (answer,) = told(await answered(house, a_mail(ges_part())))
    assert (answer.situation, answer.received_at) == ("retenu", house.now - PACE.late - timedelta(minutes=1))


async def test_only_a_proven_sender_is_told_anything(house: House) -> None:
    house.mailbox.deliver(mailed(ges_part()))
    house.mailbox.deliver(mailed(signed(ges_part(), conseil()), MAIRIE))
    door = house.door()
    await worker.receive(door)
    while await worker.process(door):
        pass
    assert await composing.compose(door) == Progress()


async def test_a_wrongly_named_file_is_answered_under_a_tame_name(house: House) -> None:
    part = entities.file_part("GES.xml", b"<a/>", "application/xml")
    answer = await answered(house, a_mail(part))
    (name,) = (name for name in answer.files if name.startswith("RGE-"))
    codes = [anomaly.code for anomaly in read_answers(answer.files[name]).anomalies]
    assert codes == [Code.FILE_NAME_WRONG, Code.XML_NOT_VALID]
