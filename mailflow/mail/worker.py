"""The first two stages of the mail door: receive and process. Each is safe to kill at any line and to run again.

`receive` brings mail under our own roof and only then takes it off the server (M1 to M3). `process` decides: numbers,
journal, the order for an answer and the mail's new state are written together or not at all (M3 to M4).
The other two are in `mail.composing` and `mail.delivery`. DESIGN.md draws the states.
"""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from mailflow.core.anomalies import Code
from mailflow.errors import MailflowError, Misconfigured, Unavailable
from mailflow.log import event
from mailflow.mail import room
from mailflow.mail.deciding import STOPPED_AGAIN, ClockBehind, Decision, Judged, decide, judge, require_no_earlier
from mailflow.mail.door import MailDoor, Progress, current_terms, tell_failed
from mailflow.mail.mime import glance
from mailflow.mail.model import FetchedMail, Lying
from mailflow.mail.overlap import Outcome, overlapped
from mailflow.mail.ports import Listing
from mailflow.register import Hold, LeaseLost, Taken, Transaction, arrivals, blame, clocks, intake, presence
from mailflow.register.arrivals import UIDVALIDITY_END, Arrival
from mailflow.registrar import StaleDirectory, Terms

CHUNKS_A_POLL = 4
"""How many chunks one poll reads at most before it puts them away: one move then serves them all."""
FETCH_SECONDS_MAX = 900.0
"""How long one poll reads mails of a slow server: what is left comes with the next one, so that a turn is bounded."""

log = logging.getLogger(__name__)

Chunk = Sequence[intake.Claimed]


# Receive


async def receive(door: MailDoor) -> Progress:
    """Take in the first mails of the inbox, then move them to where they belong. Raises Unavailable.

    One worker at a time and inbox, the others find it Taken: two that move the same mail leave two copies of it behind.
    """
    async with door.register.alone("receive", of=f"{door.account} {door.inbox}") as ours:
        if not ours:
            raise Taken("another worker reads the inbox")
        return await _receive(door, ours)


@dataclass(slots=True)
class _Haul:
    """What one turn has come to so far, be it broken off."""

    on_record: Mapping[int, arrivals.Taken]
    """What was there before, by the UIDs of what lies in the inbox."""
    listed: int
    """So many mails lay in the inbox."""
    ours: dict[Lying, bool] = field(default_factory=dict)
    """Mails in the inbox that are on record, and whether to the octet."""
    received: int = 0
    """So many were put on record."""
    left: int = 0
    """So many came at a time that is none yet."""
    read_until: float = field(default_factory=lambda: time.monotonic() + FETCH_SECONDS_MAX)


async def _receive(door: MailDoor, ours: Hold) -> Progress:
    if not await door.is_whole():
        return Progress()
    listing = await door.mailbox.list()
    uids = listing.uids[: door.pace.chunk * CHUNKS_A_POLL]
    if not uids:
        return Progress()
    if not await _has_room(door, len(listing.uids)):
        return Progress()
    at = door.clock()
    async with door.register.begin() as tx:
        on_record = await arrivals.taken(tx, door.account, door.inbox, listing.uidvalidity, uids)
        behind = await clocks.is_behind(tx, at + clocks.APART_MAX)
    haul = _Haul(on_record, len(listing.uids))
    not_after = at + clocks.APART_MAX if behind else None
    try:
        await _bring_in(door, haul, listing, [uid for uid in uids if uid not in on_record], not_after)
        await _bring_in(door, haul, listing, await _tell_apart(door, haul, listing), not_after)
        # Only what is committed leaves the inbox; a move that fails is made up for by the next poll.
        for folder, whole in ((door.processed, True), (door.quarantine, False)):
            if to_move := [mail for mail, kept in haul.ours.items() if kept is whole]:
                await ours.confirm()  # cut off from the database we are not: another worker may be at it by now
                await door.mailbox.move(listing, to_move, folder)
    except Unavailable as error:
        if not haul.received:
            raise
        # What was taken in counts, and the next turn, which follows at once, tells whether it lasts.
        event(log, "broken-off", level=logging.WARNING, taken=haul.received, why=type(error).__name__.lower())
    if haul.left and not haul.received:
        raise ClockBehind(
            f"clock: it is {at:%Y-%m-%d %H:%M}, which the register says it was before, and by the mail server's clock"
            f" {haul.left} mails came later; set the one that is wrong, until then they stay in the mailbox"
        )
    return Progress(received=haul.received)


async def _has_room(door: MailDoor, mails: int) -> bool:
    """Whether more may be taken in; else it is told, and that so many mails stay where they are."""
    if reason := await room.full(door):
        event(log, "left-in-mailbox", level=logging.WARNING, mails=mails, full=reason)
    return reason is None


async def _tell_apart(door: MailDoor, haul: _Haul, listing: Listing) -> Sequence[int]:
    """Add those that we have, by their UIDs and headers; return those that have to be read.

    A UID on record is not enough. A server that went back to an older state gives UIDs again: what does not bear the
    header on record is read, and compared. What it tells nothing of stays where it is.
    """
    unclear = []
    if haul.on_record:
        for mail in await door.mailbox.look(listing, sorted(haul.on_record)):
            known, token = haul.on_record[mail.uid], arrivals.message_token(door.register.vault, mail.message_id)
            if known.bears(mail.received_at, token, mail.size_bytes):
                haul.ours[mail] = known.digest is not None
            else:
                unclear.append(mail.uid)
    return unclear


async def _bring_in(
    door: MailDoor, haul: _Haul, listing: Listing, uids: Sequence[int], not_after: datetime | None
) -> None:
    """Take in those of them that the server gives; as much as there is room for, and as fits into the time of one turn.

    What came after `not_after` by the server's clock is left where it is.
    """
    batch: list[FetchedMail] = []
    async for mail in door.mailbox.fetch(listing, uids):
        if not_after is None or mail.received_at <= not_after:
            batch.append(mail)
        else:
            haul.left += 1
        octets = sum(len(one.raw or b"") for one in batch)
        if len(batch) >= door.pace.chunk or octets >= door.pace.chunk_bytes_max:
            if not await _take_in(door, haul, batch):
                return
            batch = []
        if time.monotonic() > haul.read_until:
            break
    await _take_in(door, haul, batch)


async def _take_in(door: MailDoor, haul: _Haul, mails: Sequence[FetchedMail]) -> bool:
    """Commit these mails to the intake, but for those that were there before, to the octet; False without room."""
    arrived = [arrival(door.account, door.inbox, mail) for mail in mails]
    if unknown := [one for one in arrived if not _is_known(haul.on_record.get(one.uid), one)]:
        # Looked at anew for each batch: reading them took time, and others fill the same disk and queue.
        if not await _has_room(door, haul.listed - len(haul.ours)):
            return False
        async with door.register.begin() as tx:
            kept = await intake.take_in(tx, unknown, door.clock(), moved_to=door.processed)
        new = [one.arrival for one in kept if one.is_new]
        event(log, "taken-in", mails=len(new), bytes=sum(one.size_bytes for one in new))
        for uid in sorted(one.uid for one in new if one.uidvalidity >= UIDVALIDITY_END):
            event(log, "uid-of-another-mail", level=logging.ERROR, uid=uid)
        haul.received += len(new)
    haul.ours |= {mail.seen: mail.raw is not None for mail in mails}
    return True


def _is_known(known: arrivals.Taken | None, one: Arrival) -> bool:
    return known is not None and known.digest is not None and known.digest == arrivals.digest(one)


def arrival(account: str, mailbox: str, mail: FetchedMail) -> Arrival:
    """A mail of this mailbox, as the intake takes it."""
    return Arrival(
        account=account,
        mailbox=mailbox,
        uidvalidity=mail.uidvalidity,
        uid=mail.uid,
        raw=mail.raw,
        size_bytes=mail.size_bytes,
        received_at=mail.received_at,
        message_id=mail.seen.message_id,
        from_address=glance(mail.raw or b"").from_address,
    )


# Process


async def process(door: MailDoor) -> Progress:
    """Decide chunks of waiting mails, then mails that must run alone. Raises Unavailable, Misconfigured."""
    try:
        if not await door.is_whole():
            return Progress()
        terms = await current_terms(door)
    except (Unavailable, Misconfigured):
        with contextlib.suppress(ClockBehind):
            await _set_right(door)  # answers that wait need neither
        raise

    async def claim() -> Sequence[Chunk]:
        at, pace = door.clock(), door.pace
        while True:
            async with door.register.begin() as tx:
                mails = await intake.claim_chunk(
                    tx,
                    door.owner,
                    pace.chunk,
                    at,
                    at + pace.lease,
                    size_bytes_max=pace.chunk_bytes_max,
                    urgent_before=at - pace.deadline / 2,
                )
                come = [mail for mail in mails if await _has_come(tx, door, mail, at, refund=False)]
            if come or not mails:  # however many are put back, the others have their turn now
                return [come] if come else []

    done = await overlapped(claim, lambda chunk: judge(door, chunk), partial(_attempt_chunk, door, terms))
    done = await _go_on_alone(door, terms, done)
    if not done:
        await _look_at_clock(door)
    return done


async def _has_come(tx: Transaction, door: MailDoor, mail: intake.Claimed, at: datetime, *, refund: bool) -> bool:
    """Whether a mail may be decided; else it waits for its time again, whoever made it due: it would hold up others."""
    if mail.came_at <= at:
        return True
    await intake.release(tx, door.owner, [mail.id], refund=refund, until=mail.came_at)
    return False


async def _look_at_clock(door: MailDoor) -> None:
    """By a clock that was put back nothing is due for as long as it is behind, and nobody would hear of it.

    Raises Unavailable: ClockBehind.
    """
    at = door.clock()
    async with door.register.read() as tx:
        came_at = await clocks.one_to_come(tx, at + clocks.APART_MAX)
    await _set_right(door)
    if came_at is not None:
        require_no_earlier(at, came_at)


async def _set_right(door: MailDoor) -> None:
    """What was put off or claimed by a clock that was ahead is due now; its time may be days away.

    Raises Unavailable: ClockBehind when another worker says that it is later, whose clock put that off, then.
    """
    at, pace = door.clock(), door.pace
    longest = 2 * max(pace.defer_most, pace.undetermined_retry, STOPPED_AGAIN)  # they are spread
    async with door.register.read() as tx:
        if not await clocks.is_too_far(tx, door.owner, at, lease=pace.lease, put_off_max=longest):
            return
    if await presence.others_are_later(door.register, door.owner, at + clocks.APART_MAX):
        raise ClockBehind(f"clock: it is {at:%Y-%m-%d %H:%M}, and later for another worker; set the one that is wrong")
    async with door.register.begin() as tx:
        rows = await clocks.set_right(tx, door.owner, at, lease=pace.lease, put_off_max=longest)
    event(log, "clock-was-ahead", level=logging.WARNING, rows=rows)


async def _attempt_chunk(
    door: MailDoor, terms: Terms, chunk: Chunk, judged: Outcome[Sequence[Sequence[Judged]]]
) -> Progress:
    """Any failure that is not the surroundings' sends the mails off one by one that are not decided yet.

    So many requests that they are too much for one transaction are decided in several, or are left for the next turn.
    """
    done, left = Progress(), {mail.id for mail in chunk}
    try:
        for portion in judged.get():
            done += await decide(door, terms, portion)
            left -= {mail.id for mail, _ in portion}
    except (Unavailable, Misconfigured) as error:
        await _give_back(door, sorted(left), None if done else error)
    except Exception as error:  # noqa: BLE001  one of these mails is poison: the job wrapper finds out which
        tell_failed(log, "chunk-failed", error, mails=len(left))
        async with door.register.begin() as tx:
            await intake.make_solo(tx, door.owner, sorted(left))
    else:
        if left:
            event(log, "left-for-later", mails=len(left))
            await _give_back(door, sorted(left), None)
        return done
    return done + Progress(retried=len(left))


async def _go_on_alone(door: MailDoor, terms: Terms, done: Progress) -> Progress:
    """Mails that must run alone, one after the other, until one fails: that may have cost a process of the pool.

    As many as a chunk has, and about as long as a lease lasts, since whatever else waits is to have its turn. `done`:
    what the turn has come to so far; with it.
    """
    if door.spared:  # the database was away when they were to be given back, or another worker had them by then
        await _give_back(door, sorted(door.spared), None)
    until = door.clock() + door.pace.lease
    for _ in range(door.pace.chunk):
        at = door.clock()
        if at > until:
            break
        async with door.register.begin() as tx:
            mail = await intake.claim_solo(tx, door.owner, at, at + door.pace.lease, door.pace.attempts_max)
            has_come = mail is None or await _has_come(tx, door, mail, at, refund=True)
        if mail is None:
            break
        if not has_come:
            continue
        # The attempt is on record already, so that even a mail that kills the process runs out of them.
        try:
            (portion,) = await judge(door, [mail])
            done += await decide(door, terms, portion)
        except (Unavailable, Misconfigured) as error:
            # Who had it for longer than its lease, and lost it by that, may have been held up by the mail itself.
            if not isinstance(error, LeaseLost) or door.clock() < at + door.pace.lease:
                door.spared[mail.id] = mail.attempts
            await _give_back(door, [mail.id], None if done else error)
            return done + Progress(retried=1)
        except Exception as error:  # noqa: BLE001  the third strike sets this mail aside, the queue moves on
            return done + await _strike(door, mail, error)
    return done


async def _strike(door: MailDoor, mail: intake.Claimed, error: Exception) -> Progress:
    """An attempt at a mail that runs alone has failed: it has another one, or was the last."""
    tell_failed(log, "attempt-failed", error, intake=mail.id, attempt=mail.attempts)
    async with door.register.begin() as tx:
        if mail.attempts < door.pace.attempts_max:
            await intake.release(tx, door.owner, [mail.id], refund=False)
            return Progress(retried=1)
        at = door.clock()
        if not await blame.allowance(tx, at):
            await intake.spare(tx, door.owner, mail.id, at + door.pace.lease)
            event(log, "nobody-decided", level=logging.ERROR, intake=mail.id)
            return Progress(retried=1)
        decision = Decision(door=door, at=at)
        decision.set_aside(mail, Code.INTERNAL_FAULT, f"third strike: {_describe(error)}")
        await decision.write(tx)
    return decision.announce()


async def _give_back(door: MailDoor, ids: Sequence[int], error: MailflowError | None) -> None:
    """The mails are not to blame: they are free again at once, no attempt at them counts, and the stage backs off.

    When even that fails the leases run out by themselves, and what is spared is for the next turn. Enrolments that
    changed are no reason to back off, nor is what befell the rest of a chunk (None): the next turn finds out whether
    it lasts.
    """
    async with door.register.begin() as tx:
        await intake.release(tx, door.owner, sorted({*ids, *door.spared}), refund=False)
        await blame.refund(tx, door.spared)
    door.spared.clear()
    if error is not None and not isinstance(error, StaleDirectory):
        raise error


def _describe(error: Exception) -> str:
    """Type and place; the message only of our own errors, which carry no content."""
    return str(error) if isinstance(error, MailflowError) else type(error).__name__
