"""One turn that sends: it goes on with the next answers while it goes well, and ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from mailflow.errors import Unavailable
from mailflow.mail import audit, composing, delivery, worker
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.ports import BeforeData, Outgoing, Sending, SendResult
from mailflow.register import Register, Transaction, outbox
from tests.support.doors import PACE, House
from tests.support.fake_mailer import Fate
from tests.support.judging import a_mail, dem_part
from tests.support.records import rows

LETTERS = 10
CHUNK = 2
PATIENCE_SECONDS = 60.0
"""Far more than any of these turns takes when it ends."""


@pytest.fixture
async def door(house: House) -> MailDoor:
    """Ten answers are frozen, and two are claimed at a time."""
    for number in range(LETTERS):
        house.mailbox.deliver(a_mail(dem_part(number, surname="Nom" + chr(97 + number))))
    plenty = house.door()
    for turn in (worker.receive, worker.process, composing.compose):
        await turn(plenty)
    return replace(plenty, pace=replace(PACE, chunk=CHUNK))


async def states(register: Register) -> list[str]:
    return [row.state for row in await rows(register, "SELECT state FROM outbox ORDER BY id")]


async def test_it_goes_on_while_it_goes_well_and_ends(house: House, door: MailDoor) -> None:
    assert await delivery.deliver(door) == Progress(sent=delivery.CHUNKS_A_TURN * CHUNK)
    assert await delivery.deliver(door) == Progress(sent=LETTERS - delivery.CHUNKS_A_TURN * CHUNK)
    assert await delivery.deliver(door) == Progress()
    assert len(house.mailer.accepted) == LETTERS


async def test_no_more_is_in_memory_than_some_chunks_of_octets(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers so large that each is a chunk by itself go one after the other."""
    send, under_way, most = house.mailer.send, 0, 0

    async def slow(outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        result = await send(outgoing, before_data)
        under_way -= 1
        return result

    monkeypatch.setattr(house.mailer, "send", slow)
    narrow = replace(door, pace=replace(door.pace, chunk=LETTERS, chunk_bytes_max=1))
    assert await delivery.deliver(narrow) == Progress(sent=delivery.CHUNKS_A_TURN)
    assert most == 1


async def test_a_server_that_takes_nothing_is_not_asked_for_more(house: House, door: MailDoor) -> None:
    house.mailer.fates = [Fate.DEFER_AT_ONCE] * LETTERS
    assert await delivery.deliver(door) == Progress(deferred=CHUNK)


async def test_what_is_under_way_goes_on_while_the_register_is_away(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claims = outbox.claim_composed, 0

    async def away(tx: Transaction, *details: object, **more: object) -> list[outbox.Composed]:
        nonlocal claims
        claims += 1
        if claims == 2:
            raise Unavailable("away")
        return [*await claim(tx, *details, **more)]  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(outbox, "claim_composed", away)
    assert await delivery.deliver(door) == Progress(sent=CHUNK)
    assert await states(house.register) == ["sent"] * CHUNK + ["composed"] * (LETTERS - CHUNK)


async def test_a_register_that_is_away_at_first_is_said(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.asynccontextmanager
    async def begin(_: Register) -> AsyncIterator[Transaction]:
        raise Unavailable("away")
        yield

    monkeypatch.setattr(Register, "begin", begin)
    with pytest.raises(Unavailable):
        await delivery.deliver(door)


async def test_no_more_is_claimed_once_a_lease_would_have_run_out(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = house.mailer.send

    async def long(outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        result = await send(outgoing, before_data)
        house.now += PACE.lease / 2
        return result

    monkeypatch.setattr(house.mailer, "send", long)
    assert await delivery.deliver(replace(door, pace=replace(door.pace, chunk=1))) == Progress(sent=2)


async def test_what_does_not_come_to_its_data_within_its_lease_is_left_for_another_time(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never ends the conversation before the data: none of our timeouts for one reply bounds that."""
    send = house.mailer.send

    async def never(outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(house.mailer, "send", never)
    hasty = replace(door, pace=replace(door.pace, lease=timedelta(milliseconds=50)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await delivery.deliver(hasty) == Progress()
    assert await states(house.register) == ["composed"] * LETTERS
    monkeypatch.setattr(house.mailer, "send", send)
    house.now += PACE.lease
    assert (await delivery.deliver(door)).sent, "at once"


async def test_what_has_come_to_its_data_is_not_cut_off(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, lease = house.mailer.send, timedelta(milliseconds=50)

    async def slow(outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        result = await send(outgoing, before_data)
        await asyncio.sleep(2 * lease.total_seconds())
        return result

    monkeypatch.setattr(house.mailer, "send", slow)
    hasty = replace(door, pace=replace(door.pace, lease=lease, chunk=1))
    monkeypatch.setattr(delivery, "CHUNKS_A_TURN", 1)
    assert await delivery.deliver(hasty) == Progress(sent=1)
    assert await states(house.register) == ["sent"] + ["composed"] * (LETTERS - 1)


async def test_a_mail_whose_lease_is_lost_under_way_is_not_sent_beside_itself(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was cut off, its leases were freed, and it claims the same mail again while it still sends it."""
    send, others = house.mailer.send, asyncio.Event()
    first, second, third = [row.envelope_id for row in await rows(house.register, "SELECT * FROM outbox LIMIT 3")]
    asked: list[str] = []

    async def cut_off(outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        asked.append(outgoing.envelope_id)
        if outgoing.envelope_id == first:
            await others.wait()
        result = await send(outgoing, before_data)
        if outgoing.envelope_id == second:
            async with house.register.begin() as tx:
                await outbox.release_all(tx, door.owner)
        if outgoing.envelope_id == third:
            others.set()
        return result

    monkeypatch.setattr(house.mailer, "send", cut_off)
    monkeypatch.setattr(delivery, "CHUNKS_A_TURN", 2)
    assert await delivery.deliver(door) == Progress(sent=3)
    assert asked.count(first) == 1
    accepted = [outgoing.envelope_id for outgoing in house.mailer.accepted]
    assert sorted(accepted) == sorted([first, second, third])
    assert await states(house.register) == ["sent"] * 3 + ["composed"] * (LETTERS - 3)


async def test_one_that_is_claimed_again_under_way_keeps_its_doubt(
    house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent before, in doubt, and not found; now its lease is lost while it is slow to come to its data.

    When it is claimed again nobody has looked for it of late. What the slow send ends with says nothing of the former.
    """
    house.mailer.fates = [Fate.LOSE_REPLY]
    await delivery.deliver(replace(door, pace=replace(door.pace, chunk=1)))
    copy = house.mailer.mailboxes["audit"].pop()
    first = house.mailer.accepted[0].envelope_id
    house.now += PACE.lease
    await house.miss()
    assert await delivery.settle_doubtful(door) == Progress(deferred=1)
    send, others = house.mailer.send, asyncio.Event()

    async def cut_off(outgoing: Outgoing, before_data: BeforeData) -> SendResult:
        if outgoing.envelope_id == first:
            await others.wait()
            return SendResult(state=Sending.DEFERRED, detail="connection lost")
        result = await send(outgoing, before_data)
        async with house.register.begin() as tx:
            await outbox.release_all(tx, door.owner)
        house.now += PACE.audit_wait / audit.GAPS_MIN
        asyncio.get_running_loop().call_later(0.5, others.set)
        return result

    monkeypatch.setattr(house.mailer, "send", cut_off)
    monkeypatch.setattr(delivery, "CHUNKS_A_TURN", 2)
    await delivery.deliver(replace(door, pace=replace(door.pace, lease=2 * PACE.audit_wait)))
    monkeypatch.setattr(house.mailer, "send", send)
    house.mailer.mailboxes["audit"].append(copy)
    house.now += PACE.defer_most
    assert (await delivery.deliver(door)).sent
    assert [outgoing.envelope_id for outgoing in house.mailer.accepted].count(first) == 1
    assert (await delivery.settle_doubtful(door)).sent == 1
