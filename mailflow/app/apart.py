"""Work beside the mails: whatever becomes of it, the mails go on."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(running: Coroutine[Any, Any, T], seconds: float | None = None) -> asyncio.Task[T]:
    """Its task, once it is over in whatever way; cancelled when it took longer than `seconds`.

    Nothing of it is raised here; a cancellation of the caller ends it too.
    """
    task = asyncio.ensure_future(running)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        await asyncio.wait({task})
    return task
