"""What the register says of who is to blame: how many mails may be set aside in a row, and what ends a row of them."""

from datetime import datetime, timedelta

import pytest

from mailflow.register import Register, blame, intake, restoring
from mailflow.register.blame import FAULTS_IN_A_ROW_MAX
from tests.support.records import LATER, NOW, claim, claim_solo, execute, lose_keys, rows, settlement, take_in

SPENT = 3
MORE = 4


async def allowance(register: Register, at: datetime = NOW) -> int:
    async with register.read() as tx:
        return await blame.allowance(tx, at)


async def strike_out(register: Register, count: int, at: datetime = NOW) -> None:
    """That many mails, the next to come, run out of attempts."""
    before = len(await rows(register, "SELECT id FROM intake"))
    await take_in(register, before + count)
    which = "UPDATE intake SET solo = :yes, attempts = :spent WHERE id > :before"
    await execute(register, which, yes=True, spent=SPENT, before=before)
    assert await claim_solo(register, at=at) is None


async def decide(register: Register, state: str = "answered", reason: str = "", at: datetime = NOW) -> None:
    """The next mail to come."""
    await take_in(register, len(await rows(register, "SELECT id FROM intake")) + 1)
    (mail,) = await claim(register, at=at)
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(mail.id, state, reason)], at)


async def test_a_mail_that_is_decided_ends_the_row_be_it_set_aside_by_its_own_fault(register: Register) -> None:
    await strike_out(register, 2)
    assert await allowance(register) == FAULTS_IN_A_ROW_MAX - 2
    await decide(register, "set_aside", "CTRL_SIG_0012")
    assert await allowance(register) == FAULTS_IN_A_ROW_MAX
    await strike_out(register, 1)
    assert await allowance(register) == FAULTS_IN_A_ROW_MAX - 1
    await decide(register)
    assert await allowance(register) == FAULTS_IN_A_ROW_MAX


async def test_what_may_not_be_set_aside_any_more_has_its_last_attempt_again_after_a_lease(register: Register) -> None:
    await strike_out(register, FAULTS_IN_A_ROW_MAX + MORE)
    assert await allowance(register) == 0
    waiting = await rows(register, "SELECT attempts, lease_owner FROM intake WHERE state = 'received'")
    assert waiting == [(SPENT - 1, None)] * MORE
    again = await claim_solo(register, at=LATER)
    assert again is not None
    assert again.attempts == SPENT
    assert len(await rows(register, "SELECT id FROM journal WHERE kind = 'mail-set-aside'")) == FAULTS_IN_A_ROW_MAX


async def test_what_a_clock_that_was_ahead_has_settled_neither_ends_a_row_nor_makes_one(register: Register) -> None:
    ahead = NOW + timedelta(days=365)
    await decide(register, at=ahead)
    await strike_out(register, FAULTS_IN_A_ROW_MAX)
    assert await allowance(register) == 0
    await decide(register)
    await strike_out(register, FAULTS_IN_A_ROW_MAX, at=ahead)
    assert (await allowance(register), await allowance(register, ahead)) == (FAULTS_IN_A_ROW_MAX, 0)


async def test_what_was_never_judged_says_nothing(register: Register) -> None:
    """A mail that is too large is settled as it comes, and nobody has judged it."""
    await strike_out(register, FAULTS_IN_A_ROW_MAX)
    await take_in(register, FAULTS_IN_A_ROW_MAX + 1)
    values = "state = 'set_aside', reason = 'CTRL_MEL_0008', settled_at = taken_at, next_at = NULL, raw = NULL"
    await execute(register, f"UPDATE intake SET {values} WHERE state = 'received'")
    assert await allowance(register) == 0


@pytest.mark.parametrize("alone", [False, True])
async def test_mails_of_which_none_opens_any_more_are_not_all_set_aside(register: Register, alone: bool) -> None:
    """Who lost the store of the content keys gives it back, and they go on."""
    await take_in(register, FAULTS_IN_A_ROW_MAX + MORE)
    await execute(register, "UPDATE intake SET solo = :alone", alone=alone)
    await lose_keys(register, "SELECT key_id FROM intake")
    for _ in range(FAULTS_IN_A_ROW_MAX + MORE):
        assert await claim_solo(register) is None
        assert await claim(register) == []
    found = await rows(register, "SELECT state, attempts, count(*) FROM intake WHERE state = 'received' GROUP BY 1, 2")
    assert [tuple(row) for row in found] == [("received", 0, MORE)]


async def test_mails_that_wait_again_and_again_keep_no_other_one_waiting(register: Register) -> None:
    """However many they are, and though all of them had come before."""
    await strike_out(register, FAULTS_IN_A_ROW_MAX)
    waiting = 2 * intake.UNOPENED_MAX
    await take_in(register, FAULTS_IN_A_ROW_MAX + waiting + 1)
    last = "(SELECT max(id) FROM intake)"
    await execute(register, f"UPDATE intake SET solo = :yes WHERE id > {FAULTS_IN_A_ROW_MAX}", yes=True)
    await lose_keys(register, f"SELECT key_id FROM intake WHERE state = 'received' AND id < {last}")
    at = NOW
    found = None
    for _ in range(4):  # each time more of them are due again than are passed over at once
        found = found or await claim_solo(register, at=at)
        at += timedelta(minutes=11)
    ((id_,),) = await rows(register, f"SELECT {last}")
    assert found is not None
    assert found.id == id_


async def test_what_fails_again_and_again_leaves_the_line_that_a_restore_has_put_first(register: Register) -> None:
    await strike_out(register, FAULTS_IN_A_ROW_MAX)
    await take_in(register, FAULTS_IN_A_ROW_MAX + 1)
    async with register.begin() as tx:
        await restoring.put_first(tx, NOW)
    mail = await claim_solo(register)
    assert mail is not None
    await take_in(register, FAULTS_IN_A_ROW_MAX + 2)
    assert await claim(register) == [], "it waits for what was put first"
    async with register.begin() as tx:
        await intake.spare(tx, "me", mail.id, LATER)
    assert len(await claim(register)) == 1
    assert [r.attempts for r in await rows(register, "SELECT attempts FROM intake WHERE next_at > taken_at")] == [0]


async def refunded(register: Register, id_: int, attempt: int) -> int:
    """How many attempts then count."""
    async with register.begin() as tx:
        await blame.refund(tx, {id_: attempt})
    ((count,),) = await rows(register, "SELECT attempts FROM intake")
    return int(count)


async def test_an_attempt_that_was_none_is_taken_off_once_whoever_has_the_mail_by_now(register: Register) -> None:
    await take_in(register, 1)
    await execute(register, "UPDATE intake SET solo = :yes, attempts = 1", yes=True)
    mail = await claim_solo(register, "another")
    assert mail is not None
    assert [await refunded(register, mail.id, 2) for _ in range(2)] == [1, 1]
    async with register.begin() as tx:
        await intake.settle(tx, "another", [settlement(mail.id)], NOW)
    assert await refunded(register, mail.id, 1) == 1, "it is decided"
