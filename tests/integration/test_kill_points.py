"""Where a worker can be killed: around each COMMIT that changes something, named for that or for who commits."""

import asyncio
import sys
from pathlib import Path

from mailflow.register import Register
from tests.support.records import take_in

PROGRAM = """
import asyncio, sys
from pathlib import Path
import sqlalchemy as sa
from mailflow.register import Register, intake, journal
from mailflow.register.key_tables import content_key
from tests.support.databases import VAULT
from tests.support.killed import Points, set_up
from mailflow.register import Register
from tests.support.records import LATER, NOW, ROOMY

set_up(Points("", Path(sys.argv[2])))

async def writes(register):
    async with register.begin() as tx:
        await journal.append(tx, [journal.Entry(kind="written")], NOW)

async def claims(register):
    async with register.begin() as tx:
        await intake.claim_chunk(tx, "me", 9, NOW, LATER, size_bytes_max=ROOMY)

async def fails(register):
    try:
        async with register.begin() as tx:
            await journal.append(tx, [journal.Entry(kind="written")], NOW)
            raise KeyError
    except KeyError:
        return

async def main(url):
    register = Register.open(url, VAULT)
    for work in (claims, claims, fails, writes):
        await work(register)
    async with register.keys.read() as store:
        kept = [row.id for row in await store.all(sa.select(content_key.c.id))]
    await register.keys.destroy(kept)
    await register.keys.destroy(kept)
    await register.close()

asyncio.run(main(sys.argv[1]))
"""
PASSED = ("intake.claim_chunk", "__main__.writes", "key_store.destroy")


async def test_each_commit_that_changes_something_is_passed_twice(
    register: Register, register_url: str, tmp_path: Path
) -> None:
    await take_in(register, 2)
    passed = tmp_path / "points"
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, register_url, str(passed))
    assert await program.wait() == 0
    expected = [f"{name}.{when}-commit:1" for name in PASSED for when in ("before", "after")]
    assert passed.read_text(encoding="utf-8").split() == expected
