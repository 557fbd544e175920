"""One folder on an IMAP server, over a connection that is opened anew when it was lost: the ports are made of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail import imap_syntax
from mailflow.mail.imap_halves import Halving, Troubles, Witness, nobody
from mailflow.mail.imap_session import (
    ImapAccount,
    ImapSession,
    NoAnswerError,
    RefusedError,
    Selected,
    ServerFailedError,
)
from mailflow.mail.imap_syntax import FetchedItems
from mailflow.mail.mime import glance
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Listing

IDLE_SECONDS_MAX = 300.0
"""Of one IDLE: middle boxes forget silent connections long before RFC 2177's 29 minutes."""
LOOK_BATCH = 500
"""Mails whose headers are looked at in one command."""
LOOK = "(UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
HEADER_BYTES = 1_024
"""Of the fields of one mail, as far as is known beforehand."""
FETCH_BYTES_MAX = 32 * 1024 * 1024
"""Of the bodies in one FETCH, as far as their sizes are known beforehand."""
UNREADABLE, UNMOVABLE = "unreadable-in-mailbox", "unmovable-in-mailbox"
"""What the log says of a mail at which the server fails."""


class _PerhapsMovedError(Unavailable):
    """The server was told to move some mails, and did not say whether it has."""


class OpenFolder:
    """One folder, opened over one connection when it is needed, and again after the connection was lost."""

    def __init__(self, account: ImapAccount, name: str, *, read_only: bool) -> None:
        self.account = account
        self.name = name
        self._read_only = read_only
        self._session: ImapSession | None = None
        self._selected = Selected(0, None)
        """Another one after each SELECT."""
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._wanted = asyncio.Event()
        """Set as long as somebody waits for the turn: who idles, or is about to, gives way."""

    @contextlib.asynccontextmanager
    async def session(self, uidvalidity: int | None = None) -> AsyncIterator[ImapSession]:
        """The connection with the folder selected, for one caller at a time; a pending IDLE gives way.

        Raises Unavailable when the folder's UIDVALIDITY is not the given one. A refusal by the server inside
        the block becomes Unavailable too, and ends the connection: a folder that was deleted refuses for ever.
        """
        async with self._my_turn():
            session = self._session
            if session is None or not session.alive:
                self._session = None
                session = self._session = await self._opened()
            if uidvalidity not in {None, self._selected.uidvalidity}:
                raise Unavailable("imap: the folder's UIDVALIDITY has changed")
            try:
                yield session
            except RefusedError as refused:
                session.abort()
                raise ServerFailedError(f"imap: {refused}", why=refused.word) from None

    async def _opened(self) -> ImapSession:
        try:
            session = await ImapSession.connect(self.account)
            self._selected = await session.select(self.name, read_only=self._read_only)
        except ServerFailedError as error:
            raise Unavailable(str(error)) from None  # no mail was asked for yet, so none is to blame
        return session

    @contextlib.asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        self._waiting += 1
        self._wanted.set()
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._wanted.clear()
        try:
            yield
        finally:
            self._turn.release()

    async def exists(self) -> bool:
        """Whether the server lists it: not every one (Cyrus) says why it cannot be opened."""
        session = await ImapSession.connect(self.account)
        try:
            return len(await session.run("LIST", '""', imap_syntax.mailbox_name(self.name))) > 1
        except RefusedError as refused:
            raise ServerFailedError(f"imap: {refused}", why=refused.word) from None
        finally:
            await session.log_out()

    async def search(self, *criteria: str) -> Listing:
        async with self.session() as session:
            # Anew each time, where NOOP would do for new mails: a folder that was deleted and made again goes on
            # under its old UIDVALIDITY in the sessions that have it open (Cyrus: empty, Dovecot: with new mails).
            selected = self._selected = await session.select(self.name, read_only=self._read_only)
            session.arrived.clear()
            uids = await self._found(session, criteria)
            if uids is None:
                # The response, which is required (RFC 3501, section 6.4.4), was garbled: who took that for "nothing"
                # would send an answer twice. From iCloud it means just that: so it is asked once more.
                uids = await self._found(session, criteria) or ()
            return Listing(uidvalidity=selected.uidvalidity, uids=uids, uid_next=selected.uid_next, selection=selected)

    async def _found(self, session: ImapSession, criteria: Sequence[str]) -> tuple[int, ...] | None:
        # No CHARSET: Exchange refuses UTF-8.
        return imap_syntax.search_uids((await session.run("SEARCH", *criteria, uid=True))[:-1])

    async def fetch(
        self, uidvalidity: int, uids: Sequence[int], troubles: Troubles, witness: Witness = nobody
    ) -> AsyncIterator[FetchedMail]:
        """Headers first, so that a mail over the limit is never read; then bodies, in bounded sets.

        Mails at which the server fails are left out, and noted.
        """
        together, apart = troubles.due(uids)
        looking, reading = (Halving(troubles, UNREADABLE, witness) for _ in range(2))
        seen: dict[int, Lying] = {}
        sets = [*slices(together, LOOK_BATCH), *apart]
        async for _, told in looking.each(sets, lambda some: self._lying(uidvalidity, some)):
            seen |= told
        left = {uid for some in sets for uid in some} - looking.unread
        known = [[seen[uid] for uid in some if uid in seen] for some in (together, *apart)]
        sets = [[mail.uid for mail in batch] for some in known for batch in self._batches(some)]
        async for some, bodies in reading.each(sets, lambda some: self._bodies(uidvalidity, [seen[u] for u in some])):
            for uid in some:
                if (mail := self._mail(uidvalidity, seen[uid], bodies.get(uid) or b"")) is not None:
                    reading.well([uid])
                    left.discard(uid)
                    yield mail
        await self._note_left_out(reading, uidvalidity, left - reading.unread)

    async def _note_left_out(self, reading: Halving, uidvalidity: int, left: Collection[int]) -> None:
        """The server was asked for these, and told nothing of them that can be used."""
        if left:
            still = await self.search("UID", imap_syntax.uid_set(sorted(left)), "UNDELETED")
            # What is not there any more somebody else took away.
            await reading.left_out([uid for uid in still.uids if uid in left and still.uidvalidity == uidvalidity])

    async def gives_a_mail(self) -> bool:
        """Whether the server reads out the latest one, in the steps of `fetch`. Raises Unavailable."""
        listing = await self.search("UID", "*")
        seen = await self._lying(listing.uidvalidity, listing.uids) if listing.uids else {}
        bodies = await self._bodies(listing.uidvalidity, [*seen.values()])
        mails = [self._mail(listing.uidvalidity, mail, bodies.get(uid) or b"") for uid, mail in seen.items()]
        return any(mail is not None and mail.raw is not None for mail in mails)

    def _mail(self, uidvalidity: int, seen: Lying, body: bytes) -> FetchedMail | None:
        """None when it has no octets: it is gone, or the server cannot read it."""
        too_large = self._too_large(seen) or len(body) > self.account.size_bytes_max
        if not (body or too_large):
            return None
        size = max(seen.size_bytes, len(body)) if too_large else len(body)
        return FetchedMail(seen=seen, uidvalidity=uidvalidity, raw=None if too_large else body, size_bytes=size)

    def _too_large(self, mail: Lying) -> bool:
        return mail.size_bytes > self.account.size_bytes_max

    def _batches(self, mails: Sequence[Lying]) -> Iterator[list[Lying]]:
        """Cut into sets that one FETCH may carry, by count and by size."""
        batch: list[Lying] = []
        total = 0
        for mail in mails:
            size = 0 if self._too_large(mail) else mail.size_bytes
            if batch and (len(batch) >= self.account.fetch_batch or total + size > FETCH_BYTES_MAX):
                yield batch
                batch, total = [], 0
            batch.append(mail)
            total += size
        if batch:
            yield batch

    async def _bodies(self, uidvalidity: int, batch: Sequence[Lying]) -> dict[int, bytes]:
        wanted = {mail.uid: mail.size_bytes for mail in batch if not self._too_large(mail)}
        if not wanted:
            return {}
        # One octet more than the limit shows a mail that is larger than its RFC822.SIZE says.
        what = f"(UID BODY.PEEK[]<0.{self.account.size_bytes_max + 1}>)"
        async with self.session(uidvalidity) as session:
            items = await _told(session, [*wanted], what, expected_bytes=sum(wanted.values()))
        return {uid: mail.body for uid, mail in items.items() if mail.body is not None}

    async def _lying(self, uidvalidity: int, uids: Sequence[int]) -> dict[int, Lying]:
        """Those of which the server tells enough in one command."""
        async with self.session(uidvalidity) as session:
            return await _looked_at(session, uids)

    async def move(
        self, listing: Listing, mails: Sequence[Lying], folder: str, troubles: Troubles
    ) -> Mapping[int, str]:
        """Which of them the server would not move, and why. That they are gone is no error.

        Over another connection than that on which they were listed they are looked at first: what was to be read
        before it is moved must not be moved in place of what was read. Raises Unavailable when there is such a one.
        """
        wanted = {mail.uid: mail for mail in mails}
        together, apart = troubles.due([*wanted])
        moving, others = Halving(troubles, UNMOVABLE), set[int]()

        async def move(some: Sequence[int]) -> Sequence[int]:
            try:
                moved, stay = await self._moved(listing, [wanted[uid] for uid in some], folder)
            except _PerhapsMovedError:
                troubles.unsure(UNMOVABLE, some)  # others come first: these keep nobody from being read
                raise
            others.update(stay)
            return moved

        async for some, _ in moving.each([*slices(together, self.account.move_batch), *apart], move):
            moving.well([uid for uid in some if uid not in others])
        if others:
            raise Unavailable("imap: the connection was lost, and some mails may not be those any more that were read")
        return moving.failed

    async def _moved(
        self, listing: Listing, mails: Sequence[Lying], folder: str
    ) -> tuple[Sequence[int], Collection[int]]:
        """Those that a MOVE was for; those that are there and stay, since they are not surely the same."""
        async with self.session(listing.uidvalidity) as session:
            uids, there = [mail.uid for mail in mails], {mail.uid: mail for mail in mails}
            if self._selected is not listing.selection:
                there = await _looked_at(session, uids)
                uids = [seen.uid for seen in there.values() if seen in mails]
            if uids:
                await _move_making(session, uids, folder)
        return uids, there.keys() - set(uids)

    async def look(
        self, uidvalidity: int, uids: Sequence[int], troubles: Troubles, witness: Witness = nobody
    ) -> AsyncIterator[Lying]:
        """By the fields that a server has at hand; those that are gone are left out, and at which it fails."""
        together, apart = troubles.due(uids)
        sets = [*slices(together, LOOK_BATCH), *apart]
        looking, left = Halving(troubles, UNREADABLE, witness), {uid for some in sets for uid in some}
        async for _, seen in looking.each(sets, lambda some: self._lying(uidvalidity, some)):
            left -= seen.keys()
            for mail in seen.values():
                yield mail
        await self._note_left_out(looking, uidvalidity, left - looking.unread)

    async def idle(self, seconds: float) -> bool:
        """Told once: who is told and does not look would be told again at once, without end. The next poll looks."""
        async with self.session() as session:
            told = session.arrived.is_set()
            if told or "IDLE" in session.capabilities:
                told = told or await session.idle(min(seconds, IDLE_SECONDS_MAX), self._wanted)
                session.arrived.clear()
                return told
        await asyncio.sleep(seconds)
        return False

    async def close(self) -> None:
        async with self._my_turn():
            session, self._session = self._session, None
            if session is not None:
                await session.log_out()


async def _told(session: ImapSession, uids: Sequence[int], what: str, expected_bytes: int) -> dict[int, FetchedItems]:
    merged: dict[int, FetchedItems] = {}
    asked = frozenset(uids)
    try:
        lines = await session.run("FETCH", imap_syntax.uid_set(uids), what, uid=True, expected_bytes=expected_bytes)
        for items in imap_syntax.fetched(lines[:-1]):  # a server may tell of one mail in several responses
            if items.uid in asked:
                merged[items.uid] = _merged(merged.get(items.uid), items)
    except imap_syntax.UnreadableResponseError as error:
        session.abort()
        raise ServerFailedError(f"imap: {error}", why="unreadable-response") from None
    return merged


async def _looked_at(session: ImapSession, uids: Sequence[int]) -> dict[int, Lying]:
    """Those of which the server tells enough."""
    told = await _told(session, uids, LOOK, HEADER_BYTES * len(uids))
    return {
        uid: Lying(
            uid=uid,
            message_id=glance(items.header or b"").message_id,
            received_at=items.received_at,
            size_bytes=items.size_bytes,
        )
        for uid, items in told.items()
        if items.received_at is not None and items.size_bytes is not None
    }


async def _move_making(session: ImapSession, uids: Sequence[int], folder: str) -> None:
    """Makes the folder when it is missing."""
    try:
        await _move(session, uids, folder)
    except RefusedError as refused:
        if refused.code == "EXPUNGEISSUED":  # RFC 5530: some are gone, and nothing was moved
            await session.run("NOOP")
        elif refused.code in {"TRYCREATE", "NONEXISTENT"}:
            await _create(session, folder)
        else:
            raise
        await _move(session, uids, folder)


async def _move(session: ImapSession, uids: Sequence[int], folder: str) -> None:
    """UID MOVE (RFC 6851), else its parts. UIDs that are gone are no error to servers (RFC 3501 section 6.4.8)."""
    uid_set, name = imap_syntax.uid_set(uids), imap_syntax.mailbox_name(folder)
    try:
        if "MOVE" in session.capabilities:
            await session.run("MOVE", uid_set, name, uid=True)
            return
        if "UIDPLUS" not in session.capabilities:
            # A plain EXPUNGE would also remove what other clients have marked.
            raise Misconfigured("imap: the server offers neither MOVE nor UIDPLUS")
        await session.run("COPY", uid_set, name, uid=True)
    except NoAnswerError as error:
        raise _PerhapsMovedError(str(error)) from None  # it may still be at it: not a second time beside the first
    try:
        await session.run("STORE", uid_set, "+FLAGS.SILENT", r"(\Deleted)", uid=True)
        await session.run("EXPUNGE", uid_set, uid=True)
    except (RefusedError, ServerFailedError) as error:
        session.abort()
        raise _PerhapsMovedError(f"imap: {error}") from None  # copied already: parts of them would be copied once more


async def _create(session: ImapSession, folder: str) -> None:
    try:
        await session.run("CREATE", imap_syntax.mailbox_name(folder))
    except RefusedError as refused:
        if refused.code != "ALREADYEXISTS":
            raise


def _merged(earlier: FetchedItems | None, later: FetchedItems) -> FetchedItems:
    """Raises UnreadableResponseError when both have octets: those of another mail came under this one's UID."""
    if earlier is None:
        return later
    if (earlier.body is not None and later.body is not None) or (
        earlier.header is not None and later.header is not None
    ):
        raise imap_syntax.UnreadableResponseError(f"FETCH: UID {later.uid} twice")
    return FetchedItems(
        uid=later.uid,
        size_bytes=earlier.size_bytes if later.size_bytes is None else later.size_bytes,
        received_at=later.received_at or earlier.received_at,
        body=earlier.body if later.body is None else later.body,
        header=earlier.header if later.header is None else later.header,
    )


def slices(uids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (uids[start : start + size] for start in range(0, len(uids), size))
