"""Fetches revocation data ahead of time into the register, so that judging a mail never waits for a network.

What a few sources said is one commit, together with the new generation that it begins: a kill loses what was being
fetched and nothing else. What cannot be had, or cannot be used, leaves what was had before.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from mailflow.core.model import Directory
from mailflow.core.revocation import KeptSource, SourceKey, SourceKind
from mailflow.errors import Unavailable
from mailflow.log import event
from mailflow.mail.door import TrustSource
from mailflow.mail.fetching import Fetcher, Silent
from mailflow.mail.trust import TrustMaterial
from mailflow.mail.trust.answers import NONCE_OCTETS, UnusableAnswer, question
from mailflow.mail.trust.revocation_list import UnusableList
from mailflow.mail.trust.sources import Admitted, Pair, Sources, accept_answer, accept_list, sources
from mailflow.register import Register, Transaction, directory, revocations
from mailflow.register.clocks import APART_MAX

AGAIN = timedelta(minutes=5)
"""Until what failed is tried again."""
LOOKED_UP = timedelta(hours=1)
"""How long what certificates state is remembered; a path may end meanwhile."""
SIDE_BY_SIDE = 4
ANSWERS_TOGETHER = 200
"""Answers that are recorded in one transaction: each begins a generation, for which all processes are made anew."""

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
            if gone := kept.keys() - wanted.keys():
                async with self.register.begin() as tx:
                    await revocations.forget(tx, gone)
            due = [key for key in wanted if at_once or key not in kept or self._is_due(kept[key], at)]
            if due:
                await self._ask_all({key: kept.get(key) for key in due})
            return len(due)

    def _is_due(self, source: KeptSource, at: datetime) -> bool:
        """One that is asked later than any ever is was asked by a clock that was ahead."""
        return not at < source.next_at <= at + self.terms.every + APART_MAX

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

    async def _ask_all(self, due: Mapping[SourceKey, KeptSource | None]) -> None:
        """Lists first: they speak of all. What is asked together is recorded together, and begins one generation."""
        assert self._material is not None, "sources were looked up"
        lists = [key for key in due if key.kind is SourceKind.LIST]
        answers = [key for key in due if key.kind is SourceKind.ANSWER]
        terms = self.terms
        async with Fetcher(bytes_max=terms.bytes_max, seconds_max=terms.seconds_max) as fetcher:
            asking = _Asking(self, fetcher, self._material)
            for keys, together in ((lists, SIDE_BY_SIDE), (answers, ANSWERS_TOGETHER)):
                for begin in range(0, len(keys), together):
                    part = {key: due[key] for key in keys[begin : begin + together]}
                    outcomes = await asking.ask(part)
                    async with self.register.begin() as tx:
                        for outcome in outcomes:
                            await outcome(tx)

    def pair(self, key: SourceKey) -> Pair:
        """Whom a responder is asked about."""
        found = self._sources.wanted[key]
        assert found is not None, "a list is about nobody in particular"
        return found


Outcome = Callable[[Transaction], Awaitable[None]]
"""Records what came of asking a source."""


@dataclass(slots=True)
class _Asking:
    """One round, in which nobody waits twice for the same silent host."""

    refresher: Refresher
    fetcher: Fetcher
    material: TrustMaterial
    _silent: dict[str, str] = field(default_factory=dict)

    async def ask(self, part: Mapping[SourceKey, KeptSource | None]) -> list[Outcome]:
        """Ask some side by side, and wait for all of them."""
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(key: SourceKey, kept: KeptSource | None) -> Outcome:
            async with places:
                return await self._outcome(key, kept)

        ends = await asyncio.gather(*(one(*asked) for asked in part.items()), return_exceptions=True)
        outcomes = []
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            outcomes.append(end)
        return outcomes

    async def _outcome(self, key: SourceKey, kept: KeptSource | None) -> Outcome:
        host = urlsplit(key.url).netloc
        try:
            if host in self._silent:
                raise Unavailable(self._silent[host])
            if key.kind is SourceKind.LIST:
                return await self._list(key, kept)
            return await self._answer(key)
        except Silent as error:
            self._silent[host] = str(error)
            return self._failed(key, str(error))
        except (Unavailable, UnusableList, UnusableAnswer) as error:
            return self._failed(key, str(error))

    async def _list(self, key: SourceKey, kept: KeptSource | None) -> Outcome:
        validators = {} if kept is None else {"etag": kept.etag, "modified": kept.modified}
        page = await self.fetcher.get(key.url, **validators)
        former = await self._former(key)
        at, next_at = self._dates()
        if page is None or page.octets == former:
            return partial(revocations.confirm, key=key, at=at, next_at=next_at)
        new = await asyncio.to_thread(accept_list, page.octets, self.material, former, at)
        event(log, "revocation-list", source=key.digest, octets=len(page.octets))
        return partial(
            revocations.keep,
            key=key,
            der=page.octets,
            published=new.published,
            expires=new.expires,
            etag=page.etag,
            modified=page.modified,
            at=at,
            next_at=next_at,
        )

    async def _answer(self, key: SourceKey) -> Outcome:
        asked, nonce = self.refresher.pair(key), os.urandom(NONCE_OCTETS)
        page = await self.fetcher.post(key.url, question(*asked, nonce), "application/ocsp-request")
        former = await self._former(key)
        at, next_at = self._dates()
        if page.octets == former:
            return partial(revocations.confirm, key=key, at=at, next_at=next_at)
        new = accept_answer(page.octets, asked, nonce, former, at)
        event(log, "revocation-answer", source=key.digest, says=new.says.value)
        return partial(
            revocations.keep,
            key=key,
            der=page.octets,
            says=new.says,
            published=new.published,
            expires=new.expires,
            at=at,
            next_at=next_at,
        )

    async def _former(self, key: SourceKey) -> bytes | None:
        async with self.refresher.register.read() as tx:
            return await revocations.octets(tx, key)

    def _dates(self) -> tuple[datetime, datetime]:
        at = self.refresher.clock()
        return at, at + self.refresher.terms.every

    def _failed(self, key: SourceKey, reason: str) -> Outcome:
        at, next_at = self._dates()
        event(log, "revocation-failed", level=logging.WARNING, source=key.digest)
        return partial(revocations.fail, key=key, reason=reason, at=at, next_at=min(next_at, at + AGAIN))
