"""What waits and how fast it is worked off: few statements, each from an index alone, however long the queue is."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.canary import CANARY_DESKS
from mailflow.core.waiting import Answered, Finished, Waiting
from mailflow.register import issuing
from mailflow.register.tables import file, intake, on_its_way, outbox, unanswered_mail
from mailflow.register.transaction import Transaction
from mailflow.register.types import IntakeState, OutboxState


async def undecided(tx: Transaction, at: datetime, bounds: Sequence[datetime]) -> list[Waiting]:
    """Mails that are not judged yet, by age. `bounds` are instants of reception, the latest first."""
    stuck = sa.and_(intake.c.next_at > at, intake.c.lease_owner.is_(None))
    # Whose turn has not come: it alone is of a sender that was proven.
    whose = sa.case((sa.and_(stuck, intake.c.turn_at.is_not(None)), intake.c.sender)).label("whose")
    numberless = sa.and_(stuck, intake.c.reason == issuing.WAITS).is_(True)
    span = _span(intake.c.received_at, bounds)
    statement = (
        sa.select(
            span,
            stuck.label("stuck"),
            whose,
            numberless.label("numberless"),
            sa.func.count().label("count"),
            sa.func.min(intake.c.received_at).label("oldest"),
        )
        .where(intake.c.next_at.is_not(None))
        .group_by(*(sa.literal_column(name) for name in ("span", "stuck", "whose", "numberless")))
    )
    return [
        Waiting(
            span=row.span,
            oldest=row.oldest,
            count=row.count,
            stuck=bool(row.stuck),
            state=issuing.WAITS if row.numberless else "turn" if row.whose else "retry" if row.stuck else "received",
            sender=row.whose,
            desk=None,
        )
        for row in await tx.all(statement)
    ]


async def unsent(tx: Transaction, kind: str, bounds: Sequence[datetime]) -> list[Waiting]:
    """Outgoing mails of this kind that have not left, by age, sender and desk.

    One that left in time and goes once more keeps nobody waiting, unless it came back.
    """
    owed = sa.or_(outbox.c.sent_at.is_(None), outbox.c.state == OutboxState.HELD.value)
    first_desk = sa.select(sa.func.min(file.c.desk)).where(file.c.intake_id == outbox.c.intake_id).scalar_subquery()
    each = (
        sa.select(
            _span(outbox.c.received_at, bounds),
            outbox.c.received_at,
            outbox.c.state,
            intake.c.sender,
            first_desk.label("desk"),
        )
        .outerjoin(intake, intake.c.id == outbox.c.intake_id)
        .where(on_its_way, outbox.c.kind == kind, owed)
        .subquery()
    )
    alike = (each.c.span, each.c.state, each.c.sender, each.c.desk)
    counted = sa.select(*alike, sa.func.count().label("count"), sa.func.min(each.c.received_at).label("oldest"))
    moving = (OutboxState.QUEUED.value, OutboxState.COMPOSED.value)
    return [
        Waiting(
            span=row.span,
            oldest=row.oldest,
            count=row.count,
            stuck=row.state not in moving,
            state=row.state,
            sender=row.sender,
            desk=row.desk,
        )
        for row in await tx.all(counted.group_by(*alike))
    ]


async def kept_back(tx: Transaction, bounds: Sequence[datetime], owed: Sequence[str]) -> list[Waiting]:
    """Mails that wait for a person and are owed an answer all the same: held ones, and set aside for one of these."""
    ours = sa.or_(
        intake.c.state == IntakeState.HELD.value,
        sa.and_(intake.c.state == IntakeState.SET_ASIDE.value, intake.c.reason.in_(owed)),
    )
    span = _span(intake.c.received_at, bounds)
    oldest = sa.func.min(intake.c.received_at).label("oldest")
    statement = (
        sa.select(span, intake.c.state, sa.func.count().label("count"), oldest)
        .where(unanswered_mail, ours)
        .group_by(sa.literal_column("span"), intake.c.state)
    )
    return [
        Waiting(
            span=row.span,
            oldest=row.oldest,
            count=row.count,
            stuck=True,
            state=row.state,
            sender=None,
            desk=None,
        )
        for row in await tx.all(statement)
    ]


def _span(column: sa.Column[datetime], bounds: Sequence[datetime]) -> sa.Label[int]:
    """Between which of the bounds an instant lies."""
    cases = [(column >= bound, span) for span, bound in enumerate(bounds)]
    return sa.case(*cases, else_=len(bounds)).label("span")


async def taken_in_at(tx: Transaction, at: datetime) -> datetime | None:
    """Since when the oldest mail that could be worked on is in our hands; None when there is none."""
    due = sa.or_(intake.c.next_at <= at, intake.c.lease_owner.is_not(None))
    oldest = sa.select(intake.c.taken_at).where(intake.c.next_at.is_not(None), due)
    rows = await tx.all(oldest.order_by(intake.c.received_at, intake.c.id).limit(1))
    return rows[0].taken_at if rows else None


async def finished(tx: Transaction, kind: str, since: datetime) -> Finished:
    """Outgoing mails of this kind that left since then, and mails that were settled without any."""
    left = sa.select(sa.func.count().label("count"), sa.func.min(outbox.c.sent_at).label("first_at")).where(
        outbox.c.sent_at >= since, outbox.c.kind == kind
    )
    settled = sa.select(sa.func.count().label("count"), sa.func.min(intake.c.settled_at).label("first_at")).where(
        unanswered_mail, intake.c.settled_at >= since
    )
    rows = [*await tx.all(left), *await tx.all(settled)]
    instants = [row.first_at for row in rows if row.first_at is not None]
    return Finished(count=sum(row.count for row in rows), first_at=min(instants, default=None))


async def answered(tx: Transaction, kind: str, since: datetime, until: datetime) -> list[Answered]:
    """Outgoing mails of this kind that left from `since` on and before `until`, in order; each answers some mail.

    What the canary was answered is not counted.
    """
    columns = (outbox.c.intake_id, outbox.c.received_at, outbox.c.sent_at)
    canary = sa.select(file.c.intake_id).where(file.c.desk.in_(sorted(CANARY_DESKS.values())))
    left = (outbox.c.sent_at >= since, outbox.c.sent_at < until, outbox.c.kind == kind)
    statement = sa.select(*columns).where(*left, outbox.c.intake_id.not_in(canary))
    return [Answered(**row._mapping) for row in await tx.all(statement.order_by(outbox.c.sent_at))]


async def held_reasons(tx: Transaction) -> dict[str, int]:
    """How many outgoing mails are held for each reason, without what the server said."""
    statement = sa.select(outbox.c.reason, sa.func.count().label("rows")).where(
        on_its_way, outbox.c.state == OutboxState.HELD.value
    )
    found: dict[str, int] = {}
    for row in await tx.all(statement.group_by(outbox.c.reason)):
        reason = (row.reason or "").partition(":")[0]
        found[reason] = found.get(reason, 0) + row.rows
    return found


async def set_aside_reasons(tx: Transaction) -> dict[str, int]:
    """How many mails were set aside for each reason."""
    statement = sa.select(intake.c.reason, sa.func.count().label("rows")).where(
        unanswered_mail, intake.c.state == IntakeState.SET_ASIDE.value
    )
    return {row.reason or "": row.rows for row in await tx.all(statement.group_by(intake.c.reason))}
