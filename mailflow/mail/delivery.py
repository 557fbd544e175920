"""The last stage of the mail door: deliver. Safe to kill at any line and to run again.

It sends the octets that were frozen and no others (M5). What was cut off in the middle of DATA is `sending` and stays
so until `settle_doubtful` has asked the audit mailbox, which gets a copy of every answer.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from mailflow.errors import Misconfigured, Unavailable
from mailflow.log import event
from mailflow.mail import audit
from mailflow.mail.door import MailDoor, Progress, next_attempt
from mailflow.mail.kinds import ANSWER, RECEIPT
from mailflow.mail.ports import Outgoing, Sending, SendResult
from mailflow.register import doubt, lateness, outbox

CHUNKS_A_TURN = 4
"""How many chunks one turn sends at most, since what is in memory at once is bounded: the last chunk, and half of each
one before it."""
NOBODYS = "<none@mailflow.invalid>"
"""A Message-ID that no mail has: to look for it tells whether the audit mailbox can be searched at all."""

log = logging.getLogger(__name__)


async def deliver(door: MailDoor) -> Progress:
    """Send frozen answers, in turn (`register.rounds`): a chunk, and more while it goes well. Raises Unavailable.

    A turn has to end, or nobody could tell it from one that hangs: it claims for as long as a lease lasts, what it
    claimed has so long to come to its data, and that is bounded by itself (`Pace.sending_max`).
    """
    if not await door.may_send():
        return Progress()
    until = door.clock() + door.pace.lease
    rows = await _claim(door)
    marks = Marks(door, gather=door.pace.gather if len(rows) > 1 else timedelta(0))
    sends: dict[asyncio.Task[Progress], int] = {}
    async with asyncio.TaskGroup() as group:
        for chunk in range(1, CHUNKS_A_TURN + 1):
            portion = {group.create_task(_send(door, marks, row)): row.id for row in rows}
            sends |= portion
            if not rows or chunk == CHUNKS_A_TURN or not await _goes_well(portion) or door.clock() >= until:
                break
            rows = await _claim_more(door, sends)
    return sum((send.result() for send in sends), Progress())


async def _claim_more(door: MailDoor, sends: Mapping[asyncio.Task[Progress], int]) -> Sequence[outbox.Composed]:
    """Whether the register is away is for the next turn to say: what is under way goes on.

    And goes on alone: a lease that was lost is had again here, under the name that the first send goes by, too, and
    the register could not tell the two apart. Nor is it in doubt meanwhile, which the first send would end.
    """
    under_way = {id_ for send, id_ in sends.items() if not send.done()}
    try:
        rows = await _claim(door, under_way)
    except Unavailable:
        return []
    return [row for row in rows if row.id not in under_way]


async def _goes_well(portion: Collection[asyncio.Task[Progress]]) -> bool:
    """Half of them are sent: time for the next ones, so that no connection waits for the slowest of a chunk."""
    for ended in islice(asyncio.as_completed(portion), -(-len(portion) // 2)):
        if not (await ended).sent:
            return False
    return True


async def _claim(door: MailDoor, under_way: Set[int] = frozenset()) -> Sequence[outbox.Composed]:
    """The next chunk. A receipt whose answer exists by now is withdrawn: to send it was in vain before.

    What may have left is looked for anew when nothing was found of it too long ago (`doubt.reopen`).
    """
    pace = door.pace
    while True:
        at = door.clock()
        async with door.register.begin() as tx:
            rows = await outbox.claim_composed(
                tx,
                door.owner,
                pace.chunk,
                at,
                at + pace.lease,
                size_bytes_max=pace.chunk_bytes_max,
                urgent_before=at - pace.deadline / 2,
            )
            ids = {row.id for row in rows}
            withdrawn = await lateness.withdraw_overtaken(tx, RECEIPT, ANSWER, sorted(ids), "answered")
            anew = sorted(ids - withdrawn - under_way)
            fresh = pace.audit_wait / audit.GAPS_MIN
            # So much is kept that when time is short one more look is not enough, and else it is not all lost.
            reopened = await doubt.reopen(tx, anew, at, fresh=fresh, time=pace.audit_wait / 2 - fresh)
        for id_ in sorted(reopened):
            event(log, "looked-for-anew", outbox=id_)
        not_now = withdrawn | reopened
        if not rows or len(not_now) < len(rows):
            return [row for row in rows if row.id not in not_now]


async def _send(door: MailDoor, marks: "Marks", row: outbox.Composed) -> Progress:
    result: SendResult | None = None
    taken = False
    begun = door.clock()
    lease = asyncio.timeout(door.pace.lease.total_seconds())

    async def before_data() -> bool:
        nonlocal taken
        if lease.expired():
            return False  # it is being ended
        lease.reschedule(None)  # from here on it is bounded by itself, and must not be cut off
        try:
            ours = await marks.add(Mark(row.id, Sending.DOUBTFUL))
        except Unavailable:
            return False  # nothing is on record, so nothing may be sent
        taken = not ours
        return ours

    token = outbox.envelope_id(row.message_id)
    outgoing = Outgoing(
        envelope_from=door.bounce_address.replace("@", f"+{token}@") if door.bounce_address else "",
        recipient=row.recipient,
        audit=door.audit_address,
        envelope_id=token,
        raw=row.raw,
    )
    try:
        async with lease:
            result = await door.mailer.send(outgoing, before_data)
    except TimeoutError:
        if not lease.expired():
            raise
    if result is None or taken or lease.expired():
        return Progress()  # what becomes of it is for whoever has it now, or next, to say
    try:
        await marks.add(_mark(door, row, result))
    except Unavailable:
        # How it ended is not on record, and the other sends go on: `settle_doubtful` finds out.
        event(log, "unrecorded", outbox=row.id, intake=row.intake_id, reply=result.detail or None)
        return Progress(doubtful=1)
    event(
        log,
        result.state.value,
        outbox=row.id,
        intake=row.intake_id,
        reply=result.detail.lower().replace(" ", "-") or None,
    )
    if row.intake_id is not None:
        door.meter.mail(row.intake_id, result.state.value, begun, door.clock(), outbox=row.id)
    counts = {
        Sending.SENT: Progress(sent=1),
        Sending.DEFERRED: Progress(deferred=1),
        Sending.DOUBTFUL: Progress(doubtful=1),
        Sending.REFUSED: Progress(held=1),
    }
    return counts[result.state]


def _mark(door: MailDoor, row: outbox.Composed, result: SendResult) -> "Mark":
    until = next_attempt(door, row.attempts + 1)
    return Mark(row.id, result.state, final=True, until=until, detail=result.detail)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is to be recorded of one send."""

    id: int
    state: Sending
    """`DOUBTFUL` and not final: about to send."""
    final: bool = False
    until: datetime | None = None
    detail: str = ""


class Marks:
    """Marks of many sends at once, as many as have gathered in one transaction: a commit for each would be the cost."""

    def __init__(self, door: MailDoor, *, gather: timedelta) -> None:
        self._door = door
        self._gather = gather
        self._waiting: list[tuple[Mark, asyncio.Future[bool]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, mark: Mark) -> bool:
        """Returns once it is committed; False when the row was no longer ours to send. Raises Unavailable."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((mark, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        while self._waiting:
            if self._gather:
                await asyncio.sleep(self._gather.total_seconds())
            batch, self._waiting = self._waiting, []
            try:
                ours = await self._commit([mark for mark, _ in batch])
            except Unavailable as error:
                _fail(batch, error)
                continue
            except Exception as error:
                _fail(batch, error)  # or they would wait for ever
                raise
            for mark, done in batch:
                if not done.cancelled():
                    done.set_result(mark.final or mark.id in ours)

    async def _commit(self, marks: Sequence[Mark]) -> set[int]:
        at = self._door.clock()
        final = [mark for mark in marks if mark.final]
        async with self._door.register.begin() as tx:
            about = [mark.id for mark in marks if not mark.final]
            ours = await outbox.mark_sending(tx, self._door.owner, about, at) if about else set()
            if sent := [mark.id for mark in final if mark.state is Sending.SENT]:
                await outbox.mark_sent(tx, sent, at)
            for mark in final:
                if mark.state is Sending.DEFERRED:
                    assert mark.until is not None
                    await outbox.defer(tx, self._door.owner, [mark.id], mark.until, mark.detail)
                elif mark.state is Sending.REFUSED:
                    await outbox.hold(tx, self._door.owner, [mark.id], f"refused: {mark.detail}", at)
        return ours


def _fail(batch: Sequence[tuple[Mark, asyncio.Future[bool]]], error: Exception) -> None:
    for _, done in batch:
        if not done.cancelled():
            done.set_exception(error)


# What was cut off


async def settle_doubtful(door: MailDoor) -> Progress:
    """Ask the audit mailbox about sends whose end nobody saw. Raises Unavailable.

    A chunk of them, for about as long as a lease lasts, since a turn has to end. Whatever becomes of a look, even if it
    ends the turn, the next turn begins with those that wait for theirs. What was not looked for of late counts as
    something done: while there is more of that, the next turn comes at once.
    """
    at = door.clock()
    async with door.register.read() as tx:
        doubtful = await doubt.doubtful(tx, door.pace.chunk, at, door.pace.lease)
    done = Progress()
    for row in doubtful:
        if door.clock() - at >= door.pace.lease:
            break
        async with door.register.begin() as tx:
            await doubt.put_behind(tx, row.id, at, door.pace.lease)
        looked_at = door.clock()
        copies = await _copies(door, row)
        if copies is not None:
            done += await _settle(door, row, copies, looked_at)
    return done


async def _copies(door: MailDoor, row: doubt.Doubtful) -> Sequence[bytes] | None:
    """None when they cannot be had though the mailbox can be searched: the others need not wait for this one."""
    try:
        return await door.copies.find(row.message_id)
    except (Unavailable, Misconfigured):
        await door.copies.find(NOBODYS)  # raises when it is not this mail that is to blame
        event(log, "not-looked-for", level=logging.ERROR, outbox=row.id)
        return None


async def _settle(door: MailDoor, row: doubt.Doubtful, copies: Sequence[bytes], at: datetime) -> Progress:
    pace = door.pace
    missed = row.missed.again(at, pace.audit_wait / audit.GAPS_MIN) if row.missed else doubt.Missed(at, at)
    verdict = audit.decide(
        copies,
        row.body_digest,
        copies_before=row.copies_before,
        missed_for=missed.time,
        at=at,
        deadline_at=row.received_at + pace.deadline,
        sending_max=pace.sending_max,
        wait=pace.audit_wait,
        reserve=pace.audit_reserve,
    )
    if verdict is audit.Verdict.WAIT:
        async with door.register.begin() as tx:
            await doubt.miss(tx, row.id, row.since, missed)
        was_due = row.missed is None or at - row.missed.at > pace.audit_wait / audit.GAPS_MIN / 5
        return Progress(looked_for=1 if was_due else 0)
    sent = verdict is audit.Verdict.SENT
    once = row.kind == RECEIPT  # the answer may have left meanwhile, and no receipt comes after it
    async with door.register.begin() as tx:
        if once and not sent:
            await lateness.give_up(tx, row.id, "cut off", door.clock())
        else:
            await doubt.resolve(tx, row.id, row.since, sent=sent, at=door.clock())
    event(log, "found-sent" if sent else "given-up" if once else "sent-again", outbox=row.id)
    return Progress(sent=1) if sent else Progress(deferred=1)
