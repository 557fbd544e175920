"""What is measured of the work, without knowing who reads it. Names and codes only, never content; no call raises."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Counted = Literal["mail", "request", "anomaly"]
Identifier = int | str | None
Step = Literal["decided", "undetermined", "composed", "sent", "deferred", "doubtful", "refused"]
"""`decided`: from the reception on; `undetermined` likewise. The others: of one outgoing mail."""
Level = Literal["lock_held", "mailbox_mails", "mailbox_emptied_at", "job_done_at"]


@dataclass(slots=True)
class Ending:
    """How a piece of work ended. An exception is noted by itself."""

    outcome: str = "done"


class Meter(Protocol):
    """Where measurements go."""

    def turn(self, stage: str) -> AbstractContextManager[Ending]:
        """One turn of a stage: how long it took and how it ended."""
        ...

    def call(self, dependency: str, operation: str) -> AbstractContextManager[Ending]:
        """One use of a server, of the database or of the pool."""
        ...

    def count(self, what: Counted, **labels: str) -> None:
        """One more of these."""
        ...

    def level(self, what: Level, value: float, **labels: str) -> None:
        """What is so now; instants are given in seconds since 1970."""
        ...

    def mail(self, intake: int, step: Step, begun: datetime, ended: datetime, **identifiers: Identifier) -> None:
        """A step of a mail's way was made, and is on record."""
        ...


class Unmeasured:
    """Nobody reads it."""

    @contextlib.contextmanager
    def turn(self, stage: str) -> Iterator[Ending]:  # noqa: ARG002  the signature of the port
        """Not measured."""
        yield Ending()

    @contextlib.contextmanager
    def call(self, dependency: str, operation: str) -> Iterator[Ending]:  # noqa: ARG002  the signature of the port
        """Not measured."""
        yield Ending()

    def count(self, what: Counted, **labels: str) -> None:
        """Not counted."""

    def level(self, what: Level, value: float, **labels: str) -> None:
        """Not kept."""

    def mail(self, intake: int, step: Step, begun: datetime, ended: datetime, **identifiers: Identifier) -> None:
        """Not followed."""


UNMEASURED = Unmeasured()
