"""Which workers live, and who takes over from those that do not.

Each worker holds a lock of its own name as long as it lives: on PostgreSQL it ends with the worker's session, on SQLite
with its process. What is leased to a worker whose lock anybody can have is nobody's, however long the lease would run.
A worker that was only cut off finds its leases gone when it is back, as after one that ran out: `intake.settle` and
`outbox.mark_sending` ask for them in the same transaction. Nor does it keep what it could not give back meanwhile.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime

import sqlalchemy as sa

from mailflow.errors import MailflowError
from mailflow.log import event, fault
from mailflow.register.blame import UNDONE
from mailflow.register.tables import intake, on_its_way, outbox, worker_sign
from mailflow.register.transaction import Register, Transaction
from mailflow.register.types import OutboxState

log = logging.getLogger(__name__)

WORKER = "worker"
ROUND_SECONDS = 1.0
"""How often a worker makes sure that it still holds its lock, and how long it waits to have it again."""


@contextlib.asynccontextmanager
async def present(register: Register, owner: str, clock: Callable[[], datetime]) -> AsyncIterator[None]:
    """The worker `owner` lives until the block ends. Without the database it cannot be told, and is tried again."""
    tried = asyncio.Event()
    keeping = asyncio.create_task(_keep(register, owner, clock, tried))
    try:
        await tried.wait()
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def _keep(register: Register, owner: str, clock: Callable[[], datetime], tried: asyncio.Event) -> None:
    """Until cancelled, whatever happens: who does not hold its lock is dead to the others, who take its leases."""
    while True:
        (error,) = await asyncio.gather(_hold(register, owner, clock, tried), return_exceptions=True)
        tried.set()
        if isinstance(error, MailflowError):
            event(log, "unavailable", level=logging.WARNING, work="presence")
        elif error is not None:
            fault(log, "presence-failed", error)
        await asyncio.sleep(ROUND_SECONDS)


async def _hold(register: Register, owner: str, clock: Callable[[], datetime], tried: asyncio.Event) -> None:
    """As long as it can be held; not at all while somebody else has it."""
    async with register.alone(WORKER, of=owner, for_ever=False) as held:
        if held and tried.is_set():  # again: what it had in its hands then failed, and may not be given back
            async with register.begin() as tx:
                await _free(tx, owner, clock(), alive=True)
        while held:
            tried.set()
            await asyncio.sleep(ROUND_SECONDS)
            await held.confirm()


async def take_over(register: Register, owner: str, at: datetime) -> int:
    """Free what dead workers had leased; `owner` asks. How many mails, in and out. Raises Unavailable."""
    freed = 0
    async with register.read() as tx:
        others = await _owners(tx) - {owner}
    for other in sorted(others):
        async with register.alone(WORKER, of=other, for_ever=False) as dead:
            if dead:
                async with register.begin() as tx:
                    freed += await _free(tx, other, at)
    return freed


async def others_are_later(register: Register, owner: str, at: datetime) -> bool:
    """Whether another worker than `owner` lives by whose clock it is later than `at`. Raises Unavailable."""
    async with register.read() as tx:
        signed = sa.select(worker_sign.c.owner).where(worker_sign.c.beaten_at > at, worker_sign.c.owner != owner)
        later = [row.owner for row in await tx.all(signed.order_by(worker_sign.c.owner))]
    for other in later:
        async with register.alone(WORKER, of=other, for_ever=False) as dead:
            if not dead:
                return True
    return False


async def _owners(tx: Transaction) -> set[str]:
    """Whoever has a lease."""
    found: set[str] = set()
    for table, open_ in ((intake, sa.true()), (outbox, on_its_way)):
        leased = sa.select(table.c.lease_owner).where(open_, table.c.lease_until.is_not(None)).distinct()
        found |= {row.lease_owner for row in await tx.all(leased)}
    return found


async def _free(tx: Transaction, owner: str, at: datetime, *, alive: bool = False) -> int:
    """Mails that one of its transactions still holds are left for the next time: it may be ending well.

    What it had of the intake is run alone: one of these mails may be what killed it. Nothing has when it is `alive`,
    and only the database was away: then an attempt under way is not counted. What was perhaps sent stays doubtful, and
    may be looked for now.
    """
    free = {"lease_owner": None, "lease_until": None}
    sending = outbox.c.state == OutboxState.SENDING.value
    freed = 0
    for table, which, values in (
        (intake, sa.true(), {"solo": True, **({"attempts": UNDONE} if alive else {}), **free}),
        (outbox, on_its_way & ~sending, free),
        (outbox, on_its_way & sending & (outbox.c.lease_until > at), {"lease_until": at}),
    ):
        theirs = sa.select(table.c.id).where(table.c.lease_until.is_not(None), table.c.lease_owner == owner, which)
        unlocked = theirs.with_for_update(skip_locked=True)
        freed += await tx.run(sa.update(table).where(table.c.id.in_(unlocked)).values(**values))
    return freed
