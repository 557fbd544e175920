"""The threads of SQLite connections: that of one that was cut off lives a little longer than whoever had it."""

import asyncio
import threading

SECONDS_MAX = 10.0


def threads() -> set[threading.Thread]:
    """One for each connection of aiosqlite that is open, or is just ending."""
    return {one for one in threading.enumerate() if "_connection_worker_thread" in one.name}


async def ended(before: set[threading.Thread]) -> None:
    """Wait for those that were not there `before`: each still reports to the event loop, which has to be there."""
    for thread in threads() - before:
        await asyncio.to_thread(thread.join, SECONDS_MAX)
