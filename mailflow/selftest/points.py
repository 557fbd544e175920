"""The points that a run passes, and the one at which it is broken.

Whatever can break tells here what it is about to do. Nobody listens but during a run.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in a run: the `nth` time (from 1) that something of this kind and name was about to happen."""

    kind: str
    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.name} ({self.nth})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong at a point: one of the words that its kind knows."""

    point: Point
    how: str

    def __str__(self) -> str:
        return f"{self.point}: {self.how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """How many of the cases are played, in an order of chance: what is cut short has seen something of everything."""

    every: int = 1
    most: int | None = None
    share: int = 0
    shares: int = 1
    """Of all, so many are played elsewhere."""

    def of(self, cases: Sequence[Fault], seed: str) -> Sequence[Fault]:
        """Those of the cases; the same each time."""
        order = random.Random(seed).sample(cases, len(cases))  # noqa: S311  an order, no secret
        return order[: -(-len(order) // self.every)][self.share :: self.shares][: self.most]


@dataclass(slots=True)
class Run:
    """One run of the worker, which may be broken once."""

    fault: Fault | None = None
    passed: list[Point] = field(default_factory=list)
    """In their order."""
    fired: bool = False
    _times: Counter[tuple[str, str]] = field(default_factory=Counter)

    def reach(self, kind: str, name: str) -> str | None:
        """What goes wrong here and now; None: nothing."""
        self._times[kind, name] += 1
        point = Point(kind=kind, name=name, nth=self._times[kind, name])
        self.passed.append(point)
        if self.fault is None or self.fired or self.fault.point != point:
            return None
        self.fired = True
        return self.fault.how


_present: Run | None = None


def begin(run: Run | None) -> None:
    """From now on this is the run; None: there is none."""
    global _present
    _present = run


def reach(kind: str, name: str) -> str | None:
    """What goes wrong here and now in the present run; None: nothing."""
    return _present.reach(kind, name) if _present else None
