"""What is known of files and requests, for those who ask after them. Nothing here changes anything."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.life import Life
from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register.requests import life_of
from mailflow.register.tables import awaited_file, file, history, intake, request
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import FOR_A_PERSON, IntakeState

Name = tuple[DeskCode, str]
"""Desk and file name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedFile:
    """A file that bound its name."""

    digest: str
    settled_at: datetime | None
    """When its mail was; None as long as that very transaction lasts."""
    receipt_bytes: int
    """Size of what is kept of its outcomes, sealed; 0 when it was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedFile:
    """A file of a proven sender, in a mail that is not decided."""

    digest: str
    received_at: datetime
    with_operator: bool
    """A person has to look at the mail first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRequest:
    """A request without its content."""

    number: UniqueNumber
    territory: Territory
    desk: DeskCode
    life: Life
    operation: Operation
    """The last one."""
    operated_at: datetime


async def decided(tx: Transaction, names: Collection[Name]) -> dict[Name, DecidedFile]:
    """Those files that are decided."""
    size = sa.func.coalesce(sa.func.length(file.c.receipt), 0).label("size")
    columns = sa.select(file.c.desk, file.c.name, file.c.digest, intake.c.settled_at, size)
    joined = columns.join(intake, intake.c.id == file.c.intake_id).where(file.c.settled)
    found: dict[Name, DecidedFile] = {}
    for batch in batches(sorted({name for _, name in names})):
        which = (tx.among(file.c.name, batch), file.c.desk.in_({desk for desk, _ in names}))
        for row in await tx.all(joined.where(*which)):
            found[row.desk, row.name] = DecidedFile(
                digest=row.digest, settled_at=row.settled_at, receipt_bytes=row.size
            )
    return found


async def awaited(tx: Transaction, names: Collection[Name]) -> dict[Name, AwaitedFile]:
    """Those files that are known to wait; of several of one name the first that came."""
    columns = sa.select(awaited_file, intake.c.received_at, intake.c.state)
    joined = columns.join(intake, intake.c.id == awaited_file.c.intake_id)
    waiting = joined.where(intake.c.state != IntakeState.ANSWERED.value)
    found: dict[Name, AwaitedFile] = {}
    for batch in batches(sorted({name for _, name in names})):
        which = (tx.among(awaited_file.c.name, batch), awaited_file.c.desk.in_({desk for desk, _ in names}))
        for row in await tx.all(waiting.where(*which).order_by(intake.c.received_at, intake.c.id)):
            waits = AwaitedFile(digest=row.digest, received_at=row.received_at, with_operator=row.state in FOR_A_PERSON)
            found.setdefault((row.desk, row.name), waits)
    return found


async def standing(tx: Transaction, numbers: Collection[str]) -> dict[UniqueNumber, StandingRequest]:
    """Those requests that exist, as they stand."""
    but_content = [column for column in request.c if column is not request.c.payload]
    columns = sa.select(*but_content, history.c.operation, history.c.at)
    last = sa.and_(history.c.number == request.c.number, history.c.revision == request.c.revision)
    found: dict[UniqueNumber, StandingRequest] = {}
    for batch in batches(sorted(set(numbers))):
        for row in await tx.all(columns.join(history, last).where(tx.among(request.c.number, batch))):
            found[row.number] = StandingRequest(
                number=row.number,
                territory=row.territory,
                desk=row.desk,
                life=life_of(row),
                operation=Operation(row.operation),
                operated_at=row.at,
            )
    return found
