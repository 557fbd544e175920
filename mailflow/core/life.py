"""The life of a request: who may do what to it in which state, and what becomes of it. Pure.

The state table is data: DESIGN shows it and the tests go through every cell of it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Self

from mailflow.core.anomalies import Code
from mailflow.core.calendar import active_through
from mailflow.core.model import RequestState

NOT_RENEWED = "RADREN"
"""The motive of who did not renew in time."""
WITHDRAWN = "RADABA"
HOUSED = "RADATT"
"""A dwelling was attributed: the lease is told with it."""
INADMISSIBLE = "RADIRR"
RENEWAL_WINDOW = timedelta(days=60)
"""How long before its last day a request can be renewed. Opens before the notice goes out (45 days)."""
ONE_DAY = timedelta(days=1)
REMOVAL_DELAY = timedelta(hours=72)
"""How long after its registration an erroneous creation can be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where a request stands. Days are legal days in Paris."""

    state: RequestState
    motive: str | None = None
    """Why it is deregistered, a code of `motifRadiation`; None in another state."""
    deposited_on: date
    """First deposit at a desk; never changes."""
    renewed_on: date | None = None
    """The last renewal."""
    expires_on: date
    """The last day, inclusive, on which it is active unless it is renewed."""
    ended_on: date | None = None
    """When it was deregistered or removed; None while it is active."""

    @classmethod
    def beginning(cls, deposited_on: date, *, separated_on: date | None = None) -> Self:
        """A new request. After a separation the first deposit is the couple's, and the new form renews it."""
        return cls(
            state=RequestState.ACTIVE,
            deposited_on=deposited_on,
            renewed_on=separated_on,
            expires_on=active_through(separated_on or deposited_on),
        )

    def renewed(self, day: date) -> Self:
        """Active for a year from `day` on."""
        return replace(self._active(), renewed_on=day, expires_on=active_through(day))

    def deregistered(self, motive: str, day: date) -> Self:
        """Ended for that motive."""
        return replace(self, state=RequestState.DEREGISTERED, motive=motive, ended_on=day)

    def expired(self) -> Self:
        """Ended because it was not renewed, as of the day after its last one, whenever this is done."""
        return self.deregistered(NOT_RENEWED, self.expires_on + ONE_DAY)

    def reactivated(self, day: date) -> Self:
        """Active again for what is left of its year; when nothing is left, as if renewed that day."""
        return self._active() if day <= self.expires_on else self.renewed(day)

    def _active(self) -> Self:
        return replace(self, state=RequestState.ACTIVE, motive=None, ended_on=None)

    def removed(self, day: date) -> Self:
        """Gone: the number stays and is never used again."""
        return replace(self, state=RequestState.REMOVED, motive=None, ended_on=day)

    def renewal_opens_on(self) -> date:
        """The first day on which a renewal counts."""
        return self.expires_on - RENEWAL_WINDOW

    def is_renewed_for(self, day: date) -> bool:
        """Whether a renewal on `day` is for the year that the last one has begun already."""
        return self.renewed_on is not None and day <= self.renewed_on + RENEWAL_WINDOW

    def standing(self, day: date) -> "Standing":
        """Its row of the state table on `day`.

        One that was not renewed was active until its last day, also for what was received then and is decided late.
        """
        match self.state:
            case RequestState.REMOVED:
                return Standing.REMOVED
            case RequestState.DEREGISTERED if self.motive != NOT_RENEWED:
                return Standing.DEREGISTERED
            case RequestState.DEREGISTERED:
                return Standing.ACTIVE if day <= self.expires_on else Standing.NOT_RENEWED
            case RequestState.ACTIVE:
                return Standing.ACTIVE if day <= self.expires_on else Standing.LAPSED


class Standing(StrEnum):
    """A row of the state table: the state, seen on a day."""

    ACTIVE = "active"
    LAPSED = "lapsed"
    """Past its last day, and not deregistered yet: as good as `NOT_RENEWED`."""
    DEREGISTERED = "deregistered"
    NOT_RENEWED = "not renewed"
    """Deregistered because it was not renewed."""
    REMOVED = "removed"


class Action(StrEnum):
    """What is done to a registered request, more precisely than by the type of the file."""

    SEPARATION = "CRS: one of the couple leaves"
    AMENDMENT = "MOD: amendment"
    RENEWAL = "REN: renewal"
    DEREGISTRATION = "RAD: deregistration"
    EXPIRY = "RAD for RADREN: not renewed"
    REACTIVATION = "RAD without motive: reactivation"
    REMOVAL = "SUP: removal"


class Role(StrEnum):
    """What the acting desk is to the request; it may be several at once.

    All but the last have access: a mandate for the territory that allows the operation.
    """

    CREATOR = "creating desk"
    DESK = "other desk"
    MANAGER = "manager"
    """Of the territory: the mandate there has the right `gerer`. The scheduled jobs act as the manager."""
    STRANGER = "without access"


Cell = Code | None
"""None: it is done, if the conditions of the action hold too."""


def _row(creator: Cell, desk: Cell, manager: Cell) -> Mapping[Role, Cell]:
    return {Role.CREATOR: creator, Role.DESK: desk, Role.MANAGER: manager, Role.STRANGER: Code.NUMBER_UNKNOWN}


_ANY = _row(None, None, None)
_MANAGER = _row(Code.MANAGER_ONLY, Code.MANAGER_ONLY, None)
_CREATOR = _row(None, Code.NOT_THE_CREATOR, Code.NOT_THE_CREATOR)
_TOO_EARLY = _row(Code.MANAGER_ONLY, Code.MANAGER_ONLY, Code.STILL_VALID)
_INACTIVE = _row(Code.NOT_ACTIVE, Code.NOT_ACTIVE, Code.NOT_ACTIVE)
_RUNNING = _row(Code.ALREADY_ACTIVE, Code.ALREADY_ACTIVE, Code.ALREADY_ACTIVE)
_GONE = _row(Code.NUMBER_REMOVED, Code.NUMBER_REMOVED, Code.NUMBER_REMOVED)

# In the order of Action: CRS, MOD, REN, RAD, RAD for RADREN, RAD without motive, SUP.
_ROWS = {
    Standing.ACTIVE: (_ANY, _ANY, _ANY, _ANY, _TOO_EARLY, _RUNNING, _CREATOR),
    Standing.LAPSED: (_INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _MANAGER, _MANAGER, _CREATOR),
    Standing.DEREGISTERED: (_INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _ANY, _CREATOR),
    Standing.NOT_RENEWED: (_INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _INACTIVE, _MANAGER, _CREATOR),
    Standing.REMOVED: (_GONE,) * len(Action),
}
TABLE: Mapping[tuple[Standing, Action, Role], Cell] = {
    (standing, action, role): cell
    for standing, rows in _ROWS.items()
    for action, row in zip(Action, rows, strict=True)
    for role, cell in row.items()
}
"""Every cell: the code that refuses, or None."""


def refusal(standing: Standing, action: Action, roles: Collection[Role]) -> Cell:
    """Why nobody of `roles` may do this; None when one of them may."""
    cells = [TABLE[standing, action, role] for role in Role if role in roles]
    return None if None in cells else cells[-1]


def overdue_for_removal(registered_at: datetime, received_at: datetime) -> bool:
    """Whether the delay for removing an erroneous creation is over."""
    return received_at > registered_at + REMOVAL_DELAY
