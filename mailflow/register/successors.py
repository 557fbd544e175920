"""Certificates that senders offered by signed mail: kept, and enrolled when somebody, or the settings, says so."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.model import CertificateUse, SenderCode, Standing
from mailflow.core.succession import Succession, Successor
from mailflow.errors import MailflowError
from mailflow.register import directory, journal
from mailflow.register.directory import Change
from mailflow.register.tables import certificate, sender, successor
from mailflow.register.transaction import Transaction

WAITING_MAX = 5
"""Of one sender: a stolen key must not fill the register, nor its owner's mailbox."""


class NotOffered(MailflowError):
    """No such certificate waits, or what it would follow may sign no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A certificate that a sender offered."""

    sender: SenderCode
    successor: Successor
    intake_id: int
    offered_at: datetime
    became: Succession


async def offer(
    tx: Transaction, code: SenderCode, offered: Successor, intake_id: int, at: datetime
) -> tuple[Succession, bool]:
    """Keep what a sender offers: what became of it, and whether it is new. Offered again, it stays what it was.

    What signs for it by now is enrolled, by whichever way.
    """
    signs = (certificate.c.use == CertificateUse.SIGN.value, certificate.c.standing == Standing.ACTIVE.value)
    one = (certificate.c.sender == code, certificate.c.fingerprint == offered.fingerprint)
    if await tx.all(sa.select(certificate.c.sender).where(*one, *signs)):
        return Succession.ENROLLED, False
    known = await _find(tx, code, offered.fingerprint)
    if known is not None:
        return known.became, False
    if sum(one.sender == code for one in await listed(tx)) >= WAITING_MAX:
        return Succession.TOO_MANY, False
    row = {
        "sender": code,
        "fingerprint": offered.fingerprint,
        "follows": offered.follows,
        "uses": " ".join(sorted(use.value for use in offered.uses)),
        "intake_id": intake_id,
        "offered_at": at,
        "became": Succession.WAITING.value,
        "der": offered.certificate,
    }
    new = tx.insert(successor).values(**row).on_conflict_do_nothing().returning(successor.c.sender)
    if not await tx.all(new):
        return Succession.WAITING, False  # by another worker, this very moment
    detail = {"fingerprint": offered.fingerprint, "follows": offered.follows}
    entry = journal.Entry(kind="successor-offered", intake_id=intake_id, sender=code, detail=detail)
    await journal.append(tx, [entry], at)
    return Succession.WAITING, True


async def enrol(tx: Transaction, code: SenderCode, fingerprint: str, change: Change) -> Offered:
    """Let an offered certificate do what the one that it follows may do. Raises NotOffered and AlreadyEnrolled.

    What it follows, and its sender, must still be active: who was suspended meanwhile names no successor.
    """
    await directory.have_alone(tx)
    offered = await _waiting(tx, code, fingerprint)
    signs = sa.select(certificate.c.use).join(sender, sender.c.code == certificate.c.sender)
    former = signs.where(
        certificate.c.fingerprint == offered.successor.follows,
        certificate.c.sender == code,
        certificate.c.standing == Standing.ACTIVE.value,
        sender.c.standing == Standing.ACTIVE.value,
    )
    had = {row.use for row in await tx.all(former)}
    if CertificateUse.SIGN not in had:
        raise NotOffered("the certificate that it would follow, or its sender, is suspended")
    for use in offered.successor.uses:
        if use in had:
            der = offered.successor.certificate
            await directory.add_certificate(tx, code, fingerprint=fingerprint, der=der, use=use, change=change)
    await _decide(tx, offered, Succession.ENROLLED, change)
    return offered


async def decline(tx: Transaction, code: SenderCode, fingerprint: str, change: Change) -> Offered:
    """Enrol it never, whoever offers it again. Raises NotOffered."""
    offered = await _waiting(tx, code, fingerprint)
    await _decide(tx, offered, Succession.DECLINED, change)
    return offered


async def _decide(tx: Transaction, offered: Offered, became: Succession, change: Change) -> None:
    which = (successor.c.sender == offered.sender, successor.c.fingerprint == offered.successor.fingerprint)
    await tx.run(sa.update(successor).where(*which).values(became=became.value, decided_at=change.at))
    detail = {"fingerprint": offered.successor.fingerprint, "by": change.by, "why": change.why}
    kind = f"successor-{became.value}"
    entry = journal.Entry(kind=kind, intake_id=offered.intake_id, sender=offered.sender, detail=detail)
    await journal.append(tx, [entry], change.at)


async def listed(tx: Transaction, *, since: datetime | None = None) -> list[Offered]:
    """Those that wait, the oldest first; with `since` also those that were enrolled since then."""
    which = [successor.c.became == Succession.WAITING.value]
    if since is not None:
        enrolled = (successor.c.became == Succession.ENROLLED.value, successor.c.decided_at >= since)
        which.append(sa.and_(*enrolled))
    rows = await tx.all(sa.select(successor).where(sa.or_(*which)).order_by(successor.c.offered_at))
    return [_offered(row) for row in rows]


async def _waiting(tx: Transaction, code: SenderCode, fingerprint: str) -> Offered:
    found = await _find(tx, code, fingerprint, lock=True)
    if found is None or found.became is not Succession.WAITING:
        raise NotOffered("no such certificate waits")
    return found


async def _find(tx: Transaction, code: SenderCode, fingerprint: str, *, lock: bool = False) -> Offered | None:
    one = sa.select(successor).where(successor.c.sender == code, successor.c.fingerprint == fingerprint)
    rows = await tx.all(one.with_for_update() if lock else one)
    return _offered(rows[0]) if rows else None


def _offered(row: sa.Row[tuple[object, ...]]) -> Offered:
    values = row._mapping
    return Offered(
        sender=SenderCode(values["sender"]),
        successor=Successor(
            certificate=values["der"],
            fingerprint=values["fingerprint"],
            follows=values["follows"],
            uses=tuple(CertificateUse(use) for use in values["uses"].split()),
        ),
        intake_id=values["intake_id"],
        offered_at=values["offered_at"],
        became=Succession(values["became"]),
    )
