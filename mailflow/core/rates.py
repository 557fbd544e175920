"""How much one sender may ask of us in an hour and in a day, and when what is more has its turn. Pure.

Each budget is a vessel that leaks: what came fills it, time empties it at the budget's rate, and a mail has its turn
when there is room for it. So a whole hour's amount may come at once, and no moment begins a new hour. All of it is
one instant for each budget: when the vessel will be empty.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter


class Budget(StrEnum):
    """What is counted of a sender, and over which time."""

    MAILS_AN_HOUR = "mails_an_hour"
    BYTES_AN_HOUR = "bytes_an_hour"
    REQUESTS_AN_HOUR = "requests_an_hour"
    MAILS_A_DAY = "mails_a_day"
    BYTES_A_DAY = "bytes_a_day"
    REQUESTS_A_DAY = "requests_a_day"


OF_DAY = frozenset({Budget.MAILS_A_DAY, Budget.BYTES_A_DAY, Budget.REQUESTS_A_DAY})
"""Those that are kept even where the deadline is not."""
PERIOD = {budget: timedelta(days=1) if budget in OF_DAY else timedelta(hours=1) for budget in Budget}
"""Within which so much may come."""
LIMIT_MAX = 1 << 50
"""Of any budget."""
OWED_MAX = timedelta(days=366)
"""What is owed beyond that is forgiven: a budget of one octet a day is a mistake, and instants have an end."""

Rates = Mapping[Budget, int]
Spent = Mapping[Budget, datetime | None]
"""When each vessel will be empty; None, or an instant that has passed: it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one mail asks of us."""

    mails: int = 1
    bytes: int
    requests: int
    """Questions included."""


_MEASURE: Mapping[Budget, Callable[[Load], int]] = {
    budget: attrgetter(budget.value.partition("_")[0]) for budget in Budget
}
_MICROSECOND = timedelta(microseconds=1)
_OWED_MAX = OWED_MAX // _MICROSECOND
_PERIOD = {budget: period // _MICROSECOND for budget, period in PERIOD.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When a mail has its turn, and which budget says so."""

    at: datetime
    budget: Budget


def told(own: Rates) -> str:
    """The rates of a sender, for people."""
    named = " ".join(f"{budget}={own[budget]}" for budget in Budget if budget in own)
    return f"rates of its own: {named}" if named else "the rates of the settings"


class Account:
    """What one sender has used of its budgets, at one moment."""

    def __init__(self, rates: Rates, spent: Spent, at: datetime) -> None:
        self._rates = rates
        self._at = at
        # In whole microseconds: this is done for every mail, and instants are slow.
        self._owed = {b: max(((spent.get(b) or at) - at) // _MICROSECOND, 0) for b in rates}

    @property
    def spent(self) -> dict[Budget, datetime]:
        """As it is to be kept."""
        return {budget: self._at + timedelta(microseconds=owed) for budget, owed in self._owed.items()}

    def count(self, load: Load, no_later: datetime) -> Turn | None:
        """Put a mail into the vessels: its turn, None when that is now.

        No budget of an hour lets it wait beyond `no_later`; one of a day does. A mail that is larger than a whole
        budget has its turn when the vessel is empty. None has its turn before one that was counted earlier and may
        wait no longer.
        """
        longest = (no_later - self._at) // _MICROSECOND
        wait, strictest = 0, None
        for budget, limit in self._rates.items():
            amount, period, owed = _MEASURE[budget](load), _PERIOD[budget], self._owed[budget]
            self._owed[budget] = min(owed + period * amount // limit, _OWED_MAX)
            room = owed + period * min(amount, limit) // limit - period
            if budget not in OF_DAY:
                room = min(room, longest)
            if room > wait:
                wait, strictest = room, budget
        return None if strictest is None else Turn(at=self._at + timedelta(microseconds=wait), budget=strictest)
