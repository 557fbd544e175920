"""Work beside the mails: whatever becomes of it, the mails go on."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CANCELLED_SECONDS_MAX = 10.0
"""How long what is cancelled is waited for: a COMMIT that has begun is not cut, and may wait for a standby for ever."""

_going: set[asyncio.Task[Any]] = set()
"""The event loop alone would forget a task that nobody waits for."""


async def apart(running: Coroutine[Any, Any, T], seconds: float | None = None) -> asyncio.Task[T]:
    """Its task, once it is over in whatever way; cancelled when it took longer than `seconds`.

    Nothing of it is raised here; a cancellation of the caller ends it too. What a cancellation does not end in time is
    left to itself: then, and only with `seconds`, the task is not done.
    """
    task = asyncio.ensure_future(running)
    _going.add(task)
    task.add_done_callback(_over)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=CANCELLED_SECONDS_MAX)
    return task


def _over(task: asyncio.Task[Any]) -> None:
    _going.discard(task)
    if not task.cancelled():
        task.exception()  # seen: asyncio would log one that nobody asked for, with all that it says
