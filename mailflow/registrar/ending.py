"""What the service itself does to requests: those that were not renewed end, those of an erased person too."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime

from mailflow.core.life import Life
from mailflow.core.model import Operation, RequestState
from mailflow.core.numbers import UniqueNumber
from mailflow.register import Transaction, history, identities, journal, requests


async def end_lapsed(tx: Transaction, numbers: Sequence[UniqueNumber], today: date, at: datetime) -> list[UniqueNumber]:
    """Deregister those that are past their last day, as of the day after it, whenever this is done."""

    def ended(life: Life) -> Life | None:
        return life.expired() if life.expires_on < today else None

    return await _end(tx, numbers, ended, "expired", at)


async def end(tx: Transaction, numbers: Sequence[UniqueNumber], motive: str, at: datetime, today: date) -> None:
    """Deregister those that are active, for this motive, on the word of the operator."""
    await _end(tx, numbers, lambda life: life.deregistered(motive, today), "deregistered", at)


async def _end(
    tx: Transaction, numbers: Sequence[UniqueNumber], ended: Callable[[Life], Life | None], kind: str, at: datetime
) -> list[UniqueNumber]:
    found = await requests.lock(tx, numbers)
    changed = [
        replace(stored, life=life, revision=stored.revision + 1)
        for stored in found.values()
        if stored.life.state is RequestState.ACTIVE and (life := ended(stored.life)) is not None
    ]
    await requests.update(tx, changed)
    await identities.release(tx, [stored.id for stored in changed])
    await journal.append(
        tx,
        [journal.Entry(kind=kind, number=now.number, detail={"motive": now.life.motive}) for now in changed],
        at,
    )
    entries = [
        history.Entry(
            number=now.number,
            revision=now.revision,
            territory=now.territory,
            operation=Operation.DEREGISTRATION,
            life=now.life,
            origin=None,
            dated_at=at,
        )
        for now in changed
    ]
    await history.append(tx, entries, {now.number: now.key for now in changed if now.key is not None}, at)
    return [now.number for now in changed]
