"""The reconciliation with the parts of the settings: the folders of both mailboxes, and the register."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

from mailflow.app.parts import COPY_BYTES_MAX, imap_account, now, register_of
from mailflow.ledger.mending import Mending
from mailflow.ledger.reading import Places, Reading, Terms
from mailflow.ledger.reckoning import Place
from mailflow.mail.imap import ImapCopies, ImapFolder
from mailflow.register import Register, journal
from mailflow.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What reads, and what mends."""

    register: Register
    places: Places
    terms: Terms

    def reading(self) -> Reading:
        """As of now."""
        return Reading(register=self.register, places=self.places, terms=self.terms, at=now())

    def mending(self, act: journal.Act) -> Mending:
        """By whom, and why."""
        account = self.terms.account
        return Mending(register=self.register, places=self.places, account=account, act=act, at=now())


@contextlib.asynccontextmanager
async def ledger_of(settings: Settings, settled: timedelta, *, octets: bool, mends: bool) -> AsyncIterator[Ledger]:
    """Register and mailboxes, for reading only unless it `mends`. Raises Misconfigured and Unavailable."""
    mailbox = settings.mailbox
    account = imap_account(settings, mailbox)
    names = {Place.INBOX: mailbox.folder, Place.QUARANTINE: mailbox.quarantine, Place.PROCESSED: mailbox.processed}
    folders = {place: ImapFolder(account, name, read_only=not mends) for place, name in names.items()}
    audit_account = replace(imap_account(settings, settings.audit), size_bytes_max=COPY_BYTES_MAX)
    audit = ImapFolder(audit_account, settings.audit.folder, read_only=True)
    copies = ImapCopies(audit_account, settings.audit.folder)
    terms = Terms(
        account=settings.mailbox.account,
        domain=settings.service.address.rpartition("@")[2],
        settled=settled,
        keeps=timedelta(days=settings.jobs.retention_days),
        copy_takes=max(settled, timedelta(minutes=settings.worker.audit_wait_minutes)),
        octets=octets,
    )
    async with contextlib.AsyncExitStack() as closing:
        register = await closing.enter_async_context(register_of(settings, read_only=not mends))
        for part in (*folders.values(), audit):
            closing.push_async_callback(part.close)
        closing.push_async_callback(copies.close)
        places = Places(mailbox=folders, audit=audit, copies=copies)
        yield Ledger(register=register, places=places, terms=terms)
