"""The desks of the simulated years, where they may act, and when they are out of service."""

from dataclasses import dataclass
from datetime import date, timedelta

from mailflow.core.model import Right, Standing
from mailflow.register import Register
from tests.support.reception import Reception

START = date(2026, 9, 1)
END = date(2028, 9, 1)
"""Of all that happens; 29 February 2028 lies between."""
BEFORE = START - timedelta(days=365)
LATE = date(2027, 9, 15)
"""From when on the newcomer may consult."""

NORD, REGION = "059", "111"
TOWNS = {NORD: "59350", REGION: "75056"}
_OPERATIONS = frozenset(Right) - {Right.MANAGE, Right.CONSULT}
FULL = _OPERATIONS | {Right.CONSULT}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A desk with its one territory."""

    code: str
    sender: str
    territory: str
    rights: frozenset[Right]
    since: date = BEFORE
    suspended: tuple[date, date] | None = None
    """The first day on which it may do nothing, and the first on which it may again."""

    @property
    def consults(self) -> bool:
        return Right.CONSULT in self.rights

    @property
    def manages(self) -> bool:
        return Right.MANAGE in self.rights

    def acts_on(self, day: date) -> bool:
        """Whether it is in service."""
        return day >= self.since and not (self.suspended and self.suspended[0] <= day < self.suspended[1])


DESKS = {
    desk.code: desk
    for desk in (
        Desk(code="59123", sender="mairie", territory=NORD, rights=FULL),
        Desk(code="59777", sender="editeur", territory=NORD, rights=FULL),
        Desk(
            code="59888",
            sender="conseil",
            territory=NORD,
            rights=frozenset({Right.CREATION, Right.RENEWAL, Right.REMOVAL}),
        ),
        Desk(code="59000", sender="prefecture", territory=NORD, rights=_OPERATIONS | {Right.MANAGE}),
        Desk(code="59999", sender="nouveau", territory=NORD, rights=FULL, since=LATE),
        Desk(code="75001", sender="editeur", territory=REGION, rights=FULL),
        Desk(
            code="75002",
            sender="region",
            territory=REGION,
            rights=FULL | {Right.MANAGE},
            suspended=(date(2027, 6, 10), date(2027, 7, 20)),
        ),
    )
}
MANAGERS = {desk.territory: desk.code for desk in DESKS.values() if desk.manages}


async def enrol(register: Register) -> Reception:
    """Everybody, with mandates from the first day on that they may do anything."""
    reception = Reception(register)
    for desk in DESKS.values():
        await reception.enrol(desk.sender, desk.code, [desk.territory], rights=desk.rights, starts_on=desk.since)
    return reception


async def suspend(reception: Reception, day: date, before: date) -> None:
    """Suspend or release those desks of which the time has come since `before`."""
    for desk in DESKS.values():
        if desk.suspended and desk.acts_on(day) != desk.acts_on(before):
            await reception.suspend_desk(desk.code, Standing.ACTIVE if desk.acts_on(day) else Standing.SUSPENDED)
