"""A mailbox in memory that keeps the contract of the ports `Mailbox` and `Copies`; for simulations."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.parser import BytesHeaderParser
from email.policy import compat32
from functools import cached_property
from typing import Protocol

from mailflow.errors import Unavailable
from mailflow.mail.mime import glance
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Listing


class Stored(Protocol):
    """A mail as a server has it."""

    @property
    def raw(self) -> bytes: ...
    @property
    def received_at(self) -> datetime: ...


@dataclass(frozen=True)
class _Stored:
    raw: bytes
    received_at: datetime

    @cached_property
    def message_id(self) -> str:
        return str(BytesHeaderParser(policy=compat32).parsebytes(self.raw)["Message-ID"]).strip()


def lying(uid: int, stored: Stored) -> Lying:
    """What the header of a mail tells."""
    return Lying(
        uid=uid,
        message_id=glance(stored.raw).message_id,
        received_at=stored.received_at,
        size_bytes=len(stored.raw),
    )


def _no_trouble(seam: str) -> None:
    pass


class FakeMailbox:
    """One account. What the server does is told by `deliver`, `remove` and `renumber`, and by `unreadable`.

    `trouble` is called with the name of every seam (`list`, `fetch`, `fetch:next`, `move`, `move:next`,
    `move:end`, `find`); it may raise, or change the mailbox: what happened before the seam stays so.
    """

    def __init__(
        self, *, clock: Callable[[], datetime], size_bytes_max: int, trouble: Callable[[str], None] = _no_trouble
    ) -> None:
        self.clock = clock
        self.size_bytes_max = size_bytes_max
        self.trouble = trouble
        self.inbox: dict[int, _Stored] = {}
        self.folders: dict[str, list[_Stored]] = {}
        self.uidvalidity = 1
        self.unreadable: set[int] = set()
        self._troubled: set[int] = set()
        self._next_uid = 1
        self._selection = object()
        self._arrived = asyncio.Event()

    # The server's side

    def deliver(self, raw: bytes) -> int:
        """A mail arrives in the inbox now; its UID."""
        return self._add(_Stored(raw, self.clock()))

    def _add(self, stored: _Stored) -> int:
        uid, self._next_uid = self._next_uid, self._next_uid + 1
        self.inbox[uid] = stored
        self._arrived.set()
        return uid

    def remove(self, uid: int) -> None:
        """Another client takes a mail away."""
        del self.inbox[uid]

    def go_back(self, uid: int = 1) -> None:
        """The state of before this UID was given is restored: it is given again, under the same UIDVALIDITY.

        Connections are lost, and what came since to the inbox; not what lies in the other folders.
        """
        self.inbox = {one: stored for one, stored in self.inbox.items() if one < uid}
        self._next_uid = uid
        self._selection = object()

    def renumber(self) -> None:
        """The server gives all mails new UIDs under a new UIDVALIDITY."""
        kept, self.inbox = self.inbox, {}
        self.uidvalidity += 1
        self._next_uid = 1
        for stored in kept.values():
            self._add(stored)

    def messages(self, folder: str | None = None) -> list[bytes]:
        """The octets of what lies in a folder, or in the inbox."""
        stored = self.inbox.values() if folder is None else self.folders.get(folder, [])
        return [one.raw for one in stored]

    # The port Mailbox

    async def list(self) -> Listing:
        self.trouble("list")
        self._arrived.clear()
        uids = sorted(self.inbox, key=lambda uid: (uid in self._troubled, uid))
        return Listing(
            uidvalidity=self.uidvalidity,
            uids=tuple(uids),
            troubled=len(self._troubled.intersection(self.inbox)),
            selection=self._selection,
        )

    async def fetch(self, listing: Listing, uids: Sequence[int]) -> AsyncIterator[FetchedMail]:
        self.trouble("fetch")
        for uid in sorted(set(uids)):
            self._check(listing)
            if uid in self.unreadable:
                self._troubled.add(uid)
            elif (stored := self.inbox.get(uid)) is not None:
                yield FetchedMail(
                    seen=lying(uid, stored),
                    uidvalidity=listing.uidvalidity,
                    raw=stored.raw if len(stored.raw) <= self.size_bytes_max else None,
                    size_bytes=len(stored.raw),
                )
                self.trouble("fetch:next")

    async def look(self, listing: Listing, uids: Sequence[int]) -> Sequence[Lying]:
        self.trouble("look")
        self._check(listing)
        there = {uid: self.inbox[uid] for uid in sorted(set(uids)) if uid in self.inbox}
        self._troubled |= self.unreadable.intersection(there)
        return [lying(uid, stored) for uid, stored in there.items() if uid not in self.unreadable]

    async def move(self, listing: Listing, mails: Sequence[Lying], folder: str) -> None:
        self.trouble("move")
        self._check(listing)
        others = []
        if listing.selection is not self._selection:
            others = [mail.uid for mail in mails if (one := self.inbox.get(mail.uid)) and lying(mail.uid, one) != mail]
        for uid in sorted({mail.uid for mail in mails}.difference(others)):
            if (stored := self.inbox.get(uid)) is not None:
                # MOVE is not atomic: a server killed in between can leave a mail in both folders.
                self.folders.setdefault(folder, []).append(stored)
                self.trouble("move:next")
                del self.inbox[uid]
        self.trouble("move:end")
        if others:
            raise Unavailable("the connection was lost")

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        self._arrived.clear()
        return True

    async def close(self) -> None:
        self._selection = object()

    def _check(self, listing: Listing) -> None:
        if listing.uidvalidity != self.uidvalidity:
            raise Unavailable("the folder's UIDVALIDITY has changed")

    # The port Copies

    async def find(self, message_id: str) -> Sequence[bytes]:
        self.trouble("find")
        return [stored.raw for stored in self.inbox.values() if stored.message_id == message_id]
