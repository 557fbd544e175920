"""Connections that are shared: whoever waits takes the first that is ready, and no failure is told that need not be."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from mailflow.mail import connections
from mailflow.mail.connections import Connections


@dataclass(slots=True, eq=False)
class Line:
    """A connection to nowhere."""

    alive: bool = True

    @property
    def usable(self) -> bool:
        return self.alive

    def abort(self) -> None:
        self.alive = False


class FullError(Exception):
    """What the server says when it lets nobody in."""


@dataclass(slots=True)
class Server:
    """Lets so many in; the others it refuses, or leaves standing before the door."""

    room: int
    silent: bool = False
    lines: list[Line] = field(default_factory=list)
    asked: int = 0

    async def open(self) -> Line:
        self.asked += 1
        await asyncio.sleep(0)
        while self.inside() >= self.room:
            if not self.silent:
                raise FullError
            await asyncio.sleep(0)
        self.lines.append(Line())
        return self.lines[-1]

    def inside(self) -> int:
        return sum(line.alive for line in self.lines)


async def use(shared: Connections[Line], moments: int = 3) -> Line:
    line = await shared.take()
    for _ in range(moments):
        await asyncio.sleep(0)
    shared.put_back(line)
    return line


@pytest.mark.parametrize("silent", [False, True])
async def test_a_server_with_little_room_holds_up_nothing_that_the_others_can_carry(silent: bool) -> None:
    server = Server(room=2, silent=silent)
    shared = Connections(server.open)
    used = await asyncio.gather(*(use(shared) for _ in range(20)))
    assert len(set(used)) == 2
    assert shared.close()
    await asyncio.sleep(0)


async def test_without_any_other_it_is_a_failure_for_all_who_wait() -> None:
    shared = Connections(Server(room=0).open)
    told = await asyncio.gather(*(use(shared) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [FullError] * 3


async def test_who_waits_for_one_that_is_lost_gets_another() -> None:
    server = Server(room=1)
    shared = Connections(server.open)
    first = await shared.take()
    second = asyncio.create_task(shared.take())
    await asyncio.sleep(0.01)
    assert not second.done(), "refused, but there is one to wait for"
    shared.drop(first)
    shared.drop(first)
    assert (await second) is not first


async def test_a_server_that_refuses_is_not_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(room=1)
    shared = Connections(server.open)
    await asyncio.gather(*(use(shared) for _ in range(4)))
    assert server.asked == 4
    await asyncio.gather(*(use(shared) for _ in range(4)))
    assert server.asked == 4
    monkeypatch.setattr(connections, "AGAIN_SECONDS", 0.0)
    server.room = 2
    assert len(set(await asyncio.gather(*(use(shared) for _ in range(4))))) == 2


async def test_what_is_of_no_more_use_is_replaced() -> None:
    server = Server(room=2)
    shared = Connections(server.open)
    first = await use(shared)
    first.alive = False
    second = await use(shared)
    assert second is not first
    assert await use(shared) is second


async def test_who_is_cancelled_takes_nothing_away() -> None:
    server = Server(room=1)
    shared = Connections(server.open)
    held = await shared.take()
    waiting = asyncio.create_task(shared.take())
    await asyncio.sleep(0)
    shared.put_back(held)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await asyncio.wait_for(shared.take(), 60) is held


async def test_after_the_end_nothing_is_kept() -> None:
    server = Server(room=1)
    shared = Connections(server.open)
    held = await shared.take()
    waiting = asyncio.create_task(use(shared))
    await asyncio.sleep(0)
    assert shared.close() == []
    shared.put_back(held)
    assert await waiting is held, "whoever still waits is served"
    assert not held.alive


@pytest.mark.parametrize("seed", range(60))
async def test_everybody_is_served_by_no_more_than_are_needed_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    at_once = rng.randrange(1, 6)
    server = Server(room=rng.randrange(1, 7), silent=rng.random() < 0.5)
    shared, slots = Connections(server.open), asyncio.Semaphore(at_once)
    most = 0

    async def one() -> None:
        nonlocal most
        async with slots:
            line = await shared.take()
            most = max(most, server.inside())
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            if rng.random() < 0.3:
                shared.drop(line)
            else:
                shared.put_back(line)

    async def cancelled() -> None:
        task = asyncio.create_task(one())
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    async with asyncio.timeout(60):
        await asyncio.gather(*(cancelled() if rng.random() < 0.2 else one() for _ in range(60)))
    assert 1 <= most <= min(at_once, server.room)
