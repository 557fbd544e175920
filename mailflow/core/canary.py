"""The canary: the service's own request in territory `000`, which goes the whole way and never becomes a real one.

Sender, desk and territory are its own: the register holds none of them with any other, and none of its own without the
others. Whoever sees a number sees at both ends that nobody lives behind it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailflow.core.model import Environment, Mandate, Right, SenderCode
from mailflow.core.numbers import CANARY_TERRITORY, DeskCode, UniqueNumber

CANARY_SENDER = SenderCode("canary")
CANARY_DESKS = {Environment.PRODUCTION: DeskCode("00000"), Environment.SCHOOL: DeskCode("Z0000")}
"""The code of its desk: a school's desk begins with `Z`."""


def belongs_to_canary(*, sender: str, desk: str, territory: str) -> bool | None:
    """Whether a mandate, or a request, is the canary's; None when only a part of it is: there must be none such."""
    marks = {sender == CANARY_SENDER, desk in CANARY_DESKS.values(), territory == CANARY_TERRITORY}
    return marks.pop() if len(marks) == 1 else None


CANARY_APART = "the sender canary, the desks 00000 and Z0000 and territory 000 go together, for creations only"


def keeps_canary_apart(sender: str, mandate: Mandate) -> bool:
    """Whether a mandate gives the canary nothing real, and nobody else something of the canary's."""
    canary = belongs_to_canary(sender=sender, desk=mandate.desk, territory=mandate.territory)
    return canary is False or (canary is True and mandate.rights == {Right.CREATION})


def is_canary_number(number: UniqueNumber) -> bool:
    """Whether the number stands for nobody."""
    return number.startswith(CANARY_TERRITORY)


class CanaryOutcome(StrEnum):
    """How a canary request ended."""

    ANSWERED = "answered"
    """The right answer lay in the mailbox: registered, attested without value, signed by the service."""
    UNSENT = "unsent"
    """The mail server did not take it."""
    REFUSED = "refused"
    """It was answered, and not registered."""
    WRONG = "wrong"
    """What came is no answer of the service, or not the whole of it."""
    LOST = "lost"
    """Its deadline has passed without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRun:
    """One canary request on its way."""

    id: int
    file_name: str
    begun_at: datetime
    late_at: datetime
    """When it ought to have been answered."""
    sent_at: datetime | None
    ended_at: datetime | None
    outcome: CanaryOutcome | None
    number: UniqueNumber | None

    def is_late(self, at: datetime) -> bool:
        """Whether nothing has come of it in time."""
        return self.ended_at is None and at > self.late_at
