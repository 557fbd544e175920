"""The points that a run passes, and the one at which it is broken.

Whatever can break tells here what it is about to do. Nobody listens but during a run.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
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
    """How many of the cases are played, in an order of chance: what is cut short has seen something of everything.

    A case comes into a share by its own name, whatever others there are: two runs need not pass quite the same points,
    and still no case is left to nobody, and none is played twice.
    """

    every: int = 1
    most: int | None = None
    share: int = 0
    shares: int = 1
    """Of all, so many are played elsewhere."""

    def own(self, cases: Iterable[Fault], seed: str) -> Sequence[Fault]:
        """Those of its share, in their order."""
        chances = {case: chance(f"{seed} {case}") for case in cases}
        return sorted((case for case in chances if chances[case] % self.shares == self.share), key=chances.__getitem__)

    def of(self, cases: Iterable[Fault], seed: str) -> Sequence[Fault]:
        """Those of its share that are played; the same each time."""
        own = self.own(cases, seed)
        return own[: -(-len(own) // self.every)][: self.most]


def chance(name: str) -> int:
    """A number that seems to be of chance, and is always the same for the same name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


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
