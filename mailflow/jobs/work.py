"""What a job is: what it would do at an instant, and one bounded step of doing it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailflow.core.chain import Notary
from mailflow.core.expiry import Validity
from mailflow.core.model import Environment
from mailflow.core.promises import Doubt
from mailflow.register import Register, Transaction, issuing

BATCH = 500
"""Requests, or mails, that one transaction changes."""
EXAMPLES = 20
"""How many of what is due a preview names."""


Examine = Callable[[Register, Sequence[int]], Awaitable[Sequence[Doubt]]]
"""Reads these accepted mails again, and gives whatever does not agree with the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """On what terms the jobs work."""

    environment: Environment
    domain: str
    """Right-hand side of the Message-IDs of the mails that they order."""
    notice: timedelta
    """How long before its last day a request's desk is told."""
    retention: timedelta
    """How long a mail is kept once it is done with."""
    notary: Notary
    validity: Callable[[bytes], Validity | None]
    """Of a certificate in DER; None when it cannot be read."""
    examine: Examine


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a job would do."""

    count: int
    examples: tuple[str, ...]
    """The first of them: numbers, or intakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run of a job came to."""

    done: int
    """How much was done."""
    goes_on: bool
    """It came to the bound of a run, and more may be due: the next one goes on."""


async def _ends(_tx: Transaction) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that time does.

    What is due follows from the register and the instant alone: a day that was missed is made up for, and what was
    done is not due any more, so that a job can be killed at any line and run again at any time.
    """

    name: str
    what: str
    """For the operator, one sentence."""
    due: Callable[[Transaction, JobTerms, datetime], Awaitable[Due]]
    step: Callable[[Register, JobTerms, datetime], Awaitable[int]]
    """Do the next of what is due, in transactions of a bounded size; how much was done, 0 when nothing is left, or
    the run has come to its bound."""
    goes_on: Callable[[Transaction], Awaitable[bool]] = _ends
    """Whether the last run ended at its bound: one that is long lets the other jobs have their turn."""


async def run(register: Register, job: Job, terms: JobTerms, at: datetime) -> int:
    """Do all that is due; how much was done. Raises Unavailable; what was done until then stays done.

    Nothing is, in a register that is behind its mailboxes: it would tell desks of requests that others have renewed,
    and destroy the keys of what a later copy of it holds.
    """
    async with register.read() as tx:
        await issuing.require_whole(tx)
    done = 0
    while step := await job.step(register, terms, at):
        done += step
    return done
