"""The stages as loops: a batch to its end, the service until it is stopped, and what each does when things fail."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mailflow import registrar
from mailflow.core.model import Submission
from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail import worker
from mailflow.mail.door import let_go
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.ports import Listing
from mailflow.mail.stages import Stages
from mailflow.register import Register, Transaction
from tests.support.batches import NEVER_SECONDS, SECONDS_MAX, drain, hurry, letter, until
from tests.support.doors import PACE, AuditCopies, House, InProcess
from tests.support.fake_mailer import Fate
from tests.support.judging import a_mail, dem_part
from tests.support.pool_parts import BREAKS
from tests.support.records import rows

POISON = BREAKS + b": the judge\r\n"


@pytest.fixture
async def house(register: Register, monkeypatch: pytest.MonkeyPatch) -> House:
    """A door whose stages wait for nothing but each other."""
    hurry(monkeypatch)
    made = House(register)
    await made.enrol()
    return made


async def states(house: House) -> list[tuple[str, str | None, int]]:
    found = await rows(house.register, "SELECT state, reason, attempts FROM intake ORDER BY id")
    return [(row.state, row.reason, row.attempts) for row in found]


async def outbox(house: House) -> list[str]:
    return [row.state for row in await rows(house.register, "SELECT state FROM outbox ORDER BY id")]


# One batch


async def test_a_batch_goes_through_to_the_answers(house: House) -> None:
    for number in range(3):
        house.mailbox.deliver(letter(number))
    house.mailbox.deliver(b"From: a@b.example\r\n\r\nBonjour\r\n")
    drained = await drain(house.door())
    progress = drained.progress
    assert (progress.received, progress.answered, progress.set_aside, progress.registered) == (4, 3, 1, 3)
    assert (progress.composed, progress.sent, drained.unavailable) == (3, 3, ())
    assert len(house.mailer.accepted) == 3
    assert (len(house.mailbox.messages()), len(house.mailbox.messages("Processed"))) == (0, 4)
    assert await outbox(house) == ["sent"] * 3


async def test_an_empty_batch_does_nothing_and_ends(house: House) -> None:
    drained = await drain(house.door())
    assert (drained.progress, drained.unavailable) == (type(drained.progress)(), ())
    assert house.judges.chunks == []


async def test_a_chunk_holds_no_more_mails_and_octets_than_it_may(house: House) -> None:
    for number in range(5):
        house.mailbox.deliver(letter(number))
    size = len(letter(0))
    door = house.door(pace=replace(PACE, chunk_bytes_max=2 * size + size // 2))
    await worker.receive(door)  # all of them, before the first chunk is made
    await drain(door)
    assert house.judges.chunks == [2, 2, 1]


async def test_a_mail_larger_than_a_chunk_still_goes_through(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.mailbox.deliver(letter(1))
    drained = await drain(house.door(pace=replace(PACE, chunk_bytes_max=1)))
    assert (house.judges.chunks, drained.progress.sent) == ([1, 1], 2)


async def test_a_transaction_holds_no_more_requests_than_it_may(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    submit = registrar.submit

    async def counted(tx: Transaction, submissions: Sequence[Submission], *rest: Any) -> Any:
        together.append(sum(len(file.requests) for one in submissions for file in one.files))
        return await submit(tx, submissions, *rest)

    monkeypatch.setattr(registrar, "submit", counted)
    counts = (3, 2, 1, 5, 1)
    for number, count in enumerate(counts):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number), count=count)))
    drained = await drain(house.door(pace=replace(PACE, requests_max=4)))
    assert (drained.progress.answered, drained.progress.registered) == (5, sum(counts))
    assert (house.judges.chunks, together) == ([5], [3, 3, 5, 1])


async def test_mails_of_many_requests_are_left_for_the_next_turn_untouched(house: House) -> None:
    for number in range(4):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number), count=12)))
    drained = await drain(house.door())
    assert house.judges.chunks == [4, 2], "the judge stops after the mail that makes it more than 20 requests"
    assert (drained.progress.answered, drained.progress.registered, drained.progress.retried) == (4, 48, 0)
    assert await states(house) == [("answered", None, 0)] * 4


async def test_what_is_decided_of_a_chunk_stays_decided_when_the_rest_fails(house: House) -> None:
    for number in range(3):
        house.mailbox.deliver(letter(number))
    begun = 0
    door = house.door(pace=replace(PACE, requests_max=1))
    submit = registrar.submit

    async def fails_once(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 2:
            raise Unavailable("away")
        return await submit(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registrar, "submit", fails_once)
        drained = await drain(door)
    assert (drained.unavailable, drained.progress.retried) == ((), 2)
    assert (drained.progress.answered, drained.progress.registered, drained.progress.sent) == (3, 3, 3)
    assert await states(house) == [("answered", None, 0)] * 3


async def test_a_poisonous_mail_falls_alone_at_the_third_strike(house: House) -> None:
    for raw in (letter(0), POISON + letter(1), letter(2)):
        house.mailbox.deliver(raw)
    drained = await drain(house.door())
    assert await states(house) == [
        ("answered", None, 1),
        ("set_aside", "CTRL_SYS_0001", 3),
        ("answered", None, 1),
    ]
    assert (drained.progress.sent, drained.progress.set_aside) == (2, 1)
    (row,) = await rows(house.register, "SELECT detail FROM intake WHERE reason IS NOT NULL")
    assert row.detail == "third strike: valueerror mime.py-1"
    kinds = [row.kind for row in await rows(house.register, "SELECT kind FROM journal WHERE kind LIKE 'mail%'")]
    assert sorted(kinds) == ["mail-answered", "mail-answered", "mail-set-aside"]


async def test_while_the_mailbox_is_away_the_rest_is_finished(house: House) -> None:
    house.mailbox.deliver(letter(0))
    await drain(house.door())
    house.mailbox.deliver(letter(1))
    house.troubles += ["move"] * 4
    drained = await drain(house.door())
    assert drained.unavailable == ("receive",), "a turn that took mails in counts, then come three that did nothing"
    assert drained.progress.sent == 1, "it was taken in, so it is answered"
    assert (await drain(house.door())).unavailable == ()
    assert len(house.mailbox.messages("Processed")) == 2


async def test_a_mailbox_that_is_away_for_a_moment_is_asked_again(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.troubles += ["list", "fetch"]
    drained = await drain(house.door())
    assert (drained.unavailable, drained.progress.sent) == ((), 1)


async def test_surroundings_that_fail_cost_no_attempt(house: House) -> None:
    house.mailbox.deliver(POISON + letter(0))
    house.mailbox.deliver(letter(1))

    def away() -> None:
        if len(house.judges.chunks) in (2, 3):
            raise Unavailable("the pool is broken")

    house.judges.trouble = away
    drained = await drain(house.door())
    assert (drained.unavailable, drained.progress.sent) == ((), 1)
    assert await states(house) == [("set_aside", "CTRL_SYS_0001", 3), ("answered", None, 1)]


@pytest.mark.parametrize(("fate", "next_state"), [(Fate.LOSE_REPLY, "sent"), (Fate.LOSE_MAIL, "sending")])
async def test_a_doubtful_send_is_settled_by_the_audit_mailbox(house: House, fate: Fate, next_state: str) -> None:
    house.mailbox.deliver(letter(0))
    house.mailer.fates = [fate]
    assert (await drain(house.door())).progress.doubtful == 1
    house.now += PACE.lease
    await drain(house.door())
    assert await outbox(house) == [next_state], "a copy tells it once the lease is over, a missing one only in time"
    await house.miss()
    await drain(house.door())
    assert await outbox(house) == ["sent"]
    assert len(house.mailer.accepted) == 1


async def test_an_answer_that_could_not_be_composed_is_composed_as_soon_as_it_can(house: House) -> None:
    """Nobody waits for a lease to run out once the pool is back."""

    class Away(InProcess):
        async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
            if not self.mail_bytes_max:
                raise Unavailable("the processes of the pool have failed")
            return await InProcess.compose(self, compositions, at)

    house.mailbox.deliver(letter(0))
    away = Away(mail_bytes_max=0)
    drained = await drain(replace(house.door(), judges=away))
    assert (drained.unavailable, drained.progress.sent) == (("compose",), 0)
    away.mail_bytes_max = 1 << 23
    drained = await drain(replace(house.door(), judges=away))
    assert (drained.unavailable, drained.progress.sent) == ((), 1)


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_fault_of_ours_in_one_stage_ends_neither_it_nor_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    house.mailbox.deliver(letter(0))
    await worker.receive(house.door())
    house.mailbox.deliver(letter(1))
    listed = house.mailbox.list
    faults = [ValueError("Durand")] * (1000 if lasting else 1)

    async def stumbling() -> Listing:
        if faults:
            raise faults.pop()
        return await listed()

    monkeypatch.setattr(house.mailbox, "list", stumbling)
    drained = await drain(house.door())
    assert (drained.unavailable, drained.progress.sent) == ((("receive",), 1) if lasting else ((), 2))


async def test_a_batch_says_that_something_still_waits_though_it_did_nothing_itself(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.mailer.fates = [Fate.DEFER_DATA]
    assert (await drain(house.door())).waiting == 1
    again = await drain(house.door())
    assert (bool(again.progress), again.waiting) == (False, 1), "put off: not due yet"
    house.now += timedelta(hours=1)
    assert (await drain(house.door())).waiting == 0


async def test_a_refused_answer_is_held_and_a_deferred_one_goes_again(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.mailbox.deliver(letter(1))
    house.mailer.fates = [Fate.REFUSE_DATA, Fate.DEFER_DATA]
    progress = (await drain(house.door())).progress
    assert (progress.held, progress.deferred, progress.sent) == (1, 1, 0)
    house.now += timedelta(hours=1)
    assert (await drain(house.door())).progress.sent == 1
    assert sorted(await outbox(house)) == ["held", "sent"]


# The service


async def test_a_mail_is_answered_at_once_though_no_stage_looks_by_itself(house: House) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(
        Stages(house.door(), poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS).run(NEVER_SECONDS, stop)
    )
    for number in range(2):
        house.mailbox.deliver(letter(number))
        await until(lambda: len(house.mailer.accepted) == number + 1)  # noqa: B023  waited for in this very turn
        await asyncio.sleep(0.1)
    stop.set()
    async with asyncio.timeout(SECONDS_MAX):
        await running


async def test_a_stage_that_was_unavailable_goes_on_when_it_can(house: House) -> None:
    house.mailbox.deliver(letter(0))
    house.troubles += ["list"] * 4
    stop = asyncio.Event()
    work = Stages(house.door(), poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS)
    running = asyncio.create_task(work.run(NEVER_SECONDS, stop))
    await until(lambda: house.mailer.accepted)
    assert work.receive.failures == 0
    stop.set()
    await running


async def test_the_service_goes_on_after_a_fault_of_ours(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.mailbox.deliver(letter(0))
    find, listed, waits = AuditCopies.find, house.mailbox.list, house.mailbox.wait
    faults = {name: [KeyError(name)] * 2 for name in ("find", "list", "wait")}

    def stumbling(name: str, then: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            if faults[name]:
                raise faults[name].pop()
            return await then(*arguments)

        return call

    monkeypatch.setattr(AuditCopies, "find", stumbling("find", find))
    monkeypatch.setattr(house.mailbox, "list", stumbling("list", listed))
    monkeypatch.setattr(house.mailbox, "wait", stumbling("wait", waits))
    house.mailer.fates = [Fate.LOSE_REPLY]
    stop = asyncio.Event()
    work = Stages(house.door(), poll_seconds=0.05, pause_seconds=0.05)
    running = asyncio.create_task(work.run(0.05, stop))
    await until(lambda: house.mailer.accepted)
    house.now += PACE.lease
    await until(lambda: work.progress.sent)
    await until(lambda: not any(faults.values()))
    house.mailbox.deliver(letter(1))
    await until(lambda: len(house.mailer.accepted) == 2)
    stop.set()
    async with asyncio.timeout(SECONDS_MAX):
        await running


async def test_what_is_wrong_at_the_start_ends_the_service_by_its_own_name(house: House) -> None:
    def wrong() -> None:
        raise Misconfigured("trust.anchors_dir")

    house.shelf.trouble = wrong
    work = Stages(house.door(), poll_seconds=NEVER_SECONDS, pause_seconds=NEVER_SECONDS)
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(Misconfigured, match="anchors_dir"):
            await work.run(NEVER_SECONDS, asyncio.Event())


async def test_what_becomes_wrong_later_only_makes_mails_wait(house: House) -> None:
    house.mailbox.deliver(letter(0))
    await drain(house.door())
    spoilt = True

    def wrong() -> None:
        if spoilt:
            raise Misconfigured("half written")

    house.shelf.trouble = wrong
    house.mailbox.deliver(letter(1))
    drained = await drain(house.door())
    assert "process" in drained.unavailable
    assert (await states(house))[1] == ("received", None, 0)
    spoilt = False
    assert (await drain(house.door())).progress.sent == 1


# Stopped in the middle


async def test_what_a_stopped_worker_held_is_free_at_once_and_no_attempt_is_counted(house: House) -> None:
    for raw in (letter(0), POISON + letter(1)):
        house.mailbox.deliver(raw)
    door = house.door()
    caught = asyncio.Event()

    async def hang(*_: object) -> list[object]:
        caught.set()
        await asyncio.Event().wait()
        return []

    patient = house.judges
    hanging = type("Hanging", (), {"served": None, "serve": patient.serve, "judge": hang, "compose": patient.compose})()
    work = asyncio.create_task(drain(replace(door, judges=hanging)))
    await asyncio.wait_for(caught.wait(), SECONDS_MAX)
    leased = await rows(house.register, "SELECT id FROM intake WHERE lease_owner = 'me'")
    assert len(leased) == 2
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await let_go(door)
    assert await rows(house.register, "SELECT id FROM intake WHERE lease_owner IS NOT NULL OR solo") == []
    drained = await drain(house.door(owner="another"))
    assert drained.progress.sent == 1
    assert await states(house) == [("answered", None, 1), ("set_aside", "CTRL_SYS_0001", 3)]
