"""A folder of a mailbox in memory, looked through as the reconciliation does; for simulations."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date

from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Listing
from tests.support.fakes import FakeMailbox, Stored, lying

ACCOUNT = "service"
"""Whose all of them are."""


class FakeFolder:
    """`ports.Folder`: the inbox of such an account, or what was moved into one of its folders; only looked through."""

    def __init__(self, mailbox: FakeMailbox, name: str) -> None:
        self._mailbox = mailbox
        self.name = name
        self.account = ACCOUNT

    @property
    def _mails(self) -> Mapping[int, Stored]:
        if self.name == "INBOX":
            return self._mailbox.inbox
        return dict(enumerate(self._mailbox.folders.get(self.name, []), 1))

    async def list(self, *, marked: bool = False, since: date | None = None) -> Listing:
        earliest = date.min if since is None else since
        recent = [uid for uid, stored in self._mails.items() if stored.received_at.date() >= earliest]
        uids = [uid for uid in self._mails if uid >= min(recent, default=uid + 1)]
        return Listing(uidvalidity=self._mailbox.uidvalidity, uids=() if marked else tuple(sorted(uids)))

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        return [lying(uid, stored) for uid, stored in self._mails.items() if uid in uids]

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        for uid, stored in self._mails.items():
            if uid in uids:
                yield FetchedMail(
                    seen=lying(uid, stored),
                    uidvalidity=listing.uidvalidity,
                    raw=stored.raw if len(stored.raw) <= self._mailbox.size_bytes_max else None,
                    size_bytes=len(stored.raw),
                )

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        raise AssertionError("a sheet changes nothing")

    async def unmark(self, listing: Listing, uids: Sequence[int]) -> None:
        raise AssertionError("a sheet changes nothing")

    async def close(self) -> None:
        pass
