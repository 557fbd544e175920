"""The third stage of the mail door: compose. Safe to kill at any line and to run again.

It turns an order of the outbox into complete mails and freezes their octets, once (M4b): first the attestations that go
along, then the letter. An order with more attestations than few mails hold is composed mail by mail, its first part
last: memory and time of one step are those of one mail, and a kill costs one step.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from mailflow.errors import Misconfigured, Unavailable
from mailflow.log import event
from mailflow.mail import audit
from mailflow.mail.door import MailDoor, Progress, current_terms, next_attempt, tell_failed
from mailflow.mail.issuing import PORTION, Wanted, issue, named
from mailflow.mail.kinds import ANSWER, KINDS, RECEIPT
from mailflow.mail.letter import Composed, Composition, Mail
from mailflow.mail.overlap import Outcome, overlapped
from mailflow.mail.splitting import mails_for
from mailflow.register import Transaction, files, lateness, outbox, piecemeal
from mailflow.register.vault import SealBroken

CANNOT_COMPOSE = "cannot be composed"
SEAL_BROKEN = "seal broken"
"""The reason of an order when what goes along with it does not open any more."""
ATTESTATIONS_MAX = 100
"""Of the letters that are composed together; a letter with more is composed mail by mail."""
COMPOSE_ATTEMPTS_MAX = 8
"""An hour and a half at the pace of deferred sends: most of the deadline is left to the person who then has to look."""

log = logging.getLogger(__name__)


async def compose(door: MailDoor) -> Progress:
    """Freeze the octets of orders. Raises Unavailable."""
    if door.judges.served is None:  # just started: orders may be waiting where no mail is
        await current_terms(door)

    async def claim() -> Sequence[Portion]:
        at, pace = door.clock(), door.pace
        async with door.register.begin() as tx:
            queued = await outbox.claim_queued(
                tx, door.owner, pace.chunk, at, at + pace.lease, urgent_before=at - pace.deadline / 2
            )
        return _portions([_read_order(row) for row in queued], at)

    return await overlapped(claim, partial(_compose_portion, door), partial(_finish, door))


async def _finish(door: MailDoor, portion: "Portion", composed: Outcome[dict[int, Composed]]) -> Progress:
    try:
        done = await _freeze(door, portion, composed.get())
    except Exception:
        # The pool is away, say. Nobody should have to wait for our lease to run out once it is back.
        async with door.register.begin() as tx:
            await outbox.give_back(tx, door.owner, [one.row.id for one in portion.orders])
        raise
    for one in portion.orders:
        if one.row.intake_id is not None and one.row.id in composed.get():
            kind, outbox_id = one.row.kind, one.row.id
            door.meter.mail(one.row.intake_id, "composed", portion.at, door.clock(), outbox=outbox_id, kind=kind)
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of the outbox, and what must be known of what it says before it is composed.

    It is read again where that is done: octets need less memory than the objects that they tell of, and no pickling.
    """

    row: outbox.Queued
    readable: bool = True
    """Otherwise another version of the program wrote it, and it does not fit."""
    wanted: Sequence[Wanted] = ()
    """The attestations that go along, each under a name of its own."""
    records: Collection[str] = ()
    """Of the files whose `RET` may have been told before."""

    def composition(self, returned: Mapping[str, bytes], **details: Any) -> Composition:
        """With what was told before of its files."""
        return Composition(
            kind=self.row.kind,
            recipient=self.row.recipient,
            message_id=self.row.message_id,
            further=self.row.further,
            dated_at=self.row.dated_at,
            returned={record: returned[record] for record in self.records if record in returned},
            **{"order": self.row.payload, **details},
        )


@dataclass(frozen=True, slots=True)
class Portion:
    """What is composed together: orders with few attestations, or one order alone that has many."""

    orders: list[Order]
    at: datetime
    """When they were claimed."""


def _portions(orders: Sequence[Order], at: datetime) -> list[Portion]:
    portions: list[Portion] = []
    count = 0
    for order in orders:
        more = len(order.wanted)
        if not portions or count + more > ATTESTATIONS_MAX:
            portions.append(Portion([], at))
            count = 0
        portions[-1].orders.append(order)
        count += more
    return portions


def _read_order(row: outbox.Queued) -> Order:
    try:
        kind = KINDS[row.kind]
        content = kind.order.validate_json(row.payload)
    except (KeyError, ValidationError):
        return Order(row=row, readable=False)
    due = kind.attestations(content)
    assert not due or row.intake_id is not None, "an attestation is issued for a mail"
    wanted = named([Wanted(due=one, intake_id=row.intake_id or 0) for one in due])
    return Order(row=row, wanted=wanted, records=kind.records(content))


async def _compose_portion(door: MailDoor, portion: Portion) -> dict[int, Composed]:
    """By row. What cannot be read is held alone."""
    readable = [order for order in portion.orders if order.readable]
    composed = await _compose(door, readable, portion.at) if readable else {}
    return composed | {order.row.id: Composed(reason=CANNOT_COMPOSE) for order in portion.orders if not order.readable}


async def _compose(door: MailDoor, orders: Sequence[Order], at: datetime) -> dict[int, Composed]:
    """All at once, by row; when that fails one by one, so that one order that cannot be composed falls alone."""
    try:
        wanted = [order.wanted for order in orders]
        if sum(map(len, wanted)) > ATTESTATIONS_MAX:
            (order,), (alone,) = orders, wanted
            return {order.row.id: await _mail_by_mail(door, order, alone, at)}
        returned = await _returned(door, orders)
        issued = iter(await issue(door, [one for some in wanted for one in some]))
        compositions = [
            order.composition(returned, enclosures=tuple(next(issued) for _ in some))
            for order, some in zip(orders, wanted, strict=True)
        ]
        composed = await door.judges.compose(compositions, at)
        return {order.row.id: one for order, one in zip(orders, composed, strict=True)}
    except SealBroken:
        if len(orders) == 1:
            return {orders[0].row.id: Composed(reason=SEAL_BROKEN)}
    except (Unavailable, Misconfigured):
        raise
    except Exception as error:  # noqa: BLE001  one of these orders cannot be composed: which one, is found out
        if len(orders) == 1:
            return await _try_later(door, orders[0].row, error)
    one_by_one: dict[int, Composed] = {}
    for order in orders:
        one_by_one |= await _compose(door, [order], at)
    return one_by_one


async def _returned(door: MailDoor, orders: Sequence[Order]) -> dict[str, bytes]:
    async with door.register.read() as tx:
        return await files.returned(tx, sorted({record for order in orders for record in order.records}))


async def _mail_by_mail(door: MailDoor, order: Order, wanted: Sequence[Wanted], at: datetime) -> Composed:
    """Issue all, plan the mails that they fill, write the letter, freeze those mails; the letter itself comes last.

    The plan is that of those who began: under another limit other attestations would go in a part that is frozen.
    """
    sizes: list[int] = []
    for start in range(0, len(wanted), PORTION):
        sizes += [len(file.content) for file in await issue(door, wanted[start : start + PORTION])]
    async with door.register.read() as tx:
        begun = await piecemeal.begun(tx, order.row.id)
    limit = begun.bytes_max or door.pace.mail_bytes_max
    plan = mails_for(sizes, limit)
    returned = await _returned(door, [order])
    letter = order.composition(returned, parts_after=len(plan), mail_bytes_max=limit)
    (composed,) = await door.judges.compose([letter], at)
    before, whole = len(composed.mails), len(composed.mails) + len(plan)
    for part, positions in enumerate(plan, before + 1):
        if not composed.mails or part in begun.frozen:
            continue
        enclosed = tuple(await issue(door, [wanted[position] for position in positions]))
        details = {"order": composed.letter, "enclosures": enclosed, "part": part, "parts_after": whole - part}
        (one,) = await door.judges.compose([order.composition({}, mail_bytes_max=limit, **details)], at)
        if not one.mails:
            return one
        async with door.register.begin() as tx:
            if not await piecemeal.keep_to(tx, order.row.id, limit):
                raise Unavailable("somebody else has begun it meanwhile, with mails of another size")
            await outbox.freeze(tx, {order.row.id: [_octets(mail) for mail in one.mails]}, begin=part)
        event(log, "composed", outbox=order.row.id, part=part, parts=whole)
    return composed


def _octets(mail: Mail) -> outbox.Octets:
    return outbox.Octets(message_id=mail.message_id, raw=mail.raw, body_digest=audit.body_digest(mail.raw))


async def _try_later(door: MailDoor, row: outbox.Queued, error: Exception) -> dict[int, Composed]:
    """Memory may be short, or the machine slow: that passes. What fails again and again waits for a person."""
    tell_failed(log, "compose-failed", error, outbox=row.id)
    if row.attempts + 1 >= COMPOSE_ATTEMPTS_MAX:
        return {row.id: Composed(reason=CANNOT_COMPOSE)}
    async with door.register.begin() as tx:
        until = next_attempt(door, row.attempts + 1)
        await outbox.compose_later(tx, door.owner, row.id, until, f"{CANNOT_COMPOSE} now")
    return {}


async def _freeze(door: MailDoor, portion: Portion, composed: Mapping[int, Composed]) -> Progress:
    """Keep the octets; of the intakes that are answered with them no receipt sets out any more."""
    answers = [one.row for one in portion.orders if one.row.kind == ANSWER]
    answered = [row.key for row in answers if row.id in composed and composed[row.id].mails]
    mails = {id_: one.mails for id_, one in composed.items() if one.mails}
    held = {id_: one.reason for id_, one in composed.items() if not one.mails}
    returns = {record: octets for one in composed.values() for record, octets in one.returns}
    octets = {id_: [_octets(mail) for mail in parts] for id_, parts in mails.items()}
    async with door.register.begin() as tx:
        await _freeze_returns(tx, returns)
        await outbox.freeze(tx, octets)
        await lateness.withdraw(tx, RECEIPT, answered, "answered")
        stopped = {id_ for id_, why in held.items() if await outbox.hold(tx, door.owner, [id_], why, door.clock())}
    for id_, parts in mails.items():
        event(log, "composed", outbox=id_, parts=len(parts) if len(parts) > 1 else None)
    for id_ in sorted(stopped):
        event(log, "held", level=logging.ERROR, outbox=id_, reason=held[id_].replace(" ", "-"))
    return Progress(composed=len(mails), held=len(stopped))


async def _freeze_returns(tx: Transaction, returns: Mapping[str, bytes]) -> None:
    """A `RET` file is written once; whoever froze it first wins, and another version of it is composed again."""
    fresh = await files.freeze_return(tx, list(returns.items()))
    others = [record for record in returns if record not in fresh]
    frozen = await files.returned(tx, others) if others else {}
    if any(frozen.get(record, returns[record]) != returns[record] for record in others):
        raise Unavailable("a RET file was frozen by somebody else meanwhile")
