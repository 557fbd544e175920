"""Mails that wait for their answer, as they are counted: whoever decides what they mean looks at no register."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Mails without an answer, alike in all of this."""

    span: int
    """How many of the given bounds lie behind their reception: 0 is the youngest."""
    oldest: datetime
    """The first reception among them."""
    count: int
    stuck: bool
    """Nothing is done about them now: they are held, doubtful, or to be tried again at a later time."""
    state: str
    sender: str | None
    """None while they are not judged: nothing that a mail says of itself is proven."""
    desk: str | None
    """Among several desks of one mail the first; None as for the sender, and when no file of a desk could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """No unique number is given, since `at`."""

    at: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What was finished since some instant: answers that left, and mails that get none."""

    count: int
    first_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer that left, or one mail of it."""

    intake_id: int
    received_at: datetime
    sent_at: datetime
