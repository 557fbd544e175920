"""Callers of one mailbox take turns on its one connection, and none waits for an IDLE."""

import asyncio

from tests.support.mailbox_places import ServerPlace, closing


async def test_a_call_that_queues_before_an_idle_begins_ends_it_as_well(folder: ServerPlace) -> None:
    async with closing(folder.mailbox()) as mailbox:
        await mailbox.list()
        async with asyncio.timeout(60):
            first = asyncio.create_task(mailbox.list())
            await asyncio.sleep(0)
            waiting = asyncio.create_task(mailbox.wait(300))
            await asyncio.sleep(0)
            second = asyncio.create_task(mailbox.list())
            await asyncio.gather(first, second)
        waiting.cancel()
        await asyncio.wait({waiting})
