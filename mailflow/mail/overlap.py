"""Two steps that keep different things busy: while one item is written to the register, the pool has the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail.door import Progress

CLAIMS_MAX = 4
"""How often one turn of a stage claims: a turn has to end, or nobody could tell it from one that hangs."""

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Value]):
    """What a step came to: to be asked for where its failure can be dealt with."""

    value: Value | None = None
    error: Exception | None = None

    def get(self) -> Value:
        """The value, or the failure raised."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where the step itself gives None


async def overlapped(
    claim: Callable[[], Awaitable[Sequence[Item]]],
    prepare: Callable[[Item], Awaitable[Value]],
    finish: Callable[[Item, Outcome[Value]], Awaitable[Progress]],
) -> Progress:
    """`prepare` each item while the one before is `finish`ed; they are finished one by one, in their order.

    It claims again while all goes well. Whatever was claimed is finished, also after a failure: it is for `finish` to
    give back what could not be prepared. That the surroundings failed is raised when nothing was done; otherwise the
    next turn finds out whether it lasts. Any other failure is a fault of ours, which no success beside it may hide.
    """
    done: list[Outcome[Progress]] = []
    finishing: asyncio.Task[Outcome[Progress]] | None = None
    async with asyncio.TaskGroup() as group:
        for _ in range(CLAIMS_MAX):
            claimed = await _outcome(claim)
            if claimed.error is not None:
                done.append(Outcome(error=claimed.error))
                break
            for item in claimed.get():
                prepared = await _outcome(partial(prepare, item))
                if finishing is not None:
                    done.append(await finishing)
                finishing = group.create_task(_outcome(partial(finish, item, prepared)))
            if not claimed.value or not all(map(_went_well, done)):
                break
    if finishing is not None:
        done.append(finishing.result())
    progress = sum((one.value for one in done if one.value is not None), Progress())
    for one in done:
        if one.error is not None and not (progress and isinstance(one.error, Unavailable | Misconfigured)):
            raise one.error
    return progress


async def _outcome(step: Callable[[], Awaitable[Value]]) -> Outcome[Value]:
    """The step begins in here, so that a task that is cancelled before it began leaves nothing behind."""
    try:
        return Outcome(value=await step())
    except Exception as error:  # noqa: BLE001  passed on to whoever asks for the value
        return Outcome(error=error)


def _went_well(one: Outcome[Progress]) -> bool:
    return one.value is not None and bool(one.value) and not one.value.retried
