"""Fetches revocation data ahead of time into the register, so that judging a mail never waits for a network.

Each source is recorded in a commit of its own, together with the new generation that it begins: a kill loses what was
being fetched and nothing else. What cannot be had, or cannot be used, leaves what was had before.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailflow.core.model import Directory
from mailflow.core.revocation import KeptSource, SourceKey
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail.door import TrustSource
from mailflow.mail.fetching import Fetcher
from mailflow.mail.trust import TrustMaterial
from mailflow.mail.trust.revocation_list import UnusableList
from mailflow.mail.trust.sources import Admitted, Sources, accept_list, sources
from mailflow.register import Register, directory, revocations

AGAIN = timedelta(minutes=5)
"""Until what failed is tried again."""
LOOKED_UP = timedelta(hours=1)
"""How long what certificates state is remembered; a path may end meanwhile."""
SIDE_BY_SIDE = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTerms:
    """Whom to ask, how often, and how much of an answer is read."""

    admitted: Admitted
    every: timedelta
    bytes_max: int
    seconds_max: float

    @property
    def asks_nobody(self) -> bool:
        """As long as the settings name nobody."""
        return not (self.admitted.urls or self.admitted.hosts)


@dataclass(slots=True, kw_only=True)
class Refresher:
    """What one process knows of the sources between two rounds."""

    register: Register
    trust: TrustSource
    terms: RefreshTerms
    clock: Callable[[], datetime]
    _directory: Directory | None = None
    _material: TrustMaterial | None = None
    _sources: Sources = field(default_factory=Sources)
    _looked_up: datetime | None = None

    async def refresh(self, *, at_once: bool = False) -> int:
        """Ask every source that is due, or all of them; how many were asked. 0 when another process is at it.

        Raises Unavailable, and Misconfigured when a trust file cannot be read.
        """
        async with self.register.alone("revocation") as ours:
            if not ours:
                return 0
            at = self.clock()
            wanted = (await self.sources(at)).wanted
            async with self.register.read() as tx:
                kept = {one.key: one for one in await revocations.sources(tx)}
            if gone := kept.keys() - set(wanted):
                async with self.register.begin() as tx:
                    await revocations.forget(tx, gone)
            due = [key for key in wanted if at_once or key not in kept or kept[key].next_at <= at]
            if due:
                await self._ask_all({key: kept.get(key) for key in due})
            return len(due)

    async def sources(self, at: datetime) -> Sources:
        """Whom the enrolments and authorities of now want to be asked. Raises as above."""
        if self.terms.asks_nobody:
            return Sources()
        async with self.register.read() as tx:
            if self._directory is None or self._directory.generation != await directory.generation(tx):
                self._directory = await directory.read(tx)
        material = await self.trust.material(self._directory)
        old = self._looked_up is None or not self._looked_up <= at < self._looked_up + LOOKED_UP
        if old or material is not self._material:
            self._sources = await asyncio.to_thread(sources, material, self.terms.admitted, at)
            self._material, self._looked_up = material, at
        return self._sources

    async def _ask_all(self, due: dict[SourceKey, KeptSource | None]) -> None:
        places = asyncio.Semaphore(SIDE_BY_SIDE)
        terms = self.terms

        async def ask(key: SourceKey, kept: KeptSource | None) -> None:
            async with places:
                await self._ask(fetcher, key, kept)

        async with Fetcher(bytes_max=terms.bytes_max, seconds_max=terms.seconds_max) as fetcher:
            ends = await asyncio.gather(*(ask(key, kept) for key, kept in due.items()), return_exceptions=True)
        for error in ends:
            if error is not None:
                raise error

    async def _ask(self, fetcher: Fetcher, key: SourceKey, kept: KeptSource | None) -> None:
        had = kept if kept is not None and kept.published is not None else None
        try:
            page = await fetcher.get(key.url, etag=had.etag if had else None, modified=had.modified if had else None)
        except Unavailable as error:
            await self._failed(key, str(error))
            return
        at = self.clock()
        next_at = at + self.terms.every
        async with self.register.read() as tx:
            former = await revocations.octets(tx, key)
        if page is None or page.octets == former:
            async with self.register.begin() as tx:
                await revocations.confirm(tx, key, at=at, next_at=next_at)
            return
        assert self._material is not None, "sources were looked up"
        try:
            new = await asyncio.to_thread(accept_list, page.octets, self._material, former, at)
        except UnusableList as error:
            await self._failed(key, str(error))
            return
        async with self.register.begin() as tx:
            await revocations.keep(
                tx,
                key,
                page.octets,
                published=new.published,
                expires=new.expires,
                etag=page.etag,
                modified=page.modified,
                at=at,
                next_at=next_at,
            )
        event(log, "revocation-list", source=key.digest, octets=len(page.octets))

    async def _failed(self, key: SourceKey, reason: str) -> None:
        at = self.clock()
        async with self.register.begin() as tx:
            await revocations.fail(tx, key, reason, at=at, next_at=at + min(AGAIN, self.terms.every))
        event(log, "revocation-failed", level=logging.WARNING, source=key.digest)
