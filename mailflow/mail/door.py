"""What the stages of the mail door work with: ports, pace and names, chosen by `app` and passed to each stage."""

import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Protocol, Self

from mailflow.attestation import Attestation
from mailflow.core import backoff
from mailflow.core.model import Directory, Environment
from mailflow.core.rates import Rates
from mailflow.errors import Misconfigured, Unavailable
from mailflow.log import event, fault
from mailflow.mail.hindsight import Hindsight
from mailflow.mail.judge import Unjudged
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.model import Recognition, Verdict
from mailflow.mail.pool import TaskFailed
from mailflow.mail.ports import Copies, Mailbox, Mailer
from mailflow.mail.trust import TrustMaterial
from mailflow.meter import UNMEASURED, Meter
from mailflow.register import Register, directory, intake, issuing, outbox, presence
from mailflow.registrar import Terms

log = logging.getLogger(__name__)


class Judges(Protocol):
    """Who judges, typesets and composes: `mail.pool.Pool`, or the same functions in this very process."""

    served: TrustMaterial | None
    """What the present generation works from; None before the first `serve`."""

    async def serve(self, material: TrustMaterial) -> None: ...

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> Sequence[Verdict | None]:
        """One verdict per mail, in order; None for those that were left for another time, never for the first.

        Raises TaskFailed for the whole chunk when one of them breaks.
        """
        ...

    async def recognise(self, mails: Sequence[Unjudged], at: datetime) -> list[Recognition]:
        """Who sent each mail, in order; None where nobody is proven. Raises TaskFailed likewise."""
        ...

    async def typeset(self, attestations: Sequence[Attestation], at: datetime) -> list[bytes]:
        """A PDF for each, in order. Raises TaskFailed likewise."""
        ...

    async def compose(self, compositions: Sequence[Composition], at: datetime) -> list[Composed]:
        """What came of each composition, in order. Raises TaskFailed likewise."""
        ...

    async def close(self) -> None: ...


class TrustSource(Protocol):
    async def material(self, directory: Directory) -> TrustMaterial:
        """The enrolments with the anchors, intermediates and CRLs of now; the same object while nothing changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much at a time, how long, how often."""

    chunk: int
    """Mails in one transaction."""
    requests_max: int
    """Requests in one transaction; a single mail with more still goes through alone."""
    chunk_bytes_max: int
    """Octets of the mails in one transaction; a single larger one still goes through alone."""
    lease: timedelta
    """How long a claim holds: after a kill, so long until somebody else takes over."""
    attempts_max: int
    """Solo attempts at a mail before it is set aside."""
    waiting_max: int
    """Mails that wait to be decided, or answers that have not left; at so many the others stay in the mailbox."""
    put_off_bytes_max: int
    """Octets of mails beyond their senders' rates; at so many the others stay in the mailbox."""
    disk_used_max: float
    """Part of the register's disk, 0 to 1; beyond it mails stay in the mailbox."""
    undetermined_retry: timedelta
    rates: Rates
    """Of a sender that has none of its own: every budget."""
    successor_at_once: bool
    """Whether a certificate that a mail offers is enrolled without an operator's word."""
    late: timedelta
    """How long a mail may wait with us before its sender is told that it is here."""
    deadline: timedelta
    """From reception to answer: the 12 hours."""
    sending_max: timedelta
    """How long one send may take from its record on: so long its sender may still be in the middle of it."""
    audit_wait: timedelta
    """How long a doubtful send may still turn up in the audit mailbox before it is sent again."""
    audit_reserve: timedelta
    """Time left to the deadline at which a doubtful send is no longer waited for."""
    defer_first: timedelta
    defer_most: timedelta
    mail_bytes_max: int
    """Of one mail that we send."""
    gather: timedelta
    """How long what is to be recorded of one send waits for others, while there are any: they share a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailDoor:
    """Everything a stage needs. Frozen: what changes lies in the register and behind the ports, all but `spared`."""

    register: Register
    mailbox: Mailbox
    copies: Copies
    hindsight: Hindsight
    mailer: Mailer
    judges: Judges
    trust: TrustSource
    environment: Environment
    account: str
    """Names the mailbox account in the intake, for ever."""
    inbox: str
    processed: str
    quarantine: str
    address: str
    """The service's own: where requests go, and From of the answers."""
    bounce_address: str | None
    """Envelope sender, with a detail for each mail; None: the null sender."""
    audit_address: str
    owner: str
    """Names this process in leases; no two running processes share one."""
    pace: Pace
    clock: Callable[[], datetime]
    meter: Meter = UNMEASURED
    disk_used: Callable[[], float | None] = lambda: None
    """Part of the disk that the register lies on, when it lies on one of ours."""
    spared: dict[int, int] = field(default_factory=dict)
    """Attempts that the surroundings ended, the how manieth by mail, as long as the register counts them."""
    present: bool = False
    """Others see that it lives (`register.presence`): only then may it hold those for dead who do not seem to."""

    async def is_whole(self) -> bool:
        """Whether anything may be taken in or decided: not while the register is behind. Raises Unavailable."""
        return await self.hindsight.look(self.register, self.clock())

    async def may_send(self) -> bool:
        """Likewise: what the register takes for unsent may have left in the time that it lost.

        Whether it is behind cannot be told while the mailboxes are away: then it is enough that nobody has found it so.
        """
        if not self.hindsight.failed_lately:
            with contextlib.suppress(Unavailable, Misconfigured):
                return await self.is_whole()
        async with self.register.read() as tx:
            return await issuing.is_whole(tx)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What one turn of a stage did. All counts; `+` adds them up."""

    received: int = 0
    answered: int = 0
    """Mails decided with an answer."""
    questions: int = 0
    """Questions answered, of `GES` files."""
    set_aside: int = 0
    undetermined: int = 0
    put_off: int = 0
    """Mails beyond their senders' rates, which wait for their turn."""
    stopped: int = 0
    """Mails that wait until numbers are given again."""
    registered: int = 0
    replayed: int = 0
    refused: int = 0
    late: int = 0
    """Mails that were looked at because their answers are late."""
    composed: int = 0
    sent: int = 0
    deferred: int = 0
    doubtful: int = 0
    looked_for: int = 0
    """Sends in doubt that are so still, though they were looked for, which they had not been of late."""
    held: int = 0
    retried: int = 0
    """Mails given back to be run alone."""

    def __add__(self, other: Self) -> "Progress":
        return Progress(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __bool__(self) -> bool:
        """Whether anything was done at all: then there may be more."""
        return any(getattr(self, f.name) for f in fields(self))


def next_attempt(door: MailDoor, attempts: int) -> datetime:
    """When what failed that often is tried again."""
    pace = door.pace
    seconds = backoff.delay(
        attempts,
        first=pace.defer_first.total_seconds(),
        most=pace.defer_most.total_seconds(),
        spread=0.5,
        jitter=random.random(),  # noqa: S311  spreads load, protects nothing
    )
    return door.clock() + timedelta(seconds=seconds)


def tell_failed(logger: logging.Logger, stage: str, error: Exception, **identifiers: int) -> None:
    """What failed, by its name and place: what a task of the pool says of itself, or where it was raised here."""
    if isinstance(error, TaskFailed):
        event(logger, stage, level=logging.ERROR, error=error.what, at=error.place or None, **identifiers)
    else:
        fault(logger, stage, error, **identifiers)


async def let_go(door: MailDoor) -> None:
    """Give back what this process still holds, so that nobody waits for its leases to run out."""
    with contextlib.suppress(Unavailable):
        async with door.register.begin() as tx:
            await intake.release_all(tx, door.owner)
            await outbox.release_all(tx, door.owner)


async def take_over(door: MailDoor) -> Progress:
    """Free what workers had claimed that are gone. Raises Unavailable."""
    freed = await presence.take_over(door.register, door.owner, door.clock()) if door.present else 0
    if freed:
        event(log, "taken-over", mails=freed)
    return Progress(retried=freed)


async def current_terms(door: MailDoor) -> Terms:
    """The enrolments of now. When they or the trust files changed, the judges serve the new ones from here on.

    Raises Unavailable, and Misconfigured when there is nothing usable to begin with. A trust file that becomes
    unusable later (half written, say) only makes the mails wait until it is mended.
    """
    served = door.judges.served
    async with door.register.read() as tx:
        if served is not None and served.directory.generation == await directory.generation(tx):
            known = served.directory
        else:
            known = await directory.read(tx)
    try:
        material = await door.trust.material(known)
        if material is not served:
            await door.judges.serve(material)
    except Misconfigured as error:
        if served is None:
            raise
        raise Unavailable(str(error)) from None
    return Terms(directory=known, environment=door.environment)
