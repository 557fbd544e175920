"""What waits, counted by age, and what was finished: on both databases, from indexes alone."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mailflow.core.waiting import Finished
from mailflow.ops.forecast import WINDOW
from mailflow.ops.outlook import Outlook
from mailflow.ops.reading import read_outlook
from mailflow.register import Register, backlog, files, intake, outbox, queues
from mailflow.register.acts import Verb
from tests.support.operating import operate
from tests.support.records import (
    LATER,
    NOW,
    ROOMY,
    a_draft,
    a_file,
    arrival,
    claim,
    execute,
    frozen,
    octets,
    settlement,
)

DEADLINE = timedelta(hours=12)


async def look(register: Register) -> Outlook:
    async with register.read() as tx:
        return await read_outlook(tx, "answer", NOW, deadline=DEADLINE, percents=(50, 75))


async def take(register: Register, *minutes_ago: int) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(uid, minutes_ago=minutes) for uid, minutes in enumerate(minutes_ago, 1)], NOW)


async def answer(register: Register, *, desk: bool = True) -> list[int]:
    """Decide all that waits, with an answer each; the ids of the mails."""
    ids = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        if desk:
            await files.claim(tx, [a_file(f"f{id_}", id_, sequence=id_) for id_ in ids])
        await outbox.queue(tx, [a_draft(id_, key=str(id_)) for id_ in ids], NOW)
        await intake.settle(tx, "me", [settlement(id_) for id_ in ids], NOW)
    return ids


async def send(register: Register, count: int, seconds_ago: int = 0) -> None:
    """Compose and send the oldest answers."""
    async with register.begin() as tx:
        claimed = await outbox.claim_queued(tx, "composer", count, NOW, LATER)
        await outbox.freeze(tx, {row.id: [octets(b"octets", str(row.id))] for row in claimed})
        await outbox.mark_sent(tx, [row.id for row in claimed], NOW - timedelta(seconds=seconds_ago))


async def test_an_empty_register(register: Register) -> None:
    view = await look(register)
    assert (view.waiting, view.oldest, view.rate, view.bars) == (0, None, None, ())


async def test_mails_that_are_not_judged_are_counted_by_age(register: Register) -> None:
    await take(register, 800, 420, 30, 1)
    view = await look(register)
    assert (view.moving, view.late, view.oldest) == (4, 1, NOW - timedelta(minutes=800))
    assert [(share.percent, share.count) for share in view.shares] == [(50, 2), (75, 1)]
    (bar,) = view.bars
    assert (bar.sender, bar.desk, bar.counts) == (None, None, (1, 1, 0, 0, 1, 0, 1))


async def test_answers_that_have_not_left_are_known_by_sender_and_desk(register: Register) -> None:
    await take(register, 100, 50)
    await answer(register)
    (bar,) = (await look(register)).bars
    assert (bar.state, bar.sender, bar.desk, bar.total) == ("queued", "acme", "59123", 2)
    await send(register, 1)
    view = await look(register)
    assert (view.waiting, view.oldest) == (1, NOW - timedelta(minutes=50))


async def test_a_refused_mail_has_a_sender_and_no_desk(register: Register) -> None:
    await take(register, 100)
    await answer(register, desk=False)
    (bar,) = (await look(register)).bars
    assert (bar.sender, bar.desk) == ("acme", None)


async def test_what_is_to_be_tried_later_or_held_is_stuck(register: Register) -> None:
    await take(register, 100, 90, 80)
    mails = await claim(register)
    async with register.begin() as tx:
        await intake.postpone(tx, "me", [mails[0].id], LATER, reason="CTRL_SIG_0016", detail="")
        broken = settlement(mails[1].id, "set_aside", "CTRL_SYS_0001")
        await intake.settle(tx, "me", [broken], NOW)
        await intake.release(tx, "me", [mails[2].id], refund=False)
    await operate(register, Verb.HOLD, intakes=[mails[2].id])
    view = await look(register)
    assert (view.moving, {one.state: one.count for one in view.stuck}) == (0, {"retry": 1, "set_aside": 1, "held": 1})
    assert [one.oldest for one in view.stuck if one.state == "retry"] == [NOW - timedelta(minutes=100)]


async def test_what_is_left_is_due_or_later_and_not_what_somebody_is_at(register: Register) -> None:
    async def left(at: datetime = NOW, owner: str = "somebody else") -> tuple[int, int]:
        async with register.read() as tx:
            found = await queues.left(tx, owner, at)
        return found.due, found.later

    assert await left() == (0, 0)
    await take(register, 100, 90, 80)
    assert await left() == (3, 0)
    first, second, _ = await claim(register)
    assert await left() == (0, 0)
    assert await left(LATER) == (3, 0), "whoever had them is gone"
    async with register.begin() as tx:
        await intake.postpone(tx, "me", [first.id], LATER, reason="CTRL_SIG_0016", detail="")
        await intake.settle(tx, "me", [settlement(second.id)], NOW)
        await outbox.queue(tx, [a_draft(second.id)], NOW)
    assert await left() == (1, 1), "an answer to be composed, and a mail that was put off"
    async with register.begin() as tx:
        (queued,) = await outbox.claim_queued(tx, "me", 10, NOW, LATER)
        await outbox.freeze(tx, {queued.id: [octets(b"an answer")]})
        (row,) = await outbox.claim_composed(tx, "me", 10, NOW, LATER, size_bytes_max=1 << 20)
        await outbox.mark_sending(tx, "me", [row.id], NOW)
    assert await left() == (0, 1)
    assert await left(owner="me") == (1, 2), "what it has not done, and what was perhaps sent"
    assert await left(LATER - timedelta(seconds=1)) == (0, 1)
    assert await left(LATER) == (2, 1), "two mails, and an answer that was perhaps sent"


async def test_a_stranger_is_owed_nothing(register: Register) -> None:
    await take(register, 100)
    (mail,) = await claim(register)
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(mail.id, "set_aside", "CTRL_SIG_0001")], NOW)
    assert (await look(register)).waiting == 0
    async with register.read() as tx:
        assert await backlog.set_aside_reasons(tx) == {"CTRL_SIG_0001": 1}
        assert await queues.counts(tx) == {"intake": {"set_aside": 1}, "outbox": {}}
        assert await backlog.finished(tx, "answer", NOW - WINDOW) == Finished(count=1, first_at=NOW)


async def test_the_rate_is_that_of_the_answers_that_left(register: Register) -> None:
    await take(register, *[300] * 40)
    await execute(register, "UPDATE intake SET taken_at = :at", at=NOW - timedelta(minutes=300))
    await answer(register)
    await send(register, 20, seconds_ago=300)
    await send(register, 10, seconds_ago=3600)
    async with register.read() as tx:
        assert await backlog.finished(tx, "answer", NOW - WINDOW) == Finished(
            count=20, first_at=NOW - timedelta(seconds=300)
        )
        assert len(await backlog.answered(tx, "answer", NOW - timedelta(hours=2), NOW)) == 30
        assert len(await backlog.answered(tx, "answer", NOW - timedelta(hours=2), NOW - WINDOW)) == 10
    view = await look(register)
    assert (view.moving, view.rate) == (10, 20 / 300)
    assert view.forecast is not None
    assert view.forecast.cleared_at == NOW + timedelta(seconds=150)


async def test_what_is_held_is_told_apart_by_its_reason_without_the_words_of_a_server(register: Register) -> None:
    ids = await frozen(register, 3)
    async with register.begin() as tx:
        await outbox.claim_composed(tx, "me", 3, NOW, LATER, size_bytes_max=ROOMY)
        await outbox.hold(tx, "me", ids[:2], "refused: RCPT 550 5.1.1", NOW)
        await outbox.hold(tx, "me", ids[2:], "seal broken", NOW)
    async with register.read() as tx:
        assert await backlog.held_reasons(tx) == {"refused": 2, "seal broken": 1}


async def test_nothing_of_it_reads_a_row_of_what_waits(register: Register) -> None:
    await take(register, 100, 90)
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", remember)
    try:
        await look(register)
        async with register.read() as tx:
            await queues.counts(tx)
            await backlog.set_aside_reasons(tx)
            await backlog.answered(tx, "answer", NOW - WINDOW, NOW)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", remember)
    async with register.read() as tx:
        if tx.connection.dialect.name == "postgresql":  # plans by what it counted, and here is next to nothing
            return
        plans = []
        for statement, parameters in asked:
            found = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters))
            plans += [str(row.detail) for row in found.all()]
    reads = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH")) and "SUBQUERY" not in plan]
    assert len(reads) >= 10
    # Of the oldest mail the one row is read; of an answer that waits sender and desk are looked up.
    allowed = (
        "COVERING INDEX",
        "SCAN intake USING INDEX ix_intake_due",
        "intake USING INTEGER PRIMARY KEY",
        "issuing USING INTEGER PRIMARY KEY",  # its one row
        "SEARCH file USING INDEX ix_file_intake_id",
        "SEARCH file USING INDEX sqlite_autoindex_file_1 (desk=?)",  # the canary's, which do not count
    )
    assert not [plan for plan in reads if not any(known in plan for known in allowed)], reads
