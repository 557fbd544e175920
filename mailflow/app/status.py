"""What the status server is fed with: stages, register, and what runs out, each looked at as often as it changes."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from mailflow import __version__
from mailflow.app.apart import apart
from mailflow.app.disks import disk_use
from mailflow.app.keys import key_files
from mailflow.app.parts import imap_account, now
from mailflow.core.model import EnrolledSender, Standing
from mailflow.core.revocation import KeptSource, SourceKind
from mailflow.core.service_keys import KeyUse, ServiceKey, present
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.log import event, fault
from mailflow.mail import pem
from mailflow.mail.imap import ImapMailbox
from mailflow.mail.kinds import ANSWER
from mailflow.mail.stages import Stages
from mailflow.mail.trust.expiry import lists_end, validity
from mailflow.mail.trust_files import files_in, read_pem_file
from mailflow.ops.metrics import Metrics
from mailflow.ops.reading import read_queues
from mailflow.ops.snapshot import Expiry, Queues, Quota, Snapshot, StageState, Surroundings
from mailflow.register import Register, directory, revocations, service_keys
from mailflow.settings import Settings

SLOW_SECONDS = 600.0
"""How often certificates, lists and quotas are looked at."""
READING_SECONDS_MAX = 5.0
"""How long the register may take to tell; monitors wait no longer than ten seconds."""
FINGERPRINT_CHARACTERS = 16

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Watch:
    """Looks at the service, for the status server and for the watch over it."""

    settings: Settings
    register: Register
    work: Stages
    around: Surroundings = field(default_factory=Surroundings)
    _reading: asyncio.Task[Queues | None] | None = None

    async def look(self) -> Snapshot:
        """The service as it stands now."""
        return Snapshot(
            at=now(),
            version=__version__,
            environment=self.settings.environment.value,
            queues=await self._queues(),
            stages=self.stages(),
            steps=asdict(self.work.progress),
            surroundings=self.around,
        )

    async def _queues(self) -> Queues | None:
        """None when the register does not tell in time; a reading that lasts longer is left to its own time limits."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        done, _ = await asyncio.wait({self._reading}, timeout=READING_SECONDS_MAX)
        return self._reading.result() if done else None

    async def _read(self) -> Queues | None:
        service = self.settings.service
        deadline = timedelta(hours=service.deadline_hours)
        with contextlib.suppress(Unavailable):
            async with self.register.read() as tx:
                return await read_queues(tx, ANSWER, now(), deadline=deadline, percents=service.warning_percents)
        return None

    def stages(self) -> tuple[StageState, ...]:
        """How the stages fare."""
        hanging = self.work.hanging(self.settings.worker.turn_seconds_max)
        return tuple(
            StageState(name=one.name, tried=one.tried, failures=one.failures, hangs=one.name in hanging)
            for one in self.work.all
        )

    async def close(self) -> None:
        """Let go of the register."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def keep(self) -> None:
        """Look at what changes slowly, now and then, until cancelled. What cannot be read now is left as it was."""
        while True:
            error = (await apart(self.look_around())).exception()
            if error is not None:  # a fault of ours: the next look may meet none
                fault(log, "not-looked-at", error)
            await asyncio.sleep(SLOW_SECONDS)

    async def look_around(self) -> None:
        """Once."""
        disk_used = await asyncio.to_thread(disk_use, self.settings)
        expiries = self.around.expiries
        with _tolerated("senders"):
            expiries = await all_expiries(self.settings, self.register)
        self.around = Surroundings(expiries=expiries, quotas=self.around.quotas, disk_used=disk_used)
        with _tolerated("quotas"):
            self.around = replace(self.around, quotas=await self._quotas())

    async def _quotas(self) -> tuple[Quota, ...]:
        found = []
        for imap in (self.settings.mailbox, self.settings.audit):
            mailbox = ImapMailbox(imap_account(self.settings, imap), imap.folder)
            try:
                told = await mailbox.quotas()
            finally:
                await mailbox.close()
            found += [
                Quota(mailbox=imap.account, resource=one.resource, used=one.used, limit=one.limit) for one in told
            ]
        return tuple(found)


@contextlib.contextmanager
def _tolerated(work: str) -> Iterator[None]:
    try:
        yield
    except MailflowError:
        event(log, "not-looked-at", level=logging.WARNING, work=work)


async def all_expiries(settings: Settings, register: Register) -> tuple[Expiry, ...]:
    """All that runs out. Raises Unavailable."""
    async with register.read() as tx:
        senders, keys = await directory.list_senders(tx), await service_keys.read(tx)
        fetched = list_expiries(await revocations.sources(tx), now())
    files = await asyncio.to_thread(lambda: (*_told(service_expiries(settings, keys, now())), *file_expiries(settings)))
    return (*files, *fetched, *sender_expiries(senders))


def list_expiries(kept: Iterable[KeptSource], at: datetime) -> Iterator[Expiry]:
    """When the fetched lists end after which no newer comes: the source fails, or has nothing that is current."""
    for one in kept:
        if one.key.kind is SourceKind.LIST and one.expires and (one.failures or not one.is_current(at)):
            yield Expiry(kind="list", name=one.key.url, at=one.expires)


def sender_expiries(senders: Iterable[EnrolledSender]) -> Iterator[Expiry]:
    """When the last certificate of each active sender ends, for each use: before it another has to be enrolled."""
    for sender in senders:
        ends: dict[str, datetime] = {}
        for known in sender.certificates if sender.standing is Standing.ACTIVE else ():
            if known.standing is Standing.ACTIVE:
                for one in _certificate(f"sender-{known.use.value}", sender.code, known.der):
                    ends[one.kind] = max(one.at, ends.get(one.kind, one.at))
        yield from (Expiry(kind=kind, name=sender.code, at=at) for kind, at in ends.items())


def service_expiries(settings: Settings, keys: Sequence[ServiceKey], at: datetime) -> Iterator[Expiry]:
    """When our own certificates end: each that is in use, or staged, and that no other follows in time."""
    files = key_files(settings, now)
    for use in KeyUse:
        serving = present(keys, use, at)
        begun = [files.of(serving)] if serving else [one for one in files.named if one.use is use]
        staged = sorted(
            (one for one in keys if one.use is use and one.retired_at is None and one.active_from > at),
            key=lambda one: one.active_from,
        )
        turns = [(at, begun), *((one.active_from, [files.of(one)]) for one in staged)]
        for (_, serve), following in zip_longest(turns, turns[1:]):
            for one in serve:
                for found in _certificate("service", one.name, one.der):
                    if following is None or found.at < following[0]:
                        yield found
    if archive := settings.keys.archive_certificate_file:
        yield from _certificate("service", "archive", read_pem_file(archive, pem.CERTIFICATE)[0])


def file_expiries(settings: Settings) -> Iterator[Expiry]:
    """When the authorities' certificates and lists end. What cannot be read is told of by others."""
    trust = settings.trust
    for kind, folder in (("anchor", trust.anchors_dir), ("intermediate", trust.intermediates_dir)):
        for file in files_in(folder, may_be_missing=True):
            for der in _read(file, pem.CERTIFICATE):
                yield from _certificate(kind, f"{file.name} {_beginning(der)}", der)
    for name, ends in lists_end(list_files(settings)).items():
        yield Expiry(kind="list", name=name, at=ends)


def list_files(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """The revocation lists in files, DER, with the name of the file that each lies in."""
    for file in files_in(settings.trust.crls_dir, may_be_missing=True):
        yield from ((file.name, der) for der in _read(file, pem.REVOCATION_LIST))


def _told(expiries: Iterable[Expiry]) -> Iterator[Expiry]:
    """Those before the first that cannot be read: of that others tell."""
    with contextlib.suppress(Misconfigured):
        yield from expiries


def _certificate(kind: str, name: str, der: bytes) -> Iterator[Expiry]:
    if (period := validity(der)) is not None:
        yield Expiry(kind=kind, name=name, at=period.ends)


def _read(file: Path, label: str) -> tuple[bytes, ...]:
    with contextlib.suppress(MailflowError):
        return read_pem_file(file, label)
    return ()


def _beginning(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()[:FINGERPRINT_CHARACTERS]


@contextlib.asynccontextmanager
async def status_served(watch: Watch, metrics: Metrics) -> AsyncIterator[None]:
    """Serve the status while the block runs, if the settings say so. Raises Misconfigured."""
    address = watch.settings.status.address
    if not address:
        yield
        return
    from mailflow.ops import status  # a web server: large for those who have none

    host, _, port = address.rpartition(":")
    try:
        async with status.serving(host.strip("[]"), int(port), status.application(watch, metrics)):
            yield
    finally:
        await watch.close()
