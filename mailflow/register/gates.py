"""Gates: who decides by something passes its gate, together with others; who changes it has the gate alone.

Either lasts until the transaction ends. On PostgreSQL a gate is an advisory lock, which queues: whoever comes after one
that wants it alone waits behind that one. A row's lock would let those that share it overtake for ever the one that
wants it alone. SQLite has one writer, who has every gate alone.
"""

from enum import IntEnum

import sqlalchemy as sa

from mailflow.register.transaction import Transaction

_LOCKS = 0x67617400
"""Of PostgreSQL's advisory locks with two keys the first, and a gate added; contents of files have another one
(`files.lock_contents`)."""


class Gate(IntEnum):
    """In the order in which one transaction passes several: then no ring of them waits for each other."""

    TRUST = 1
    """The enrolments, the service's keys and the fetched revocation data (`directory.generation`)."""
    NUMBERS = 2
    """The switch that stops numbers (`issuing`)."""
    RESTORED = 4
    """The line of mails that are decided one by one (`rounds.RESTORED`): held by who claims, until the claim stands."""
    KEYS = 3
    """Content keys whose owners are not committed yet. It has no place in the order, and may come late: who wants it
    alone holds nothing else."""


async def hold(tx: Transaction, gate: Gate) -> None:
    """Wait until nobody has it alone. Comes before all else that others may wait for: who waits here holds no rows."""
    await _pass(tx, gate, alone=False)


async def have_alone(tx: Transaction, gate: Gate) -> None:
    """Wait until nobody else holds it. Comes first as well; and whoever holds it together with others asks too late."""
    await _pass(tx, gate, alone=True)


async def _pass(tx: Transaction, gate: Gate, *, alone: bool) -> None:
    if gate in tx.gates and tx.gates[gate] >= alone:
        return
    assert gate not in tx.gates, "two that hold it would wait for each other to have it alone"
    assert gate is Gate.KEYS or all(other < gate for other in tx.gates if other is not Gate.KEYS), "gates have an order"
    if not tx.has_only_writer:
        lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
        # Locks are the whole database's; another schema in it is another register.
        await tx.all(sa.select(lock(_LOCKS + gate, sa.func.hashtext(sa.func.current_schema()))))
    tx.gates[gate] = alone
