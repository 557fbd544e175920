"""Transactions: all or nothing, whoever is cancelled, whatever deadlocks, from one process or several."""

import asyncio
import errno
import fcntl
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mailflow.errors import Unavailable
from mailflow.register import Register, intake, journal
from tests.support import connections
from tests.support.databases import VAULT
from tests.support.records import NOW, another, execute, rows, take_in

ENTRY = [journal.Entry(kind="written")]

WORKER = """
import asyncio, sys
from mailflow.register import Register, intake, numbers
from tests.support.databases import VAULT
from tests.support.records import NOW, LATER, ROOMY, settlement

async def main(url: str, owner: str) -> None:
    register = Register.open(url, VAULT)
    while True:
        async with register.begin() as tx:
            claimed = await intake.claim_chunk(tx, owner, 3, NOW, LATER, size_bytes_max=ROOMY)
        if not claimed:
            break
        async with register.begin() as tx:
            first = await numbers.allocate(tx, "059", "1126", len(claimed))
            await intake.settle(tx, owner, [settlement(mail.id) for mail in claimed], NOW)
        for sequence, mail in enumerate(claimed, first):
            print(mail.id, sequence)
    await register.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def _written(register: Register) -> int:
    return len(await rows(register, "SELECT * FROM journal"))


async def test_an_exception_undoes_everything(register: Register) -> None:
    async def fail() -> None:
        async with register.begin() as tx:
            await journal.append(tx, ENTRY, NOW)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await _written(register) == 0


async def test_what_is_not_committed_is_seen_by_nobody(register: Register) -> None:
    async with register.begin() as tx:
        await journal.append(tx, ENTRY, NOW)
        assert await _written(register) == 0
    assert await _written(register) == 1


async def test_a_reader_sees_one_unchanging_state(register: Register) -> None:
    async with register.read() as tx:
        count = sa.text("SELECT count(*) FROM journal")
        before = (await tx.connection.execute(count)).scalar_one()
        async with register.begin() as writing:
            await journal.append(writing, ENTRY, NOW)
        assert (await tx.connection.execute(count)).scalar_one() == before == 0


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_transaction_is_whole_or_was_never(register: Register, steps: int) -> None:
    """Cancelled after so many turns of the event loop: in the middle of a statement, of the COMMIT, or after it."""
    before = set(threading.enumerate())

    async def write() -> None:
        async with register.begin() as tx:
            await journal.append(tx, ENTRY, NOW)
            await journal.append(tx, ENTRY, NOW)

    task = asyncio.create_task(write())
    for _ in range(steps * steps):
        await asyncio.sleep(0)
        if steps > 6:
            await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.wait({task})
    assert await _written(register) in ({2} if not task.cancelled() else {0, 2})
    await execute(register, "UPDATE trust_generation SET generation = 2")  # nothing is left locked
    await register.close()
    # SQLite's driver opens a file in a thread, which goes on when nobody waits for it any more: not into the next test.
    opening = [one for one in threading.enumerate() if one not in before and "_connection_worker" in one.name]
    await asyncio.gather(*(asyncio.to_thread(one.join) for one in opening))


async def test_a_cancellation_during_the_commit_waits_for_it(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    commit = AsyncConnection.commit

    async def slow(connection: AsyncConnection) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        await commit(connection)

    monkeypatch.setattr(AsyncConnection, "commit", slow)

    async def write() -> None:
        async with register.begin() as tx:
            await journal.append(tx, ENTRY, NOW)

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _written(register) == 1


async def test_two_that_wait_for_each_other_are_told_to_come_again(register: Register, register_url: str) -> None:
    """On PostgreSQL one of them loses a deadlock; on SQLite they simply take turns."""
    await take_in(register, 2)
    one, two = [row.id for row in await rows(register, "SELECT id FROM intake ORDER BY id")]
    meeting = asyncio.Barrier(2)

    async def touch(r: Register, first: int, second: int) -> str:
        try:
            async with r.begin() as tx:
                await tx.connection.execute(sa.text(f"UPDATE intake SET sender = 'x' WHERE id = {first}"))
                if register_url.startswith("postgresql"):
                    await meeting.wait()
                await tx.connection.execute(sa.text(f"UPDATE intake SET sender = 'x' WHERE id = {second}"))
        except Unavailable:
            return "again"
        return "done"

    async with another(register_url) as other:
        ends = await asyncio.gather(touch(register, one, two), touch(other, two, one))
    assert sorted(ends) == (["again", "done"] if register_url.startswith("postgresql") else ["done", "done"])


async def test_a_database_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    before = connections.threads()
    for url in (f"sqlite:///{tmp_path}/file.db", f"postgresql://nobody@/none?host={tmp_path}"):
        (tmp_path / "file.db").mkdir(exist_ok=True)
        gone = Register.open(url, VAULT)
        with pytest.raises(Unavailable):
            await gone.require_current_schema()
        with pytest.raises(Unavailable):
            await gone.migrate()
        await gone.close()
    await connections.ended(before)


async def test_a_wrong_statement_is_a_bug_or_unavailable_but_never_silent(register: Register) -> None:
    with pytest.raises((Unavailable, sa.exc.ProgrammingError)):
        await execute(register, "SELECT nothing FROM nowhere")
    assert await _written(register) == 0


def _run_workers(url: str, owners: list[str]) -> list[str]:
    """What each process of its own printed."""
    command, root = [sys.executable, "-c", WORKER, url], Path(__file__).parents[2]
    workers = [subprocess.Popen([*command, owner], cwd=root, stdout=subprocess.PIPE, text=True) for owner in owners]
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(owners)
    return outputs


async def test_several_processes_share_the_work_and_the_numbers(register: Register, register_url: str) -> None:
    await take_in(register, 60)
    outputs = await asyncio.to_thread(_run_workers, register_url, ["w1", "w2", "w3"])
    pairs = [tuple(map(int, line.split())) for out in outputs for line in out.splitlines()]
    assert sorted(sequence for _, sequence in pairs) == list(range(1, 61))
    assert len({mail for mail, _ in pairs}) == 60


async def test_instants_without_a_time_zone_are_refused(register: Register) -> None:
    with pytest.raises(sa.exc.StatementError, match=re.escape("time zone")):
        async with register.begin() as tx:
            await intake.claim_chunk(tx, "me", 1, NOW.replace(tzinfo=None), NOW, size_bytes_max=1)


async def test_who_is_cancelled_in_a_statement_holds_no_lock_any_more(register: Register) -> None:
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT max(i) FROM n"
    slow = sa.text(f"UPDATE key_home SET store = store WHERE ({counting}) < :least")
    begun = asyncio.Event()

    async def write() -> None:
        async with register.begin() as tx:
            await journal.append(tx, ENTRY, NOW)
            begun.set()
            await tx.run(slow, [{"least": 0}] * 500)

    writing = asyncio.create_task(write())
    await begun.wait()
    await asyncio.sleep(0.1)  # until the driver is at it, which takes more than a second
    writing.cancel()
    (error,) = await asyncio.gather(writing, return_exceptions=True)  # its traceback knows the cursor
    assert isinstance(error, asyncio.CancelledError)
    async with register.begin() as tx:
        await journal.append(tx, ENTRY, NOW)
    assert await _written(register) == 1


async def test_one_at_a_time_is_alone_with_a_task_and_others_go_on_without_waiting(
    register: Register, register_url: str
) -> None:
    async with another(register_url) as second:
        async with register.alone("receive") as ours, second.alone("receive") as theirs, second.alone("other") as other:
            assert list(map(bool, (ours, theirs, other))) == [True, False, True]
        async with second.alone("receive") as theirs, register.alone("receive") as ours:
            assert list(map(bool, (theirs, ours))) == [True, False]


async def test_a_task_is_free_again_when_it_failed(register: Register, register_url: str) -> None:
    async def fail() -> None:
        async with register.alone("receive"):
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with another(register_url) as second, second.alone("receive") as theirs:
        assert theirs


HOLDER = """
import asyncio, os, signal, sys
from mailflow.register import Register
from tests.support import connections
from tests.support.databases import VAULT

async def main(url: str) -> None:
    async with Register.open(url, VAULT).alone("receive") as ours:
        assert ours
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_task_is_free_again_when_its_process_was_killed(register: Register, register_url: str) -> None:
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, register_url)
    assert await holder.wait() == -9
    for _ in range(100):
        async with register.alone("receive") as ours:
            if ours:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("still locked")


async def test_a_lock_that_the_file_system_does_not_give_is_the_register_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    register = Register.open(f"sqlite:///{tmp_path}/register.db", VAULT)
    with pytest.raises(Unavailable, match=r"register\.db\.receive\.lock: No locks available"):
        async with register.alone("receive"):
            raise AssertionError("nobody knows whether it is ours")
    await register.close()


async def test_a_lock_file_that_cannot_be_taken_away_ends_nobodys_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def may_not(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    register = Register.open(f"sqlite:///{tmp_path}/register.db", VAULT)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", may_not)
        async with register.alone("worker", of="other", for_ever=False) as ours:
            assert ours
    assert (tmp_path / "register.db.worker.other.lock").exists()
    async with register.alone("worker", of="other", for_ever=False) as ours:
        assert ours
    assert not (tmp_path / "register.db.worker.other.lock").exists()
    await register.close()
