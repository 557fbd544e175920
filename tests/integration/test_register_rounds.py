"""The intake goes round the senders: whoever sends thousands keeps nobody else waiting."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailflow.core.model import SenderCode
from mailflow.mail import worker
from mailflow.mail.model import FetchedMail, Lying
from mailflow.register import Register, directory, intake, issuing, restoring, rounds
from tests.support.operating import ACT
from tests.support.records import LATER, NOW, arrival, claim, claim_solo, rows, settlement

CHANGE = directory.Change(by="anna", why="contract 12", at=NOW)
SENDERS = ("acme", "bigsoft", "ville")
ROUND = 3
FLOODS = st.lists(st.tuples(st.sampled_from([*SENDERS, "stranger"]), st.integers(1, 15)), max_size=2)


@pytest.fixture
async def fair(register: Register, monkeypatch: pytest.MonkeyPatch) -> Register:
    """A register with some senders, and short rounds."""
    monkeypatch.setattr(rounds, "MAILS_A_ROUND", ROUND)
    async with register.begin() as tx:
        for code in SENDERS:
            await directory.add_sender(
                tx, SenderCode(code), name=code, answer_address="x@x.test", legacy_encryption=False, change=CHANGE
            )
            await directory.add_address(tx, SenderCode(code), f"{code}@x.test", CHANGE)
    return register


class Inbox:
    """Takes mails in as they come, each later than the one before."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.came: list[str] = []

    async def comes(self, *senders: str, at: int = 0) -> None:
        """One mail of each, in this order. Who is not enrolled has an address that nobody knows."""
        arrivals = []
        for sender in senders:
            self.came.append(sender)
            uid = len(self.came)
            arrivals.append(
                arrival(uid, minutes_ago=5_000 - uid - at, from_address=f"{sender}@x.test" if sender else "")
            )
        async with self.register.begin() as tx:
            await intake.take_in(tx, arrivals, NOW)

    async def next(self, limit: int) -> list[str]:
        """Whose mails a worker takes next; it decides them at once."""
        claimed = await claim(self.register, limit=limit)
        return await self._decided(claimed)

    async def _decided(self, claimed: Sequence[intake.Claimed]) -> list[str]:
        async with self.register.begin() as tx:
            await intake.settle(tx, "me", [settlement(mail.id) for mail in claimed], NOW)
        return [self.came[int(mail.raw.removeprefix(b"mail ")) - 1] for mail in claimed]


async def test_a_single_mail_waits_for_one_round_of_the_others_at_most(fair: Register) -> None:
    inbox = Inbox(fair)
    await inbox.comes(*["bigsoft"] * 20)
    assert await inbox.next(ROUND) == ["bigsoft"] * ROUND
    await inbox.comes("acme")
    assert "acme" in await inbox.next(ROUND + 1)


async def test_short_lines_are_served_as_they_came(fair: Register) -> None:
    inbox = Inbox(fair)
    await inbox.comes("acme", "ville", "ville", "acme", "bigsoft")
    assert await inbox.next(5) == ["acme", "ville", "ville", "acme", "bigsoft"]


async def test_all_whom_nobody_knows_stand_in_one_line(fair: Register) -> None:
    inbox = Inbox(fair)
    await inbox.comes(*(f"stranger{n}" for n in range(10)), *[""] * 10)
    await inbox.comes("acme")
    assert "acme" in await inbox.next(ROUND + 1)


async def test_a_line_that_was_long_begins_with_the_others_again(fair: Register) -> None:
    inbox = Inbox(fair)
    await inbox.comes(*["bigsoft"] * 20)
    while await inbox.next(10):
        pass
    await inbox.comes("acme", *["ville"] * 6, "bigsoft")
    assert await inbox.next(5) == ["acme", "ville", "ville", "ville", "bigsoft"]


async def test_what_waits_for_later_holds_nobodys_place(fair: Register) -> None:
    inbox = Inbox(fair)
    await inbox.comes(*["bigsoft"] * 9)
    async with fair.begin() as tx:
        mails = await intake.claim_chunk(tx, "me", 9, NOW, NOW + timedelta(hours=1), size_bytes_max=1 << 30)
        later = NOW + timedelta(hours=1)
        await intake.postpone(tx, "me", [mail.id for mail in mails], later, reason="CTRL_REV_0001", detail="")
    await inbox.comes(*["ville"] * 6, "bigsoft")
    assert "bigsoft" in await inbox.next(ROUND + 1)


async def test_a_mail_whose_time_runs_out_is_taken_before_all_others(fair: Register) -> None:
    inbox = Inbox(fair)
    await inbox.comes(*["bigsoft"] * 20, "acme")
    urgent = [mail.raw for mail in await claim(fair, limit=8, urgent_before=NOW - timedelta(minutes=5_000 - 7))]
    assert urgent == [*(b"mail %d" % uid for uid in range(1, 8)), b"mail 21"], (
        "the last of them came in the first round"
    )


async def test_a_mail_stands_in_the_line_of_its_from_address(fair: Register) -> None:
    raw = b"Message-ID: <1@x.test>\r\nFrom: Mairie <Ville@X.test>\r\n\r\n"
    seen = Lying(uid=1, message_id="<1@x.test>", received_at=NOW, size_bytes=len(raw))
    mail = FetchedMail(seen=seen, uidvalidity=7, raw=raw, size_bytes=len(raw))
    async with fair.begin() as tx:
        await intake.take_in(tx, [worker.arrival("service", "INBOX", mail)], NOW)
    assert [tuple(row) for row in await rows(fair, "SELECT line, round FROM intake")] == [("ville", 0)]


async def test_an_address_of_two_senders_stands_in_one_line(fair: Register) -> None:
    async with fair.begin() as tx:
        await directory.add_address(tx, SenderCode("ville"), "acme@x.test", CHANGE)
        mail = replace(arrival(1), from_address="acme@x.test")
        await intake.take_in(tx, [mail], NOW)
    assert [tuple(row) for row in await rows(fair, "SELECT line, round FROM intake")] == [("acme", 0)]


@pytest.mark.long_on("postgresql")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_comes_nobody_waits_longer_than_the_rule_says(fair: Register, data: st.DataObject) -> None:
    """The first mail of a line waits for one round of each other line at most, each further one for one more.

    So between two of them there may be the rest of the round of the one, and the whole round of the other.
    """
    async with fair.begin() as tx:
        left = await intake.claim_chunk(tx, "me", 10_000, NOW, NOW + timedelta(hours=1), size_bytes_max=1 << 30)
        await intake.settle(tx, "me", [settlement(mail.id) for mail in left], NOW)
    base = (await rows(fair, "SELECT coalesce(max(uid), 0) AS uid FROM intake"))[0].uid
    inbox = Inbox(fair)
    inbox.came = ["before"] * base
    waiting: list[str] = []
    served_since: dict[str, Counter[str]] = {}
    rounds_waited_for: dict[str, int] = {}
    for _ in range(data.draw(st.integers(1, 8))):
        come = [who for who, mails in data.draw(FLOODS) for _ in range(mails)]
        for one in come:
            if one not in waiting:
                served_since[one], rounds_waited_for[one] = Counter(), 1
            waiting.append(one)
        await inbox.comes(*come)
        chunk = Counter(await inbox.next(data.draw(st.integers(1, 9))))
        for one in chunk.elements():
            waiting.remove(one)
        for one in set(waiting):
            if one in chunk:
                served_since[one], rounds_waited_for[one] = Counter(), 2
            else:
                served_since[one] += chunk
            most = rounds_waited_for[one] * ROUND
            assert all(mails <= most for mails in served_since[one].values()), (one, served_since[one])


# What a restore has put first


@pytest.fixture
async def restored(fair: Register) -> Inbox:
    """Five mails of two senders that were taken in again: in rounds the fourth and fifth would change places."""
    inbox = Inbox(fair)
    await inbox.comes(*["bigsoft"] * (ROUND + 1), "acme")
    async with fair.begin() as tx:
        await restoring.put_first(tx, NOW)
    await inbox.comes("ville")
    return inbox


async def settle(inbox: Inbox, mail: intake.Claimed | None, owner: str = "me") -> int:
    """Decide it: which it is, counted from 1."""
    assert mail is not None
    async with inbox.register.begin() as tx:
        await intake.settle(tx, owner, [settlement(mail.id)], NOW)
    return int(mail.raw.removeprefix(b"mail "))


async def test_what_was_restored_is_decided_one_by_one_in_its_order_and_before_the_rest(restored: Inbox) -> None:
    for wanted in range(1, ROUND + 3):
        assert await claim(restored.register) == [], "no chunk of anything"
        both = await asyncio.gather(*(claim_solo(restored.register, owner) for owner in ("me", "you")))
        assert both.count(None) == 1, "two at once could end in either order"
        (mine, yours) = both
        assert (mine or yours) is not None
        assert await settle(restored, mine or yours, "me" if mine else "you") == wanted
    assert await claim_solo(restored.register) is None
    (last,) = await claim(restored.register)
    assert (await settle(restored, last), last.counted) == (ROUND + 3, False)


async def test_one_that_fails_is_tried_again_before_what_follows_and_stops_nobody_for_ever(restored: Inbox) -> None:
    for attempt in (1, 2, 3):
        failed = await claim_solo(restored.register)
        assert failed is not None
        assert (failed.raw, failed.attempts, failed.counted) == (b"mail 1", attempt, True)
        async with restored.register.begin() as tx:
            await intake.release(tx, "me", [failed.id], refund=False)
    assert await settle(restored, await claim_solo(restored.register)) == 2, "the first was set aside"


async def test_one_that_is_put_off_does_not_hold_up_what_follows(restored: Inbox) -> None:
    first = await claim_solo(restored.register)
    assert first is not None
    async with restored.register.begin() as tx:
        await intake.postpone(tx, "me", [first.id], LATER, reason="CTRL_SIG_0016", detail="")
    assert await settle(restored, await claim_solo(restored.register)) == 2
    assert await settle(restored, await claim_solo(restored.register, at=LATER)) == 1


async def test_that_of_a_worker_that_died_is_free_for_the_next(restored: Inbox) -> None:
    assert await claim_solo(restored.register, "the dead") is not None
    assert await claim_solo(restored.register) is None
    assert await settle(restored, await claim_solo(restored.register, at=LATER)) == 1


async def test_nothing_of_it_is_decided_while_no_numbers_are_given(restored: Inbox) -> None:
    await issuing.stop(restored.register, ACT, NOW)
    assert await claim_solo(restored.register) is None
    assert await claim(restored.register) == []
    async with restored.register.begin() as tx:
        await issuing.resume(tx, ACT, NOW)
    assert await settle(restored, await claim_solo(restored.register)) == 1
