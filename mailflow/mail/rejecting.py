"""An operator refuses mails: who is proven to have sent one is told, once and for good; nobody else is.

Like a worker's decision it is one transaction, after which the mail is answered or set aside; unlike it no request is
looked into, so that a mail that breaks the judge can be refused, and no file name is bound.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.anomalies import Anomaly, Code
from mailflow.mail.door import MailDoor, current_terms
from mailflow.mail.judge import Unjudged
from mailflow.mail.kinds import ANSWER, KINDS
from mailflow.mail.model import Recognised, Recognition, Reply
from mailflow.mail.recognising import recognise
from mailflow.register import Transaction, acts, cases, directory, fitting, intake, journal, outbox, queues
from mailflow.register.acts import Left, Verb, Weighed
from mailflow.register.cases import MAIL, Filter, Item
from mailflow.register.vault import SealBroken
from mailflow.registrar import StaleDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What became, or would become, of what a filter matched."""

    weighed: Weighed
    told: Sequence[Item]
    """Of what is done, those whose senders are proven, and told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What an operator says."""

    act: journal.Act
    note: str
    """For the sender; `act.why` is for the journal alone."""


async def plan(door: MailDoor, which: Filter) -> Rejection:
    """What `reject` would do now. Changes nothing. Raises Unavailable."""
    at = door.clock()
    async with door.register.read() as tx:
        weighed = await acts.preview(tx, Verb.REJECT, which, at)
    await current_terms(door)
    return _sorted(weighed, await _recognised(door, weighed.done))


async def reject(door: MailDoor, which: Filter, refusal: Refusal) -> Rejection:
    """Refuse them, all or none. Raises Unavailable, also when the enrolments have just changed: call again."""
    terms = await current_terms(door)
    async with door.register.read() as tx:
        before = await acts.preview(tx, Verb.REJECT, which, door.clock())
    known = await _recognised(door, before.done)
    at = door.clock()
    async with door.register.begin() as tx:
        if await directory.generation(tx) != terms.directory.generation:
            raise StaleDirectory("the enrolments have changed")
        these = Filter(intakes=sorted(item.id for item in [*before.done, *(item for item, _ in before.left)]))
        locked = await cases.lock(tx, these) if these.intakes else []
        weighed = acts.weigh(Verb.REJECT, [item for item in locked if item.kind == MAIL], at)
        rejection = _sorted(weighed, known)
        await _write(tx, door, rejection, known, refusal, at)
    return rejection


async def _recognised(door: MailDoor, items: Sequence[Item]) -> dict[int, Recognition]:
    """Who sent these mails, as many at a time as a chunk holds; what does not open any more is left out."""
    known: dict[int, Recognition] = {}
    received = {item.id: item.received_at for item in items}
    async with door.register.read() as tx:
        left = await queues.sizes(tx, list(received))
    while left:
        ids = fitting(dict(itertools.islice(left.items(), door.pace.chunk)), door.pace.chunk_bytes_max)
        async with door.register.read() as tx:
            mails = [
                Unjudged(intake=id_, raw=raw, received_at=received[id_])
                for id_ in ids
                if (raw := await _opened(tx, id_)) is not None
            ]
        found = await recognise(door.judges, mails, at=door.clock())
        known |= {mail.intake: one for mail, one in zip(mails, found, strict=True)}
        for id_ in ids:
            del left[id_]
    return known


async def _opened(tx: Transaction, intake_id: int) -> bytes | None:
    try:
        return await queues.raw(tx, intake_id)
    except SealBroken:
        return None


def _sorted(weighed: Weighed, known: Mapping[int, Recognition]) -> Rejection:
    """Whoever cannot be told now to be proven or not is neither told nor passed over in silence."""
    done = [item for item in weighed.done if item.id in known and isinstance(known[item.id], Recognised | None)]
    unclear = [(item, Left.UNCLEAR) for item in weighed.done if item not in done]
    told = [item for item in done if known[item.id] is not None]
    return Rejection(weighed=Weighed(done=done, left=[*weighed.left, *unclear]), told=told)


async def _write(
    tx: Transaction,
    door: MailDoor,
    rejection: Rejection,
    known: Mapping[int, Recognition],
    refusal: Refusal,
    at: datetime,
) -> None:
    replies = {one.intake: one for item in rejection.told if isinstance(one := known[item.id], Recognised)}
    drafts = [_draft(door, item, replies[item.id], refusal, at) for item in rejection.told]
    ordered = await outbox.queue(tx, drafts, at)
    assert len(ordered) == len(drafts), "what is undecided has no answer"
    await intake.reject(
        tx,
        {item.id: replies[item.id].reply.sender if item.id in replies else None for item in rejection.weighed.done},
        Code.MAIL_REJECTED,
        at,
    )
    entries = [acts.entry(Verb.REJECT, item, refusal.act, told=item.id in replies) for item in rejection.weighed.done]
    await journal.append(tx, entries, at)


def _draft(door: MailDoor, item: Item, sender: Recognised, refusal: Refusal, at: datetime) -> outbox.Draft:
    reply = Reply(
        context=sender.reply,
        intake=item.id,
        received_at=item.received_at,
        decided_at=at,
        files=(),
        anomalies=(Anomaly(code=Code.MAIL_REJECTED),),
        note=refusal.note,
    )
    return outbox.Draft(
        kind=ANSWER,
        key=str(item.id),
        intake_id=item.id,
        recipient=sender.reply.recipient,
        domain=door.address.rpartition("@")[2],
        dated_at=at,
        payload=KINDS[ANSWER].order.dump_json(reply),
    )
