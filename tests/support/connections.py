"""The threads of SQLite connections: that of one that was cut off lives a little longer than whoever had it."""

import asyncio
import gc
import threading
import warnings

SOON_SECONDS = 0.3
SECONDS_MAX = 10.0


def threads() -> set[threading.Thread]:
    """One for each connection of aiosqlite that is open, or is just ending."""
    return {one for one in threading.enumerate() if "_connection_worker_thread" in one.name}


async def ended(before: set[threading.Thread]) -> None:
    """Wait for those that were not there `before`: each still reports to the event loop, which has to be there."""
    for thread in threads() - before:
        await asyncio.to_thread(thread.join, SOON_SECONDS)


def collect(before: set[threading.Thread]) -> None:
    """Once the event loop is over: what nobody has closed, because whoever had it was killed, ends when it is
    collected. Here, and not in the middle of somebody else's test."""
    if threads() - before:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    for thread in threads() - before:
        thread.join(SECONDS_MAX)
