"""Of which environment a register is: settled when it is made, for ever."""

import sqlalchemy as sa

from mailflow.core.model import Environment
from mailflow.errors import Misconfigured
from mailflow.register.tables import installation
from mailflow.register.transaction import Transaction


async def settle_environment(tx: Transaction, environment: Environment) -> None:
    """Make it the register's, if it has none yet. Raises Misconfigured when it has another."""
    await tx.run(tx.insert(installation).values(id=1, environment=environment.value).on_conflict_do_nothing())
    await require_environment(tx, environment)


async def require_environment(tx: Transaction, environment: Environment) -> None:
    """Raises Misconfigured unless the register is of that environment: no setting makes a school's numbers real."""
    found = [row.environment for row in await tx.all(sa.select(installation.c.environment))]
    if not found:
        raise Misconfigured("the register is of no environment yet: run `mailflow init`")
    if found != [environment.value]:
        raise Misconfigured(f"environment: should be `{found[0]}`, for which this register was made, for ever")
