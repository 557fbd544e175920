"""Rows for tests of the register: mails, files and requests that carry nothing but what a test is about."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mailflow.core.life import Life
from mailflow.core.model import Operation
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.register import Register, files, history, identities, intake, outbox, requests
from mailflow.register.arrivals import Arrival
from mailflow.register.key_tables import content_key
from mailflow.register.types import Instant
from tests.support.databases import VAULT

NOW = datetime(2026, 11, 25, 9, 30, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
"""When leases run out that were taken at `NOW`."""
LONG_AFTER = NOW + timedelta(hours=1)
ROOMY = 1 << 30
DESK = DeskCode("59123")
NORD = Territory("059")


def arrival(
    uid: int,
    raw: bytes | None = None,
    *,
    uidvalidity: int = 7,
    minutes_ago: int = 60,
    message_id: str = "",
    from_address: str = "",
) -> Arrival:
    octets = b"mail %d" % uid if raw is None else raw
    return Arrival(
        account="service",
        mailbox="INBOX",
        uidvalidity=uidvalidity,
        uid=uid,
        raw=octets,
        size_bytes=len(octets),
        received_at=NOW - timedelta(minutes=minutes_ago),
        message_id=message_id,
        from_address=from_address,
    )


async def take_in(register: Register, count: int) -> None:
    """Mails with UIDs 1 to `count`, the lowest received first."""
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(uid, minutes_ago=1000 - uid) for uid in range(1, count + 1)], NOW)


async def claim(
    register: Register, owner: str = "me", limit: int = 50, at: datetime = NOW, urgent_before: datetime | None = None
) -> list[intake.Claimed]:
    async with register.begin() as tx:
        until = at + (LATER - NOW)
        return await intake.claim_chunk(tx, owner, limit, at, until, size_bytes_max=ROOMY, urgent_before=urgent_before)


async def claim_solo(register: Register, owner: str = "me", at: datetime = NOW) -> intake.Claimed | None:
    async with register.begin() as tx:
        return await intake.claim_solo(tx, owner, at, at + (LATER - NOW), 3)


async def a_mail(register: Register) -> int:
    """The intake of one fresh mail that is leased to `me`."""
    await take_in(register, 1)
    return (await claim(register))[0].id


def settlement(intake_id: int, state: str = "answered", reason: str = "") -> intake.Settlement:
    return intake.Settlement(id=intake_id, state=state, reason=reason, detail="", sender="acme")


def a_file(record: str, intake_id: int, *, sequence: int = 1, digest: str = "d", desk: str = DESK) -> files.FileClaim:
    name = f"DEM{desk}-202611250930-{sequence:06}.xml"
    return files.FileClaim(record=record, desk=desk, name=name, digest=digest, intake_id=intake_id)


def a_request(request_id: str, sequence: int, record: str, *, payload: bytes = b"{}") -> requests.NewRequest:
    return requests.NewRequest(
        id=request_id,
        number=UniqueNumber(f"0591126{sequence:06}59123"),
        territory=NORD,
        desk=DESK,
        sender="acme",
        life=Life.beginning(date(2026, 11, 25)),
        dated_at=NOW,
        payload=payload,
        file_record=record,
        position=sequence,
    )


def an_entry(new: requests.NewRequest, revision: int = 1, **sealed: bytes) -> history.Entry:
    """A change of that request which leaves its life as it is."""
    return history.Entry(
        number=new.number,
        revision=revision,
        territory=new.territory,
        operation=Operation.CREATION if revision == 1 else Operation.AMENDMENT,
        life=new.life,
        origin=None,
        dated_at=NOW,
        **sealed,
    )


def person(key: str, request_id: str, *, ordinal: int = 0, nir: str | None = None) -> identities.IdentityClaim:
    return identities.IdentityClaim(territory=NORD, key=key, ordinal=ordinal, request_id=request_id, nir=nir)


def a_draft(intake_id: int | None, *, key: str = "1", payload: bytes = b"order") -> outbox.Draft:
    return outbox.Draft(
        kind="answer",
        key=key,
        intake_id=intake_id,
        recipient="desk@vendor.test",
        domain="service.test",
        dated_at=NOW,
        payload=payload,
    )


def name_of(key: str) -> str:
    """Message-ID of the mail that was ordered under this key."""
    return outbox.message_id(VAULT, kind="answer", key=key, domain="service.test")


def octets(raw: bytes, body_digest: str = "digest", *, message_id: str = "") -> outbox.Octets:
    return outbox.Octets(message_id=message_id, raw=raw, body_digest=body_digest)


async def registered(register: Register, sequence: int = 1, *, payload: bytes = b"{}") -> UniqueNumber:
    """A whole request: mail, file, reference, identity, number."""
    intake_id = await a_mail(register)
    async with register.begin() as tx:
        await files.claim(tx, [a_file("f1", intake_id)])
        await requests.bind_references(tx, [(DESK, "ref", "r1", "digest")])
        await identities.claim(tx, [person("dupont", "r1")])
        new = a_request("r1", sequence, "f1", payload=payload)
        content_keys = await requests.insert(tx, [new], NOW)
        await history.append(tx, [an_entry(new)], content_keys, NOW)
        await files.settle(tx, [("f1", b"receipt")])
    return new.number


async def frozen(register: Register, count: int = 1) -> list[int]:
    """The ids of outgoing mails with their octets, due now."""
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key=str(key)) for key in range(count)], NOW)
    async with register.begin() as tx:
        ids = [row.id for row in await outbox.claim_queued(tx, "composer", 50, NOW, LATER)]
        await outbox.freeze(tx, {id_: [octets(b"octets %d" % id_, f"digest {id_}")] for id_ in ids})
    return ids


async def rows(register: Register, query: str) -> Sequence[Any]:
    async with register.read() as tx:
        return (await tx.connection.execute(sa.text(query))).all()


async def key_rows(register: Register) -> Sequence[Any]:
    """Every content key in the key store."""
    async with register.keys.read() as store:
        return await store.all(sa.select(content_key).order_by(content_key.c.id))


async def lose_keys(register: Register, query: str = "") -> None:
    """Delete content keys: those whose ids a query of the register finds, or all."""
    ids = [row.id for row in await key_rows(register)] if not query else [row[0] for row in await rows(register, query)]
    await register.keys.destroy(ids)


async def damage_keys(register: Register, query: str) -> None:
    """Spoil those content keys whose ids a query of the register finds, though their master key is the right one."""
    ids = [row[0] for row in await rows(register, query)]
    spoilt = sa.update(content_key).where(content_key.c.id.in_(ids)).values(wrapped=b"spoilt in some way" * 4)
    async with register.keys.begin() as store:
        assert await store.run(spoilt) == len(ids) > 0


async def execute(register: Register, statement: str, **values: object) -> None:
    """Plain SQL, past every module of ours; instants are bound as our columns keep them."""
    binds = [sa.bindparam(k, type_=Instant() if isinstance(v, datetime) else None) for k, v in values.items()]
    async with register.begin() as tx:
        await tx.connection.execute(sa.text(statement).bindparams(*binds), values)


@asynccontextmanager
async def another(register_url: str) -> AsyncIterator[Register]:
    """A second process' view: its own connections and its own lock."""
    opened = Register.open(register_url, VAULT)
    try:
        yield opened
    finally:
        await opened.close()
