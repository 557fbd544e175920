"""Mails that were taken in: their octets, whose turn it is, and what became of each."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mailflow.core.anomalies import Code
from mailflow.log import event
from mailflow.register import blame, gates, issuing, journal, keys, rounds
from mailflow.register.arrivals import UIDVALIDITY_END, Arrival, Kept, digest, message_token, others
from mailflow.register.blame import REFUNDED, UNDONE
from mailflow.register.tables import intake
from mailflow.register.transaction import LeaseLost, Transaction, batches, fitting
from mailflow.register.types import IntakeState
from mailflow.register.vault import SealBroken

_NAMED = ("account", "mailbox", "uidvalidity", "uid")
"""What names a mail on a server (RFC 3501 section 2.3.1.1)."""
_FREE: dict[str, Any] = {"lease_owner": None, "lease_until": None}
UNOPENED_MAX = 50
"""Mails whose octets do not open, that one claim passes over."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A mail that is leased to us."""

    id: int
    raw: bytes
    received_at: datetime
    came_at: datetime
    """At the latest: the earlier of what the mail server's clock and ours said, of which either may be ahead."""
    attempts: int
    """Solo attempts, this one included."""
    counted: bool
    """It was beyond its sender's rates, or was decided in a lost time, and has had its turn: it counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a mail."""

    id: int
    state: str
    reason: str
    """Code of the anomaly; empty when there is none."""
    detail: str
    """For the operator: identifiers only."""
    sender: str | None


async def take_in(
    tx: Transaction, arrivals: Sequence[Arrival], at: datetime, *, moved_to: str | None = None
) -> list[Kept]:
    """Put mails on record, and return them as they are there. Those on record already, by their UID, are left alone.

    After a change of UIDVALIDITY known octets are the same delivery, and so are those that were taken in from the
    folder `moved_to`, after a loss (`recovery`): the mail was still on its way there. A new UID under the same one is a
    new mail, and so are known octets in any other folder.
    A server that has gone back to an older state gives new mails UIDs that others had (RFC 3501 section 2.3.1.1
    forbids it): such a mail is put on record under a UIDVALIDITY that no server has.
    """
    digests = [digest(arrival) for arrival in arrivals]
    known = await _known_deliveries(tx, arrivals, sorted({d for d in digests if d is not None}), moved_to)
    lines = await rounds.lines(tx, [arrival.from_address for arrival in arrivals])
    places = await rounds.places(tx, rounds.IN, lines, at)
    rows, made = [], {}
    for arrival, octets, line, place in zip(arrivals, digests, lines, places, strict=True):
        seen = (arrival.account, arrival.mailbox, arrival.uidvalidity, octets) in known
        row = _row(arrival, octets, at, seen=seen) | {"message_token": message_token(tx.vault, arrival.message_id)}
        row |= {"line": line, "round": place}
        if arrival.raw is not None and not seen:
            key = made[_uid(arrival)] = tx.vault.new_key()
            row |= {"key_id": key.id, "raw": tx.vault.seal(key, arrival.raw, context(arrival))}
        rows.append(row)
    named = [intake.c[name] for name in _NAMED]
    new = tx.insert(intake).on_conflict_do_nothing(index_elements=named).returning(intake.c.id, *named)
    taken = {tuple(named): id_ for id_, *named in await tx.all(new, rows)}
    owned = [(key, keys.Owner("intake", str(taken[uid]))) for uid, key in made.items() if uid in taken]
    await keys.keep(tx, owned, at)
    again = await others(tx, [arrival for arrival in arrivals if _uid(arrival) not in taken])
    uids = {_uid(arrival) for arrival in again}
    kept = [Kept(one, is_new=_uid(one) in taken) for one in arrivals if _uid(one) not in uids]
    further = [replace(one, uidvalidity=one.uidvalidity + UIDVALIDITY_END) for one in again]
    return [*kept, *await take_in(tx, further, at, moved_to=moved_to)] if further else kept


def _row(arrival: Arrival, digest: str | None, at: datetime, *, seen: bool) -> dict[str, Any]:
    state, reason = IntakeState.RECEIVED, None
    if seen:
        state = IntakeState.SAME_DELIVERY
    elif arrival.raw is None:
        state, reason = IntakeState.SET_ASIDE, Code.MAIL_TOO_LARGE.value
    waits = state is IntakeState.RECEIVED
    return {
        "account": arrival.account,
        "mailbox": arrival.mailbox,
        "uidvalidity": arrival.uidvalidity,
        "uid": arrival.uid,
        "digest": digest,
        "size_bytes": arrival.size_bytes if arrival.raw is None else len(arrival.raw),
        "received_at": arrival.received_at,
        "taken_at": at,
        "key_id": None,
        "raw": None,
        "state": state.value,
        "reason": reason,
        "settled_at": None if waits else at,
        "next_at": _came_at(arrival.received_at, at) if waits else None,
    }


def _came_at(received_at: datetime, taken_at: datetime) -> datetime:
    """Never later than either clock says: one may have been ahead, and been set back."""
    return min(received_at, taken_at)


async def _known_deliveries(
    tx: Transaction, arrivals: Sequence[Arrival], digests: Sequence[str], moved_to: str | None
) -> set[tuple[str, str, int, str]]:
    """What has octets that came under another UIDVALIDITY or in that folder, or of what has a UID that was given again,
    under any."""
    found: set[tuple[str, str, int, str]] = set()
    places = {(a.account, a.mailbox, a.uidvalidity) for a in arrivals}
    for account, mailbox, uidvalidity in sorted(places):
        given = intake.c.uidvalidity if uidvalidity >= UIDVALIDITY_END else intake.c.uidvalidity % UIDVALIDITY_END
        for batch in batches(digests):
            statement = sa.select(intake.c.digest).where(
                tx.among(intake.c.digest, batch),
                intake.c.account == account,
                sa.or_(sa.and_(intake.c.mailbox == mailbox, given != uidvalidity), intake.c.mailbox == moved_to),
            )
            found |= {(account, mailbox, uidvalidity, row.digest) for row in await tx.all(statement)}
    return found


def _uid(arrival: Arrival | sa.Row[Any]) -> tuple[str, str, int, int]:
    return (arrival.account, arrival.mailbox, arrival.uidvalidity, arrival.uid)


def context(arrival: Arrival | sa.Row[Any]) -> str:
    """Where the octets of a mail are sealed to."""
    return "intake.raw:" + "\0".join(str(part) for part in _uid(arrival))


# Leases


async def claim_chunk(
    tx: Transaction,
    owner: str,
    limit: int,
    at: datetime,
    lease_until: datetime,
    *,
    size_bytes_max: int,
    urgent_before: datetime | None = None,
) -> list[Claimed]:
    """Lease the next mails that are due, `limit` and `size_bytes_max` of octets at most, but at least one.

    Those received until `urgent_before` come first, the oldest first; the others as their rounds have it.
    A lease that ran out means that a chunk was abandoned: its mails will each be run alone. None, while mails wait that
    a restore has put first: `claim_solo` has them.
    """
    await _expire(tx, at)
    if await _are_restored(tx, at):
        return []
    free = (
        sa.select(intake.c.id, intake.c.size_bytes)
        .where(intake.c.next_at <= at, intake.c.lease_owner.is_(None), sa.not_(intake.c.solo))
        .with_for_update(skip_locked=True)
    )
    ids = fitting(await rounds.in_turn(tx, rounds.IN, free, limit, urgent_before), size_bytes_max)
    return await _lease(tx, ids, {"lease_owner": owner, "lease_until": lease_until}, at)


async def claim_solo(
    tx: Transaction, owner: str, at: datetime, lease_until: datetime, attempts_max: int
) -> Claimed | None:
    """Lease one mail that must run alone, and count the attempt. Those without attempts left are set aside, or wait.

    What has been due for longest comes first: mails that wait again and again keep no other one waiting. Of those that
    a restore has put first none but the first that is due, none while somebody is at one of them, and none while no
    numbers are given: what follows in the line may hang on what comes before it.
    """
    if restored := await _are_restored(tx, at):
        await gates.have_alone(tx, gates.Gate.RESTORED)  # or two would see that nobody is at one
    await _expire(tx, at)
    if restored and (await _is_any_leased(tx) or await issuing.read(tx) is not None):
        return None
    alone = (
        sa.select(intake.c.id)
        .where(intake.c.next_at <= at, intake.c.lease_owner.is_(None))
        .where(intake.c.round == rounds.RESTORED if restored else intake.c.solo)
        .with_for_update(skip_locked=not restored)
    )
    spent = await tx.all(alone.where(intake.c.attempts >= attempts_max))
    await _set_aside(tx, sorted(row.id for row in spent), "third strike", at, lease_until)
    left = alone.where(intake.c.attempts < attempts_max)
    since = [] if restored else [intake.c.next_at]
    attempt = {"lease_owner": owner, "lease_until": lease_until, "attempts": intake.c.attempts + 1}
    for _ in range(UNOPENED_MAX):
        ids = [row.id for row in await tx.all(left.order_by(*since, intake.c.received_at, intake.c.id).limit(1))]
        if not ids or (claimed := await _lease(tx, ids, attempt, at)):
            return claimed[0] if ids else None
    return None


async def _are_restored(tx: Transaction, at: datetime) -> bool:
    """Whether mails are due, or somebody is at them, that a restore has put first."""
    first = sa.select(intake.c.id).where(intake.c.round == rounds.RESTORED, intake.c.next_at <= at)
    return bool(await tx.all(first.limit(1)))


async def _is_any_leased(tx: Transaction) -> bool:
    """Whether somebody is at one of them."""
    leased = sa.select(intake.c.id).where(intake.c.round == rounds.RESTORED, intake.c.next_at.is_not(None))
    return bool(await tx.all(leased.where(intake.c.lease_owner.is_not(None)).limit(1)))


async def _expire(tx: Transaction, at: datetime) -> None:
    expired = sa.select(intake.c.id).where(intake.c.lease_until <= at).with_for_update(skip_locked=True)
    if ids := [row.id for row in await tx.all(expired)]:
        for batch in batches(ids):
            await tx.run(sa.update(intake).where(tx.among(intake.c.id, batch)).values(solo=True, **_FREE))


async def _set_aside(tx: Transaction, failed: Sequence[int], why: str, at: datetime, until: datetime) -> None:
    """Those that `blame` allows; the others are spared until then."""
    allowed = await blame.allowance(tx, at) if failed else 0
    ids, spared = failed[:allowed], failed[allowed:]
    for batch in batches(spared):
        wait = sa.update(intake).where(tx.among(intake.c.id, batch))
        await tx.run(wait.values(**_spared(until), **_FREE))
    for id_ in spared:
        event(log, "nobody-decided", level=logging.ERROR, intake=id_)
    settled: dict[str, Any] = {
        "state": IntakeState.SET_ASIDE.value,
        "reason": Code.INTERNAL_FAULT.value,
        "detail": why,
        "settled_at": at,
        "next_at": None,
        **_FREE,
    }
    for batch in batches(ids):
        await tx.run(sa.update(intake).where(tx.among(intake.c.id, batch)).values(**settled))
    detail = {"reason": Code.INTERNAL_FAULT.value, "detail": why}
    await journal.append(tx, [journal.Entry(kind="mail-set-aside", intake_id=id_, detail=detail) for id_ in ids], at)


async def _lease(tx: Transaction, ids: Sequence[int], values: Mapping[str, Any], at: datetime) -> list[Claimed]:
    """A mail whose octets do not open any more is set aside: it must not stand in the way of the others for ever.

    A master key that is missing, or another one, is no mail's fault, and all wait: raises Misconfigured.
    """
    rows: list[Any] = []
    for batch in batches(ids):
        lease = sa.update(intake).where(tx.among(intake.c.id, batch)).values(**values)
        rows += await tx.all(lease.returning(*intake.c))
    content_keys = await keys.of_intakes(tx, ids)
    claimed: list[Claimed] = []
    broken: list[int] = []
    for row in sorted(rows, key=lambda row: (row.received_at, row.id)):
        try:
            raw = tx.vault.open(content_keys[row.id], row.raw or b"", context(row))
        except (KeyError, SealBroken):
            broken.append(row.id)
        else:
            claimed.append(
                Claimed(
                    id=row.id,
                    raw=raw,
                    received_at=row.received_at,
                    came_at=_came_at(row.received_at, row.taken_at),
                    attempts=row.attempts,
                    counted=row.turn_at is not None or row.round == rounds.RESTORED,
                )
            )
    await _set_aside(tx, broken, "seal broken", at, values["lease_until"])
    return claimed


async def make_solo(tx: Transaction, owner: str, ids: Sequence[int]) -> None:
    """Give a failed chunk back, to be run mail by mail."""
    await _give_back(tx, owner, ids, solo=True)


async def release(
    tx: Transaction, owner: str, ids: Sequence[int], *, refund: bool, until: datetime | None = None
) -> None:
    """Give mails back untouched, due as before, or only at `until`. With `refund` a solo attempt does not count."""
    later = {} if until is None else {"next_at": until}
    await _give_back(tx, owner, ids, **({"attempts": REFUNDED} if refund else {}), **later)


async def spare(tx: Transaction, owner: str, id_: int, until: datetime) -> None:
    """Its last attempt failed, and is not held against it: it has it again, at `until`."""
    await _give_back(tx, owner, [id_], **_spared(until))


def _spared(until: datetime) -> dict[str, Any]:
    """It waits alone, and in no line that would wait for it."""
    place = sa.case((intake.c.round == rounds.RESTORED, 0), else_=intake.c.round)
    return {"attempts": REFUNDED, "next_at": until, "solo": True, "round": place}


async def release_all(tx: Transaction, owner: str) -> None:
    """Give back whatever is leased to `owner`, untouched: it stops. A solo attempt under way is not counted."""
    await tx.run(sa.update(intake).where(intake.c.lease_owner == owner).values(attempts=UNDONE, **_FREE))


async def postpone(
    tx: Transaction, owner: str, ids: Sequence[int], until: datetime, *, reason: str, detail: str
) -> None:
    """It cannot be told yet: judged again at `until`; it was no attempt at it. Raises LeaseLost."""
    values = {
        "state": IntakeState.UNDETERMINED.value,
        "next_at": until,
        "reason": str(reason),
        "detail": detail,
        "attempts": REFUNDED,
    }
    if await _give_back(tx, owner, ids, **values) != len(ids):
        raise LeaseLost("a mail is no longer ours to postpone")


async def await_numbers(tx: Transaction, owner: str, ids: Sequence[int], until: datetime, *, reason: str) -> None:
    """It waits until numbers are given again, and is judged again at `until` at the latest. Raises LeaseLost."""
    waits = {"state": IntakeState.RECEIVED.value, "next_at": until, "reason": reason, "detail": None}
    if await _give_back(tx, owner, ids, attempts=REFUNDED, **waits) != len(ids):
        raise LeaseLost("a mail is no longer ours to put off")


async def _give_back(tx: Transaction, owner: str, ids: Sequence[int], **values: Any) -> int:
    """Free those rows that are still leased to `owner`; how many were."""
    done = 0
    for batch in batches(ids):
        ours = sa.update(intake).where(tx.among(intake.c.id, batch), intake.c.lease_owner == owner)
        done += await tx.run(ours.values(**values, **_FREE))
    return done


async def reject(tx: Transaction, senders: Mapping[int, str | None], reason: str, at: datetime) -> None:
    """Decide mails that nobody is at, and that are locked, by an operator's word; by intake, who is told, or nobody."""
    for told in (True, False):
        ids = sorted(id_ for id_, sender in senders.items() if (sender is not None) is told)
        state = IntakeState.ANSWERED if told else IntakeState.SET_ASIDE
        values = {"state": state.value, "reason": str(reason), "detail": None, "settled_at": at, "next_at": None}
        rows = [{"b_id": id_, "b_sender": senders[id_]} for id_ in ids]
        # Nor is a receipt wanted any more, which would promise an answer.
        decided = sa.update(intake).where(intake.c.id == sa.bindparam("b_id"))
        await tx.run(decided.values(sender=sa.bindparam("b_sender"), late_at=at, **values, **_FREE), rows)


async def settle(tx: Transaction, owner: str, settlements: Sequence[Settlement], at: datetime) -> None:
    """Write what became of mails that are leased to `owner`. Raises LeaseLost when one of them is not."""
    rows = [
        {
            "b_id": settlement.id,
            "b_state": str(settlement.state),
            "b_reason": str(settlement.reason) or None,
            "b_detail": settlement.detail or None,
            "b_sender": settlement.sender,
        }
        for settlement in settlements
    ]
    statement = (
        sa.update(intake)
        .where(
            intake.c.id == sa.bindparam("b_id"),
            intake.c.lease_owner == owner,
            intake.c.next_at.is_not(None),
        )
        .values(
            state=sa.bindparam("b_state"),
            reason=sa.bindparam("b_reason"),
            detail=sa.bindparam("b_detail"),
            sender=sa.bindparam("b_sender"),
            settled_at=at,
            next_at=None,
            **_FREE,
        )
    )
    if await tx.run(statement, rows) != len(rows):
        raise LeaseLost("a mail is no longer ours to settle")
