"""Two processes on one register that decide at the same time, as far as the database allows it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from mailflow import registrar
from mailflow.core.model import Outcome, Receipt
from tests.support.reception import Reception, Sent
from tests.support.records import another


@asynccontextmanager
async def two_processes(reception: Reception, url: str) -> AsyncIterator[list[Reception]]:
    async with another(url) as other:
        yield [reception, replace(reception, register=other)]


async def at_once(processes: Sequence[Reception], *mails: Sent) -> list[tuple[Outcome, ...]]:
    """Each mail in a transaction of its own, all of them open at the same time where the database allows it."""
    ready = [await process.prepare(mail) for process, mail in zip(processes, mails, strict=True)]
    began = asyncio.Barrier(len(processes))

    async def decide(process: Reception, number: int) -> Receipt:
        terms, submissions = ready[number]
        await began.wait()
        async with process.register.begin() as tx:
            (receipt,) = await registrar.submit(tx, submissions, terms, process.at)
            await asyncio.sleep(0.05)  # the other one surely comes to the same rows before this one commits
        return receipt

    receipts = await asyncio.gather(*(decide(process, number) for number, process in enumerate(processes)))
    return [tuple(outcome for file in receipt.files for outcome in file.outcomes) for receipt in receipts]
