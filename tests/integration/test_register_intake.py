"""The intake: taken in once, leased to one, given back, settled once."""

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from mailflow.core.anomalies import Code
from mailflow.register import LeaseLost, Register, arrivals, intake, journal, queues
from mailflow.register.acts import Left, Verb
from mailflow.register.arrivals import Arrival, Kept
from tests.support.operating import operate
from tests.support.records import (
    LATER,
    LONG_AFTER,
    NOW,
    a_mail,
    another,
    arrival,
    claim,
    claim_solo,
    key_rows,
    rows,
    settlement,
    take_in,
)

NAMED = arrival(1, message_id="<1@desk.example>")
TOO_LARGE = replace(arrival(2), raw=None, size_bytes=99_000_000)


async def _taken(register: Register, uidvalidity: int, *uids: int) -> dict[int, bool]:
    async with register.begin() as tx:
        found = await arrivals.taken(tx, "service", "INBOX", uidvalidity, uids)
    return {uid: known.digest is not None for uid, known in found.items()}


async def _take(register: Register, *mails: Arrival) -> list[Kept]:
    async with register.begin() as tx:
        return await intake.take_in(tx, mails, NOW)


async def _states(register: Register) -> list[str]:
    return [row.state for row in await rows(register, "SELECT state FROM intake ORDER BY id")]


async def test_a_mail_comes_back_as_it_was_taken_in(register: Register) -> None:
    octets = bytes(range(256)) * 10
    await _take(register, arrival(1, octets))
    (claimed,) = await claim(register)
    assert claimed.raw == octets
    assert claimed.received_at == NOW - timedelta(minutes=60)
    assert claimed.received_at.tzinfo is UTC
    assert claimed.attempts == 0


async def test_a_mail_seen_again_is_left_as_it_is(register: Register) -> None:
    await _take(register, NAMED)
    await _take(register, replace(NAMED, raw=b"other octets"), arrival(2))
    assert [mail.raw for mail in await claim(register)] == [b"mail 1", b"mail 2"]
    assert len(await key_rows(register)) == 2


async def test_a_uid_that_is_given_again_is_another_mail(register: Register) -> None:
    """Each is taken in once, whatever had its UID before, however often it is seen again."""
    later = [replace(arrival(1, b"mail %d" % n), received_at=NOW - timedelta(minutes=n)) for n in (30, 20)]
    await _take(register, arrival(1), arrival(2))
    for is_new in (True, False):
        for lives, mail in enumerate(later, 1):
            kept = replace(mail, uidvalidity=mail.uidvalidity + lives * arrivals.UIDVALIDITY_END)
            assert await _take(register, mail) == [Kept(kept, is_new)]
            assert await _take(register, arrival(2), mail) == [Kept(arrival(2), False), Kept(kept, False)]
    assert [mail.raw for mail in await claim(register)] == [b"mail 1", b"mail 2", b"mail 30", b"mail 20"]
    assert len(await key_rows(register)) == 4


async def test_a_mail_that_has_lost_its_date_or_its_form_is_the_same(register: Register) -> None:
    await _take(register, NAMED, TOO_LARGE)
    for same in (
        replace(NAMED, received_at=NOW),
        replace(NAMED, raw=b"in another form"),
        replace(TOO_LARGE, raw=b"the limit is higher now"),
    ):
        assert await _take(register, same) == [Kept(same, is_new=False)]
    assert await _states(register) == ["received", "set_aside"]


async def test_a_uid_that_is_given_again_to_a_mail_too_large_to_read_is_another_mail(register: Register) -> None:
    await _take(register, arrival(1), TOO_LARGE)
    for uid in (1, 2):
        (kept,) = await _take(register, replace(TOO_LARGE, uid=uid, received_at=NOW))
        assert kept.arrival.uidvalidity >= arrivals.UIDVALIDITY_END
    assert await _states(register) == ["received", "set_aside", "set_aside", "set_aside"]


async def test_a_second_that_comes_twice_makes_no_two_mails_one(register: Register) -> None:
    """The clock of a server that was put back may be, too. Without a Message-ID the octets alone say which it is."""
    too_large, unnamed = replace(TOO_LARGE, uid=3), arrival(2)
    named = [replace(NAMED, raw=name.encode(), message_id=name) for name in ("<2@desk.example>", "")]
    others = [*named, replace(unnamed, raw=b"mail X"), replace(too_large, size_bytes=98_000_000)]
    mails = [NAMED, unnamed, too_large, *others]
    for mail in mails:
        assert [kept.is_new for kept in await _take(register, mail)] == [True], mail
    for mail in mails:
        assert [kept.is_new for kept in await _take(register, mail)] == [False], mail


async def test_what_was_taken_in_of_one_mailbox_is_told_whatever_uids_another_one_gives_again(
    register: Register,
) -> None:
    other = replace(arrival(1, b"of the other"), mailbox="Other")
    await _take(register, arrival(1))
    kept = await _take(register, replace(arrival(1, b"another"), received_at=NOW), other)
    assert [(one.arrival.mailbox, one.is_new) for one in kept] == [("Other", True), ("INBOX", True)]


async def test_octets_that_came_under_a_uid_that_was_given_again_are_a_new_mail_under_a_uid_of_its_own(
    register: Register,
) -> None:
    await _take(register, arrival(1))
    await _take(register, replace(arrival(1, b"again"), received_at=NOW))
    await _take(register, arrival(2, b"again"))
    assert await _states(register) == ["received"] * 3


async def test_known_octets_under_a_uid_that_is_given_again_are_the_same_delivery(register: Register) -> None:
    """The sender's server has kept the mail, and delivers it anew."""
    await _take(register, arrival(1), arrival(2))
    await _take(register, replace(arrival(1, b"mail 2"), received_at=NOW))
    assert await _states(register) == ["received", "received", "same_delivery"]


async def test_a_mail_too_large_to_read_is_set_aside_and_not_ours(register: Register) -> None:
    await _take(register, arrival(1), TOO_LARGE)
    assert await _taken(register, 7, 1, 2, 3) == {1: True, 2: False}
    assert await _states(register) == ["received", "set_aside"]
    async with register.read() as tx:
        (found,) = await queues.set_aside(tx, 10)
        assert (found.reason, found.size_bytes) == (Code.MAIL_TOO_LARGE.value, 99_000_000)
        assert await queues.raw(tx, found.id) is None


async def test_known_octets_under_a_new_uidvalidity_are_the_same_delivery(register: Register) -> None:
    await _take(register, arrival(1), arrival(2))
    await _take(register, arrival(11, b"mail 1", uidvalidity=8), arrival(12, b"new", uidvalidity=8))
    assert await _states(register) == ["received", "received", "same_delivery", "received"]
    assert await _taken(register, 8, 11, 12) == {11: True, 12: True}
    assert len(await claim(register)) == 3


async def test_known_octets_under_the_same_uidvalidity_are_a_new_mail(register: Register) -> None:
    await _take(register, arrival(1), arrival(2, b"mail 1"))
    await _take(register, arrival(3, b"mail 1"))
    assert await _states(register) == ["received"] * 3


async def test_known_octets_in_another_mailbox_are_a_new_mail(register: Register) -> None:
    await _take(register, arrival(1))
    await _take(register, replace(arrival(1, uidvalidity=8), mailbox="Other"))
    assert await _states(register) == ["received"] * 2


async def test_the_oldest_received_are_claimed_first(register: Register) -> None:
    await _take(register, arrival(1, minutes_ago=5), arrival(2, minutes_ago=50), arrival(3, minutes_ago=20))
    assert [mail.raw for mail in await claim(register, limit=2)] == [b"mail 2", b"mail 3"]
    assert [mail.raw for mail in await claim(register, limit=2)] == [b"mail 1"]
    assert await claim(register) == []


async def test_a_chunk_stays_below_its_octets_but_holds_at_least_one(register: Register) -> None:
    await _take(register, *(arrival(uid, b"x" * 100, minutes_ago=100 - uid) for uid in range(1, 5)))

    async def size(octets: int) -> int:
        async with register.begin() as tx:
            return len(await intake.claim_chunk(tx, "me", 50, NOW, LATER, size_bytes_max=octets))

    assert [await size(250), await size(1), await size(100), await size(100)] == [2, 1, 1, 0]


async def test_two_claimers_never_get_the_same_mail(register: Register, register_url: str) -> None:
    await take_in(register, 40)
    async with another(register_url) as other:
        chunks = await asyncio.gather(*(claim(r, f"w{i}", 7) for i, r in enumerate([register, other] * 4)))
    ids = [mail.id for chunk in chunks for mail in chunk]
    assert len(ids) == len(set(ids))
    assert len(ids) + len(await claim(register)) == 40


async def test_mails_of_an_abandoned_chunk_run_alone(register: Register) -> None:
    await take_in(register, 2)
    assert len(await claim(register, "dead")) == 2
    assert await claim(register, at=LATER - timedelta(seconds=1)) == []
    assert await claim(register, at=LATER) == []
    alone = await claim_solo(register, at=LATER)
    assert alone is not None
    assert (alone.raw, alone.attempts) == (b"mail 1", 1)


async def test_a_failed_chunk_runs_alone(register: Register) -> None:
    await take_in(register, 2)
    ids = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        await intake.make_solo(tx, "me", ids)
    assert await claim(register) == []
    assert [(await claim_solo(register)) is not None for _ in range(3)] == [True, True, False]


async def _made_solo(register: Register) -> int:
    intake_id = await a_mail(register)
    async with register.begin() as tx:
        await intake.make_solo(tx, "me", [intake_id])
    return intake_id


async def test_three_abandoned_attempts_set_a_mail_aside(register: Register) -> None:
    intake_id = await _made_solo(register)
    at = NOW
    for attempt in (1, 2, 3):
        claimed = await claim_solo(register, at=at)
        assert claimed is not None
        assert claimed.attempts == attempt
        at += LATER - NOW
    assert await claim_solo(register, at=at) is None
    async with register.read() as tx:
        found = await queues.find_intake(tx, intake_id)
        assert found is not None
        assert (found.state, found.reason, found.detail) == ("set_aside", "CTRL_SYS_0001", "third strike")
        assert [kept.entry.kind for kept in await journal.of_intake(tx, intake_id)] == ["mail-set-aside"]


async def test_a_spent_mail_does_not_keep_the_next_one_waiting(register: Register) -> None:
    await take_in(register, 2)
    ids = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        await intake.make_solo(tx, "me", ids)
    for _ in range(3):
        async with register.begin() as tx:
            poison = await intake.claim_solo(tx, "me", NOW, LATER, 3)
            assert poison is not None
            assert poison.id == ids[0]
            await intake.release(tx, "me", [poison.id], refund=False)
    after = await claim_solo(register)
    assert after is not None
    assert after.id == ids[1]


async def test_an_attempt_that_was_nobodys_fault_is_given_back(register: Register) -> None:
    intake_id = await _made_solo(register)
    for _ in range(5):
        claimed = await claim_solo(register)
        assert claimed is not None
        assert claimed.attempts == 1
        async with register.begin() as tx:
            await intake.release(tx, "me", [intake_id], refund=True)


async def test_a_refund_never_goes_below_no_attempt(register: Register) -> None:
    intake_id = await a_mail(register)
    async with register.begin() as tx:
        await intake.release(tx, "me", [intake_id], refund=True)
    assert [mail.attempts for mail in await claim(register)] == [0]


@pytest.mark.parametrize("refund", [False, True])
async def test_a_mail_that_is_given_back_is_due_as_before(register: Register, refund: bool) -> None:
    """Though the clock of whoever claimed it was ahead: for anybody else it would wait until then."""
    await take_in(register, 1)
    due = await rows(register, "SELECT next_at FROM intake")
    (mail,) = await claim(register, at=LONG_AFTER)
    async with register.begin() as tx:
        await intake.release(tx, "me", [mail.id], refund=refund)
    assert await rows(register, "SELECT next_at FROM intake") == due
    assert [one.id for one in await claim(register)] == [mail.id]


async def test_nobody_gives_back_what_another_holds(register: Register) -> None:
    intake_id = await a_mail(register)
    async with register.begin() as tx:
        await intake.release(tx, "stranger", [intake_id], refund=False)
        await intake.make_solo(tx, "stranger", [intake_id])
    assert await claim(register) == []
    assert await claim_solo(register) is None


async def test_what_became_of_a_mail_is_kept(register: Register) -> None:
    await take_in(register, 2)
    one, two = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        await intake.settle(
            tx,
            "me",
            [settlement(one), intake.Settlement(id=two, state="set_aside", reason="R", detail="D", sender=None)],
            NOW,
        )
    async with register.read() as tx:
        answered, aside = await queues.find_intake(tx, one), await queues.find_intake(tx, two)
        assert answered is not None
        assert aside is not None
        assert (answered.state, answered.sender, answered.reason, answered.settled_at) == (
            "answered",
            "acme",
            None,
            NOW,
        )
        assert (aside.state, aside.sender, aside.reason, aside.detail) == ("set_aside", None, "R", "D")
        assert await queues.counts(tx) == {"intake": {"set_aside": 1}, "outbox": {}}


async def test_a_lost_lease_undoes_the_whole_transaction(register: Register) -> None:
    await take_in(register, 2)
    one, two = [mail.id for mail in await claim(register, "slow")]
    assert await claim(register, "quick", at=LONG_AFTER) == []
    taken_over = await claim_solo(register, "quick", at=LONG_AFTER)
    assert taken_over is not None

    async def settle_late() -> None:
        async with register.begin() as tx:
            await journal.append(tx, [journal.Entry(kind="never")], NOW)
            await intake.settle(tx, "slow", [settlement(one), settlement(two)], NOW)

    with pytest.raises(LeaseLost):
        await settle_late()
    assert await rows(register, "SELECT * FROM journal") == []
    assert await _states(register) == ["received", "received"]


async def test_a_mail_is_settled_once(register: Register) -> None:
    intake_id = await a_mail(register)
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(intake_id)], NOW)
    with pytest.raises(LeaseLost):
        async with register.begin() as tx:
            await intake.settle(tx, "me", [settlement(intake_id)], NOW)


async def test_an_undetermined_mail_is_judged_again_when_its_time_comes(register: Register) -> None:
    intake_id = await a_mail(register)
    async with register.begin() as tx:
        await intake.postpone(tx, "me", [intake_id], LATER, reason=Code.REVOCATION_UNKNOWN, detail="stale")
    assert await _states(register) == ["undetermined"]
    assert await claim(register) == []
    assert [mail.id for mail in await claim(register, at=LATER)] == [intake_id]
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(intake_id)], LATER)
    assert await _states(register) == ["answered"]


async def test_a_mail_that_runs_alone_may_be_undetermined_as_often_as_it_takes(register: Register) -> None:
    intake_id = await _made_solo(register)
    at = NOW
    for _ in range(5):  # three strikes would set it aside
        mail = await claim_solo(register, at=at)
        assert mail is not None
        assert mail.attempts == 1
        at += timedelta(minutes=15)
        async with register.begin() as tx:
            await intake.postpone(tx, "me", [intake_id], at, reason=Code.REVOCATION_UNKNOWN, detail="stale")
    assert await _states(register) == ["undetermined"]


async def test_what_another_holds_cannot_be_postponed(register: Register) -> None:
    intake_id = await a_mail(register)
    with pytest.raises(LeaseLost):
        async with register.begin() as tx:
            await intake.postpone(tx, "stranger", [intake_id], LATER, reason="R", detail="")


async def test_a_mail_without_octets_cannot_be_judged_again(register: Register) -> None:
    await _take(register, TOO_LARGE)
    async with register.begin() as tx:
        (found,) = await queues.set_aside(tx, 10)
    weighed = await operate(register, Verb.REJUDGE, intakes=[found.id])
    assert [(item.id, why) for item, why in weighed.left] == [(found.id, Left.ERASED)]


async def test_thousands_of_mails_fit_in_one_call(register: Register) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(uid) for uid in range(2_500)], NOW)
        found = await arrivals.taken(tx, "service", "INBOX", 7, range(2_600))
    assert len(found) == 2_500
    async with register.begin() as tx:
        claimed = await intake.claim_chunk(tx, "me", 2_500, NOW, LATER, size_bytes_max=1 << 30)
        await intake.settle(tx, "me", [settlement(mail.id) for mail in claimed], NOW)
    assert set(await _states(register)) == {"answered"}
