"""What an operator does, straight on the register: an act on whatever some criteria match."""

from datetime import datetime
from typing import Any

from mailflow.register import Register, acts
from mailflow.register.acts import Verb, Weighed
from mailflow.register.cases import Filter
from mailflow.register.journal import Act
from tests.support.records import NOW

ACT = Act(by="anna", why="a reason")


async def operate(register: Register, verb: Verb, at: datetime = NOW, **criteria: Any) -> Weighed:
    """Do it, in a transaction of its own."""
    async with register.begin() as tx:
        return await acts.perform(tx, verb, Filter(**criteria), ACT, at)


def ids(weighed: Weighed) -> list[int]:
    """What it was done to."""
    return [item.id for item in weighed.done]
