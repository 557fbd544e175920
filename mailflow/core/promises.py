"""Promises that are looked after by reading accepted mails again; a broken one has the name that alarms tell."""

from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """What must hold of every accepted mail and its answer."""

    PROVEN = "acceptance-is-proven-again"
    """Its evidence, and the mail itself, verify again."""
    FILES = "answer-has-every-file"
    """Each file of the mail is in the answer, once for each time that it came, and no other is."""
    OUTCOMES = "request-has-one-outcome"
    """Each request of a file that was read has a number, or why it has none, and not both."""
    FOLLOWS = "number-follows-from-request"
    """A new number says territory, month and desk of its request; a change is of the number that the file names."""
    ONE = "number-is-of-one-request"
    """A number that an answer gives anew is on record as made by that very request of that very file."""
    RETURNED = "ret-says-what-was-decided"
    """The `RET` file that was sent says of each request what the answer was ordered to say."""
    RECIPIENT = "answer-goes-to-sender"
    """Whoever is proven to have sent the mail gets the answer, at the address on record."""
    TOLD = "number-was-told"
    """What the mail has made on record is in its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A promise that was not kept with a mail."""

    intake: int
    promise: Promise
    about: str
    """Identifiers only: place of the file in the mail, of the request in the file, what does not agree."""
