"""Attestations that were issued. What states the same facts is issued once: a repeat gets the same octets.

The octets are sealed under the request's own key, and kept as long as the mail that they were first issued for. That
they were issued, when, with which reference data, and their digest stay.
"""

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from mailflow.core.numbers import UniqueNumber
from mailflow.register import keys
from mailflow.register.tables import attestation, request
from mailflow.register.transaction import Transaction, batches
from mailflow.register.vault import ContentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an attestation states of a request."""

    number: UniqueNumber
    stated: str = field(repr=False)
    """`core.attested.Attested`, as JSON: equal facts have equal texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An attestation to be frozen."""

    facts: Facts
    intake_id: int
    edition: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An attestation that was issued."""

    digest: str
    edition: int
    issued_at: datetime
    intake_id: int
    content: bytes | None = field(repr=False)
    """None: not kept any more."""

    @property
    def is_whole(self) -> bool:
        """Whether it is kept as it was issued."""
        return self.content is not None and hashlib.sha256(self.content).hexdigest() == self.digest


async def find(tx: Transaction, facts: Collection[Facts]) -> dict[Facts, bytes]:
    """The octets of those attestations that were issued before and are kept."""
    tokens = {_token(tx, one): one for one in facts}
    found: dict[Facts, bytes] = {}
    for batch in batches(sorted(tokens)):
        rows = await tx.all(
            sa.select(attestation).where(tx.among(attestation.c.token, batch), attestation.c.content.is_not(None))
        )
        opened = await _open(tx, rows)
        found |= {tokens[row.token]: opened[row.id] for row in rows if row.id in opened}
    return found


async def freeze(tx: Transaction, made: Sequence[Made], at: datetime) -> dict[Facts, bytes]:
    """Keep attestations that were just made; returns the octets to be told: of who froze the same facts first.

    Those of a request that was erased meanwhile are told and not kept.
    """
    content_keys = await _keys_of(tx, {one.facts.number for one in made})
    tokens = {one.facts: _token(tx, one.facts) for one in made}
    digests = {one.facts: hashlib.sha256(one.content).hexdigest() for one in made}
    rows = [
        {
            "number": one.facts.number,
            "token": tokens[one.facts],
            "digest": digests[one.facts],
            "edition": one.edition,
            "intake_id": one.intake_id,
            "issued_at": at,
            "key_id": key.id,
            "content": tx.vault.seal(key, zlib.compress(one.content), _context(tokens[one.facts])),
        }
        for one in made
        if (key := content_keys.get(one.facts.number)) is not None
    ]
    kept = attestation.c.content.is_not(None)
    new = tx.insert(attestation).on_conflict_do_nothing(index_elements=[attestation.c.token], index_where=kept)
    await tx.run(new, rows)
    frozen = await _digests(tx, tokens.values())
    others = [facts for facts, token in tokens.items() if frozen.get(token, digests[facts]) != digests[facts]]
    return {one.facts: one.content for one in made} | await find(tx, others)


async def of_number(tx: Transaction, number: str) -> list[Issued]:
    """All that were issued for a request, oldest first."""
    rows = await tx.all(sa.select(attestation).where(attestation.c.number == number).order_by(attestation.c.id))
    opened = await _open(tx, [row for row in rows if row.content is not None])
    return [
        Issued(
            digest=row.digest,
            edition=row.edition,
            issued_at=row.issued_at,
            intake_id=row.intake_id,
            content=opened.get(row.id),
        )
        for row in rows
    ]


async def erase(tx: Transaction, which: sa.ColumnElement[bool]) -> None:
    """Erase the octets of attestations; that they were issued stays."""
    await tx.run(sa.update(attestation).where(which, attestation.c.content.is_not(None)).values(content=None))


async def _digests(tx: Transaction, tokens: Collection[str]) -> dict[str, str]:
    """The digests of those attestations that are kept, by their tokens."""
    columns = sa.select(attestation.c.token, attestation.c.digest).where(attestation.c.content.is_not(None))
    found: dict[str, str] = {}
    for batch in batches(sorted(tokens)):
        found |= {row.token: row.digest for row in await tx.all(columns.where(tx.among(attestation.c.token, batch)))}
    return found


async def _keys_of(tx: Transaction, numbers: Collection[str]) -> Mapping[str, ContentKey]:
    key_ids: dict[str, str] = {}
    for batch in batches(sorted(numbers)):
        rows = await tx.all(sa.select(request.c.number, request.c.key_id).where(tx.among(request.c.number, batch)))
        key_ids |= {row.number: row.key_id for row in rows}
    by_id = await keys.find(tx, key_ids.values())
    return {number: by_id[key_id] for number, key_id in key_ids.items() if key_id in by_id}


async def _open(tx: Transaction, rows: Sequence[sa.Row[tuple[object, ...]]]) -> dict[int, bytes]:
    by_id = await keys.find(tx, {row.key_id for row in rows})
    return {
        row.id: zlib.decompress(tx.vault.open(by_id[row.key_id], row.content, _context(row.token)))
        for row in rows
        if row.key_id in by_id
    }


def _token(tx: Transaction, facts: Facts) -> str:
    return tx.vault.token("attestation", f"{facts.number}\0{facts.stated}")


def _context(token: str) -> str:
    return f"attestation.content:{token}"
