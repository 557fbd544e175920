"""What the register accounts for, as it is held against mailboxes and counters: facts, without any of what was sent."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMail:
    """A mail on record."""

    id: int
    """Of its intake."""
    account: str
    """Whose mailbox it came to."""
    received_at: datetime
    size_bytes: int
    is_whole: bool
    """Its octets were taken in, so that it belongs to the processed ones; else it was too large to be read."""
    digest: str | None
    repeats: bool
    """The same delivery as another one, seen again after a change of UIDVALIDITY: it is no mail more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOutgoing:
    """An outgoing mail on record."""

    id: int
    message_id: str
    body_digest: str | None
    """None: it was never composed."""
    sends: int
    """How often it was sent, or perhaps sent."""
    copies_before: int
    """How many of its copies prove nothing of what is to come: it was ordered to be sent again."""
    waits: bool
    """It is to be sent yet, at once or when somebody releases it, and nobody is at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is counted from 1 on: numbers of a territory and month, a territory's history, a desk's dispatches."""

    name: str
    counter: int | None
    """Where its counter stands; None: it has none."""
    highest: int
    """Of those that exist; 0: there are none."""
    count: int
    """How many different ones exist."""
    rows: int
    """How many exist: more than `count` when one was given twice."""
    removed: int = 0
    """Of these, how many were removed: they stand for nothing any more."""


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Consecutive ones of a series, both ends included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.length == 1 else f"{self.first}-{self.last}"


def stretches(ordered: Iterable[int]) -> list[Stretch]:
    """Ascending numbers as stretches that are as long as they can be."""
    found: list[Stretch] = []
    for one in ordered:
        if found and one == found[-1].last + 1:
            found[-1] = Stretch(found[-1].first, one)
        else:
            found.append(Stretch(one, one))
    return found


class Cause(StrEnum):
    """Why a counter has passed over numbers that no request has."""

    JUMP = "jump"
    """After a restore the counters jumped: nobody could tell which of these had gone out."""
    NEVER_LEFT = "never-left"
    """They were of the time that a restore lost, and in no answer that left: nobody was told of them."""
    KEPT = "kept"
    """They are kept for the requests that had them in such a time, until these come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """Numbers of a territory and month that no request has, on record."""

    stretch: Stretch
    cause: Cause
    at: datetime | None
    """When the counter passed over them; None: what is kept is on record without."""
    by: str
    why: str
    """Who did it, and the reason that they gave; empty likewise."""
