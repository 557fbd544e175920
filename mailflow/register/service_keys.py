"""When each key of the service serves. Every change begins a new generation of the directory, so workers take it up."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.service_keys import KeyUse, ServiceKey
from mailflow.register import gates, journal
from mailflow.register.acts import OWED
from mailflow.register.gates import Gate
from mailflow.register.tables import intake, service_key, trust_generation
from mailflow.register.transaction import Transaction

UNDECIDED = ("received", "held", "undetermined")


async def read(tx: Transaction) -> tuple[ServiceKey, ...]:
    """Every key on record, the first to serve first."""
    found = await tx.all(sa.select(service_key).order_by(service_key.c.active_from, service_key.c.fingerprint))
    return tuple(
        ServiceKey(
            fingerprint=row.fingerprint,
            use=KeyUse(row.use),
            active_from=row.active_from,
            retired_at=row.retired_at,
        )
        for row in found
    )


async def stage(tx: Transaction, key: ServiceKey, act: journal.Act, at: datetime) -> bool:
    """Have it serve from its time on; whether it was not on record yet."""
    await gates.have_alone(tx, Gate.TRUST)
    row = {"fingerprint": key.fingerprint, "use": key.use, "active_from": key.active_from}
    new = tx.insert(service_key).values(**row).on_conflict_do_nothing().returning(service_key.c.fingerprint)
    if not await tx.all(new):
        return False
    await _changed(tx, "service-key-staged", key, {"active_from": key.active_from.isoformat()}, act, at)
    return True


async def retire(tx: Transaction, key: ServiceKey, act: journal.Act, at: datetime) -> None:
    """It is not used for anything from now on; a key of the settings gets its record by this."""
    await gates.have_alone(tx, Gate.TRUST)
    row = {"fingerprint": key.fingerprint, "use": key.use, "active_from": max(key.active_from, at), "retired_at": at}
    await tx.run(
        tx.insert(service_key)
        .values(**row)
        .on_conflict_do_update(index_elements=[service_key.c.fingerprint, service_key.c.use], set_={"retired_at": at})
    )
    await _changed(tx, "service-key-retired", replace(key, retired_at=at), {}, act, at)


async def undecided_before(tx: Transaction, term: datetime) -> int:
    """How many mails that came until then wait for a decision: one may be encrypted to a key that was in use.

    So does one that was set aside through no fault of its sender: it may be judged again.
    """
    aside = sa.and_(intake.c.state == "set_aside", intake.c.reason.in_(OWED), intake.c.raw.is_not(None))
    waits = sa.or_(intake.c.state.in_(UNDECIDED), aside)
    waiting = sa.select(sa.func.count()).where(waits, intake.c.received_at <= term)
    return int((await tx.all(waiting))[0][0])


async def _changed(
    tx: Transaction, kind: str, key: ServiceKey, detail: Mapping[str, str], act: journal.Act, at: datetime
) -> None:
    await tx.run(sa.update(trust_generation).values(generation=trust_generation.c.generation + 1))
    known = {"fingerprint": key.fingerprint, "use": key.use.value, **detail, "by": act.by, "why": act.why}
    await journal.append(tx, [journal.Entry(kind=kind, detail=known)], at)
