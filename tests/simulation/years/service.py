"""The service in the simulated years: `registrar.submit` and the jobs on a real register, at a clock that is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import groupby

from mailflow import registrar
from mailflow.core.calendar import PARIS
from mailflow.core.model import Door, Environment, FileReceipt, SenderCode, Submission, Submitter
from mailflow.jobs import dispatch as telling
from mailflow.jobs import work
from mailflow.jobs.audit import AUDIT
from mailflow.jobs.daily import JOBS
from mailflow.jobs.orders import Dispatch, Notice
from mailflow.register import Register, directory, dispatches, intake, watching
from mailflow.register.arrivals import Arrival
from tests.simulation.years import cast
from tests.simulation.years.acts import Act, file_of
from tests.simulation.years.cast import DESKS
from tests.support.jobs import TERMS, ordered
from tests.support.reception import Reception

NIGHT, EVENING = time(2, 30), time(18)
LEASE = timedelta(hours=1)
LIMIT = 10_000
NO_ANSWERS = "answered-has-an-answer"
"""The one promise that is not kept here: files are decided without a mail door, which writes the answers."""


@dataclass(kw_only=True)
class Service:
    """At work on a register in which the cast is enrolled."""

    register: Register
    reception: Reception
    last_night: date = cast.START
    mails: int = 0
    files: int = 0
    decided: list[date] = field(default_factory=list)
    """The day on which each mail was decided."""
    sent: list[date] = field(default_factory=list)
    """The day on which each mail of the jobs was sent."""

    @classmethod
    async def open(cls, register: Register) -> "Service":
        return cls(register=register, reception=await cast.enrol(register))

    async def night(self, day: date) -> list[Notice | Dispatch]:
        """All jobs of a night but the audit; what they ordered leaves at once."""
        await cast.suspend(self.reception, day, self.last_night)
        self.last_night = day
        at = datetime.combine(day, NIGHT, PARIS)
        for job in JOBS:
            if job is not AUDIT:  # it goes through the whole journal, so not each night
                await work.run(self.register, job, TERMS, at)
        return await self._collect(at)

    async def audit(self, day: date) -> list[str]:
        """Which promises the register breaks by its own audit."""
        await work.run(self.register, AUDIT, TERMS, datetime.combine(day, NIGHT, PARIS))
        async with self.register.read() as tx:
            found = await watching.broken(tx)
        return [f"{name} is broken {times} times" for name, times in found.items() if times and name != NO_ANSWERS]

    async def _collect(self, at: datetime) -> list[Notice | Dispatch]:
        orders = [order for _, order in await ordered(self.register, at)]
        self.sent += [at.date()] * len(orders)
        return orders

    async def decide(self, acts: Sequence[Act], day: date) -> list[tuple[FileReceipt, list[Act]]]:
        """Take in what was received, a mail for each sender and moment, and decide it in one chunk; by file."""
        mails = [self._mail(list(group)) for _, group in groupby(acts, key=_mail_of)]
        if not mails:
            return []
        at = datetime.combine(day, EVENING, PARIS)
        async with self.register.begin() as tx:
            await intake.take_in(tx, [arrival for arrival, _, _ in mails], at)
        async with self.register.begin() as tx:
            claimed = await intake.claim_chunk(tx, "me", LIMIT, at, at + LEASE, size_bytes_max=LIMIT * LIMIT)
        by_octets = {mail.raw: mail.id for mail in claimed}
        async with self.register.begin() as tx:
            known = await directory.read(tx)
            submissions = [
                Submission(
                    submitter=Submitter(
                        sender=SenderCode(sender), certificate="c" * 64, trust_generation=known.generation
                    ),
                    door=Door.MAIL,
                    intake=by_octets[arrival.raw or b""],
                    received_at=arrival.received_at,
                    files=tuple(file_of(part, self._next()) for part in parts),
                )
                for arrival, sender, parts in mails
            ]
            terms = registrar.Terms(directory=known, environment=Environment.PRODUCTION)
            receipts = await registrar.submit(tx, submissions, terms, at)
            settled = [
                intake.Settlement(id=mail.id, state="answered", reason="", detail="", sender=None) for mail in claimed
            ]
            await intake.settle(tx, "me", settled, at)
        self.decided += [day] * len(mails)
        files = [receipt for one in receipts for receipt in one.files]
        return list(zip(files, [part for _, _, parts in mails for part in parts], strict=True))

    def _next(self) -> int:
        self.files += 1
        return self.files

    def _mail(self, acts: list[Act]) -> tuple[Arrival, str, list[list[Act]]]:
        """A file for each desk and operation."""
        self.mails += 1
        raw = b"mail %d" % self.mails
        arrival = Arrival(
            account="service",
            mailbox="INBOX",
            uidvalidity=1,
            uid=self.mails,
            raw=raw,
            size_bytes=len(raw),
            received_at=acts[-1].received_at,
        )
        parts = [list(group) for _, group in groupby(acts, key=lambda act: (act.desk, act.kind.operation))]
        return arrival, DESKS[acts[0].desk].sender, parts

    async def tell_again(self, lost: Sequence[tuple[str, int]], at: datetime) -> list[Dispatch]:
        """The operator sends dispatches (desk, number) again."""
        for desk, number in lost:
            async with self.register.read() as tx:
                (made,) = await dispatches.find(tx, desk, number)
                known = await directory.read(tx)
            assert await telling.resend(self.register, made, known, TERMS, at)
        return [order for order in await self._collect(at) if isinstance(order, Dispatch)]


def in_order(acts: Sequence[Act]) -> list[Act]:
    """As they come in: by day and hour; the mails of a moment by sender, their files by desk and operation."""
    return sorted(acts, key=lambda act: (*_mail_of(act), act.desk, act.kind.operation))


def _mail_of(act: Act) -> tuple[date, bool, str]:
    return act.received_at.date(), act.received_at.hour > EVENING.hour, DESKS[act.desk].sender
