"""Mending what can be: each kind by the means that the service has anyway, on record with who did it and why.

What is mended follows from the sheet, and is looked at again where it is done: doing it twice does nothing more.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.accounts import Series
from mailflow.ledger.differences import Difference, Kind
from mailflow.ledger.reading import FETCH, Places, Sheet
from mailflow.ledger.reckoning import Place
from mailflow.mail import hindsight
from mailflow.mail.audit import body_digest
from mailflow.mail.kinds import RECEIPT
from mailflow.mail.ports import Folder, Listing
from mailflow.mail.worker import arrival
from mailflow.register import (
    Register,
    Transaction,
    accounts,
    acts,
    cases,
    doubt,
    intake,
    issuing,
    journal,
    outbox,
    sequences,
)
from mailflow.register.acts import Verb
from mailflow.register.cases import Filter

ENTRY = "reconciled"
"""The journal's entry of something that was mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """Mends what a sheet tells. Each step may be killed anywhere, and done again."""

    register: Register
    places: Places
    account: str
    act: journal.Act
    at: datetime

    async def mend(self, sheet: Sheet, wanted: Collection[Kind]) -> Counter[Kind]:
        """How many of each of these kinds were mended. Raises Unavailable; what was done until then stays done.

        Raises MailflowError before anything is done when there are unknown mails because the register is behind its
        mailboxes: they would be given the numbers of those that were lost, and their answers those Message-IDs.
        """
        if Kind.UNKNOWN in wanted and sheet.found[Kind.UNKNOWN]:
            processed, audit = self.places.mailbox[Place.PROCESSED], self.places.audit
            await hindsight.require_up_to_date(self.register, processed, audit, self.at)
        done: Counter[Kind] = Counter()
        for kind, how in _HOW.items():
            if these := [one for one in sheet.told if one.kind is kind and kind in wanted]:
                done[kind] = await how(self, these, sheet)
        return done

    # Mails

    async def _put_away(self, these: Sequence[Difference], sheet: Sheet) -> int:
        """Moved to where it belongs, which the register says."""
        mailbox = self.places.mailbox
        done = 0
        for folder in mailbox.values():
            mine = [(one.mail, one.intake) for one in these if one.folder == folder.name and one.mail and one.intake]
            if not mine:
                continue
            async with self.register.read() as tx:
                whole = await accounts.whole(tx, {id_ for _, id_ in mine})
            for place, is_whole in ((Place.PROCESSED, True), (Place.QUARANTINE, False)):
                mails = [mail for mail, id_ in mine if (id_ in whole) is is_whole]
                target = mailbox[place]
                if mails and target is not folder:
                    await folder.move(sheet.listings[folder.name], mails, target.name)
                    done += len(mails)
            await self._note(these=[one for one in these if one.folder == folder.name])
        return done

    async def _unmark(self, these: Sequence[Difference], sheet: Sheet) -> int:
        """The mark is taken away."""
        inbox = self.places.mailbox[Place.INBOX]
        await inbox.unmark(sheet.listings[inbox.name], [one.mail.uid for one in these if one.mail])
        await self._note(these)
        return len(these)

    async def _take_in(self, these: Sequence[Difference], sheet: Sheet) -> int:
        """Taken in and held in one transaction, so that nobody decides it before a person has looked."""
        done = 0
        for folder in self.places.mailbox.values():
            uids = [one.mail.uid for one in these if one.folder == folder.name and one.mail]
            for start in range(0, len(uids), FETCH):
                done += await self._take_in_from(folder, sheet.listings[folder.name], uids[start : start + FETCH])
        return done

    async def _take_in_from(self, folder: Folder, listing: Listing, uids: Sequence[int]) -> int:
        mails = [arrival(self.account, folder.name, mail) async for mail in folder.fetch(listing, uids)]
        async with self.register.begin() as tx:
            await issuing.require_whole(tx)
            ids: list[int] = []
            for mail in [kept.arrival for kept in await intake.take_in(tx, mails, self.at)]:
                known = await accounts.mails_at(tx, mail.account, mail.mailbox, mail.uidvalidity, [mail.uid])
                ids.append(known[mail.uid].id)
            if ids:
                await acts.perform(tx, Verb.HOLD, Filter(intakes=sorted(ids), kinds=[cases.MAIL]), self.act, self.at)
        return len(ids)

    # Copies

    async def _send_again(self, these: Sequence[Difference], _sheet: Sheet) -> int:
        """The same octets to both: what the server lost of ours it may have lost of theirs.

        Only when no copy has come by now, and it was not sent since the sheet was read.
        """
        done = 0
        for one in these:
            digests = {body_digest(copy) for copy in await self.places.copies.find(one.message_id)}
            async with self.register.begin() as tx:
                known = (await accounts.outgoing(tx, [one.message_id])).get(one.message_id)
                if known is None or known.body_digest in digests:
                    continue
                this = Filter(outgoing=[known.id])
                (item,) = await cases.lock(tx, this)
                if item.kind != RECEIPT and item.sends == one.sends:
                    again = (await acts.perform(tx, Verb.RESEND, this, self.act, self.at)).done
                    done += len(again)
                    for item in again:
                        await doubt.go_again(tx, item.id, self.at)
        return done

    async def _record_sent(self, these: Sequence[Difference], _sheet: Sheet) -> int:
        """Only when a copy is the same to the octet, and nobody is at it."""
        done = 0
        for one in these:
            copies = await self.places.copies.find(one.message_id)
            digests = [body_digest(copy) for copy in copies]
            async with self.register.begin() as tx:
                known = (await accounts.outgoing(tx, [one.message_id])).get(one.message_id)
                if known is None or not known.waits or digests.count(known.body_digest or "") <= known.copies_before:
                    continue
                await outbox.mark_sent(tx, [known.id], self.at)
                await self._enter(tx, [one])
            done += 1
        return done

    # Counters

    async def _raise_counters(self, these: Sequence[Difference], sheet: Sheet) -> int:
        return await self._raise(these, sheet.series, sequences.raise_counter)

    async def _raise_histories(self, these: Sequence[Difference], sheet: Sheet) -> int:
        return await self._raise(these, sheet.series, sequences.raise_history_counter)

    async def _raise(
        self,
        these: Sequence[Difference],
        series: Mapping[str, Series],
        how: Callable[[Transaction, Series], Awaitable[None]],
    ) -> int:
        async with self.register.begin() as tx:
            for one in sorted(these, key=lambda one: one.subject):  # as those who number lock them
                await how(tx, series[one.subject])
            await self._enter(tx, these)
        return len(these)

    # On record

    async def _note(self, these: Sequence[Difference]) -> None:
        async with self.register.begin() as tx:
            await self._enter(tx, these)

    async def _enter(self, tx: Transaction, these: Sequence[Difference]) -> None:
        entries = [
            journal.Entry(
                kind=ENTRY,
                intake_id=one.intake,
                detail={"what": one.kind.value, "about": one.subject, "by": self.act.by, "why": self.act.why},
            )
            for one in these
        ]
        await journal.append(tx, entries, self.at)


_HOW: Mapping[Kind, Callable[[Mending, Sequence[Difference], Sheet], Awaitable[int]]] = {
    Kind.MARKED: Mending._unmark,
    Kind.LEFT: Mending._put_away,
    Kind.MISPLACED: Mending._put_away,
    Kind.UNKNOWN: Mending._take_in,
    Kind.COPY_MISSING: Mending._send_again,
    Kind.UNRECORDED: Mending._record_sent,
    Kind.COUNTER_BEHIND: Mending._raise_counters,
    Kind.HISTORY_BEHIND: Mending._raise_histories,
}
"""Exactly those kinds whose meaning says that they are mended."""
MENDED = frozenset(_HOW)
