"""The pure comparison: whatever lies in the folders, an undisturbed world adds up, and what is planted is told."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mailflow.core.accounts import KnownMail, KnownOutgoing, Series, Stretch
from mailflow.ledger.differences import MEANINGS, Kind
from mailflow.ledger.mending import MENDED
from mailflow.ledger.reckoning import (
    Bits,
    CopyAccount,
    MailAccount,
    Place,
    adds_up,
    alike,
    counter_behind,
    covered,
    header_tells,
    holes,
)
from mailflow.mail.model import Lying

AT = datetime(2026, 11, 25, 9, tzinfo=UTC)
FOLDERS = {Place.INBOX: "INBOX", Place.PROCESSED: "Processed", Place.QUARANTINE: "Quarantine"}
ORDER = (Place.INBOX, Place.QUARANTINE, Place.PROCESSED)
HARMS = (Kind.MISPLACED, Kind.TWICE, Kind.UNKNOWN, Kind.NOWHERE, Kind.LEFT)
DOMAIN, TOKEN = "service.example", 40


def a_mail(id_: int, digest: str, *, whole: bool, repeats: bool) -> KnownMail:
    return KnownMail(
        id=id_,
        account="demandes@imap.example",
        received_at=AT,
        size_bytes=1,
        is_whole=whole,
        digest=digest if whole else None,
        repeats=repeats,
    )


def lying(uid: int, message_id: str = "", age: timedelta = timedelta(0)) -> Lying:
    return Lying(uid=uid, message_id=message_id, received_at=AT - age, size_bytes=1)


deliveries = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 2)), max_size=12)
"""What octets came, whether they could be read, and how often they were seen again under another UIDVALIDITY."""


@given(deliveries, st.lists(st.sampled_from(HARMS), max_size=3), st.randoms())
def test_each_harm_is_told_and_nothing_else(came: list[tuple[str, bool, int]], harms: list[Kind], rng: Random) -> None:
    known: list[KnownMail] = []
    mails: list[tuple[Place, KnownMail]] = []
    for digest, whole, again in came:
        first = a_mail(len(known) + 1, digest, whole=whole, repeats=False)
        known.append(first)
        mails.append((Place.PROCESSED if whole else Place.QUARANTINE, first))
        known += [a_mail(len(known) + 1 + n, digest, whole=True, repeats=True) for n in range(again if whole else 0)]
    # A harm for each of the first mails; of octets of which there is no other mail, since alike is alike.
    alone = [
        index
        for index, (_, one) in enumerate(mails)
        if one.digest and [each.digest for each in known].count(one.digest) == 1
    ]
    planted: Counter[Kind] = Counter()
    exact: set[int] = set()
    for index, harm in zip(alone, harms, strict=False):
        place, one = mails[index]
        planted[harm] += 1
        match harm:
            case Kind.MISPLACED:
                mails[index] = (Place.QUARANTINE, one)
            case Kind.TWICE:
                mails.append((place, one))
            case Kind.UNKNOWN:
                mails.append((place, replace(one, digest="unknown")))
            case Kind.NOWHERE:
                mails[index] = (place, replace(one, digest="gone"))
                planted[Kind.UNKNOWN] += 1
            case _:
                mails[index] = (Place.INBOX, one)
                exact.add(one.id)
    rng.shuffle(mails)
    account = MailAccount(len(known), FOLDERS, AT)
    for place in ORDER:
        for uid, (where, one) in enumerate(mails, 1):
            if where is place:
                candidates = [each for each in known if each.digest == one.digest] if one.digest else [one]
                account.see(place, lying(uid), candidates, exact=one.id in exact)
    account.missing(known)
    assert Counter(one.kind for one in account.differences) == +planted
    assert account.statuses.total() == len(mails)


octets = st.sampled_from(("a", "b", 7, 8))
"""What is read has a digest; of what is too large to be read the size is known."""


@given(st.lists(octets, max_size=4), st.lists(octets, max_size=6))
def test_mails_of_one_header_are_told_apart_by_their_octets(came: list[str | int], lie: list[str | int]) -> None:
    """In whatever order they are met. Only where all were alike, and no more lie there, they are not looked at."""
    known = [
        replace(a_mail(n, str(one), whole=isinstance(one, str), repeats=False), size_bytes=size_of(one))
        for n, one in enumerate(came, 1)
    ]
    account = look_through(known, lie, Bits(len(known)))
    if account.contested:
        account = look_through(known, lie, account.contested)
    account.missing(known)
    told = Counter(one.kind for one in account.differences)
    if len(set(came)) == 1 and len(lie) <= len(came):
        assert told[Kind.NOWHERE] == len(came) - len(lie)
        assert not told[Kind.UNKNOWN] + told[Kind.TWICE]
        return
    if {type(one) for one in came} == {int} and len(lie) <= len(came):
        return  # too large, each of them, and as many: so much is known of them before any is read
    beyond = Counter(lie) - Counter(came)
    assert told == +Counter(
        {
            Kind.UNKNOWN: sum(number for one, number in beyond.items() if one not in came),
            Kind.TWICE: sum(number for one, number in beyond.items() if one in came),
            Kind.NOWHERE: (Counter(came) - Counter(lie)).total(),
        }
    )


def size_of(octets: str | int) -> int:
    return octets if isinstance(octets, int) else 1


def look_through(known: list[KnownMail], lie: list[str | int], doubted: Bits) -> MailAccount:
    account = MailAccount(len(known), FOLDERS, AT)
    for place in (Place.QUARANTINE, Place.PROCESSED):
        for uid, one in enumerate(lie, 1):
            digest = one if isinstance(one, str) else None
            if (place is Place.PROCESSED) is bool(digest):
                tells = header_tells(known, doubted)
                account.see(place, lying(uid), known if tells else alike(known, digest, size_of(one)))
    return account


def test_what_waits_in_the_inbox_is_told_once_it_is_old() -> None:
    account = MailAccount(1, FOLDERS, AT)
    account.see(Place.INBOX, lying(1), [])
    account.see(Place.INBOX, lying(2, age=timedelta(minutes=1)), [])
    account.see(Place.INBOX, lying(3), [], marked=True)
    assert [(one.kind, one.mail and one.mail.uid) for one in account.differences] == [(Kind.WAITS, 2), (Kind.MARKED, 3)]


copies = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=8)
"""Of each outgoing mail how often it was sent, and how many copies lie there."""


@given(copies, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_copies(sent: list[tuple[int, int]], strange: int, unknown: int, restored: int) -> None:
    account = CopyAccount(len(sent), "INBOX", DOMAIN, TOKEN, restored=restored)
    rows = [
        KnownOutgoing(id=n, message_id=f"<{n}>", body_digest="d", sends=sends, copies_before=0, waits=False)
        for n, (sends, _) in enumerate(sent, 1)
    ]
    for row, (_, lie) in zip(rows, sent, strict=True):
        for uid in range(lie):
            account.see(lying(uid, row.message_id), row)
    for uid in range(strange):
        account.see(lying(uid, "<spam@elsewhere.example>"), None)
    for uid in range(unknown):
        account.see(lying(uid + 1, f"<{'f' * TOKEN}@{DOMAIN}>"), None)
    account.missing(rows)
    told = Counter(one.kind for one in account.differences)
    assert told[Kind.COPY_MISSING] == sum(not lie for _, lie in sent)
    assert told[Kind.COPY_TWICE] == sum(max(lie - sends, 0) for sends, lie in sent)
    assert told[Kind.COPY_UNKNOWN] == max(unknown - restored, 0)
    assert (account.ours, account.others) == (sum(lie for _, lie in sent) + unknown, strange)


def test_a_copy_proves_a_send_only_to_the_octet_and_only_once() -> None:
    account = CopyAccount(1, "INBOX", DOMAIN, TOKEN)
    row = KnownOutgoing(id=1, message_id="<1>", body_digest="d", sends=1, copies_before=1, waits=True)
    for digest in ("d", "other", "d"):
        account.see(lying(1, "<1>"), row, digest)
    assert [one.kind for one in account.differences] == [Kind.COPY_ALTERED, Kind.UNRECORDED]


@given(st.sets(st.integers(1, 60)), st.integers(0, 60), st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9))))
def test_holes_are_what_no_jump_explains(members: set[int], beyond: int, jumps: list[tuple[int, int]]) -> None:
    highest = max(members, default=0)
    series = Series(name="059 0126", counter=highest + beyond, highest=highest, count=len(members), rows=len(members))
    missing = [Stretch(n, n) for n in range(1, highest + beyond + 1) if n not in members]
    explained = [Stretch(first, first + length) for first, length in jumps]
    told = {one.subject for one in holes(series, missing, explained, Kind.HOLE)}
    covered = {n for one in explained for n in range(one.first, one.last + 1)}
    assert told == {f"059 0126: {one.first}" for one in missing if one.first not in covered}
    assert adds_up(series) is not bool(missing)
    whole = Stretch(1, highest + beyond)
    left = [one.subject for one in holes(series, [whole] if whole.length else [], explained, Kind.HOLE)]
    assert len(left) == len(set(left))
    assert list(counter_behind(series, Kind.COUNTER_BEHIND)) == []
    behind = replace(series, counter=highest - 1)
    assert len(list(counter_behind(behind, Kind.COUNTER_BEHIND))) == bool(members)


@given(st.sets(st.integers(1, 500)))
def test_bits_are_a_set(numbers: set[int]) -> None:
    bits = Bits(100)
    assert all(bits.add(number) for number in numbers)
    assert not any(bits.add(number) for number in numbers)
    assert {number for number in range(1, 600) if number in bits} == numbers


def test_every_kind_has_a_meaning_and_is_mended_as_it_says() -> None:
    assert set(MEANINGS) == set(Kind)
    assert {kind for kind, meaning in MEANINGS.items() if meaning.mends} == MENDED


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_what_several_stretches_cover_counts_once(ends: list[tuple[int, int]]) -> None:
    stretches = [Stretch(first, last) for first, last in ends]
    assert covered(stretches) == len({member for first, last in ends for member in range(first, last + 1)})
