"""What does not open any more, or was timed by a wrong clock, never stands in the way of the others."""

from datetime import timedelta

import pytest

from mailflow.errors import Misconfigured
from mailflow.register import Register, decided, intake, outbox, queues, requests
from mailflow.register.vault import KEY_BYTES, SealBroken, Vault
from tests.support.records import (
    LATER,
    NOW,
    a_draft,
    arrival,
    claim,
    claim_solo,
    damage_keys,
    execute,
    frozen,
    lose_keys,
    registered,
    rows,
    settlement,
    take_in,
)

LOOKUP = b"l" * KEY_BYTES


async def _spoil(register: Register, table: str, column: str, how: str = "spoilt") -> None:
    """Lose or damage the content key of row 1, or change what it sealed."""
    if how in ("lost", "damaged"):
        change = lose_keys if how == "lost" else damage_keys
        await change(register, f"SELECT key_id FROM {table} WHERE id = 1")
    else:
        for octets in (None, b"spoilt in some way"):  # what is written once can only be emptied
            await execute(register, f"UPDATE {table} SET {column} = :octets WHERE id = 1", octets=octets)


@pytest.mark.parametrize("how", ["lost", "damaged", "spoilt"])
async def test_a_mail_that_does_not_open_is_set_aside_and_the_others_go_on(register: Register, how: str) -> None:
    await take_in(register, 3)
    await _spoil(register, "intake", "raw", how)
    assert [mail.id for mail in await claim(register)] == [2, 3]
    async with register.read() as tx:
        found = await queues.find_intake(tx, 1)
    assert found is not None
    assert (found.state, found.reason, found.detail) == ("set_aside", "CTRL_SYS_0001", "seal broken")
    assert (found.lease_owner, found.next_at) == (None, None)
    assert await rows(register, "SELECT kind FROM journal WHERE intake_id = 1") == [("mail-set-aside",)]


@pytest.mark.parametrize("how", ["lost", "damaged", "spoilt"])
async def test_a_mail_that_does_not_open_is_set_aside_when_it_runs_alone_too(register: Register, how: str) -> None:
    await take_in(register, 2)
    await execute(register, "UPDATE intake SET solo = :yes", yes=True)
    await _spoil(register, "intake", "raw", how)
    alone = await claim_solo(register)
    assert alone is not None
    assert alone.id == 2, "the other one is passed over at once"
    assert [row.state for row in await rows(register, "SELECT state FROM intake ORDER BY id")] == [
        "set_aside",
        "received",
    ]


@pytest.mark.parametrize("how", ["lost", "damaged", "spoilt"])
async def test_an_order_that_does_not_open_is_held_and_the_others_go_on(register: Register, how: str) -> None:
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key=str(key)) for key in range(2)], NOW)
    await _spoil(register, "outbox", "payload", how)
    async with register.begin() as tx:
        assert [row.id for row in await outbox.claim_queued(tx, "me", 50, NOW, LATER)] == [2]
    assert await rows(register, "SELECT state, reason FROM outbox WHERE id = 1") == [("held", "seal broken")]


@pytest.mark.parametrize("how", ["lost", "damaged"])
async def test_an_answer_that_does_not_open_is_held_and_the_others_go_on(register: Register, how: str) -> None:
    await frozen(register, 2)
    await _spoil(register, "outbox", "raw", how)
    async with register.begin() as tx:
        found = await outbox.claim_composed(tx, "me", 50, LATER, LATER + timedelta(hours=1), size_bytes_max=1 << 20)
    assert [row.id for row in found] == [2]
    assert await rows(register, "SELECT state, reason FROM outbox WHERE id = 1") == [("held", "seal broken")]


@pytest.mark.parametrize("master_keys", [{"test": b"x" * KEY_BYTES}, {"next": b"n" * KEY_BYTES}])
async def test_without_the_right_master_key_all_wait_and_nothing_is_set_aside(
    register: Register, register_url: str, master_keys: dict[str, bytes]
) -> None:
    """It may come any moment, when one follows another."""
    await take_in(register, 3)
    stranger = Register.open(register_url, Vault(master_keys, first=next(iter(master_keys)), lookup_key=LOOKUP))
    with pytest.raises(Misconfigured):
        await claim(stranger)
    await stranger.close()
    assert [mail.id for mail in await claim(register)] == [1, 2, 3]


async def test_a_key_that_is_damaged_is_not_taken_for_one_that_was_destroyed(register: Register) -> None:
    """What its request says is not here, but was not erased: whoever asks is not to be told that it was."""
    number = await registered(register)
    await damage_keys(register, "SELECT key_id FROM request")
    async with register.read() as tx:
        with pytest.raises(SealBroken):
            await requests.find(tx, number)


async def test_of_decided_mails_one_whose_key_is_damaged_is_left_out(register: Register) -> None:
    await take_in(register, 3)
    ids = [mail.id for mail in await claim(register)]
    async with register.begin() as tx:
        await intake.settle(tx, "me", [settlement(id_) for id_ in ids], NOW)
    await damage_keys(register, "SELECT key_id FROM intake WHERE id = 2")
    async with register.read() as tx:
        assert [mail.id for mail in await decided.read(tx, ids, "answer")] == [1, 3]


async def test_few_orders_are_composed_together_when_they_are_large(register: Register) -> None:
    sizes = [outbox.ORDERS_BYTES_MAX * share // 10 for share in (12, 4, 4, 4)]
    async with register.begin() as tx:
        drafts = [a_draft(None, key=str(key), payload=bytes(size)) for key, size in enumerate(sizes)]
        await outbox.queue(tx, drafts, NOW)
    counts = []
    for _ in range(3):
        async with register.begin() as tx:
            counts.append(len(await outbox.claim_queued(tx, "me", 50, NOW, LATER)))
    assert counts == [1, 2, 1]


async def test_a_clock_that_was_ahead_for_a_moment_delays_nothing(register: Register) -> None:
    ahead = NOW + timedelta(days=365)
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(1)], ahead)
    (mail,) = await claim(register, at=NOW)
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(mail.id)], ahead)
    async with register.begin() as tx:
        assert len(await outbox.claim_queued(tx, "me", 50, NOW, LATER)) == 1


async def test_a_mail_server_whose_clock_is_ahead_delays_nothing(register: Register) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(1, minutes_ago=-600)], NOW)
    assert len(await claim(register, at=NOW)) == 1
