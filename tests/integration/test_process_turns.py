"""One turn that decides: mails that must run alone follow one another, and nobody pays for what the surroundings do."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mailflow import registrar
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.mail import composing, worker
from mailflow.mail.door import MailDoor, Progress
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Verdict
from mailflow.register import LeaseLost, Register, Transaction, intake
from mailflow.register.presence import take_over
from tests.support.doors import PACE, House, InProcess
from tests.support.judging import a_mail, dem_part
from tests.support.pool_parts import BREAKS
from tests.support.records import damage_keys, execute, rows

SURROUNDINGS = [Unavailable, Misconfigured]


def letter(number: int) -> bytes:
    """A mail about somebody of its own."""
    return a_mail(dem_part(number, surname="Nom" + chr(97 + number)))


async def left_by_a_killed_worker(house: House, *mails: bytes) -> MailDoor:
    """The door of another worker; these mails are to run alone."""
    for raw in mails:
        house.mailbox.deliver(raw)
    door = house.door()
    await worker.receive(door)
    async with house.register.begin() as tx:
        until = house.now + PACE.lease
        await intake.claim_chunk(tx, "killed", 50, house.now, until, size_bytes_max=PACE.chunk_bytes_max)
    house.now += PACE.lease
    return door


async def attempts(house: House) -> list[tuple[str, int]]:
    """State and attempts of each mail, none of which is leased to anybody."""
    found = await rows(house.register, "SELECT state, attempts, lease_owner FROM intake ORDER BY id")
    assert {row.lease_owner for row in found} == {None}
    return [(row.state, row.attempts) for row in found]


async def test_what_a_killed_worker_had_in_hand_is_decided_in_one_turn_each_alone(house: House) -> None:
    door = await left_by_a_killed_worker(house, *map(letter, range(5)))
    assert await worker.process(door) == Progress(answered=5, registered=5)
    assert house.judges.chunks == [1] * 5
    assert await attempts(house) == [("answered", 1)] * 5


async def test_as_many_run_alone_in_a_turn_as_a_chunk_has(house: House) -> None:
    door = await left_by_a_killed_worker(house, *map(letter, range(5)))
    door = replace(door, pace=replace(PACE, chunk=2))
    assert [(await worker.process(door)).answered for _ in range(4)] == [2, 2, 1, 0]


async def test_a_turn_of_slow_mails_ends_after_about_a_lease(house: House) -> None:
    door = await left_by_a_killed_worker(house, *map(letter, range(5)))

    def slow() -> None:
        house.now += PACE.lease / 2 - timedelta(seconds=1)

    house.judges.trouble = slow
    assert [(await worker.process(door)).answered for _ in range(3)] == [3, 2, 0]


async def test_the_first_that_fails_ends_the_turn(house: House) -> None:
    door = await left_by_a_killed_worker(house, letter(0), BREAKS + b": the judge\r\n" + letter(1), letter(2))
    assert await worker.process(door) == Progress(answered=1, registered=1, retried=1)
    assert await attempts(house) == [("answered", 1), ("received", 1), ("received", 0)]
    assert await worker.process(door) == Progress(retried=1)
    assert await worker.process(door) == Progress(set_aside=1)
    assert await attempts(house) == [("answered", 1), ("set_aside", 3), ("received", 0)]
    assert await worker.process(door) == Progress(answered=1, registered=1)


@pytest.mark.parametrize("error", [*SURROUNDINGS, LeaseLost])
async def test_surroundings_that_fail_end_the_turn_and_cost_no_attempt(
    house: House, monkeypatch: pytest.MonkeyPatch, error: type[MailflowError]
) -> None:
    door = await left_by_a_killed_worker(house, *map(letter, range(3)))
    begun = 0
    submit = registrar.submit

    async def fails_later(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun > 1:
            raise error("away")
        return await submit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(registrar, "submit", fails_later)
        assert await worker.process(door) == Progress(answered=1, registered=1, retried=1)
        with pytest.raises(error):
            await worker.process(door)
        assert begun == 3
    assert await attempts(house) == [("answered", 1), ("received", 0), ("received", 0)]
    assert await worker.process(door) == Progress(answered=2, registered=2)


class Away:
    """The register of a door, whose every transaction fails from the end of a judgement on, as often as is said."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        begin, judge = Register.begin, InProcess.judge
        self.is_away, self.times = False, times

        @contextlib.asynccontextmanager
        async def perhaps(register: Register) -> AsyncIterator[Transaction]:
            if self.is_away:
                raise Unavailable("the database: away")
            async with begin(register) as tx:
                yield tx

        async def and_then_away(judges: InProcess, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
            verdicts = await judge(judges, mails, at)
            self.is_away, self.times = self.times > 0, self.times - 1
            return verdicts

        monkeypatch.setattr(Register, "begin", perhaps)
        monkeypatch.setattr(InProcess, "judge", and_then_away)


async def test_a_database_that_is_away_when_an_attempt_is_given_back_too_costs_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await left_by_a_killed_worker(house, letter(0))
    blips = Away(house, monkeypatch, PACE.attempts_max + 1)
    for _ in range(PACE.attempts_max + 1):
        with pytest.raises(Unavailable):
            await worker.process(door)
        blips.is_away = False
        assert len(door.spared) == 1
        house.now += PACE.lease
    assert await worker.process(door) == Progress(answered=1, registered=1)
    assert (await attempts(house), door.spared) == ([("answered", 1)], {})


async def test_an_attempt_that_could_not_be_given_back_is_as_soon_as_the_register_can_be_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no lease has run out yet."""
    door = await left_by_a_killed_worker(house, letter(0))
    blips = Away(house, monkeypatch, 1)
    with pytest.raises(Unavailable):
        await worker.process(door)
    with pytest.raises(Unavailable):
        await worker.process(door)
    blips.is_away = False
    assert await worker.process(door) == Progress(answered=1, registered=1)
    assert await attempts(house) == [("answered", 1)]


async def taken_from(house: House, door: MailDoor, monkeypatch: pytest.MonkeyPatch, after: timedelta) -> None:
    """One turn, in the middle of which another worker frees what this one has."""
    judge = InProcess.judge

    async def and_then_gone(judges: InProcess, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        verdicts = await judge(judges, mails, at)
        house.now += after
        assert await take_over(house.register, "another", house.now) == 1
        return verdicts

    with monkeypatch.context() as patch:
        patch.setattr(InProcess, "judge", and_then_gone)
        with pytest.raises(LeaseLost):
            await worker.process(door)


async def test_what_another_worker_took_over_meanwhile_was_no_attempt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sessions of this one had ended, and it lives."""
    door = await left_by_a_killed_worker(house, letter(0))
    for _ in range(PACE.attempts_max + 1):
        await taken_from(house, door, monkeypatch, timedelta(0))
        assert await attempts(house) == [("received", 0)]
    assert await worker.process(door) == Progress(answered=1, registered=1)


async def test_what_another_takes_once_its_lease_is_over_was_an_attempt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the mail that takes so long."""
    door = await left_by_a_killed_worker(house, letter(0))
    for count in range(1, PACE.attempts_max + 1):
        await taken_from(house, door, monkeypatch, PACE.lease)
        assert await attempts(house) == [("received", count)]
    assert await worker.process(door) == Progress()
    assert await attempts(house) == [("set_aside", PACE.attempts_max)]


@pytest.mark.parametrize("alone", [False, True])
async def test_what_is_given_back_by_a_clock_that_was_ahead_waits_for_nothing(house: House, alone: bool) -> None:
    house.mailbox.deliver(letter(0))
    door = house.door()
    await worker.receive(door)
    await execute(house.register, "UPDATE intake SET solo = :alone", alone=alone)
    right = house.now
    house.now += timedelta(days=365)

    def away() -> None:
        raise Unavailable("away")

    house.judges.trouble = away
    with pytest.raises(Unavailable):
        await worker.process(door)
    house.now, house.judges.trouble = right, lambda: None
    assert await worker.process(door) == Progress(answered=1, registered=1)


@pytest.mark.parametrize("error", SURROUNDINGS)
@pytest.mark.parametrize("where", ["judge", "register"])
async def test_no_chunk_is_blamed_for_its_surroundings(
    house: House, monkeypatch: pytest.MonkeyPatch, error: type[MailflowError], where: str
) -> None:
    """A master key that is not here yet, say, while one follows another."""
    for number in range(2):
        house.mailbox.deliver(letter(number))
    door = house.door()
    await worker.receive(door)

    def fails(*_: object) -> Any:
        raise error("away")

    with monkeypatch.context() as patch:
        if where == "judge":
            house.judges.trouble = fails
        else:
            patch.setattr(registrar, "submit", fails)
        for _ in range(PACE.attempts_max + 1):
            with pytest.raises(error):
                await worker.process(door)
    assert await attempts(house) == [("received", 0)] * 2
    assert not any(row.solo for row in await rows(house.register, "SELECT solo FROM intake"))
    house.judges.trouble = lambda: None
    assert await worker.process(door) == Progress(answered=2, registered=2)


async def test_an_order_whose_enclosure_does_not_open_is_held_and_the_others_go_on(house: House) -> None:
    for number in range(3):
        house.mailbox.deliver(letter(number))
    door = house.door()
    await worker.receive(door)
    await worker.process(door)
    await damage_keys(house.register, "SELECT key_id FROM request ORDER BY number LIMIT 1")
    assert await composing.compose(door) == Progress(composed=2, held=1)
    found = await rows(house.register, "SELECT state, reason FROM outbox WHERE state <> 'composed'")
    assert [tuple(row) for row in found] == [("held", "seal broken")]
