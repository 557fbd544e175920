"""A register that is behind its mailboxes, as after a restore: what it knows, and what it is told of the time it lost.

Numbers that went out in that time are reserved for the requests that had them, by desk, digest of the file and
position; the counters go beyond them. Where nobody can tell which went out, the counters jump.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from itertools import chain, pairwise

import sqlalchemy as sa

from mailflow.core import numbers
from mailflow.core.accounts import Cause, Stretch
from mailflow.core.calendar import legal_day
from mailflow.core.numbers import SEQUENCE_MAX, TERRITORIES, DeskCode, Territory, UniqueNumber
from mailflow.register import journal as journals
from mailflow.register import requests, rounds
from mailflow.register.arrivals import message_token
from mailflow.register.outbox import TOKEN_CHARACTERS, envelope_id, message_id
from mailflow.register.sequences import JUMPED
from mailflow.register.tables import counter, intake, issuing, journal, mailbox_mark, outbox, request, reserved_number
from mailflow.register.transaction import Transaction, batches
from mailflow.register.types import IntakeState

JUMP = 10_000
"""How far counters jump, unless more is said, when nobody can tell what they had given."""
INTAKES_AHEAD = 100_000
"""How many mails a register is at most behind, and how far their numbering jumps: answers are named after it."""
LATEST = 200
"""Mails of which one at least has come when its server says."""
LIVES_MAX = 10
"""How many lives of one backup are told apart: each begins by a jump of the numbering, from where the last one was."""
_MONTHS = 14
"""Before today: no creation names a deposit that is further back, but for one that was registered."""
_TOKEN = re.compile(f"[0-9a-f]{{{TOKEN_CHARACTERS}}}")
_TIMELINE_CHARACTERS = 8
"""With which the name of each file of PostgreSQL's log begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request stood: in a file of a desk."""

    desk: DeskCode
    digest: str
    """SHA-256 (hex) of the file."""
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Up to where a mailbox was accounted for."""

    uidvalidity: int
    uid: int


class Trail(Enum):
    """What tells of the lost time, to each mailbox: whoever restores one has not told the register of the others."""

    PROCESSED = "processed"
    AUDIT = "audit"

    def of(self, account: str) -> str:
        """The name of its mark. `account`: of the mailbox, also of the audit mailbox, which all share."""
        return f"{account} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A number that went out in a time that was lost."""

    number: UniqueNumber
    desk: DeskCode
    given: bool
    """Again, to the same request."""


# What it knows


async def latest_intake(tx: Transaction) -> int:
    """The last mail that was taken in; 0 when there was none. It never becomes less, but by a loss."""
    (row,) = await tx.all(sa.select(sa.func.max(intake.c.id).label("id")))
    return int(row.id or 0)


async def standing(tx: Transaction) -> tuple[str, int]:
    """Which life of the database this is, and its last entry in the journal, which never becomes less but by a loss.

    PostgreSQL begins another life, a timeline, whenever a copy of a server becomes a server; of SQLite it is always "".
    """
    ((last,),) = await tx.all(sa.select(sa.func.max(journal.c.id)))
    if tx.has_only_writer:
        return "", int(last or 0)
    file = sa.func.pg_walfile_name(sa.func.pg_current_wal_lsn())
    ((timeline,),) = await tx.all(sa.select(sa.func.left(file, _TIMELINE_CHARACTERS)))
    return str(timeline), int(last or 0)


async def latest_reception(tx: Transaction, account: str) -> datetime | None:
    """When the first of the last mails that were taken in from this mailbox had come; None when there was none at all.

    Not that of the very last: mail servers say when, and one whose clock was ahead would hide what was lost since. Of
    all mailboxes while there is nothing of this one, as when its account was renamed.
    """
    last = sa.select(intake.c.account, intake.c.received_at).order_by(intake.c.id.desc()).limit(LATEST)
    rows = await tx.all(last)
    if any(row.account != account for row in rows):  # else the former statement, which an index answers, has told it
        rows = await tx.all(last.where(intake.c.account == account)) or rows
    return min((row.received_at for row in rows), default=None)


async def accounted(tx: Transaction, mark: str, uidvalidity: int, uid_next: int | None) -> int:
    """The UID up to which the loss before this one was accounted for in this folder; 0 when there was none.

    A folder that has not come to it has gone back to an older state, and gives UIDs again: then it means nothing.
    `uid_next` is None where the folder's server does not tell.
    """
    which = (mailbox_mark.c.mailbox == mark, mailbox_mark.c.uidvalidity == uidvalidity)
    rows = await tx.all(sa.select(mailbox_mark.c.uid).where(*which))
    uid = int(rows[0].uid) if rows else 0
    return 0 if uid_next is not None and uid >= uid_next else uid


async def known_digests(tx: Transaction, digests: Collection[str]) -> set[str]:
    """Of these digests of mails those of one that was taken in."""
    found: set[str] = set()
    for batch in batches(sorted(digests)):
        found |= {r.digest for r in await tx.all(sa.select(intake.c.digest).where(tx.among(intake.c.digest, batch)))}
    return found


def may_be_ours(message_id: str) -> bool:
    """Whether a Message-ID looks like those that we give."""
    return _TOKEN.fullmatch(envelope_id(message_id)) is not None


async def ordered(tx: Transaction, message_ids: Collection[str]) -> set[str]:
    """Of these Message-IDs those of mails that this register ordered."""
    found: set[str] = set()
    for batch in batches(sorted(message_ids)):
        known = sa.select(outbox.c.message_id).where(tx.among(outbox.c.message_id, batch))
        found |= {row.message_id for row in await tx.all(known)}
    return found


async def lost_answers(
    tx: Transaction, kind: str, message_ids: Collection[str], lives: int = LIVES_MAX
) -> dict[str, int]:
    """Of these Message-IDs those of answers (mails of `kind`) that this register never ordered, with their intakes.

    A Message-ID is a token of what is answered, under a key that only the service has: nobody else can make one.
    What does not look like one is somebody else's mail, of which there may be any number, of any domain. What it lost
    may be numbered below what has come since: PostgreSQL leaves numbers out when it recovers. `lives`: how often the
    numbering may have jumped; each takes a third of a second when there is one that nothing explains.
    """
    unknown = {one for one in message_ids if may_be_ours(one)}
    unknown -= await ordered(tx, unknown)
    if not unknown:
        return {}
    latest = await latest_intake(tx)
    open_ = await tx.all(sa.select(intake.c.id).where(intake.c.state != IntakeState.ANSWERED.value))
    # Twice as far back: a restore that was cut off has moved the numbering on by once.
    near = range(max(1, latest + 1 - 2 * INTAKES_AHEAD), latest + 1)
    there = {row.id for row in await tx.all(sa.select(intake.c.id).where(intake.c.id >= near.start))}
    left_out = (id_ for id_ in near if id_ not in there)
    tokens: defaultdict[str, set[str]] = defaultdict(set)
    for one in unknown:
        tokens[envelope_id(one)].add(one)
    found: dict[str, int] = {}
    ahead = range(latest + 1, latest + 1 + lives * INTAKES_AHEAD)
    for id_ in chain((row.id for row in open_), ahead[:INTAKES_AHEAD], left_out, ahead[INTAKES_AHEAD:]):
        token = envelope_id(message_id(tx.vault, kind=kind, key=str(id_), domain=""))
        found |= dict.fromkeys(tokens.get(token, ()), id_)
        if len(found) == len(unknown):
            break
    return found


def part_secrets(tx: Transaction, kind: str, intakes: Collection[int]) -> dict[int, str]:
    """By intake what the Message-IDs of further parts of its answer are made of: `outbox.Queued.further`."""
    return {id_: tx.vault.token("message-id", f"{kind}:{id_}") for id_ in intakes}


async def reserved(tx: Transaction) -> list[Reserved]:
    """Every number that is, or was, reserved; in order."""
    statement = sa.select(
        reserved_number.c.number, reserved_number.c.desk, sa.func.max(reserved_number.c.given_at).label("given_at")
    ).group_by(reserved_number.c.number, reserved_number.c.desk)
    return [
        Reserved(number=row.number, desk=row.desk, given=row.given_at is not None)
        for row in await tx.all(statement.order_by(reserved_number.c.number))
    ]


# What it is told


def under_reference(tx: Transaction, desk: DeskCode, reference: str, asked: str = "") -> Place:
    """Where a request stands that is known by its desk's own reference; the register has that as a token only.

    `asked`: the digest of what is asked for, the NIR left out, where that is known: the same again under the same
    reference is the same request, whichever file it lies in.
    """
    which = f"{reference}\0{asked}" if asked else reference
    return Place(desk=desk, digest=requests.reference_token(tx, desk, which), position=0)


async def reserve(
    tx: Transaction,
    went_out: Iterable[tuple[Place, UniqueNumber]],
    act: journals.Act,
    at: datetime,
    *,
    named: Collection[UniqueNumber] = (),
) -> int:
    """Keep these numbers for those requests, and let the counters go beyond them; how many were not known.

    `named`: numbers that were told as somebody else's. Where nobody knows of which request they were, since its own
    answer never left, they are kept for none. Numbers between went to answers that never left: they are left out, which
    is in the journal.
    """
    told = list(went_out)
    places = dict(told)  # of two lives of one request the last number
    told_all = {*named, *(number for _, number in told)}
    places |= {_nowhere(number): number for number in told_all - {*places.values()}}
    known: set[str] = set()
    for batch in batches(sorted(set(places.values()))):
        statement = sa.select(request.c.number).where(tx.among(request.c.number, batch))
        known |= {row.number for row in await tx.all(statement)}
    lost = {place: number for place, number in places.items() if number not in known}
    rows = [
        {"desk": place.desk, "digest": place.digest, "position": place.position, "number": number}
        for place, number in lost.items()
    ]
    await tx.run(tx.insert(reserved_number).on_conflict_do_nothing(), rows)
    kept_out: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number in set(lost.values()):
        kept_out[_counted_in(number)].append(numbers.parse(number).sequence)
    before = {(row.territory, row.month): row.last for row in await tx.all(sa.select(counter))}
    await _raise_counters(tx, {key: max(sequences) for key, sequences in kept_out.items()})
    left_out: list[journals.Entry] = []
    for key, sequences in sorted(kept_out.items()):
        bounds = sorted({before.get(key, 0), *sequences})
        bounds = bounds[bounds.index(before.get(key, 0)) :]
        between = [Stretch(one + 1, other - 1) for one, other in pairwise(bounds) if other - one > 1]
        left_out += [_left_out(key, one, Cause.NEVER_LEFT, act) for one in between]
    await journals.append(tx, left_out, at)
    if lost:
        await tx.run(sa.update(issuing).values(reserved=True))
    return len(set(lost.values()))


def _counted_in(number: UniqueNumber) -> tuple[Territory, str]:
    parts = numbers.parse(number)
    return parts.territory, f"{parts.month:02}{parts.year % 100:02}"


def _nowhere(number: UniqueNumber) -> Place:
    """Where no request stands: no file has such a digest."""
    return Place(desk=numbers.parse(number).desk, digest=number, position=0)


async def give_reserved(
    tx: Transaction, places: Mapping[Place, tuple[Territory, str]], at: datetime
) -> dict[Place, UniqueNumber]:
    """The numbers that are reserved for these requests; they are given by this transaction.

    `places`: with the territory and month (`numbers.month_key`) in which the number of each has to be: under the same
    reference, or by other rules than then, another one may be asked for.
    """
    found: dict[Place, UniqueNumber] = {}
    for batch in batches(sorted({place.digest for place in places})):
        which = (tx.among(reserved_number.c.digest, batch), reserved_number.c.given_at.is_(None))
        for row in await tx.all(sa.select(reserved_number).where(*which).with_for_update()):
            place = Place(desk=row.desk, digest=row.digest, position=row.position)
            counted_in = places.get(place)
            if counted_in == _counted_in(row.number) and row.number not in found.values():
                found[place] = row.number
    for batch in batches(sorted(found.values())):
        await tx.run(sa.update(reserved_number).where(tx.among(reserved_number.c.number, batch)).values(given_at=at))
    return found


async def jump(tx: Transaction, left_out_each: int, act: journals.Act, at: datetime) -> int:
    """Let every counter that may have given numbers leave so many of them out; how many counters there are then.

    What each leaves out is in the journal: the reconciliation would else look for those numbers.
    """
    today = legal_day(at)
    months = {numbers.month_key(_month_before(today, back)) for back in range(_MONTHS)}
    rows = await tx.all(sa.select(counter))
    last: dict[tuple[str, str], int] = {(territory, month): 0 for territory in TERRITORIES for month in months}
    last |= {(row.territory, row.month): row.last for row in rows}
    new = {key: min(value + left_out_each, SEQUENCE_MAX) for key, value in last.items()}
    await _raise_counters(tx, new)
    left_out = [
        _left_out(key, Stretch(last[key] + 1, upto), Cause.JUMP, act)
        for key, upto in sorted(new.items())
        if upto > last[key]
    ]
    await journals.append(tx, left_out, at)
    return len(last)


async def skip_intakes(tx: Transaction, beyond: int) -> int:
    """Number the mails to come from beyond all that were lost; the last number that is left out.

    The Message-ID of an answer is named after its mail: two of one name are one to many mail servers. Who was cut off
    after it does not go further, or the lost answers would lie too far back to be found.
    """
    latest = await latest_intake(tx)
    if beyond and latest >= beyond + INTAKES_AHEAD:
        return latest
    last = max(beyond, latest) + INTAKES_AHEAD
    if tx.has_only_writer:
        await tx.run(sa.text("DELETE FROM sqlite_sequence WHERE name = 'intake'"))
        follows = sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('intake', :last)")
        await tx.run(follows.bindparams(last=last))
    else:
        await tx.all(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence("intake", "id"), last)))
    return last


async def put_first(tx: Transaction, at: datetime) -> None:
    """Let all that is not decided be decided one by one, in the order of reception, before what is taken in later.

    Mails that the register knew among them: what was taken in again may hang on one that was decided in the lost time.
    Not those whose turn, by their sender's rates, is yet to come: it did not come in that time either.
    """
    others = sa.and_(intake.c.next_at.is_not(None), intake.c.round != rounds.RESTORED)
    turn_to_come = sa.and_(intake.c.turn_at.is_not(None), intake.c.next_at > at)
    await tx.run(sa.update(intake).where(others, ~turn_to_come).values(round=rounds.RESTORED, solo=True))


async def hold_undecided(tx: Transaction, refused: Mapping[int, str] | None, at: datetime) -> int:
    """Let mails that are not decided wait for an operator, all (None) or those that one had refused; how many.

    `refused`: their Message-IDs, empty where they have none, by the numbers that they had. Nobody can tell of which
    mail without a Message-ID that was: then all of these wait. None of them has a receipt, which would promise an
    answer: it may have had one.
    """
    held = {"state": IntakeState.HELD.value, "late_at": at, "next_at": None, "lease_owner": None, "lease_until": None}
    undecided = sa.update(intake).where(intake.c.next_at.is_not(None)).values(**held)
    if refused is None:
        return await tx.run(undecided)
    tokens = sorted(token for one in refused.values() if (token := message_token(tx.vault, one)) is not None)
    these = [undecided.where(tx.among(intake.c.message_token, some)) for some in batches(tokens)]
    these += [undecided.where(tx.among(intake.c.id, some)) for some in batches(sorted(refused))]
    if not all(refused.values()):
        these.append(undecided.where(intake.c.message_token.is_(None)))
    return sum([await tx.run(some) for some in these])


async def account(tx: Transaction, reached: dict[str, Mark], detail: dict[str, str | int], at: datetime) -> None:
    """All that these folders hold up to here is accounted for, and what was done is in the journal."""
    for mailbox, mark in reached.items():
        values = {"uidvalidity": mark.uidvalidity, "uid": mark.uid}
        new = tx.insert(mailbox_mark).values(mailbox=mailbox, **values)
        await tx.run(new.on_conflict_do_update(index_elements=["mailbox"], set_=values))
    await journals.append(tx, [journals.Entry(kind="register-restored", detail=detail)], at)


def _left_out(counted: tuple[str, str], left_out: Stretch, cause: Cause, act: journals.Act) -> journals.Entry:
    """Of a territory and month. Without it the reconciliation would look for those numbers."""
    territory, month = counted
    detail: dict[str, str | int] = {"territory": territory, "month": month}
    detail |= {"first": left_out.first, "last": left_out.last, "cause": cause.value, "by": act.by, "why": act.why}
    return journals.Entry(kind=JUMPED, detail=detail)


async def _raise_counters(tx: Transaction, last: dict[tuple[str, str], int]) -> None:
    """Never lower one."""
    rows = [{"territory": t, "month": month, "last": value} for (t, month), value in sorted(last.items())]
    for batch in batches(rows):
        new = tx.insert(counter)
        higher = new.on_conflict_do_update(
            index_elements=[counter.c.territory, counter.c.month],
            set_={"last": new.excluded.last},
            where=new.excluded.last > counter.c.last,
        )
        await tx.run(higher, batch)


def _month_before(day: date, back: int) -> date:
    months = day.year * 12 + day.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)
