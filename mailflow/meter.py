"""What is measured of the work, without knowing who reads it. Names and codes only, never content; no call raises."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

Counted = Literal["mail", "request", "anomaly"]
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


UNMEASURED = Unmeasured()
