"""Looking through the whole journal, page by page, for anything that is not as it was sealed. Changes nothing."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mailflow.core.calendar import legal_day
from mailflow.core.chain import Head, KeptHead, Link, Notary
from mailflow.jobs.damage import Damage, Examination, Finding, examine_heads
from mailflow.register import Register, chain

PAGE = 1_000
UNSEALED_MOST = timedelta(hours=1)
"""How old an entry may be without a link: while nothing of the service runs nothing is sealed."""
UNSIGNED_MOST = timedelta(days=2)
"""How old an entry may be that no head is signed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A head that was kept elsewhere."""

    signed: bytes
    head: Head


async def examine(
    register: Register, notary: Notary, at: datetime, witness: Witness | None = None
) -> AsyncIterator[Finding]:
    """Everything that is wrong with the journal, its chain and its heads. Raises Unavailable, Misconfigured."""
    heads, findings = await _heads(register, notary, witness)
    for finding in findings:
        yield finding
    async with register.read() as tx:
        end = (await chain.last_link(tx)).id
        unsealed = await chain.unsealed(tx, end, at - UNSEALED_MOST)
        unsigned, *_ = await chain.unsealed(tx, heads[-1].position if heads else 0, at - UNSIGNED_MOST)
    if unsealed[0]:
        yield Finding(Damage.NOT_SEALED, *unsealed[1:])
    if unsigned and not (heads and heads[-1].day >= legal_day(at - UNSIGNED_MOST)):
        number = heads[-1].number + 1 if heads else 1
        yield Finding(Damage.HEAD_MISSING, number, number)
    examination = Examination(end, heads)
    async for id_, found, link in _both(register, end):
        for finding in examination.see(id_, found, link):
            yield finding
    for finding in examination.ended():
        yield finding


async def _heads(register: Register, notary: Notary, witness: Witness | None) -> tuple[list[Head], list[Finding]]:
    """The trusted heads in the order of their positions, the witness among them; and what is wrong with the others."""
    kept: list[tuple[KeptHead, Head | None]] = []
    while True:
        async with register.read() as tx:
            page = await chain.heads(tx, kept[-1][0].number if kept else 0, PAGE)
        kept += [(one, _opened(one, notary)) for one in page]
        if len(page) < PAGE:
            break
    trusted, findings = examine_heads(kept)
    if witness is not None:
        head = witness.head
        same = [one for one, _ in kept if one.number == head.number]
        trusted = [one for one in trusted if one.number != head.number] + [head]
        if not same:
            findings.append(Finding(Damage.HEAD_MISSING, head.number, head.number))
        elif same[0].signed != witness.signed:
            findings.append(Finding(Damage.HEAD_FORGED, head.number, head.number))
    return sorted(trusted, key=lambda head: (head.position, head.number)), findings


def _opened(kept: KeptHead, notary: Notary) -> Head | None:
    try:
        day = date.fromisoformat(kept.day)
    except ValueError:
        return None
    return notary.open(kept.signed, datetime(day.year, day.month, day.day, tzinfo=UTC))


async def _both(register: Register, end: int) -> AsyncIterator[tuple[int, bytes | None, Link | None]]:
    """Each id up to the last link's that has an entry, a link, or both. A page at a time is in memory."""
    after: int | None = None
    while after is None or after < end:
        async with register.read() as tx:
            entries = await chain.entries(tx, after, PAGE)
            links = await chain.links(tx, after, PAGE)
        ends = [end, *_end_of([id_ for id_, _ in entries]), *_end_of([link.id for link in links])]
        until = min(ends)
        found = {id_: digest for id_, digest in entries if id_ <= until}
        linked = {link.id: link for link in links if link.id <= until}
        for id_ in sorted({*found, *linked}):
            yield id_, found.get(id_), linked.get(id_)
        after = until


def _end_of(ids: Sequence[int]) -> list[int]:
    """Of a full page: what comes behind it is not known yet."""
    return list(ids[-1:]) if len(ids) == PAGE else []
