"""Who is to blame when mails fail: one of them falls alone, but what befalls all of them is the surroundings' fault."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import worker
from mailflow.mail.door import Progress
from mailflow.mail.judge import Unjudged
from mailflow.mail.late import acknowledge
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.model import Recognition, Verdict
from mailflow.mail.pool import TaskFailed
from mailflow.register import Register
from mailflow.register.acts import OWED, Verb
from mailflow.register.blame import FAULTS_IN_A_ROW_MAX
from mailflow.register.presence import take_over
from tests.support.batches import drain, hurry, letter
from tests.support.doors import PACE, House, InProcess
from tests.support.operating import operate
from tests.support.pool_parts import BREAKS
from tests.support.records import rows

MORE = 3
"""Mails beyond those that may be set aside in a row."""
POISON = BREAKS + b": the judge\r\n"


@pytest.fixture
async def house(register: Register, monkeypatch: pytest.MonkeyPatch) -> House:
    """A door whose stages wait for nothing but each other."""
    hurry(monkeypatch)
    made = House(register)
    await made.enrol()
    return made


class _Killed(BaseException):
    """What nothing catches: the worker's own process is gone."""


def _short_of_memory() -> None:
    raise TaskFailed("memory")


async def states(house: House) -> Counter[str]:
    return Counter(row.state for row in await rows(house.register, "SELECT state FROM intake"))


async def test_what_befalls_every_mail_is_blamed_on_few_and_the_others_are_answered_once_it_is_over(
    house: House,
) -> None:
    """Memory is short, say, or an upgrade is broken: else the whole queue would be set aside within minutes."""
    for number in range(FAULTS_IN_A_ROW_MAX + MORE):
        house.mailbox.deliver(letter(number))
    house.judges.trouble = _short_of_memory
    door = house.door()
    drained = await drain(door)
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "received": MORE}
    assert (drained.waiting, drained.unavailable) == (MORE, ())
    house.now += PACE.defer_most
    await drain(door)
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "received": MORE}, "as long as it lasts"
    house.judges.trouble = lambda: None
    house.now += PACE.defer_most
    assert (await drain(door)).progress.answered == MORE
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "answered": MORE}


async def test_batches_restarts_and_further_workers_have_no_ten_of_their_own(house: House) -> None:
    """Each batch by cron is a process of its own, and so is each worker that systemd starts anew."""
    for number in range(2 * FAULTS_IN_A_ROW_MAX + MORE):
        house.mailbox.deliver(letter(number))
    house.judges.trouble = _short_of_memory
    for batch in range(4):
        await drain(house.door(f"batch {batch}"))
        assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "received": FAULTS_IN_A_ROW_MAX + MORE}
        house.now += PACE.lease
    house.judges.trouble = lambda: None
    assert (await drain(house.door("mended"))).progress.answered == FAULTS_IN_A_ROW_MAX + MORE


async def test_two_workers_at_once_set_aside_one_more_each_at_most(house: House) -> None:
    """Neither sees what the other is about to write."""
    for number in range(2 * FAULTS_IN_A_ROW_MAX + MORE):
        house.mailbox.deliver(letter(number))
    house.judges.trouble = _short_of_memory
    await asyncio.gather(drain(house.door("one")), drain(house.door("two")))
    assert (await states(house))["set_aside"] in (FAULTS_IN_A_ROW_MAX, FAULTS_IN_A_ROW_MAX + 1)


async def test_a_worker_that_is_killed_whatever_it_judges_blames_few_too(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    class Fatal(InProcess):
        async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
            raise _Killed

    for number in range(FAULTS_IN_A_ROW_MAX + MORE):
        house.mailbox.deliver(letter(number))
    await worker.receive(house.door())
    for life in range(PACE.attempts_max * (FAULTS_IN_A_ROW_MAX + MORE) + 3):
        with contextlib.suppress(_Killed, BaseExceptionGroup):
            await worker.process(replace(house.door(f"life {life}"), judges=Fatal()))
        await take_over(house.register, f"life {life + 1}", house.now)
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "received": MORE}
    assert sum(record.message == "nobody-decided" for record in caplog.records) == MORE
    assert await worker.process(house.door()) == Progress(), "they wait, as long as a lease lasts"
    house.now += PACE.lease
    assert (await drain(house.door())).progress.answered == MORE


async def test_mails_that_were_set_aside_are_judged_again_by_an_operators_word_and_blamed_anew(house: House) -> None:
    async def rejudge() -> None:
        weighed = await operate(house.register, Verb.REJUDGE, house.now, reasons=OWED)
        assert len(weighed.done) == FAULTS_IN_A_ROW_MAX

    for number in range(FAULTS_IN_A_ROW_MAX + MORE):
        house.mailbox.deliver(letter(number))
    house.judges.trouble = _short_of_memory
    await drain(house.door())
    await rejudge()
    await drain(house.door())
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "received": MORE}, "it was not mended"
    await rejudge()
    house.judges.trouble = lambda: None
    house.now += PACE.lease
    await drain(house.door())
    assert await states(house) == {"answered": FAULTS_IN_A_ROW_MAX + MORE}


async def test_mails_that_break_the_judge_do_not_keep_others_waiting_however_many_there_are(house: House) -> None:
    for number in range(FAULTS_IN_A_ROW_MAX + MORE):
        house.mailbox.deliver(POISON + letter(number))
    house.mailbox.deliver(letter(0))
    door = house.door()
    assert (await drain(door)).progress.sent == 1
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX, "received": MORE, "answered": 1}
    house.now += PACE.defer_most
    await drain(door)
    assert await states(house) == {"set_aside": FAULTS_IN_A_ROW_MAX + MORE, "answered": 1}, "one was decided since"


async def test_an_order_that_breaks_whoever_composes_in_a_way_nobody_foresaw_falls_alone(house: House) -> None:
    class Stumbling(InProcess):
        async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
            if any(b"Nomb" in bytes(one.order) for one in compositions if isinstance(one.order, bytes)):
                raise KeyError("Nomb")
            return await InProcess.compose(self, compositions, at)

    for number in range(3):
        house.mailbox.deliver(letter(number))
    drained = await drain(replace(house.door(), judges=Stumbling()))
    assert (drained.progress.sent, drained.unavailable) == (2, ())
    found = await rows(house.register, "SELECT state, reason, attempts FROM outbox ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("sent", None, 0),
        ("queued", "cannot be composed now", 1),
        ("sent", None, 0),
    ]


async def test_a_pool_that_breaks_for_all_uses_up_no_receipt(house: House) -> None:
    """Receipts matter most when something is broken for hours."""

    class Broken(InProcess):
        async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
            raise TaskFailed("memory")

    for number in range(3):
        house.mailbox.deliver(letter(number))
    await worker.receive(house.door())
    house.now += PACE.late
    with pytest.raises(Unavailable):
        await acknowledge(replace(house.door(), judges=Broken()))
    assert await acknowledge(house.door()) == Progress(late=3)


async def test_late_mails_that_were_set_aside_are_looked_at_once_though_each_breaks_it(house: House) -> None:
    """Else they would come again at each turn, cost three tasks of the pool, and keep all later ones from a receipt."""

    class Broken(InProcess):
        async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
            raise TaskFailed("died")

    for number in range(2):
        house.mailbox.deliver(POISON + letter(number))
    await drain(house.door())
    assert await states(house) == {"set_aside": 2}
    house.now += PACE.late
    door = replace(house.door(), judges=Broken())
    assert await acknowledge(door) == Progress(late=2)
    assert await acknowledge(door) == Progress()


async def test_late_mails_that_a_person_holds_keep_no_other_one_from_its_receipt(house: House) -> None:
    """Whoever finds what breaks the service may hold it: the same is known of it then as of what is set aside."""
    door = house.door(pace=replace(PACE, chunk=2))
    for number in range(2):
        house.mailbox.deliver(POISON + letter(number))
    await worker.receive(door)
    await operate(house.register, Verb.HOLD, states=["received"])
    house.mailbox.deliver(letter(2))
    await worker.receive(door)
    house.now += PACE.late
    assert [await acknowledge(door) for _ in range(3)] == [Progress(late=2), Progress(late=1), Progress()]
    (receipt,) = await rows(house.register, "SELECT intake_id FROM outbox WHERE kind = 'receipt'")
    assert receipt.intake_id == 3
