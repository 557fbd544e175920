"""The content keys lie in a database of their own: written before what they seal, destroyed after it is let go of.

And a copy of the register says nothing without a copy of the key store of the same time.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailflow.errors import Misconfigured, Unavailable
from mailflow.jobs import loose_keys, work
from mailflow.jobs.loose_keys import LOOSE_KEYS
from mailflow.register import Register, intake, keys, outbox, queues, requests
from mailflow.register.key_store import SCHEMA, beside
from tests.servers.postgres import find_binaries
from tests.support.databases import VAULT, Databases
from tests.support.jobs import TERMS
from tests.support.records import NOW, a_draft, arrival, execute, key_rows, lose_keys, registered, rows

DAY = timedelta(days=1)
SAID = b"what the request says"


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
async def used(register: Register) -> Register:
    """One of everything that has a content key."""
    number = await registered(register, payload=SAID)
    async with register.begin() as tx:
        await outbox.queue(tx, [a_draft(None, key="of no mail")], NOW)
        await tx.run(sa.text("INSERT INTO nir (request_id, key_id, sealed) VALUES ('r1', 'n1', 'x')"))
        key = VAULT.new_key()
        await keys.keep(tx, [(key, keys.Owner("nir", "r1"))], NOW)
        await tx.run(sa.text("UPDATE nir SET key_id = :key").bindparams(key=key.id))
    assert number
    return register


async def collect(register: Register, later: timedelta = DAY) -> int:
    return await work.run(register, LOOSE_KEYS, TERMS, NOW + later)


async def take_in_and_die(register: Register) -> None:
    async with register.begin() as tx:
        await intake.take_in(tx, [arrival(99)], NOW)
        raise Killed


async def erase_and_fail(register: Register) -> None:
    async with register.begin() as tx:
        keys.erase(tx, [row.id for row in await key_rows(register)])
        raise Killed


async def erase_and_die(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies between the commit and the destruction of the keys."""

    async def die(_ids: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(register.keys, "destroy", die)
        async with register.begin() as tx:
            keys.erase(tx, [row.key_id for row in await rows(register, "SELECT key_id FROM request")])
            await tx.run(sa.text("UPDATE request SET payload = NULL"))


async def test_a_key_that_is_needed_is_never_destroyed(used: Register) -> None:
    kept = await key_rows(used)
    assert {row.owner.partition(" ")[0] for row in kept} == {"intake", "request", "nir", "outbox"}
    assert await collect(used) == 0
    assert await key_rows(used) == kept


async def test_the_key_of_what_was_never_committed_goes_the_next_day(used: Register) -> None:
    kept = await key_rows(used)
    with pytest.raises(Killed):
        await take_in_and_die(used)
    assert len(await key_rows(used)) == len(kept) + 1, "it was written first"
    assert await collect(used, timedelta(minutes=30)) == 0, "the transaction may still be under way"
    assert await collect(used) == 1
    assert await key_rows(used) == kept


async def test_what_was_erased_before_a_kill_has_no_key_the_next_day(
    used: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = len(await key_rows(used))
    with pytest.raises(Killed):
        await erase_and_die(used, monkeypatch)
    assert len(await key_rows(used)) == kept
    assert await collect(used) == 1
    assert "request r1" not in {row.owner for row in await key_rows(used)}


async def test_a_transaction_that_fails_destroys_nothing(used: Register) -> None:
    kept = await key_rows(used)
    with pytest.raises(Killed):
        await erase_and_fail(used)
    assert await key_rows(used) == kept


async def test_a_key_store_that_is_away_keeps_nobody_from_erasing(
    used: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Unavailable("away")

    kept = len(await key_rows(used))
    with monkeypatch.context() as patch:
        patch.setattr(used.keys, "begin", away)
        async with used.begin() as tx:
            keys.erase(tx, [row.key_id for row in await rows(used, "SELECT key_id FROM request")])
            await tx.run(sa.text("UPDATE request SET payload = NULL"))
    assert len(await key_rows(used)) == kept
    assert await collect(used) == 1


async def test_a_key_whose_owner_is_not_committed_is_kept_whatever_the_clocks_say(used: Register) -> None:
    """By the clock of another host, whose time is not ours."""
    async with used.begin() as tx:
        await intake.take_in(tx, [arrival(99)], NOW)
        ahead = asyncio.create_task(work.run(used, LOOSE_KEYS, TERMS, NOW + timedelta(days=3)))
        await asyncio.sleep(0.3)
        assert not ahead.done(), "it waits for us"
    assert await ahead == 0
    (mail,) = await rows(used, "SELECT key_id FROM intake ORDER BY id DESC LIMIT 1")
    assert mail.key_id in {row.id for row in await key_rows(used)}


async def test_all_keys_are_gone_through_in_pages(used: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loose_keys, "PAGE", 1)
    loose = [(VAULT.new_key(), keys.Owner(kind, "9 9")) for kind in ("request", "nir", "outbox")]
    async with used.begin() as tx:
        await keys.keep(tx, [*loose, (VAULT.new_key(), keys.Owner("intake", "999"))], NOW)
    assert await collect(used) == 4
    assert await collect(used) == 0


# Copies


class Copies:
    """Copies register and key store of a database apart from each other, and brings them back, as an operator does."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = sa.make_url(url), folder

    def take(self, which: str) -> Path:
        """`register` or `keys`."""
        copy = self.folder / f"{which}.copy"
        if self.url.drivername == "sqlite":
            subprocess.run(["sqlite3", self._file(which), f".backup '{copy}'"], check=True)
        else:
            part = [f"--schema={SCHEMA}" if which == "keys" else f"--exclude-schema={SCHEMA}"]
            self._call("pg_dump", "--format=custom", f"--file={copy}", *part, str(self.url.database))
        return copy

    def restore(self, which: str, copy: Path) -> None:
        if self.url.drivername == "sqlite":
            for one in self._file(which).parent.glob(f"{self._file(which).name}*"):
                one.unlink()
            shutil.copy(copy, self._file(which))
        else:
            gone = SCHEMA if which == "keys" else "public"
            again = [] if which == "keys" else ["-c", "CREATE SCHEMA public"]
            self._call("psql", "-qc", f"DROP SCHEMA {gone} CASCADE", *again, str(self.url.database))
            self._call("pg_restore", "--exit-on-error", f"--dbname={self.url.database}", str(copy))

    def _file(self, which: str) -> Path:
        url = str(self.url) if which == "register" else beside(str(self.url))
        return Path(url.removeprefix("sqlite:///"))

    def _call(self, program: str, *arguments: str) -> None:
        binaries = find_binaries()
        assert binaries is not None
        ask = ["-h", str(self.url.query["host"]), "-U", "postgres"]
        subprocess.run([binaries / program, *ask, *arguments], check=True, capture_output=True)


@pytest.fixture
def copies(register_url: str, tmp_path: Path) -> Copies:
    folder = tmp_path / "copies"
    folder.mkdir()
    return Copies(register_url, folder)


@pytest.fixture
async def erased(register_url: str, copies: Copies) -> AsyncIterator[Register]:
    """A request and its mail are erased, and the register is put back as it was before; the key store is not."""
    register = Register.open(register_url, VAULT)
    await registered(register, payload=SAID)
    copies.take("keys")
    before = copies.take("register")
    await lose_keys(register)
    await execute(register, "UPDATE request SET payload = NULL")
    await execute(register, "UPDATE intake SET raw = NULL")
    await register.close()
    copies.restore("register", before)
    restored = Register.open(register_url, VAULT)
    yield restored
    await restored.close()


async def said(register: Register) -> tuple[bytes | None, bytes | None]:
    """What the request says, and its mail."""
    ((number,),) = await rows(register, "SELECT number FROM request")
    ((mail,),) = await rows(register, "SELECT id FROM intake")
    async with register.read() as tx:
        found = await requests.find(tx, number)
        assert found is not None
        return found.payload, await queues.raw(tx, mail)


async def test_a_restored_register_cannot_read_what_was_erased_since(erased: Register) -> None:
    await erased.require_current_schema()
    assert len(await rows(erased, "SELECT 1 FROM request WHERE payload IS NOT NULL")) == 1, "it is there again"
    assert await said(erased) == (None, None), "and cannot be opened"


async def test_within_its_term_a_copy_of_the_key_store_opens_it_until_the_next_night(
    erased: Register, register_url: str, copies: Copies
) -> None:
    """Why copies of the key store have a short term. What the present register has erased goes again."""
    await erased.close()
    copies.restore("keys", copies.folder / "keys.copy")
    both = Register.open(register_url, VAULT)
    assert (await said(both))[0] == SAID
    await execute(both, "UPDATE request SET payload = NULL")
    await execute(both, "UPDATE intake SET raw = NULL")
    assert await collect(both) == 2
    assert await key_rows(both) == []
    await both.close()


async def test_a_key_store_that_is_older_than_the_register_is_told(used: Register) -> None:
    async with used.begin() as tx:
        await intake.take_in(tx, [arrival(99)], NOW)
        assert await keys.count_lost(tx, 100) == 0
    await lose_keys(used, "SELECT key_id FROM intake WHERE uid = 99")
    async with used.read() as tx:
        assert await keys.count_lost(tx, 100) == 1


# Whose store it is


async def test_a_key_store_that_is_not_the_register_s_own_is_refused(register_url: str, tmp_path: Path) -> None:
    """A new, empty one looks as if all had been erased."""
    other = f"sqlite:///{tmp_path}/other-keys.db"
    register = Register.open(register_url, VAULT, keys_url=other)
    with pytest.raises(Misconfigured, match="has no tables"):
        await register.require_current_schema()
    with pytest.raises(Misconfigured, match="of another register"):
        await register.migrate()
    with pytest.raises(Misconfigured, match="of another register"):
        await register.require_current_schema()
    await register.close()


async def test_a_key_store_may_lie_elsewhere(databases: Databases, tmp_path: Path) -> None:
    url, elsewhere = databases.fresh(migrated=False), f"sqlite:///{tmp_path}/elsewhere.db"
    register = Register.open(url, VAULT, keys_url=elsewhere)
    await register.migrate()
    await registered(register, payload=SAID)
    assert (await said(register))[0] == SAID
    assert len(await key_rows(register)) == 2
    await register.close()
    beside_it = Register.open(url, VAULT)
    with pytest.raises(Misconfigured):
        await beside_it.require_current_schema()
    await beside_it.close()
