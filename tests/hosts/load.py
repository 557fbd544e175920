"""A steady load of letters, and what the register shows meanwhile: who holds what, how much has left."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from tests.hosts.beside import Beside
from tests.support.letters import Letter, Writer, without_end
from tests.support.mail_world import MailWorld

DECIDED = (
    "SELECT (SELECT count(*) FROM intake), (SELECT count(*) FROM intake WHERE next_at IS NULL), "
    "(SELECT coalesce(sum(last), 0) FROM counter)"
)


@dataclass(kw_only=True)
class Load(Beside):
    """Lays a letter into the mailbox every `pause_seconds`, within the block.

    It waits while more than `ahead_max` letters lie before the one that was last answered: a load, not a flood.
    """

    world: MailWorld
    at: datetime
    pause_seconds: float
    letters: list[Letter] = field(default_factory=list)
    ahead_max: int = 40
    answered: int = 0
    """As the register says: it paces the load, and proves nothing."""

    def __post_init__(self) -> None:
        self._source = without_end(Writer(self.world.installation, self.at), self.world.software)

    def _go_on(self) -> None:
        while not self._over.wait(self.pause_seconds):
            if len(self.letters) - self.answered < self.ahead_max:
                letter = next(self._source)
                self.world.post([letter.raw])
                self.letters.append(letter)


class Register:
    """What is seen of the register from outside: to pace and to measure, never to judge."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[Any] | None = None

    def look_at(self, conninfo: str) -> None:
        """Another database from now on."""
        self.close()
        self._connection, self._conninfo = None, conninfo

    def holders(self) -> dict[int, int]:
        """How many mails each worker has leased, by the pid that its name has."""
        held: dict[int, int] = {}
        for owner, count in self._rows(
            "SELECT lease_owner, count(*) FROM intake WHERE lease_until > now() GROUP BY 1 UNION ALL "
            "SELECT lease_owner, count(*) FROM outbox WHERE lease_until > now() "
            "AND state <> 'sent' AND state <> 'withdrawn' GROUP BY 1"
        ):
            pid = int(owner.split(":")[1])
            held[pid] = held.get(pid, 0) + count
        return held

    def sent(self) -> int:
        """Answers that have left."""
        ((count,),) = self._rows("SELECT count(*) FROM outbox WHERE kind = 'answer' AND state = 'sent'")
        return int(count)

    def waits(self) -> list[float]:
        """Seconds from reception to the answer of every mail that has one."""
        seconds = "extract(epoch FROM sent_at - received_at)"
        return [float(one) for (one,) in self._rows(f"SELECT {seconds} FROM outbox WHERE sent_at IS NOT NULL")]

    def stopped_by(self) -> str | None:
        """Who has stopped the numbers; None while they are given."""
        ((by,),) = self._rows("SELECT stopped_by FROM issuing")
        return None if by is None else str(by)

    def decided(self) -> tuple[int, int, int]:
        """Mails that were taken in; those of them that were decided; numbers that the counters gave."""
        ((mails, decided, numbers),) = self._rows(DECIDED)
        return mails, decided, int(numbers)

    def rest(self) -> tuple[int, int, int]:
        """Mails to be decided; answers to be sent; mails set aside or held, which no good letter may come to."""
        ((undecided, unsent, aside),) = self._rows(
            "SELECT (SELECT count(*) FROM intake WHERE next_at IS NOT NULL), (SELECT count(*) FROM outbox "
            "WHERE state <> 'sent' AND state <> 'withdrawn' AND state <> 'held'), "
            "(SELECT count(*) FROM intake WHERE state IN ('set_aside', 'held')) "
            "+ (SELECT count(*) FROM outbox WHERE state = 'held')"
        )
        return undecided, unsent, aside

    def _rows(self, query: str) -> Sequence[Any]:
        """A connection that is lost is made anew until the database is there."""
        while True:
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=2)
                return self._connection.execute(query).fetchall()
            except psycopg.OperationalError:
                self._connection = None
                time.sleep(0.1)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextlib.contextmanager
def watched(conninfo: str) -> Iterator[Register]:
    register = Register(conninfo)
    try:
        yield register
    finally:
        register.close()


def drained(world: MailWorld, register: Register, seconds: float) -> bool:
    """Whether nothing is left in the inbox or the queues, within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not world.dovecot.messages("demandes") and not any(register.rest()[:2]):
            return True
        time.sleep(0.5)
    return False
