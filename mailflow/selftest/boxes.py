"""The folders of the self-test's two mailboxes: looked through, waited for, emptied."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from mailflow.app.parts import COPY_BYTES_MAX, imap_account
from mailflow.errors import MailflowError, Unavailable
from mailflow.mail.imap import ImapFolder
from mailflow.selftest.grounds import Refused
from mailflow.selftest.letters import is_ours
from mailflow.settings import Settings

LOOK_SECONDS = 0.2
COPY_SECONDS = 2.0
"""Between two copies of a mail that the server delivers to one mailbox."""
LEFT_MAX = 500
"""A self-test leaves fewer mails in a folder: where more lie it does not even look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What lies in the folders, whole."""

    inbox: Sequence[bytes] = field(repr=False)
    processed: Sequence[bytes] = field(repr=False)
    quarantine: Sequence[bytes] = field(repr=False)
    audit: Sequence[bytes] = field(repr=False)


class Boxes:
    """Its methods raise Unavailable and Misconfigured. `close` ends the connections."""

    def __init__(self, settings: Settings) -> None:
        mailbox, audit = settings.mailbox, settings.audit
        service = replace(imap_account(settings, mailbox), size_bytes_max=COPY_BYTES_MAX)
        copies = replace(imap_account(settings, audit), size_bytes_max=COPY_BYTES_MAX)
        self._inbox, self._processed, self._quarantine = (
            ImapFolder(service, name, read_only=False)
            for name in (mailbox.folder, mailbox.processed, mailbox.quarantine)
        )
        self._audit = ImapFolder(copies, audit.folder, read_only=False)
        self._all = (self._inbox, self._processed, self._quarantine, self._audit)

    async def count_left(self) -> int:
        """How many mails an earlier self-test has left. Raises Refused when there are others."""
        left = 0
        for folder in self._all:
            count = len((await folder.list()).uids)
            mails = await _read(folder) if count <= LEFT_MAX else []
            if count > LEFT_MAX or not all(map(is_ours, mails)):
                raise Refused(f"the folder {folder.name} holds mails that are not of a self-test; nothing was touched")
            left += count
        return left

    async def empty(self) -> int:
        """Delete what is of a self-test; how many others came meanwhile, and stay."""
        others = 0
        for folder in self._all:
            listing = await folder.list()
            ours = [mail.uid async for mail in folder.fetch(listing, listing.uids) if mail.raw and is_ours(mail.raw)]
            await folder.remove(listing, ours)
            others += len(listing.uids) - len(ours)
        return others

    async def await_letters(self, count: int, seconds: float) -> None:
        """Until so many lie in the inbox."""
        until = time.monotonic() + seconds
        while (there := len((await self._inbox.list()).uids)) < count:
            if time.monotonic() > until:
                raise Unavailable(f"of {count} mails to selftest.address {there} came into its mailbox")
            await asyncio.sleep(LOOK_SECONDS)

    async def await_copies(self, enough: Callable[[Sequence[bytes]], bool], seconds: float) -> None:
        """Until enough lies in the audit mailbox; when the time is over the oracle tells what is missing."""
        until = time.monotonic() + seconds
        while not enough(await _read(self._audit)):
            if time.monotonic() > until:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def count_copies(self, seconds: float) -> int:
        """How many mails come into the audit mailbox, where one at least is under way; 0: none in time."""
        await self.await_copies(lambda mails: len(mails) > 0, seconds)
        await asyncio.sleep(COPY_SECONDS)
        return len((await self._audit.list()).uids)

    async def read(self) -> Contents:
        """All of it."""
        inbox, processed, quarantine, audit = [await _read(folder) for folder in self._all]
        return Contents(inbox=inbox, processed=processed, quarantine=quarantine, audit=audit)

    async def close(self) -> None:
        for folder in self._all:
            await folder.close()


@contextlib.asynccontextmanager
async def emptied(settings: Settings) -> AsyncIterator[Boxes]:
    """The mailboxes, empty now and afterwards. Raises Refused when other mails lie there."""
    boxes = Boxes(settings)
    try:
        await boxes.count_left()
        await boxes.empty()
        try:
            yield boxes
        finally:
            with contextlib.suppress(MailflowError):  # the next self-test finds what is left
                await boxes.empty()
    finally:
        await boxes.close()


async def _read(folder: ImapFolder) -> list[bytes]:
    listing = await folder.list()
    return [mail.raw async for mail in folder.fetch(listing, listing.uids) if mail.raw is not None]
