"""What is on record of accepted mails and their answers, for whoever reads them again; and how far that has come."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.promises import Doubt, Promise
from mailflow.register import decided, evidence, files, journal
from mailflow.register.alarm_tables import broken_promise, doubted_mail, reexamination
from mailflow.register.tables import file, history, intake, outbox, request, sender
from mailflow.register.tables import journal as entries
from mailflow.register.transaction import Transaction, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Of one mail."""

    sender: str | None
    proven: str
    order: Mapping[str, Any] | None
    recipients: frozenset[str]
    address: str
    is_frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberMade:
    """Of one number."""

    number: str
    record: str
    position: int
    intake: int | None
    desk: str


async def of_mail(tx: Transaction, intake_id: int, kind: str) -> Issued:
    """The answer is the outgoing mail of that kind."""
    known = sa.select(intake.c.sender, sender.c.answer_address)
    known = known.outerjoin(sender, sender.c.code == intake.c.sender).where(intake.c.id == intake_id)
    (row,) = await tx.all(known)
    payload = await decided.answer(tx, intake_id, kind)
    frozen = outbox.c.body_digest.is_not(None)
    sent = sa.select(outbox.c.recipient, outbox.c.part, frozen.label("frozen"))
    parts = await tx.all(sent.where(outbox.c.intake_id == intake_id, outbox.c.kind == kind))
    return Issued(
        sender=row.sender,
        proven=await _proven(tx, intake_id),
        order=None if payload is None else json.loads(payload),
        recipients=frozenset(part.recipient for part in parts),
        address=row.answer_address or "",
        is_frozen=any(part.part == 1 and part.frozen for part in parts),
    )


async def _proven(tx: Transaction, intake_id: int) -> str:
    """Whom the exhibits of the evidence name; nothing when they cannot be read, which is told elsewhere."""
    kept = (await evidence.of_intakes(tx, [intake_id])).get(intake_id)
    try:
        basis = json.loads((await evidence.exhibits(tx, [kept.basis] if kept else []))[kept.basis if kept else b""])
        digest = bytes.fromhex(basis["enrolment"])
        return str(json.loads((await evidence.exhibits(tx, [digest]))[digest])["code"])
    except (KeyError, ValueError, TypeError):
        return ""


async def returned(tx: Transaction, records: Sequence[str]) -> Mapping[str, bytes]:
    """The frozen `RET` files of these records."""
    return await files.returned(tx, records)


async def numbers(tx: Transaction, intake_id: int, named: Collection[str]) -> list[NumberMade]:
    """These numbers as far as they are on record, and all that this mail has made."""
    made = sa.and_(history.c.number == request.c.number, history.c.revision == 1)
    columns = (request.c.number, request.c.file_record, request.c.position, request.c.desk, history.c.intake_id)
    statement = sa.select(*columns).outerjoin(history, made)
    mine = sa.select(file.c.record).where(file.c.intake_id == intake_id)
    rows = await tx.all(statement.where(request.c.file_record.in_(mine)))
    for batch in batches(sorted(named)):
        rows += await tx.all(statement.where(tx.among(request.c.number, batch)))
    return [
        NumberMade(
            number=row.number, record=row.file_record, position=row.position, intake=row.intake_id, desk=row.desk
        )
        for row in rows
    ]


# How far it has come


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Up to where mails were read again."""

    entry: int
    """Id in the journal; 0: nothing yet."""
    night: datetime | None
    """When the last run began."""
    mails: int
    """How many it has read."""


async def position(tx: Transaction) -> Position:
    """Where the last step ended."""
    rows = await tx.all(sa.select(reexamination))
    if not rows:
        return Position(entry=0, night=None, mails=0)
    return Position(entry=rows[0].entry, night=rows[0].night, mails=rows[0].mails)


async def due(tx: Transaction, before: datetime) -> int:
    """How many accepted mails wait to be read again, those that are doubted not counted."""
    after = (await position(tx)).entry
    which = (entries.c.kind == evidence.ANSWERED, entries.c.id > after, entries.c.at < before)
    named = entries.c.detail.contains(f'"{evidence.DIGEST}"')
    ((number,),) = await tx.all(sa.select(sa.func.count()).where(*which, named))
    return int(number)


async def doubted(tx: Transaction) -> list[int]:
    """Mails that a promise was not kept with, as far as they are kept."""
    statement = sa.select(doubted_mail.c.intake_id).distinct()
    kept = statement.join(intake, intake.c.id == doubted_mail.c.intake_id).where(intake.c.raw.is_not(None))
    return [row.intake_id for row in await tx.all(kept.order_by(doubted_mail.c.intake_id))]


async def keep(
    tx: Transaction, examined: Collection[int], doubts: Collection[Doubt], reached: Position, at: datetime
) -> None:
    """What these mails came to, in place of what they came to before; each new doubt is put on record."""
    before = {(row.intake_id, row.promise) for row in await tx.all(sa.select(doubted_mail))}
    for batch in batches(sorted(examined)):
        await tx.run(sa.delete(doubted_mail).where(tx.among(doubted_mail.c.intake_id, batch)))
    erased = sa.select(intake.c.id).where(intake.c.raw.is_(None))
    await tx.run(sa.delete(doubted_mail).where(doubted_mail.c.intake_id.in_(erased)))
    pairs = {(one.intake, one.promise.value): one for one in doubts}
    rows = [{"intake_id": id_, "promise": promise, "found_at": at} for id_, promise in sorted(pairs)]
    await tx.run(sa.insert(doubted_mail), rows)
    new = [one for pair, one in sorted(pairs.items()) if pair not in before]
    noted = [
        journal.Entry(
            kind="mail-doubted", intake_id=one.intake, detail={"promise": one.promise.value, "about": one.about}
        )
        for one in new
    ]
    await journal.append(tx, noted, at)
    values = {"entry": reached.entry, "night": reached.night, "mails": reached.mails}
    row = tx.insert(reexamination).values(id=1, **values)
    await tx.run(row.on_conflict_do_update(index_elements=["id"], set_=values))
    await _tell(tx, at)


async def _tell(tx: Transaction, at: datetime) -> None:
    """By promise, with how many mails it was not kept, for whoever watches."""
    counted = sa.select(doubted_mail.c.promise, sa.func.count().label("mails")).group_by(doubted_mail.c.promise)
    found = dict.fromkeys((promise.value for promise in Promise), 0)
    found |= {row.promise: row.mails for row in await tx.all(counted)}
    for name, times in found.items():
        values = {"times": times, "looked_at": at}
        new = tx.insert(broken_promise).values(invariant=name, **values)
        await tx.run(new.on_conflict_do_update(index_elements=["invariant"], set_=values))
