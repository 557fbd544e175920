"""An operator who stops the numbers for a spell, beside workers at work, and has them given again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import sqlalchemy as sa

from mailflow.register import Register, Transaction, issuing, journal
from tests.simulation.world import World

ACT = journal.Act(by="operator", why="simulation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """The steps during which no numbers are to be given: from `first` on, before `end`."""

    first: int
    end: int

    @classmethod
    def drawn(cls, rng: random.Random, steps: int) -> Self:
        first = rng.randrange(steps - 1)
        return cls(first=first, end=first + rng.randrange(1, 2 + steps // 3))


@dataclass(slots=True, kw_only=True)
class Stop:
    """A spell as it was."""

    at: datetime
    before: frozenset[str]
    """Whatever had been numbered when the operator was told that nothing is any more."""
    after: frozenset[str] = frozenset()
    """Likewise, when the operator had numbers given again."""


class Switch:
    """In the operator's hands. Between two stops it always stands open."""

    def __init__(self, register: Register, world: World, spells: Sequence[Spell]) -> None:
        self._register, self._world, self._spells = register, world, spells
        self._stopped = False
        self.stops: list[Stop] = []

    def turns(self, step: int) -> bool:
        """Whether it is to be thrown in that step."""
        return self._stopped != any(spell.first <= step < spell.end for spell in self._spells)

    async def throw(self) -> None:
        """The other way."""
        await self._world.pause()
        if self._stopped:
            async with self._register.begin() as tx:
                self.stops[-1].after = await _numbered(tx)
                await issuing.resume(tx, ACT, self._world.now)
            self._world.tell("the operator: resume")
        else:
            await issuing.stop(self._register, ACT, self._world.now)
            async with self._register.read() as tx:
                self.stops.append(Stop(at=self._world.now, before=await _numbered(tx)))
            self._world.tell("the operator: stop")
        self._stopped = not self._stopped

    async def open(self) -> None:
        """Whatever was meant to be, numbers are given from now on."""
        if self._stopped:
            await self.throw()


async def _numbered(tx: Transaction) -> frozenset[str]:
    """Requests and dispatches."""
    requests = await tx.all(sa.text("SELECT number FROM request"))
    dispatches = await tx.all(sa.text("SELECT sender, desk, number FROM dispatch"))
    return frozenset([*(row.number for row in requests), *(" ".join(map(str, row)) for row in dispatches)])
