"""The canary at work: sends its request as a desk would, waits for the answer where it comes, checks it, erases it."""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailflow.app.apart import apart
from mailflow.app.keys import key_files
from mailflow.core.calendar import legal_day
from mailflow.core.canary import CANARY_DESKS, CanaryOutcome, CanaryRun
from mailflow.core.numbers import UniqueNumber
from mailflow.core.service_keys import ServiceKey
from mailflow.errors import Unavailable
from mailflow.log import event, fault
from mailflow.mail import canary, cms, desk
from mailflow.mail.door import MailDoor
from mailflow.mail.key_files import read_private
from mailflow.mail.kinds import ANSWER
from mailflow.mail.ports import Outgoing, Sending
from mailflow.mail.trust_files import octets_of
from mailflow.register import canary as runs
from mailflow.register import service_keys
from mailflow.register.journal import Act
from mailflow.registrar import person
from mailflow.settings import Settings

STEP_SECONDS = 20.0
"""How often its answer is looked for."""
SENDING_MAX = timedelta(minutes=15)
"""After that a run that was not marked as sent never was: the process was killed in between."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryKeys:
    """With what it signs and decrypts; and what the service has published."""

    signing_key: cms.SigningKey
    key: cms.DecryptionKey
    encrypt_to: Callable[[Collection[ServiceKey], datetime], bytes]
    """The service's certificate, in DER, that desks are to encrypt to then; by its keys on record."""
    signed_by: Callable[[], Sequence[bytes]]
    """Those that it signs with, in DER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What it needs to send and to check."""

    door: MailDoor
    keys: CanaryKeys
    address: str
    every: timedelta
    late: timedelta
    deadline: timedelta
    clock: Callable[[], datetime]

    async def keep(self) -> None:
        """Step after step, until cancelled."""
        while True:
            await self.guarded()
            await asyncio.sleep(STEP_SECONDS)

    async def guarded(self) -> None:
        """One step, whatever happens in it. What keeps it from its work shows: the canary is late."""
        error = (await apart(self.step())).exception()
        if isinstance(error, Unavailable):
            event(log, "unavailable", level=logging.WARNING, work="canary")
        elif error is not None:
            fault(log, "canary-failed", error)

    async def step(self, *, at_once: bool = False) -> bool:
        """See what became of the one on its way; send another when it is time, or at once. Raises Unavailable.

        Whether one was sent.
        """
        async with self.door.register.alone("canary") as ours:
            if not ours:
                return False
            async with self.door.register.read() as tx:
                standing, known = await runs.standing(tx), await service_keys.read(tx)
            under_way = next((run for run in standing if run.ended_at is None), None)
            if under_way is not None:
                await self._follow(under_way)
                return False
            if not at_once and any(self.clock() - run.begun_at < self.every for run in standing):
                return False
            return await self._send(known)

    async def _send(self, known: Collection[ServiceKey]) -> bool:
        """The intent is kept before the mail is sent: a kill in between leaves one that was not sent, never two."""
        at, environment = self.clock(), self.door.environment
        encrypt_to = self.keys.encrypt_to(known, at)
        parcel = canary.parcel(
            environment,
            desk.Protection(signing_key=self.keys.signing_key, encrypt_to=encrypt_to, opaque=False, legacy=False),
            sender=self.address,
            recipient=self.door.address,
            message_id=f"<canary.{os.urandom(12).hex()}@{self.address.rpartition('@')[2]}>",
            at=at,
        )
        async with self.door.register.begin() as tx:
            id_ = await runs.begin(tx, parcel.file_name, at, at + self.late)
        outgoing = Outgoing(
            envelope_from=self.address,
            recipient=self.door.address,
            audit=None,
            envelope_id=parcel.file_name,
            raw=parcel.raw,
        )
        result = await self.door.mailer.send(outgoing, _go_on)
        event(log, "canary-sent", canary=id_, outcome=result.state.value)
        if result.state in (Sending.SENT, Sending.DOUBTFUL):  # whether a doubtful one came, its answer tells
            async with self.door.register.begin() as tx:
                await runs.sent(tx, id_, self.clock())
            return True
        await self._end(id_, CanaryOutcome.UNSENT, None)
        return False

    async def _follow(self, run: CanaryRun) -> None:
        at, code = self.clock(), CANARY_DESKS[self.door.environment]
        if run.sent_at is None and at - run.begun_at > SENDING_MAX:
            await self._end(run.id, CanaryOutcome.UNSENT, None)
            return
        async with self.door.register.read() as tx:
            message_id = await runs.answer_to(tx, ANSWER, code, run.file_name)
        copies = await self.door.copies.find(message_id) if message_id else ()
        if copies:
            found = canary.check(copies[0], self.keys.key, self.keys.signed_by(), self.door.environment, at)
            await self._end(run.id, found.outcome, found.number)
        elif at - run.begun_at > self.deadline:
            await self._end(run.id, CanaryOutcome.LOST, None)

    async def _end(self, id_: int, outcome: CanaryOutcome, number: UniqueNumber | None) -> None:
        """What it said is erased at once: its number and the fact stay, as of every request."""
        at = self.clock()
        async with self.door.register.begin() as tx:
            await runs.ended(tx, id_, outcome, number, at)
            plan = await person.plan_erasure(tx, number) if number else None
            if plan is not None:
                await person.erase(tx, plan, Act(by="canary", why="it was answered"), legal_day(at), at)
        level = logging.INFO if outcome is CanaryOutcome.ANSWERED else logging.ERROR
        event(log, "canary-ended", level=level, canary=id_, outcome=outcome.value, number=number)


async def _go_on() -> bool:
    return True


def canary_keys(settings: Settings, clock: Callable[[], datetime]) -> CanaryKeys | None:
    """Those that the settings name; None when there is no canary. Raises Misconfigured when they cannot be used."""
    bird = settings.canary
    if bird.key_file is None or bird.certificate_file is None:
        return None
    key, certificate = read_private(bird.key_file), octets_of(bird.certificate_file)
    files = key_files(settings, clock)
    return CanaryKeys(
        signing_key=cms.load_signing_key(key, certificate),
        key=cms.load_decryption_key(key, certificate),
        encrypt_to=lambda known, at: files.opens(known, at).der,
        signed_by=files.known_signing,
    )


def canary_of(settings: Settings, door: MailDoor, clock: Callable[[], datetime]) -> Canary | None:
    """As the settings say; None when there is none. Raises Misconfigured when its key or certificate cannot be used."""
    bird, keys = settings.canary, canary_keys(settings, clock)
    if keys is None:
        return None
    return Canary(
        door=door,
        keys=keys,
        address=bird.address or settings.audit.address,
        every=timedelta(minutes=bird.every_minutes),
        late=timedelta(minutes=bird.late_minutes),
        deadline=timedelta(hours=settings.service.deadline_hours),
        clock=clock,
    )
