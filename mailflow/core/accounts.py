"""What the register accounts for, as it is held against mailboxes and counters: facts, without any of what was sent."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMail:
    """A mail on record."""

    id: int
    """Of its intake."""
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
    """It is to be sent yet, and nobody is at it."""


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
