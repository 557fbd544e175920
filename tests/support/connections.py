"""The threads of SQLite connections: that of one that was cut off lives a little longer than whoever had it."""

import asyncio
import gc
import threading
import warnings

SECONDS_MAX = 10.0
SOON_SECONDS = 0.2


def threads() -> set[threading.Thread]:
    """One for each connection of aiosqlite that is open, or is just ending."""
    return {one for one in threading.enumerate() if "_connection_worker_thread" in one.name}


async def ended(before: set[threading.Thread]) -> None:
    """Wait for those that were not there `before`: each still reports to the event loop, which has to be there.

    A connection that nobody closed, because whoever had it was killed, ends when it is collected: here, and not in the
    middle of somebody else's test.
    """
    for seconds in (SOON_SECONDS, SECONDS_MAX):
        for thread in threads() - before:
            await asyncio.to_thread(thread.join, seconds)
        if not threads() - before:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
