"""Hand-over: what a dead worker had claimed is another's at once, and it can do no harm when it was only cut off."""

import asyncio
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.register import LeaseLost, Register, doubt, intake, outbox
from mailflow.register.presence import WORKER, present, take_over
from tests.support.another_process import another_process
from tests.support.records import LATER, NOW, another, claim, claim_solo, frozen, rows, settlement, take_in

TRIES = 100


ANOTHER = """
import asyncio, sys
from mailflow.app import parts
from mailflow.register import Register
from mailflow.register.presence import present
from tests.support import connections
from tests.support.databases import VAULT

async def main(url: str, owner: str) -> None:
    async with present(Register.open(url, VAULT), owner, parts.now):
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.long_on("sqlite")
async def test_what_a_killed_worker_had_claimed_is_free_at_once_and_what_a_living_one_has_is_not(
    register: Register, register_url: str
) -> None:
    await take_in(register, 2)
    await frozen(register, 2)
    async with another_process(ANOTHER, register_url, "other") as process, present(register, "me", lambda: NOW):
        assert len(await claim(register, "other")) == 2
        async with register.begin() as tx:
            sent, kept = await outbox.claim_composed(tx, "other", 9, NOW, LATER, size_bytes_max=1 << 20)
            await outbox.mark_sending(tx, "other", [sent.id], NOW)
        assert await take_over(register, "me", NOW) == 0
        process.send_signal(signal.SIGKILL)
        await process.wait()
        freed = 0
        for _ in range(TRIES):
            if freed := await take_over(register, "me", NOW):
                break
            await asyncio.sleep(0.05)  # until the server has seen the end of the connection
        assert freed == 4
    assert await take_over(register, "me", NOW) == 0
    assert await claim(register, "me") == [], "what may have killed it runs alone"
    assert await claim_solo(register, "me") is not None
    async with register.begin() as tx:
        (again,) = await outbox.claim_composed(tx, "me", 9, NOW, LATER, size_bytes_max=1 << 20)
        assert [doubtful.id for doubtful in await doubt.doubtful(tx, 9, NOW, LATER - NOW)] == [sent.id]
    assert again.id == kept.id


async def test_a_worker_that_comes_back_finds_its_claims_gone(register: Register) -> None:
    await take_in(register, 1)
    ids = await frozen(register)
    (mail,) = await claim(register, "cut off")
    async with register.begin() as tx:
        await outbox.claim_composed(tx, "cut off", 9, NOW, LATER, size_bytes_max=1 << 20)
    assert await take_over(register, "me", NOW) == 2
    with pytest.raises(LeaseLost):
        async with register.begin() as tx:
            await intake.settle(tx, "cut off", [settlement(mail.id)], NOW)
    async with register.begin() as tx:
        assert await outbox.mark_sending(tx, "cut off", ids, NOW) == set()


async def test_what_a_transaction_of_the_dead_worker_still_holds_is_left_to_it(
    register: Register, register_url: str
) -> None:
    if register_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer")
    await take_in(register, 1)
    (mail,) = await claim(register, "other")
    async with another(register_url) as theirs, theirs.begin() as tx:
        await intake.settle(tx, "other", [settlement(mail.id)], NOW)
        assert await take_over(register, "me", NOW) == 0
    assert [row.state for row in await rows(register, "SELECT state FROM intake")] == ["answered"]


async def test_a_session_that_the_server_ended_is_made_anew_without_what_was_claimed_in_it(
    register: Register, register_url: str
) -> None:
    if register_url.startswith("sqlite"):
        pytest.skip("a lock on a file lasts as long as its process")
    await take_in(register, 1)
    (mail,) = await claim(register, "other")
    async with register.begin() as tx:
        await intake.make_solo(tx, "other", [mail.id])
    assert await claim_solo(register, "other")
    async with another(register_url) as theirs, present(theirs, "other", lambda: NOW):
        async with register.begin() as tx:
            ended = sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            assert len((await tx.connection.execute(ended)).all()) == 1
        for _ in range(TRIES):
            async with register.alone(WORKER, of="other", for_ever=False) as gone:
                pass
            if not gone and (again := await claim_solo(register, "me")):
                assert again.attempts == 1, "what the database does is no attempt at a mail"
                return
            await asyncio.sleep(0.05)
    raise AssertionError("it does not come back, or keeps what it had")


async def test_the_file_of_a_worker_goes_with_it(register: Register, register_url: str) -> None:
    if not register_url.startswith("sqlite"):
        pytest.skip("there are no files")
    folder = Path(register_url.removeprefix("sqlite:///")).parent
    async with present(register, "host:1:ab", lambda: NOW):
        assert list(folder.glob("*worker*"))
    assert not list(folder.glob("*worker*"))
