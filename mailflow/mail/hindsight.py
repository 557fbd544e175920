"""Whether the register is behind its mailboxes, as after a restore: then it would give numbers that others have.

`Processed` has every mail that was taken in, the audit mailbox every answer that left. When either has one of which
the register knows nothing, the register closes the switch (`register.issuing`) before it decides anything, and nothing
is taken in or decided until somebody resumes. This is looked at by each process before its first turn, and again when
the register itself may have gone back: when entries of its journal are not there any more, or PostgreSQL is one that
was a copy, as after a fail-over or to a point in time. When mails of others are so many that it cannot be told in time,
the switch is closed as well.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email.parser import BytesHeaderParser
from email.policy import default
from hashlib import sha256

from mailflow.core.accounts import KnownMail
from mailflow.core.calendar import legal_day
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.log import event
from mailflow.mail.composer import further_message_id
from mailflow.mail.kinds import ANSWER
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.ports import Folder, Listing
from mailflow.register import Register, accounts, departures, issuing, restoring
from mailflow.register.accounts import Header
from mailflow.register.departures import Copies
from mailflow.register.journal import Act
from mailflow.register.restoring import Trail

NEWEST = 200
"""So many of the latest mails of each folder tell whether anything is lost: a loss is of the latest."""
LOOKED_AT = 1_000
"""Mails that are asked for together."""
SECONDS_MAX = 60.0
"""How long the latest answers are looked for where mails of others lie between: the first turn waits for it."""
FAILED_SECONDS = 60.0
"""For how long that the mailboxes could not be looked at keeps from another look whoever can do without."""
NAMED = 10
"""UIDs of mails that cannot be read, of which a message names no more."""
LIVES = 2
"""Of one backup, that are told apart where it must be quick."""
PARTS_MAX = 1_000
"""Mails that an answer comes in, at most."""
MARGIN = timedelta(days=2)
"""A mail may have come so long before the last one that the register knows, and have been decided after it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one of the folders says."""

    mark_name: str
    """Of how far it was accounted for before."""
    listing: Listing
    headers: dict[int, Lying] = field(repr=False)
    """By UID, of those that are not accounted for.

    Of the audit mailbox only what may be ours: of mails of others there may be any number.
    """
    after: int
    """The UID up to which all was accounted for before."""
    unseen: int = 0
    """So many more would have to be looked at before it could be told whether anything is lost."""

    @property
    def mark(self) -> restoring.Mark:
        return restoring.Mark(uidvalidity=self.listing.uidvalidity, uid=max([self.after, *self.listing.uids]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What the mailboxes know and the register does not."""

    processed: Seen
    audit: Seen
    mails: tuple[int, ...]
    """UIDs in `Processed` of mails that were never taken in, as far as is known."""
    nameless: tuple[int, ...]
    """UIDs of mails there without a Message-ID: only their octets tell."""
    answers: dict[int, int]
    """Intakes by UIDs in the audit mailbox: answers that were never ordered, or in a life that was lost."""
    unsent: Mapping[str, Copies]
    """Of mails that were ordered, and have left though the register never sent them, by Message-ID."""

    def __bool__(self) -> bool:
        return bool(self.mails or self.answers)

    @property
    def settled(self) -> bool:
        """Whether it could be told at all."""
        return bool(self) or not self.audit.unseen

    @property
    def sentence(self) -> str:
        if not self:
            return (
                "it could not be told in time whether the register is behind its mailboxes: too many mails of others"
                f" lie in the audit mailbox, {self.audit.unseen} were not looked at; mailflow resume looks at all"
            )
        return (
            f"the register is behind its mailboxes: of {len(self.mails)} mails in Processed and"
            f" {len(self.answers)} answers in the audit mailbox it knows nothing; see mailflow restore"
        )


async def survey(
    register: Register, processed: Folder, audit: Folder, *, newest: int | None = None, since: date | None = None
) -> Loss:
    """Compare them: since a while before the last mail that it knows, or `since` if that is earlier; of each folder the
    `newest` only.

    What another mailbox of this register was restored by is not accounted for to this one: its mails are still unknown.

    Not since its last entry: a register that has come back goes on with its journal. Raises Unavailable; without
    `newest` also when one mail lies there that cannot be read, since what is left out then counts as accounted for. The
    folders are read before the register: what is done meanwhile is known then.
    """
    async with register.read() as tx:
        last = await restoring.latest_reception(tx, processed.account)
    day = None if last is None else legal_day(last - MARGIN)
    if day is not None and since is not None:
        day = min(day, since)  # what is left out would count as accounted for
    taken = await _taken(register, processed, day, newest)
    answered, lost, unsent = await _answered(register, audit, Trail.AUDIT.of(processed.account), day, newest)
    async with register.read() as tx:
        known = await accounts.mails_by_header(tx, {_header(one) for one in taken.headers.values()})
        secrets = restoring.part_secrets(tx, ANSWER, set(lost.values()))
    names = {one.message_id for one in answered.headers.values()}
    for first, id_ in list(lost.items()):
        parts = (further_message_id(secrets[id_], number, first) for number in range(2, PARTS_MAX))
        lost |= {name: id_ for name in parts if name in names}
    return Loss(
        processed=taken,
        audit=answered,
        mails=await _strangers(register, processed, taken, known, whole=newest is None),
        nameless=tuple(uid for uid, one in taken.headers.items() if not one.message_id),
        answers={uid: lost[one.message_id] for uid, one in answered.headers.items() if one.message_id in lost},
        unsent=unsent,
    )


async def _record_sent(register: Register, loss: Loss, at: datetime) -> None:
    """Before anything leaves: nothing that left in the time that was lost goes once more."""
    if loss.unsent:
        async with register.begin() as tx:
            mails = await departures.record_sent(tx, loss.unsent, at)
        event(log, "had-left", level=logging.WARNING, mails=mails)


async def require_up_to_date(register: Register, processed: Folder, audit: Folder, at: datetime) -> None:
    """Look through both from end to end. Raises MailflowError when the register is behind them; it stands still then.

    Raises Unavailable likewise.
    """
    loss = await survey(register, processed, audit)
    await _record_sent(register, loss, at)
    if loss:
        await issuing.stop(register, Act(by=issuing.SERVICE, why=loss.sentence), at)
        raise MailflowError(loss.sentence)


async def require_told(folder: Folder, listing: Listing, wanted: Collection[int], told: Collection[int]) -> None:
    """Raises Unavailable when some of these mails still lie there, and the server told nothing of them."""
    if not (left := set(wanted).difference(told)):
        return
    now = await folder.list()
    if now.uidvalidity == listing.uidvalidity:
        left.intersection_update(now.uids)
    if left:
        named = ", ".join([*(str(uid) for uid in sorted(left)[:NAMED]), *(["..."] if len(left) > NAMED else [])])
        raise Unavailable(
            f"{len(left)} mails in {folder.name} cannot be read now (UID {named}): nobody can tell whether the register"
            " knows them, see `After a loss` in OPERATING"
        )


async def _strangers(
    register: Register, processed: Folder, taken: Seen, known: Mapping[Header, Sequence[KnownMail]], *, whole: bool
) -> tuple[int, ...]:
    """Those of the mails with a header that is not on record so often whose octets are not known either.

    A Message-ID alone tells nothing: a sender gives it again with the mail that it sends once more. Of a mail whose
    header cannot be read we know none, though its server does: anybody can send one. On record is what came to this
    mailbox; that of another one lies there.
    """
    lying = Counter(_header(one) for one in taken.headers.values())
    on_record = Counter(
        {
            header: sum(one.account == processed.account and one.is_whole and not one.repeats for one in rows)
            for header, rows in known.items()
        }
    )
    suspects = [
        uid for uid, one in taken.headers.items() if one.message_id and on_record[_header(one)] < lying[_header(one)]
    ]
    digests: dict[int, str] = {}
    told: set[int] = set()
    async for mail in processed.fetch(taken.listing, suspects):
        told.add(mail.uid)
        if mail.raw is not None:
            digests[mail.uid] = sha256(mail.raw).hexdigest()
    if whole:
        await require_told(processed, taken.listing, suspects, told)
    async with register.read() as tx:
        known_octets = await restoring.known_digests(tx, set(digests.values()))
    return tuple(uid for uid, digest in sorted(digests.items()) if digest not in known_octets)


async def _taken(register: Register, trail: Folder, day: date | None, newest: int | None) -> Seen:
    mark_name = Trail.PROCESSED.of(trail.account)
    listing, after, uids = await _unaccounted(register, trail, mark_name, day)
    headers = await _headers(trail, listing, uids if newest is None else uids[-newest:], whole=newest is None)
    return Seen(mark_name=mark_name, listing=listing, headers=headers, after=after)


async def _answered(
    register: Register, trail: Folder, mark_name: str, day: date | None, newest: int | None
) -> tuple[Seen, dict[str, int], dict[str, Copies]]:
    """And which of them were never ordered, with their intakes; and which were, and never sent.

    The latest first. Of `newest` only answers that were ordered and sent count, and one that was not ordered is enough:
    whatever others have written, be it named as ours are, hides nothing.
    """
    listing, after, left = await _unaccounted(register, trail, mark_name, day)
    end = time.monotonic() + SECONDS_MAX
    headers: dict[int, Lying] = {}
    ordered: set[str] = set()
    lost: dict[str, int] = {}
    unsent: defaultdict[str, list[datetime]] = defaultdict(list)
    together = len(left) if newest is None else newest
    while left and not lost and (newest is None or (len(ordered) < newest and time.monotonic() < end)):
        some = await _headers(trail, listing, left[-together:], whole=newest is None)
        ours = {uid: one for uid, one in some.items() if restoring.may_be_ours(one.message_id)}
        async with register.read() as tx:
            names = {one.message_id for one in ours.values()}
            known = await restoring.ordered(tx, names)
            lives = restoring.LIVES_MAX if newest is None else LIVES
            lost = await restoring.lost_answers(tx, ANSWER, names - known, lives)
            never = await departures.unsent(tx, known)
        async for name, mail in _copies_of(
            trail,
            listing,
            {uid: one.message_id for uid, one in ours.items() if one.message_id in never},
            whole=newest is None,
        ):
            order = never[name]
            if mail.raw is None or _dated_at(mail.raw) == order.dated_at.replace(microsecond=0):
                unsent[name].append(mail.received_at)
            elif order.kind == ANSWER and order.intake_id is not None:
                lost[name] = order.intake_id
        headers |= ours
        ordered |= known - never.keys()
        left, together = left[:-together], LOOKED_AT
    settled = newest is None or lost or len(ordered) >= newest
    unseen = 0 if settled else len(left)
    seen = Seen(mark_name=mark_name, listing=listing, headers=headers, after=after, unseen=unseen)
    return seen, lost, {name: Copies(number=len(all_), first_at=min(all_)) for name, all_ in unsent.items()}


async def _copies_of(
    trail: Folder, listing: Listing, names: Mapping[int, str], *, whole: bool
) -> AsyncIterator[tuple[str, FetchedMail]]:
    told: set[int] = set()
    async for mail in trail.fetch(listing, sorted(names)):
        told.add(mail.uid)
        yield names[mail.uid], mail
    if whole:
        await require_told(trail, listing, names, told)


def _dated_at(raw: bytes) -> datetime | None:
    """What the mail says of when it was decided: an order is composed with the same date each time, another is not."""
    date_field = BytesHeaderParser(policy=default).parsebytes(raw)["Date"]
    return date_field.datetime if date_field else None


async def _unaccounted(
    register: Register, trail: Folder, mark_name: str, day: date | None
) -> tuple[Listing, int, Sequence[int]]:
    """What lies there, the UID up to which all is accounted for, and what came after that."""
    listing = await trail.list(since=day)
    async with register.read() as tx:
        after = await restoring.accounted(tx, mark_name, listing.uidvalidity, listing.uid_next)
    return listing, after, [uid for uid in listing.uids if uid > after]


async def _headers(trail: Folder, listing: Listing, uids: Sequence[int], *, whole: bool) -> dict[int, Lying]:
    """By UID. Of the latest mails those that can be read are enough: a loss shows in any of them."""
    headers: dict[int, Lying] = {}
    for start in range(0, len(uids), LOOKED_AT):
        some = uids[start : start + LOOKED_AT]
        headers |= {one.uid: one for one in await trail.look(listing, some)}
        if whole:
            await require_told(trail, listing, some, headers)
    return headers


def _header(mail: Lying) -> Header:
    return mail.message_id, mail.received_at


class Hindsight:
    """Of one process. Without trails there is nothing to look at."""

    def __init__(self, trails: Callable[[], tuple[Folder, Folder]] | None, *, tolerant: bool = False) -> None:
        self._trails = trails
        self._tolerant = tolerant
        """Whether folders that cannot be read are passed over: by who works without them."""
        self._turn = asyncio.Lock()
        self._looked, self._stood = False, False
        self._timeline, self._latest = "", 0
        self._failed_until = 0.0

    @property
    def failed_lately(self) -> bool:
        """Whether the mailboxes could not be looked at a moment ago: who can do without need not ask so soon."""
        return time.monotonic() < self._failed_until

    async def look(self, register: Register, at: datetime) -> bool:
        """Whether anything may be taken in or decided: not while the register is behind. Raises Unavailable."""
        async with self._turn:
            async with register.read() as tx:
                timeline, latest = await restoring.standing(tx)
                resumed = self._stood and await issuing.is_whole(tx)
            if not self._looked or resumed or timeline != self._timeline or latest < self._latest:
                try:
                    await self._look_back(register, at, resumed=resumed)
                except (Unavailable, Misconfigured):
                    self._failed_until = time.monotonic() + FAILED_SECONDS
                    if not self._tolerant:
                        raise
                    event(log, "not-looked-back", level=logging.WARNING)
            self._looked, self._timeline, self._latest = True, timeline, latest
            async with register.read() as tx:
                whole = await issuing.is_whole(tx)
            self._stood = not whole
        return whole

    async def _look_back(self, register: Register, at: datetime, *, resumed: bool) -> None:
        """Once it was `resumed` too: whoever did so has looked through one of the mailboxes, which need not be ours.

        But also through the audit mailbox, which is the same for all, from end to end: that is not asked of us then.
        """
        if self._trails is None:
            return
        async with closing(self._trails()) as (processed, audit):
            loss = await survey(register, processed, audit, newest=NEWEST)
        await _record_sent(register, loss, at)
        if loss:
            event(log, "register-behind", level=logging.ERROR, mails=len(loss.mails), answers=len(loss.answers))
        elif not loss.settled and not resumed:
            event(log, "register-perhaps-behind", level=logging.ERROR, unseen=loss.audit.unseen)
        if loss or not (loss.settled or resumed):
            await issuing.stop(register, Act(by=issuing.SERVICE, why=loss.sentence), at)


@contextlib.asynccontextmanager
async def closing(trails: tuple[Folder, Folder]) -> AsyncIterator[tuple[Folder, Folder]]:
    """The trails, whose connections are closed afterwards."""
    try:
        yield trails
    finally:
        for trail in trails:
            await trail.close()
