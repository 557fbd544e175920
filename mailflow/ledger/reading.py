"""Reading all that there is, mailboxes and register, while the service works: the account sheet with its differences.

What is younger than `Terms.settled` counts as in motion and is no difference. Mails are read in the order in which
they are moved. What then differs is looked at once more, and only what still does is told.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from mailflow.core.accounts import KnownMail, KnownOutgoing, PassedOver, Series
from mailflow.errors import Unavailable
from mailflow.ledger import reckoning
from mailflow.ledger.differences import Difference, Kind
from mailflow.ledger.reckoning import Bits, CopyAccount, MailAccount, Place, Status
from mailflow.mail.audit import body_digest
from mailflow.mail.model import Lying
from mailflow.mail.ports import Copies, Folder, Listing
from mailflow.register import Register, Transaction, accounts, restoring, sequences
from mailflow.register.accounts import Totals
from mailflow.register.outbox import TOKEN_CHARACTERS
from mailflow.register.restoring import Trail

T = TypeVar("T")

PAGE = 1_000
"""Mails, or rows, that are looked at together."""
FETCH = 100
"""Mails whose octets are read together."""
TOLD_MAX = 1_000
"""Differences of a kind that are told, and mended, one by one; the others are counted: the next run comes to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the sheet is about, and on what terms."""

    account: str
    """Of the mailbox, as the intake names it."""
    domain: str
    """Right-hand side of the Message-IDs of the service."""
    settled: timedelta
    """What happened within it is in motion."""
    keeps: timedelta
    """For so long the folders keep mails; what is missing and older was perhaps deleted in good order."""
    copy_takes: timedelta
    """How long a copy may be on its way to the audit mailbox."""
    octets: bool
    """Whether the bodies of the copies are read and compared, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What is looked through."""

    mailbox: Mapping[Place, Folder]
    audit: Folder
    copies: Copies


@dataclass(slots=True, kw_only=True)
class Sheet:
    """The account: how much there is of everything, and what does not add up."""

    at: datetime
    totals: Totals
    mails: Counter[tuple[Place, Status]] = field(default_factory=Counter)
    folders: Mapping[Place, str] = field(default_factory=dict)
    listings: dict[str, Listing] = field(default_factory=dict)
    """What lay in each folder."""
    copies_of_ours: int = 0
    copies_of_others: int = 0
    numbers: Sequence[Series] = ()
    passed_over: Mapping[str, Sequence[PassedOver]] = field(default_factory=dict)
    """By series, the numbers that no request has, on record."""
    found: Counter[Kind] = field(default_factory=Counter)
    told: list[Difference] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    """Those whose counter is behind, by what is told of it."""

    def add(self, differences: Iterable[Difference]) -> None:
        """Those beyond the first `TOLD_MAX` of a kind are only counted."""
        for one in differences:
            self.found[one.kind] += 1
            if self.found[one.kind] <= TOLD_MAX:
                self.told.append(one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of everything."""

    register: Register
    places: Places
    terms: Terms
    at: datetime

    async def sheet(self) -> Sheet:
        """All of it. Raises Unavailable."""
        async with self.register.read() as tx:
            sheet = Sheet(at=self.at, totals=await accounts.totals(tx))
            await self._of_register(tx, sheet)
        await self._of_mails(sheet)
        await self._of_copies(sheet)
        return sheet

    @property
    def _before(self) -> datetime:
        return self.at - self.terms.settled

    # Mails

    async def _of_mails(self, sheet: Sheet) -> None:
        last = sheet.totals.last_mail
        doubted = Bits(last)
        account = await self._of_folders(sheet, doubted)
        if account.contested:
            # That a header is borne by more mails than were delivered shows with the last of them, and a stranger may
            # be the first: now that it is known which headers these are, all that bear them are read.
            doubted = account.contested
            account = await self._of_folders(sheet, doubted)
        async for page in self._expected_mails(last):
            account.missing(page)
        sheet.add(await self._still(account.differences, sheet.listings, doubted))
        sheet.mails = account.statuses

    async def _of_folders(self, sheet: Sheet, doubted: Bits) -> MailAccount:
        """All that lies there. `doubted`: intakes that no header tells."""
        sheet.folders = {place: folder.name for place, folder in self.places.mailbox.items()}
        account = MailAccount(sheet.totals.last_mail, sheet.folders, self._before)
        for place in (Place.INBOX, Place.QUARANTINE, Place.PROCESSED):
            sheet.listings[sheet.folders[place]] = await self._of_folder(account, place, doubted)
        return account

    async def _of_folder(self, account: MailAccount, place: Place, doubted: Bits) -> Listing:
        folder = self.places.mailbox[place]
        listing, marked = await folder.list(), frozenset((await folder.list(marked=True)).uids)
        for uids in _pages(listing.uids):
            mails = await folder.look(listing, uids)
            candidates = await self._candidates(folder, listing, mails, doubted)
            on_record: Mapping[int, Collection[int]] = {}
            if place is Place.INBOX:
                async with self.register.read() as tx:
                    there = (self.terms.account, folder.name, listing.uidvalidity)
                    on_record = await accounts.intakes_at(tx, *there, [mail.uid for mail in mails])
            for mail in mails:
                # A UID alone says little: see `worker._tell_apart`.
                known, here = candidates.get(mail.uid, ()), on_record.get(mail.uid, ())
                exact = [one for one in known if one.id in here and (one.is_whole or one.size_bytes == mail.size_bytes)]
                account.see(place, mail, exact or known, exact=bool(exact), marked=mail.uid in marked)
        return listing

    async def _candidates(
        self, folder: Folder, listing: Listing, mails: Sequence[Lying], doubted: Bits
    ) -> dict[int, Sequence[KnownMail]]:
        """What each may be on record as: by its header; by its octets, where that does not tell."""
        async with self.register.read() as tx:
            by_header = await accounts.mails_by_header(tx, {(mail.message_id, mail.received_at) for mail in mails})
            repeats = {one.digest for known in by_header.values() for one in known if one.repeats and one.digest}
            first = await accounts.mails_by_digest(tx, repeats)
        found = {mail.uid: self._own(by_header.get((mail.message_id, mail.received_at), ())) for mail in mails}
        unclear = [uid for uid, known in found.items() if not reckoning.header_tells(known, doubted)]
        for uids in _pages(unclear, FETCH):
            found |= await self._by_octets(folder, listing, {uid: found[uid] for uid in uids})
        for uid, known in found.items():
            more = {one.id: one for each in known if each.repeats for one in first.get(each.digest or "", ())}
            further = [one for id_, one in more.items() if id_ not in {each.id for each in known}]
            candidates = [*known, *further]
            found[uid] = self._own(candidates) or candidates
        return found

    def _own(self, known: Sequence[KnownMail]) -> Sequence[KnownMail]:
        """Those of this mailbox: the header tells them alone. A desk may send a mail to another one as well."""
        return [one for one in known if one.account == self.terms.account]

    async def _by_octets(
        self, folder: Folder, listing: Listing, known: Mapping[int, Sequence[KnownMail]]
    ) -> dict[int, Sequence[KnownMail]]:
        """Of these mails, each with all that have its header, those that could be read."""
        found: dict[int, Sequence[KnownMail]] = {}
        digests: dict[int, str] = {}
        too_large: dict[int, datetime] = {}
        async for mail in folder.fetch(listing, list(known)):
            digest = None if mail.raw is None else hashlib.sha256(mail.raw).hexdigest()
            found[mail.uid] = reckoning.alike(known[mail.uid], digest, mail.size_bytes)
            if found[mail.uid]:
                continue
            if digest is not None:
                digests[mail.uid] = digest
            elif not known[mail.uid]:
                too_large[mail.uid] = mail.received_at
        async with self.register.read() as tx:
            by_digest = await accounts.mails_by_digest(tx, digests.values())
            by_time = await accounts.mails_too_large(tx, too_large.values())
        found |= {uid: by_digest.get(digest, ()) for uid, digest in digests.items()}
        return found | {uid: by_time.get(at, ()) for uid, at in too_large.items()}

    async def _expected_mails(self, last: int) -> AsyncIterator[Sequence[KnownMail]]:
        after = 0
        while True:
            async with self.register.read() as tx:
                page = await accounts.mails_put_away(
                    tx,
                    self.terms.account,
                    after=after,
                    through=last,
                    since=self.at - self.terms.keeps,
                    before=self._before,
                    limit=PAGE,
                )
            yield page
            if len(page) < PAGE:
                return
            after = page[-1].id

    async def _still(
        self, differences: Sequence[Difference], listings: Mapping[str, Listing], doubted: Bits
    ) -> list[Difference]:
        """What is still so, looked at once more: nothing that was only moved meanwhile."""
        there: dict[str, frozenset[int]] = {}
        for folder in self.places.mailbox.values():
            if any(one.folder == folder.name or one.twin for one in differences):
                listing = await folder.list()
                if listing.uidvalidity != listings[folder.name].uidvalidity:
                    raise Unavailable(f"the folder {folder.name} was renumbered meanwhile")
                there[folder.name] = frozenset(listing.uids)
        inbox = self.places.mailbox[Place.INBOX].name
        left = [
            one
            for one in differences
            if (one.mail is None or one.mail.uid in there[one.folder])
            and (one.kind is not Kind.TWICE or one.twin is None or one.twin in there[inbox])
        ]
        unknown = await self._unknown_still([one for one in left if one.kind is Kind.UNKNOWN], doubted)
        return [one for one in left if one.kind is not Kind.UNKNOWN or one in unknown]

    async def _unknown_still(self, differences: Sequence[Difference], doubted: Bits) -> set[Difference]:
        """They may have been taken in, and moved, since the page of the register was read that had them not."""
        by_folder: defaultdict[str, list[Difference]] = defaultdict(list)
        for one in differences:
            by_folder[one.folder].append(one)
        still: set[Difference] = set()
        for folder in self.places.mailbox.values():
            for page in _pages(by_folder[folder.name]):
                listing = await folder.list()
                mails = await folder.look(listing, [one.mail.uid for one in page if one.mail])
                candidates = await self._candidates(folder, listing, mails, doubted)
                still |= {one for one in page if one.mail and not candidates.get(one.mail.uid, ())}
        return still

    # Copies

    async def _of_copies(self, sheet: Sheet) -> None:
        audit = self.places.audit
        listing = await audit.list()
        mark = Trail.AUDIT.of(self.terms.account)
        async with self.register.read() as tx:
            restored = await restoring.accounted(tx, mark, listing.uidvalidity, listing.uid_next)
        account = CopyAccount(
            sheet.totals.last_outgoing, audit.name, self.terms.domain, TOKEN_CHARACTERS, restored=restored
        )
        for uids in _pages(listing.uids):
            copies = await audit.look(listing, uids)
            async with self.register.read() as tx:
                known = await accounts.outgoing(tx, {copy.message_id for copy in copies if copy.message_id})
            wanted = [copy.uid for copy in copies if self._is_read(known.get(copy.message_id))]
            digests = await self._digests(listing, wanted)
            for copy in copies:
                account.see(copy, known.get(copy.message_id), digests.get(copy.uid))
        async for page in self._expected_copies(sheet.totals.last_outgoing):
            account.missing(page)
        sheet.add(await self._copies_still(account.differences))
        sheet.copies_of_ours, sheet.copies_of_others = account.ours, account.others

    def _is_read(self, known: KnownOutgoing | None) -> bool:
        return known is not None and (self.terms.octets or known.waits)

    async def _digests(self, listing: Listing, uids: Sequence[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        for some in _pages(uids, FETCH):
            async for mail in self.places.audit.fetch(listing, some):
                if mail.raw is not None:
                    found[mail.uid] = body_digest(mail.raw)
        return found

    async def _expected_copies(self, last: int) -> AsyncIterator[Sequence[KnownOutgoing]]:
        after = 0
        while True:
            async with self.register.read() as tx:
                page = await accounts.outgoing_left(
                    tx,
                    after=after,
                    through=last,
                    since=self.at - self.terms.keeps,
                    before=self.at - self.terms.copy_takes,
                    limit=PAGE,
                )
            yield page
            if len(page) < PAGE:
                return
            after = page[-1].id

    async def _copies_still(self, differences: Sequence[Difference]) -> list[Difference]:
        """What is missing is looked for by name, what is unknown asked for again."""
        left: list[Difference] = []
        for page in _pages(differences):
            async with self.register.read() as tx:
                known = await accounts.outgoing(tx, {one.message_id for one in page if one.message_id})
            for one in page:
                row = known.get(one.message_id)
                match one.kind:
                    case Kind.COPY_UNKNOWN:
                        still = row is None
                    case Kind.UNRECORDED:
                        still = row is not None and row.waits
                    case Kind.COPY_MISSING if len(left) < TOLD_MAX:
                        found = await self.places.copies.find(one.message_id)
                        still = not any(row and body_digest(copy) == row.body_digest for copy in found)
                    case _:
                        still = True
                if still:
                    left.append(one)
        return left

    # What the register alone tells

    async def _of_register(self, tx: Transaction, sheet: Sheet) -> None:
        number, intakes = await accounts.answers_missing(tx, self._before, TOLD_MAX)
        _add(sheet, Kind.UNANSWERED, number, [(f"intake {id_}", id_) for id_ in intakes])
        number, numbers = await sequences.without_history(tx, TOLD_MAX)
        _add(sheet, Kind.NO_HISTORY, number, [(one, None) for one in numbers])
        number, numbers = await sequences.not_answered(tx, TOLD_MAX)
        _add(sheet, Kind.NOT_TOLD, number, [(one, None) for one in numbers])
        sheet.numbers = await sequences.of_numbers(tx)
        sheet.passed_over = await sequences.passed_over(tx)
        for series in sheet.numbers:
            if reckoning.adds_up(series):
                continue
            missing = await sequences.holes_in_numbers(tx, series, TOLD_MAX)
            twice = await sequences.given_twice(tx, series, TOLD_MAX)
            explained = [one.stretch for one in sheet.passed_over.get(series.name, ())]
            sheet.add(reckoning.holes(series, missing, explained, Kind.HOLE))
            sheet.add(Difference(kind=Kind.GIVEN_TWICE, subject=f"{series.name}: {one}") for one in twice)
            self._behind(sheet, series, Kind.COUNTER_BEHIND)
        for series in await sequences.of_history(tx):
            if not reckoning.adds_up(series):
                missing = await sequences.holes_in_history(tx, series, TOLD_MAX)
                sheet.add(reckoning.holes(series, missing, (), Kind.HISTORY_HOLE))
                self._behind(sheet, series, Kind.HISTORY_BEHIND)
        for series in await sequences.of_dispatches(tx):
            if not reckoning.adds_up(series):
                missing = await sequences.holes_in_dispatches(tx, series, TOLD_MAX)
                sheet.add(reckoning.holes(series, missing, (), Kind.DISPATCH_HOLE))

    @staticmethod
    def _behind(sheet: Sheet, series: Series, kind: Kind) -> None:
        for one in reckoning.counter_behind(series, kind):
            sheet.add([one])
            sheet.series[one.subject] = series


def _add(sheet: Sheet, kind: Kind, number: int, found: Sequence[tuple[str, int | None]]) -> None:
    sheet.add(Difference(kind=kind, subject=said, intake=id_) for said, id_ in found)
    if number > len(found):
        sheet.found[kind] = number


def _pages(items: Sequence[T], size: int = PAGE) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
