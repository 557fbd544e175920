"""Sealing the journal: links for what was committed, once a day a signed head. Beside the mails, not in their way."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.calendar import legal_day
from mailflow.core.chain import BEFORE_ALL, Head, KeptHead, chained
from mailflow.jobs.work import JobTerms
from mailflow.log import event
from mailflow.register import Register, chain, service_keys

BATCH = 1_000
"""Entries that one transaction links."""
PATIENCE = 20
"""How often an id that may still come is looked for, in a row, before its turn comes the next time."""
PAUSE_SECONDS = 0.1

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sealer:
    """Goes along the journal in the order of ids, and never past one that may still come.

    An entry whose transaction commits late has an id before others that are there already. An id that is missing is a
    gap only when everybody is done who may have had it: all that were adding entries when a later id could be seen.
    """

    register: Register
    waits: bool = False
    """An id is missing that may still come."""
    _settled: int = 0
    """Up to here what is missing will never come."""
    _seen: int = 0
    """The last id that could be seen when we began to wait."""
    _adding: frozenset[str] = frozenset()
    """Who was adding entries just after that."""

    async def step(self) -> int:
        """Link the next entries; up to which id that is done. Raises Unavailable, and ConstraintViolated."""
        if self.waits:
            async with self.register.read() as tx:
                self.waits = bool(self._adding & await chain.adding(tx))
            if not self.waits:
                self._settled = self._seen
        async with self.register.read() as tx:
            last = await chain.last_link(tx)
            found = await chain.entries(tx, last.id, BATCH)
        links = chained(last, found, self._settled)
        if links:
            async with self.register.begin() as tx:
                await chain.append(tx, links)
        end = links[-1].id if links else last.id
        if found and not self.waits and end < found[-1][0]:
            self.waits, self._seen = True, found[-1][0]
            async with self.register.read() as tx:
                self._adding = await chain.adding(tx)
        return end


async def seal(register: Register, terms: JobTerms, at: datetime) -> None:
    """Link all that is committed by now, and sign the head of the day when there is none; unless another is at it.

    What comes meanwhile is for the next time: somebody is always adding. Raises Unavailable, ConstraintViolated, and
    Misconfigured when the key cannot be read.
    """
    async with register.alone("seal") as ours:
        if not ours:
            return
        async with register.read() as tx:
            goal = await chain.last_entry(tx)
        sealer, end, patience = Sealer(register), -1, PATIENCE
        while patience and end < goal:
            before, end = end, await sealer.step()
            if end == before:
                patience -= 1
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                patience = PATIENCE
        await _sign(register, terms, at)


async def _sign(register: Register, terms: JobTerms, at: datetime) -> None:
    """A head when the chain has grown since the one of another day."""
    day = legal_day(at)
    async with register.read() as tx:
        last, kept = await chain.last_link(tx), await chain.last_head(tx)
        before = terms.notary.open(kept.signed, at) if kept else None
        if last.id == 0 or (before and (before.day == day or before.position == last.id)):
            return
        entries = await chain.count_sealed(tx, before.position if before else 0)
        keys = await service_keys.read(tx)
    head = Head(
        number=kept.number + 1 if kept else 1,
        day=day,
        environment=terms.environment.value,
        position=last.id,
        entries=entries + (before.entries if before else 0),
        link=last.link.hex(),
        previous=kept.digest if kept else BEFORE_ALL.hex(),
    )
    signed = terms.notary.sign(head.written(), at, keys)
    async with register.begin() as tx:
        await chain.keep_head(tx, KeptHead(number=head.number, day=day.isoformat(), signed=signed))
    event(log, "journal-head", number=head.number, position=head.position, entries=head.entries, link=head.link)
