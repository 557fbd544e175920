"""The inbox and the audit mailbox on an IMAP server: the ports `Mailbox`, `Folder` and `Copies` over aioimaplib."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail import imap_syntax
from mailflow.mail.imap_folder import LOOK_BATCH, OpenFolder, slices
from mailflow.mail.imap_halves import Clock, Troubles
from mailflow.mail.imap_session import ImapAccount
from mailflow.mail.imap_syntax import Quota
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Listing
from mailflow.mail.smtp import Security

__all__ = ["ImapAccount", "ImapCopies", "ImapFolder", "ImapMailbox", "Security"]


class ImapMailbox:
    """The port `Mailbox`: the folder that desks write to. Times, sizes and sets are bounded by the account."""

    def __init__(
        self, account: ImapAccount, inbox: str, *, elsewhere: Sequence[str] = (), clock: Clock = time.monotonic
    ) -> None:
        """`elsewhere`: folders whose mails tell whether the server can read any, when it reads none of the inbox."""
        self._folder = OpenFolder(account, inbox, read_only=False)
        self._elsewhere = tuple(elsewhere)
        self._troubles = Troubles(clock)

    async def list(self) -> Listing:
        found = await self._folder.search("UNDELETED")
        uids = self._troubles.order(found.uidvalidity, found.uids)
        return replace(found, uids=uids, troubled=len(self._troubles))

    def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        return self._folder.fetch(listing.uidvalidity, uids, self._troubles, self._reads_elsewhere)

    async def _reads_elsewhere(self) -> bool:
        """Whether the server can read what it once gave us. The inbox itself has nothing more to tell."""
        for name in self._elsewhere:
            folder = OpenFolder(self._folder.account, name, read_only=True)
            try:
                if await folder.gives_a_mail():
                    return True
            except (Unavailable, Misconfigured):
                pass  # perhaps there is no such folder yet
            finally:
                await folder.close()
        return False

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        return [
            one async for one in self._folder.look(listing.uidvalidity, uids, self._troubles, self._reads_elsewhere)
        ]

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        await self._folder.move(listing, mails, folder, self._troubles)

    async def quotas(self) -> tuple[Quota, ...]:
        """What limits the mailbox, when the server tells (RFC 9208). Raises Unavailable."""
        async with self._folder.session() as session:
            if "QUOTA" not in session.capabilities:
                return ()
            lines = await session.run("GETQUOTAROOT", imap_syntax.mailbox_name(self._folder.name))
            return tuple(imap_syntax.quotas(lines[:-1]))

    async def wait(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            if await self._folder.idle(left):
                return True
        return False

    async def close(self) -> None:
        await self._folder.close()


class ImapFolder:
    """The port `Folder`: any folder of an account."""

    def __init__(self, account: ImapAccount, name: str, *, read_only: bool) -> None:
        self.name = name
        self.account = account.name
        self._folder = OpenFolder(account, name, read_only=read_only)

    async def list(self, *, marked: bool = False, since: date | None = None) -> Listing:
        try:
            return await self._search(marked, since)
        except (Unavailable, Misconfigured):
            if not await self._folder.exists():
                return Listing(uidvalidity=0, uids=())
        # Another worker may have made it just now: that it was not there says nothing any more.
        return await self._search(marked, since)

    async def _search(self, marked: bool, since: date | None) -> Listing:
        which = "DELETED" if marked else "ALL"
        if since is None:
            return await self._folder.search(which)
        found = await self._folder.search(which, "SINCE", imap_syntax.search_date(since))
        return await self._folder.search(which, "UID", f"{found.uids[0]}:*") if found.uids else found

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        return [one async for one in self._folder.look(listing.uidvalidity, uids, Troubles())]

    def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        return self._folder.fetch(listing.uidvalidity, uids, Troubles())

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        if await self._folder.move(listing, mails, folder, Troubles()):
            raise Unavailable("imap: some mails cannot be moved")

    async def unmark(self, listing: Listing, uids: Sequence[int]) -> None:
        for some in slices(sorted(set(uids)), LOOK_BATCH):
            async with self._folder.session(listing.uidvalidity) as session:
                await session.run("STORE", imap_syntax.uid_set(some), "-FLAGS.SILENT", r"(\Deleted)", uid=True)

    async def remove(self, listing: Listing, uids: Sequence[int]) -> None:
        """Delete them for good: what a self-test has left. Raises Unavailable, and Misconfigured without UIDPLUS."""
        for some in slices(sorted(set(uids)), self._folder.account.move_batch):
            async with self._folder.session(listing.uidvalidity) as session:
                if "UIDPLUS" not in session.capabilities:
                    raise Misconfigured("imap: the server offers no UIDPLUS")
                await session.run("STORE", imap_syntax.uid_set(some), "+FLAGS.SILENT", r"(\Deleted)", uid=True)
                await session.run("EXPUNGE", imap_syntax.uid_set(some), uid=True)

    async def close(self) -> None:
        await self._folder.close()


class ImapCopies:
    """The port `Copies`: the audit mailbox, only read."""

    def __init__(self, account: ImapAccount, folder: str) -> None:
        self._folder = OpenFolder(account, folder, read_only=True)

    async def find(self, message_id: str) -> Sequence[bytes]:
        listing = await self._folder.search("HEADER", "Message-ID", imap_syntax.quoted(message_id))
        troubles = Troubles()
        mails = self._folder.fetch(listing.uidvalidity, listing.uids, troubles)
        found = [mail.raw async for mail in mails if mail.raw is not None]
        if troubles:
            raise Unavailable("imap: a copy is there that cannot be read")  # it may be the one that is looked for
        return found

    async def close(self) -> None:
        await self._folder.close()
