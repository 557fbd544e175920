"""The clock jumps while the worker works: at each reading, hours and days, both ways, there and back or for good."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from mailflow.selftest.points import Point, reach
from tests.support import clock

JUMPS = {"2 hours": timedelta(hours=2), "3 days": timedelta(days=3)}
FOR_GOOD = "for good"
"""Until an operator sees to it."""


def hows(_: Point) -> Sequence[str]:
    """What can go wrong at a reading."""
    return [
        f"{ways} {far}, {lasts}"
        for ways in ("ahead", "back")
        for far in JUMPS
        for lasts in ("until it is set", FOR_GOOD)
    ]


class Clock:
    """What the program takes for the time."""

    def __init__(self) -> None:
        self.later = timedelta(0)
        """How far the run is from the first."""
        self._jumped = timedelta(0)
        self._lasts = False

    @property
    def is_wrong(self) -> bool:
        """It has jumped, and nobody has set it right."""
        return bool(self._jumped)

    def wind(self) -> None:
        """To be the program's clock from now on."""
        clock.read_by(self.read)

    def set_right(self, *, wholly: bool = False) -> None:
        """After a run; `wholly` for another story."""
        if wholly or not self._lasts:
            self._jumped, self._lasts = timedelta(0), False

    def read(self) -> datetime:
        """The time, after a jump perhaps."""
        caller = sys._getframe(1)
        module = str(caller.f_globals.get("__name__", "")).rpartition(".")[2]
        if how := reach("clock", f"{module}.{caller.f_code.co_name}"):
            words, _, lasts = how.partition(", ")
            ways, _, far = words.partition(" ")
            self._jumped = JUMPS[far] if ways == "ahead" else -JUMPS[far]
            self._lasts = lasts == FOR_GOOD
        return datetime.now(UTC) + self.later + self._jumped
