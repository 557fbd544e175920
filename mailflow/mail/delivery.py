"""The last two stages of the mail door: compose and deliver. Each is safe to kill at any line and to run again.

`compose` turns an order of the outbox into a complete mail and freezes its octets, once (M4b). `deliver` sends those
octets and no others (M5). What was cut off in the middle of DATA is `sending` and stays so until `settle_doubtful`
has asked the audit mailbox, which gets a copy of every answer.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from mailflow.core import backoff
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail import audit
from mailflow.mail.door import MailDoor, Progress, current_terms
from mailflow.mail.issuing import Wanted, issue
from mailflow.mail.kinds import ANSWER, KINDS, RECEIPT
from mailflow.mail.letter import Composed, Composition
from mailflow.mail.pool import TaskFailed
from mailflow.mail.ports import Outgoing, Sending, SendResult
from mailflow.register import Transaction, files, lateness, outbox

CANNOT_COMPOSE = "cannot be composed"
ATTESTATIONS_MAX = 100
"""Of the letters that are composed together, but at least one letter: what bounds our memory."""
COMPOSE_ATTEMPTS_MAX = 8
"""About two hours at the pace of deferred sends: most of the deadline is left to the person who then has to look."""

log = logging.getLogger(__name__)


# Compose


async def compose(door: MailDoor) -> Progress:
    """Freeze the octets of a chunk of answers. Raises Unavailable."""
    if door.judges.served is None:  # just started: orders may be waiting where no mail is
        await current_terms(door)
    at = door.clock()
    async with door.register.begin() as tx:
        queued = await outbox.claim_queued(tx, door.owner, door.pace.chunk, at, at + door.pace.lease)
    if not queued:
        return Progress()
    orders = await _read_orders(door, queued)
    unreadable = Progress(held=len(queued) - len(orders))
    queued = [row for row in queued if row.id in orders]
    if not queued:
        return unreadable
    done = unreadable
    for portion in _portions(queued, orders):
        composed = await _compose(door, portion, orders, at)
        answered = [row.key for row in portion if row.kind == ANSWER and (one := composed.get(row.id)) and one.mails]
        done += await _freeze(door, composed, answered)
    return done


def _portions(queued: Sequence[outbox.Queued], orders: Mapping[int, object]) -> list[list[outbox.Queued]]:
    """What is composed together: with few attestations, or one order alone that has many."""
    portions: list[list[outbox.Queued]] = []
    count = 0
    for row in queued:
        more = len(KINDS[row.kind].attestations(orders[row.id]))
        if not portions or count + more > ATTESTATIONS_MAX:
            portions.append([])
            count = 0
        portions[-1].append(row)
        count += more
    return portions


async def _read_orders(door: MailDoor, queued: Sequence[outbox.Queued]) -> dict[int, object]:
    """What is to be told, by row. An order that another version of the program wrote may not fit: it is held alone."""
    orders: dict[int, object] = {}
    for row in queued:
        try:
            orders[row.id] = KINDS[row.kind].order.validate_json(row.payload)
        except (KeyError, ValidationError):
            async with door.register.begin() as tx:
                await outbox.hold(tx, [row.id], CANNOT_COMPOSE, door.clock())
            event(log, "held", level=logging.ERROR, outbox=row.id, reason=CANNOT_COMPOSE.replace(" ", "-"))
    return orders


async def _compose(
    door: MailDoor, queued: Sequence[outbox.Queued], orders: Mapping[int, object], at: datetime
) -> dict[int, Composed]:
    """All at once, by row; when that fails one by one, so that one order that cannot be composed falls alone."""
    try:
        compositions = await _compositions(door, queued, orders)
        return {row.id: one for row, one in zip(queued, await door.judges.compose(compositions, at), strict=True)}
    except TaskFailed as error:
        if len(queued) == 1:
            return await _try_later(door, queued[0], error)
    composed: dict[int, Composed] = {}
    for row in queued:
        composed |= await _compose(door, [row], orders, at)
    return composed


async def _compositions(
    door: MailDoor, queued: Sequence[outbox.Queued], orders: Mapping[int, object]
) -> list[Composition]:
    """The orders with all that goes along: what was told before, and the applicants' attestations."""
    records = {row.id: KINDS[row.kind].records(orders[row.id]) for row in queued}
    async with door.register.read() as tx:
        returned = await files.returned(tx, sorted({record for some in records.values() for record in some}))
    due = {row.id: KINDS[row.kind].attestations(orders[row.id]) for row in queued}
    wanted = [Wanted(due=one, intake_id=row.intake_id) for row in queued if row.intake_id for one in due[row.id]]
    issued = iter(await issue(door, wanted))
    return [
        Composition(
            kind=row.kind,
            order=orders[row.id],
            recipient=row.recipient,
            message_id=row.message_id,
            further=row.further,
            dated_at=row.dated_at,
            returned={record: returned[record] for record in records[row.id] if record in returned},
            enclosures=tuple(next(issued) for _ in due[row.id]),
        )
        for row in queued
    ]


async def _try_later(door: MailDoor, row: outbox.Queued, error: TaskFailed) -> dict[int, Composed]:
    """Memory may be short, or the machine slow: that passes. What fails again and again waits for a person."""
    event(log, "compose-failed", level=logging.ERROR, outbox=row.id, error=error.what, at=error.place or None)
    if row.attempts + 1 >= COMPOSE_ATTEMPTS_MAX:
        return {row.id: Composed(reason=CANNOT_COMPOSE)}
    async with door.register.begin() as tx:
        until = _next_attempt(door, row.attempts + 1)
        await outbox.compose_later(tx, door.owner, row.id, until, f"{CANNOT_COMPOSE} now")
    return {}


async def _freeze(door: MailDoor, composed: Mapping[int, Composed], answered: Sequence[str]) -> Progress:
    """Keep the octets; of the intakes that are answered with them no receipt sets out any more."""
    mails = {id_: one.mails for id_, one in composed.items() if one.mails}
    held = {id_: one.reason for id_, one in composed.items() if not one.mails}
    returns = {record: octets for one in composed.values() for record, octets in one.returns}
    octets = {
        id_: [outbox.Octets(message_id=m.message_id, raw=m.raw, body_digest=audit.body_digest(m.raw)) for m in parts]
        for id_, parts in mails.items()
    }
    async with door.register.begin() as tx:
        await _freeze_returns(tx, returns)
        await outbox.freeze(tx, octets)
        await lateness.withdraw(tx, RECEIPT, answered, "answered")
        for id_, reason in held.items():
            await outbox.hold(tx, [id_], reason, door.clock())
    for id_, parts in mails.items():
        event(log, "composed", outbox=id_, parts=len(parts) if len(parts) > 1 else None)
    for id_, reason in held.items():
        event(log, "held", outbox=id_, reason=reason.replace(" ", "-"))
    return Progress(composed=len(mails), held=len(held))


async def _freeze_returns(tx: Transaction, returns: Mapping[str, bytes]) -> None:
    """A `RET` file is written once; whoever froze it first wins, and another version of it is composed again."""
    fresh = await files.freeze_return(tx, list(returns.items()))
    others = [record for record in returns if record not in fresh]
    frozen = await files.returned(tx, others) if others else {}
    if any(frozen.get(record, returns[record]) != returns[record] for record in others):
        raise Unavailable("a RET file was frozen by somebody else meanwhile")


# Deliver


async def deliver(door: MailDoor) -> Progress:
    """Send a chunk of frozen answers, oldest mail first. Raises Unavailable."""
    at, pace = door.clock(), door.pace
    async with door.register.begin() as tx:
        rows = await outbox.claim_composed(
            tx, door.owner, pace.chunk, at, at + pace.lease, size_bytes_max=pace.chunk_bytes_max
        )
    if not rows:
        return Progress()
    marks = Marks(door, gather=pace.gather if len(rows) > 1 else timedelta(0))
    async with asyncio.TaskGroup() as group:
        sends = [group.create_task(_send(door, marks, row)) for row in rows]
    return sum((send.result() for send in sends), Progress())


async def _send(door: MailDoor, marks: "Marks", row: outbox.Composed) -> Progress:
    taken = False

    async def before_data() -> bool:
        nonlocal taken
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
    result = await door.mailer.send(outgoing, before_data)
    if taken:
        return Progress()  # what becomes of it is for whoever has it now to say
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
    counts = {
        Sending.SENT: Progress(sent=1),
        Sending.DEFERRED: Progress(deferred=1),
        Sending.DOUBTFUL: Progress(doubtful=1),
        Sending.REFUSED: Progress(held=1),
    }
    return counts[result.state]


def _mark(door: MailDoor, row: outbox.Composed, result: SendResult) -> "Mark":
    until = _next_attempt(door, row.attempts + 1)
    return Mark(row.id, result.state, final=True, until=until, detail=result.detail)


def _next_attempt(door: MailDoor, attempts: int) -> datetime:
    pace = door.pace
    seconds = backoff.delay(
        attempts,
        first=pace.defer_first.total_seconds(),
        most=pace.defer_most.total_seconds(),
        spread=0.5,
        jitter=random.random(),  # noqa: S311  spreads load, protects nothing
    )
    return door.clock() + timedelta(seconds=seconds)


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
                    await outbox.hold(tx, [mark.id], f"refused: {mark.detail}", at)
        return ours


def _fail(batch: Sequence[tuple[Mark, asyncio.Future[bool]]], error: Exception) -> None:
    for _, done in batch:
        if not done.cancelled():
            done.set_exception(error)


# What was cut off


async def settle_doubtful(door: MailDoor) -> Progress:
    """Ask the audit mailbox about sends whose end nobody saw (decision 21). Raises Unavailable."""
    at, pace = door.clock(), door.pace
    async with door.register.read() as tx:
        doubtful = await outbox.doubtful(tx, pace.chunk, at)
    done = Progress()
    for row in doubtful:
        verdict = audit.decide(
            await door.copies.find(row.message_id),
            row.body_digest,
            since=row.since,
            at=at,
            deadline_at=row.received_at + pace.deadline,
            wait=pace.audit_wait,
            reserve=pace.audit_reserve,
        )
        if verdict is audit.Verdict.WAIT:
            continue
        sent = verdict is audit.Verdict.SENT
        once = row.kind == RECEIPT  # the answer may have left meanwhile, and no receipt comes after it
        async with door.register.begin() as tx:
            if once and not sent:
                await lateness.give_up(tx, row.id, "cut off", door.clock())
            else:
                await outbox.resolve(tx, row.id, sent=sent, at=door.clock())
        event(log, "found-sent" if sent else "given-up" if once else "sent-again", outbox=row.id)
        done += Progress(sent=1) if sent else Progress(deferred=1)
    return done
