"""Technical receipts: who waits too long is told so, once, before the answer and never after it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mailflow import registrar
from mailflow.errors import Unavailable
from mailflow.mail import composing, delivery, stages, worker
from mailflow.mail.desk import OpenedAnswer, open_answer
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.judge import Unjudged
from mailflow.mail.late import acknowledge
from mailflow.mail.model import Recognition
from mailflow.mail.ports import BeforeData, Outgoing, Sending, SendResult
from mailflow.mail.stages import Drained, Stages
from mailflow.register import Register
from mailflow.register import outbox as outgoing
from mailflow.register.database import Statements
from tests.support.doors import PACE, House, InProcess
from tests.support.fake_mailer import FakeMailer, Fate
from tests.support.judging import a_mail, dem_part, mairie
from tests.support.pki import shared_pki
from tests.support.records import octets, rows

NEVER_SECONDS = 3600.0
STRANGER = b"From: a@b.example\r\n\r\nBonjour\r\n"


@pytest.fixture
async def house(register: Register) -> House:
    """A door that has taken in one good mail and one of nobody, and did nothing since."""
    made = House(register)
    await made.enrol()
    made.mailbox.deliver(a_mail(dem_part(1)))
    made.mailbox.deliver(STRANGER)
    await worker.receive(made.door())
    return made


async def send_all(door: MailDoor) -> None:
    await composing.compose(door)
    await delivery.deliver(door)


def told(house: House) -> list[OpenedAnswer]:
    key, certificates = mairie().decryption_key, [shared_pki().service_ec.der]
    return [open_answer(mail.raw, [key], certificates, house.now) for mail in house.mailer.accepted]


async def outbox(house: House) -> list[tuple[str, str]]:
    return [(row.kind, row.state) for row in await rows(house.register, "SELECT kind, state FROM outbox ORDER BY id")]


async def test_whoever_waits_too_long_has_a_receipt_and_then_the_answer(house: House) -> None:
    door = house.door()
    assert await acknowledge(door) == Progress(), "not late yet"
    house.now += PACE.late
    assert await acknowledge(door) == Progress(late=2)
    assert await acknowledge(door) == Progress(), "each is looked at once"
    await send_all(door)
    (receipt,) = told(house)
    assert list(receipt.files) == ["accuse-technique-1.xml"]
    assert b"<mf:nom>DEM59123-202603021000-000001.xml</mf:nom>" in receipt.files["accuse-technique-1.xml"]
    assert "02/03/2026 à 22:02:00 (heure de Paris)" in receipt.text, "twelve hours after the mail server had it"
    assert receipt.in_reply_to == "<1@mairie.example>"
    await worker.process(door)
    await send_all(door)
    assert await acknowledge(door) == Progress()
    assert [sorted(answer.files) for answer in told(house)[1:]] == [
        ["ATT59123-202603021000-000001.pdf", "RET59123-202603021000-000001.xml", "accuse-1.xml"]
    ]


async def test_no_more_octets_are_read_at_once_than_a_chunk_may_have(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2, 6):
        house.mailbox.deliver(a_mail(dem_part(number)))
    await worker.receive(house.door())
    size = len(a_mail(dem_part(1)))
    door = house.door(pace=replace(PACE, chunk_bytes_max=2 * size + size // 2))
    read: list[int] = []
    all_ = Statements.all

    async def counted(self: Statements, *arguments: Any) -> list[Any]:
        found = await all_(self, *arguments)
        read.append(sum(len(row.raw or b"") for row in found if "raw" in getattr(row, "_fields", ())))
        return found

    monkeypatch.setattr(Statements, "all", counted)
    house.now += PACE.late
    turns = [await acknowledge(door) for _ in range(5)]
    assert sum(turns, Progress()) == Progress(late=6)
    assert size < max(read) <= door.pace.chunk_bytes_max
    assert await outbox(house) == [("receipt", "queued")] * 5


async def test_no_receipt_sets_out_once_there_is_an_answer(house: House) -> None:
    door = house.door()
    house.now += PACE.late
    await acknowledge(door)
    await composing.compose(door)
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    await delivery.deliver(door)
    await worker.process(door)
    await composing.compose(door)
    house.now += timedelta(hours=1)
    await delivery.deliver(door)
    assert await outbox(house) == [("receipt", "withdrawn"), ("answer", "sent")]
    assert len(told(house)) == 1


async def test_a_receipt_that_was_being_sent_in_vain_while_the_answer_was_made_is_not_sent_again(house: House) -> None:
    class Busy(FakeMailer):
        async def send(self, outgoing: Outgoing, before_data: BeforeData) -> SendResult:
            assert await before_data()
            other = house.door("other")
            await worker.process(other)
            await composing.compose(other)
            return SendResult(state=Sending.DEFERRED, detail="DATA 451 4.3.0")

    door = house.door()
    house.now += PACE.late
    await acknowledge(door)
    await composing.compose(door)
    await delivery.deliver(replace(door, mailer=Busy()))
    house.now += timedelta(hours=1)
    await delivery.deliver(door)
    assert await outbox(house) == [("receipt", "withdrawn"), ("answer", "sent")]


async def test_what_could_not_be_composed_has_a_receipt(house: House) -> None:
    door = house.door()
    await worker.process(door)
    house.now += PACE.late
    assert await acknowledge(door) == Progress(late=2)
    assert await outbox(house) == [("answer", "queued"), ("receipt", "queued")]


async def all_but_the_first_part_frozen(house: House) -> None:
    """Of the answer, as when it has very many attestations, and its letter cannot be composed for another hour."""
    async with house.register.begin() as tx:
        (order,) = await outgoing.claim_queued(tx, "composer", 1, house.now, house.now + PACE.lease)
        await outgoing.freeze(tx, {order.id: [octets(b"two", message_id="<2@service.test>")]}, begin=2)
        await outgoing.compose_later(tx, "composer", order.id, house.now + timedelta(hours=1), "memory")


async def test_who_waits_for_the_first_part_of_an_answer_has_a_receipt(house: House) -> None:
    """No other part leaves before that."""
    door = house.door()
    await worker.process(door)
    await all_but_the_first_part_frozen(house)
    house.now += PACE.late
    await acknowledge(door)
    await send_all(door)
    assert await outbox(house) == [("answer", "queued"), ("answer", "composed"), ("receipt", "sent")]


async def test_a_receipt_is_withdrawn_when_the_first_part_of_the_answer_is_there_and_not_before(house: House) -> None:
    door = house.door()
    house.now += PACE.late
    await acknowledge(door)
    await composing.compose(door)
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    await delivery.deliver(door)
    await worker.process(door)
    await all_but_the_first_part_frozen(house)
    house.now += timedelta(minutes=30)
    await delivery.deliver(door)
    assert await outbox(house) == [("receipt", "sent"), ("answer", "queued"), ("answer", "composed")]


async def test_an_answer_that_cannot_leave_needs_no_receipt_which_could_not_either(house: House) -> None:
    door = house.door()
    await worker.process(door)
    house.mailer.fates = [Fate.DEFER_RECIPIENT]
    await send_all(door)
    house.now += PACE.late
    await acknowledge(door)
    assert await outbox(house) == [("answer", "composed")]


async def test_a_receipt_cut_off_is_not_sent_a_second_time(house: House) -> None:
    door = house.door()
    house.now += PACE.late
    await acknowledge(door)
    house.mailer.fates = [Fate.LOSE_MAIL]
    await send_all(door)
    house.now += PACE.lease
    await house.miss()
    await delivery.settle_doubtful(door)
    assert await outbox(house) == [("receipt", "withdrawn")]
    await send_all(door)
    assert told(house) == []


async def test_what_somebody_works_on_just_now_is_left_alone(house: House) -> None:
    other = house.door("other")
    house.now += PACE.late
    house.judges.trouble = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        await worker.process(other)
    assert await acknowledge(house.door()) == Progress()


async def test_what_is_answered_while_it_is_looked_at_has_no_receipt(house: House) -> None:
    class Slow(InProcess):
        async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
            other = house.door("other")
            await worker.process(other)
            await composing.compose(other)
            return await InProcess.recognise(self, mails, at)

    house.now += PACE.late
    door = replace(house.door(), judges=Slow())
    assert await acknowledge(door) == Progress(late=2)
    assert await outbox(house) == [("answer", "composed")]


def stages_of(door: MailDoor) -> Stages:
    return Stages(door, poll_seconds=0.05, pause_seconds=NEVER_SECONDS)


async def drain(door: MailDoor) -> Drained:
    async with asyncio.timeout(60):
        return await stages_of(door).drain(asyncio.Event())


@pytest.fixture
def undecidable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> Any:
        raise Unavailable("away")

    monkeypatch.setattr(stages, "BACKOFF_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(registrar, "submit", away)


async def test_what_a_batch_answers_after_a_stop_needs_no_receipt(house: House) -> None:
    house.now += PACE.late
    await drain(house.door())
    assert await outbox(house) == [("answer", "sent")]


@pytest.mark.usefixtures("undecidable")
async def test_what_a_batch_cannot_answer_has_a_receipt(house: House) -> None:
    house.now += PACE.late
    assert (await drain(house.door())).unavailable == ("process",)
    assert await outbox(house) == [("receipt", "sent")]


@pytest.mark.usefixtures("undecidable")
async def test_the_service_sends_receipts_once_it_has_worked_for_as_long_as_a_mail_may_wait(house: House) -> None:
    house.now += PACE.late
    worked = timedelta(seconds=0.5)
    door, stop = house.door(pace=replace(PACE, late=worked)), asyncio.Event()
    working = asyncio.create_task(stages_of(door).run(NEVER_SECONDS, stop))
    begun = asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        await house.mailer.sent.wait()
    assert asyncio.get_running_loop().time() - begun >= worked.total_seconds()
    stop.set()
    await working
    assert await outbox(house) == [("receipt", "sent")]
