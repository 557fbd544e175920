"""The points that a run passes, and the one at which it is broken.

Whatever can break tells here what it is about to do. Nobody listens but during a run.
"""

from collections import Counter
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
