"""The directory: who is enrolled, with which certificates and addresses, and for which desks each may act.

Every change says who made it and why, is written to the journal, and begins a new generation: what was judged
against an older one is judged again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core import calendar
from mailflow.core.canary import CANARY_APART, keeps_canary_apart
from mailflow.core.model import (
    CertificateUse,
    Directory,
    EnrolledCertificate,
    EnrolledDesk,
    EnrolledSender,
    Mandate,
    Right,
    SenderCode,
    Standing,
)
from mailflow.core.numbers import DeskCode, Territory
from mailflow.core.rates import Budget, Rates
from mailflow.errors import MailflowError
from mailflow.register import gates, journal, rates, service_keys
from mailflow.register.gates import Gate
from mailflow.register.tables import (
    certificate,
    desk,
    mandate,
    on_its_way,
    outbox,
    sender,
    sender_address,
    spending,
    trust_generation,
)
from mailflow.register.transaction import Transaction
from mailflow.register.types import OutboxState


class AlreadyEnrolled(MailflowError):
    """There is one of that name already."""


class Reserved(MailflowError):
    """It is the canary's alone, or nothing of the canary's."""


class NotEnrolled(MailflowError):
    """There is none of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who changes an enrolment, why, and when."""

    by: str
    why: str
    at: datetime


async def generation(tx: Transaction) -> int:
    """The present generation: it grows with each change of an enrolment and of the fetched revocation data.

    In a transaction that writes, such changes wait until it has ended: it comes before all else that others wait for.
    """
    if tx.writes:
        await gates.hold(tx, Gate.TRUST)
    ((enrolments, revocations),) = await tx.all(
        sa.select(trust_generation.c.generation, trust_generation.c.revocations)
    )
    return int(enrolments) + int(revocations)


async def have_alone(tx: Transaction) -> None:
    """Wait until nobody decides by the enrolments, nor changes them. Every change does so before it locks anything."""
    await gates.have_alone(tx, Gate.TRUST)


async def set_generation(tx: Transaction, generation: int) -> None:
    """Of a register that is made for a trial: it has no enrolments of its own, and takes those of this generation."""
    await tx.run(sa.update(trust_generation).values(generation=generation, revocations=0))


async def read(tx: Transaction) -> Directory:
    """All enrolments as they stand."""
    now = await generation(tx)  # first: what changes meanwhile is then taken for newer, never for older
    return Directory(
        generation=now,
        senders=await list_senders(tx),
        desks={found.code: found for found in await list_desks(tx)},
        service_keys=await service_keys.read(tx),
    )


async def list_senders(tx: Transaction) -> tuple[EnrolledSender, ...]:
    """Every sender with all that is recorded of it, by code."""
    addresses: dict[str, list[str]] = defaultdict(list)
    certificates: dict[str, list[EnrolledCertificate]] = defaultdict(list)
    mandates: dict[str, list[Mandate]] = defaultdict(list)
    for row in await tx.all(sa.select(sender_address)):
        addresses[row.sender].append(row.address)
    for row in await tx.all(sa.select(certificate).order_by(certificate.c.fingerprint, certificate.c.use)):
        certificates[row.sender].append(
            EnrolledCertificate(
                fingerprint=row.fingerprint,
                der=row.der,
                use=CertificateUse(row.use),
                standing=Standing(row.standing),
            )
        )
    for row in await tx.all(sa.select(mandate).order_by(mandate.c.id)):
        mandates[row.sender].append(
            Mandate(
                desk=row.desk,
                territory=row.territory,
                rights=frozenset(Right(right) for right in row.rights.split()),
                starts_on=row.starts_on,
                ends_on=row.ends_on,
            )
        )
    return tuple(
        EnrolledSender(
            code=row.code,
            name=row.name,
            standing=Standing(row.standing),
            addresses=frozenset(addresses[row.code]),
            answer_address=row.answer_address,
            certificates=tuple(certificates[row.code]),
            mandates=tuple(mandates[row.code]),
            legacy_encryption=row.legacy_encryption,
            rates={budget: limit for budget in Budget if (limit := row._mapping[budget.value]) is not None},
        )
        for row in await tx.all(sa.select(sender).order_by(sender.c.code))
    )


async def list_desks(tx: Transaction) -> tuple[EnrolledDesk, ...]:
    """Every desk, by code."""
    rows = await tx.all(sa.select(desk).order_by(desk.c.code))
    return tuple(EnrolledDesk(code=r.code, name=r.name, address=r.address, standing=Standing(r.standing)) for r in rows)


# Senders


async def add_sender(
    tx: Transaction,
    code: SenderCode,
    *,
    name: str,
    answer_address: str,
    legacy_encryption: bool,
    change: Change,
) -> None:
    """Enrol a sender, active, as yet without certificate, address or mandate. Raises AlreadyEnrolled."""
    row = {
        "code": code,
        "name": name,
        "standing": Standing.ACTIVE.value,
        "answer_address": answer_address,
        "legacy_encryption": legacy_encryption,
    }
    await _add(tx, sender, row)
    await _add(tx, spending, {"sender": code})
    await _changed(tx, "sender-added", change, sender=code)


async def set_sender_standing(tx: Transaction, code: SenderCode, standing: Standing, change: Change) -> None:
    """Suspend a sender, or let it act again. Raises NotEnrolled."""
    await _set(tx, sender, sender.c.code == code, standing=standing.value)
    await _changed(tx, f"sender-{standing.value}", change, sender=code)


async def amend_sender(
    tx: Transaction, code: SenderCode, *, name: str | None, legacy_encryption: bool | None, change: Change
) -> None:
    """Give a sender another name, or answer it by other algorithms; None leaves it. Raises NotEnrolled."""
    amended = {"name": name, "legacy_encryption": legacy_encryption}
    given = {column: value for column, value in amended.items() if value is not None}
    await _set(tx, sender, sender.c.code == code, **given)
    legacy = None if legacy_encryption is None else str(legacy_encryption).lower()
    await _changed(tx, "sender-amended", change, sender=code, legacy_encryption=legacy)


async def set_rates(tx: Transaction, code: SenderCode, own: Rates, change: Change) -> None:
    """Give a sender rates of its own; what `own` does not name is as the settings say. Raises NotEnrolled.

    They hold at once, for the mails that wait for their turn too.
    """
    await _set(tx, sender, sender.c.code == code, **{budget.value: own.get(budget) for budget in Budget})
    await rates.begin_anew(tx, code, change.at)
    told = {budget.value: str(limit) for budget, limit in own.items()}
    await _changed(tx, "rates-changed", change, sender=code, **told)


async def set_answer_address(tx: Transaction, code: SenderCode, address: str, change: Change) -> None:
    """Let all that is written to a sender go elsewhere, also what was written before. Raises NotEnrolled.

    An answer is given its address when it leaves. What answers no mail bears it: it is given the new one here, unless
    it has left and not come back, is just being sent, or another sender has the former address too.
    """
    await have_alone(tx)
    others = sender.alias("others")
    shared = sa.exists().where(others.c.answer_address == outbox.c.recipient, others.c.code != code)
    former = sa.select(sender.c.answer_address).where(sender.c.code == code).scalar_subquery()
    to_it = (outbox.c.intake_id.is_(None), outbox.c.recipient == former, on_its_way)
    free = outbox.c.state != OutboxState.SENDING.value
    await tx.run(sa.update(outbox).where(*to_it, free, ~shared).values(recipient=address))
    await _set(tx, sender, sender.c.code == code, answer_address=address)
    await _changed(tx, "answer-address-changed", change, sender=code, address=address)


async def add_address(tx: Transaction, code: SenderCode, address: str, change: Change) -> None:
    """Enrol a From address. Raises AlreadyEnrolled, NotEnrolled when there is no such sender."""
    await have_alone(tx)
    await _require_sender(tx, code)
    await _add(tx, sender_address, {"sender": code, "address": address.lower()})
    await _changed(tx, "address-added", change, sender=code, address=address.lower())


async def remove_address(tx: Transaction, code: SenderCode, address: str, change: Change) -> None:
    """Take a From address away. Raises NotEnrolled."""
    await have_alone(tx)
    which = sa.and_(sender_address.c.sender == code, sender_address.c.address == address.lower())
    if not await tx.run(sa.delete(sender_address).where(which)):
        raise NotEnrolled("there is no such address")
    await _changed(tx, "address-removed", change, sender=code, address=address.lower())


async def add_certificate(
    tx: Transaction, code: SenderCode, *, fingerprint: str, der: bytes, use: CertificateUse, change: Change
) -> None:
    """Enrol a certificate for one use, active. Raises AlreadyEnrolled, NotEnrolled when there is no such sender."""
    await have_alone(tx)
    await _require_sender(tx, code)
    row = {
        "fingerprint": fingerprint,
        "use": use.value,
        "sender": code,
        "der": der,
        "standing": Standing.ACTIVE.value,
    }
    await _add(tx, certificate, row)
    await _changed(tx, "certificate-added", change, sender=code, fingerprint=fingerprint, use=use.value)


async def set_certificate_standing(
    tx: Transaction, fingerprint: str, standing: Standing, change: Change, use: CertificateUse | None = None
) -> None:
    """Suspend a certificate, or accept it again: for one use, or for all. Raises NotEnrolled."""
    which = [certificate.c.fingerprint == fingerprint, *([] if use is None else [certificate.c.use == use.value])]
    await _set(tx, certificate, sa.and_(*which), standing=standing.value)
    of = {} if use is None else {"use": use.value}
    await _changed(tx, f"certificate-{standing.value}", change, fingerprint=fingerprint, **of)


# Desks and mandates


async def add_desk(tx: Transaction, code: DeskCode, *, name: str, address: str, change: Change) -> None:
    """Put a desk on record, active. Raises AlreadyEnrolled."""
    await _add(tx, desk, {"code": code, "name": name, "address": address, "standing": Standing.ACTIVE.value})
    await _changed(tx, "desk-added", change, desk=code)


async def amend_desk(tx: Transaction, code: DeskCode, *, name: str | None, address: str | None, change: Change) -> None:
    """Give a desk another name or address; None leaves it. Attestations made before keep theirs. Raises NotEnrolled."""
    given = {column: value for column, value in (("name", name), ("address", address)) if value is not None}
    await _set(tx, desk, desk.c.code == code, **given)
    await _changed(tx, "desk-amended", change, desk=code)


async def set_desk_standing(tx: Transaction, code: DeskCode, standing: Standing, change: Change) -> None:
    """Suspend a desk, or let it act again. Raises NotEnrolled."""
    await _set(tx, desk, desk.c.code == code, standing=standing.value)
    await _changed(tx, f"desk-{standing.value}", change, desk=code)


async def add_mandate(tx: Transaction, code: SenderCode, added: Mandate, change: Change) -> None:
    """Let a sender act for a desk. Raises NotEnrolled, and AlreadyEnrolled when one begins that very day.

    Raises Reserved when it would give the canary something real, or somebody else something of the canary's.
    """
    if not keeps_canary_apart(code, added):
        raise Reserved(CANARY_APART)
    await have_alone(tx)
    await _require_sender(tx, code)
    if not await tx.all(sa.select(desk.c.code).where(desk.c.code == added.desk)):
        raise NotEnrolled(f"there is no desk {added.desk}")
    rights = " ".join(sorted(right.value for right in added.rights))
    row = {
        "sender": code,
        "desk": added.desk,
        "territory": added.territory,
        "rights": rights,
        "starts_on": added.starts_on,
        "ends_on": added.ends_on,
    }
    await _add(tx, mandate, row)
    await _changed(
        tx,
        "mandate-added",
        change,
        sender=code,
        desk=added.desk,
        territory=added.territory,
        rights=rights,
        starts_on=added.starts_on.isoformat(),
        ends_on=None if added.ends_on is None else added.ends_on.isoformat(),
    )


async def end_mandate(
    tx: Transaction,
    code: SenderCode,
    for_desk: DeskCode,
    territory: Territory,
    *,
    ends_on: date,
    change: Change,
    starts_on: date | None = None,
) -> None:
    """Let the mandates of a sender for a desk and territory end with that day. Raises NotEnrolled.

    With `starts_on` the one that began, or begins, that day; else all of them but those that begin later.
    """
    begun = mandate.c.starts_on <= max(ends_on, calendar.legal_day(change.at))
    which = sa.and_(
        mandate.c.sender == code,
        mandate.c.desk == for_desk,
        mandate.c.territory == territory,
        sa.or_(mandate.c.ends_on.is_(None), mandate.c.ends_on > ends_on),
        begun if starts_on is None else mandate.c.starts_on == starts_on,
    )
    await _set(tx, mandate, which, ends_on=ends_on)
    await _changed(
        tx,
        "mandate-ended",
        change,
        sender=code,
        desk=for_desk,
        territory=territory,
        ends_on=ends_on.isoformat(),
        **({} if starts_on is None else {"starts_on": starts_on.isoformat()}),
    )


async def _require_sender(tx: Transaction, code: SenderCode) -> None:
    if not await tx.all(sa.select(sender.c.code).where(sender.c.code == code)):
        raise NotEnrolled(f"there is no sender {code}")


async def _add(tx: Transaction, table: sa.Table, row: Mapping[str, Any]) -> None:
    await have_alone(tx)
    identity: Iterable[sa.Column[Any]] = table.primary_key.columns
    new = tx.insert(table).values(**row).on_conflict_do_nothing().returning(*identity)
    if not await tx.all(new):
        raise AlreadyEnrolled(f"there is such a {table.name.replace('_', ' ')} already")


async def _set(tx: Transaction, table: sa.Table, which: sa.ColumnElement[bool], **values: Any) -> None:
    await have_alone(tx)
    if not await tx.run(sa.update(table).where(which).values(**values)):
        raise NotEnrolled(f"there is no such {table.name}")


async def _changed(
    tx: Transaction,
    kind: str,
    change: Change,
    *,
    sender: str | None = None,
    desk: str | None = None,
    **detail: str | None,
) -> None:
    table = trust_generation
    await tx.run(sa.update(table).values(generation=table.c.generation + 1))
    entry = journal.Entry(kind=kind, sender=sender, desk=desk, detail={**detail, "by": change.by, "why": change.why})
    await journal.append(tx, [entry], change.at)
